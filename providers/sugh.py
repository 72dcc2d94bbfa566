"""深圳大学总医院 云胶片 (sugh), LanWon's cloud film."""

from __future__ import annotations

from dataclasses import replace

from scraper.contract import (
    ACCESS_CODE,
    Call,
    CheckedReply,
    Deployment,
    Field,
    ImageRow,
    Number,
    Provider,
    Response,
    Series,
    SeriesRow,
    Session,
    ShareLink,
    StudyRow,
)

IMAGES = "/api/cloudfilm-mgt/api/v1/dicom/studies/"
SYSTEM = "cloudfilm"
INDEX = Call(
    "/api/cloudfilm-mgt/api/v1/study/json/index",
    params={"systemCode": SYSTEM, "studyUid": "{uid}", "orgCode": "{org}", "purview": "1"},
    headers={"token": "{clinicalShareToken}"},
)


class SughReply(CheckedReply):
    good = ("200",)
    msg: str = Field("", alias="message|msg")


class ShareReply(SughReply):
    is_entrance = True
    uid: str = Field("", alias="data.studyUid")
    org: str = Field("", alias="data.params.orgCode")
    patient: str = Field("", alias="data.params.patientName")


class ImageReply(ImageRow):
    uid: str = Field("", alias="imageUID")


class SeriesReply(SeriesRow):
    address = "{study.uid}/series/{series.uid}/instances/{image.uid}/"
    uid: str = Field("", alias="seriesUID")
    number: Number = Field(None, alias="seriesNumber")
    description: str = Field("", alias="seriesDescription")
    images: tuple[ImageReply, ...] = Field((), alias="imgs")


class StudyReply(StudyRow):
    uid: str = Field(alias="std.studyUID")
    description: str = Field("", alias="std.studyDescription")
    date: str = Field("", alias="std.studyDateTime")
    series: tuple[SeriesReply, ...] = Field((), alias="sers")


class IndexReply(SughReply):
    data: tuple[StudyReply, ...] = ()


class Sugh(Provider):
    name = "sugh"
    route = r"/[\w-]+/auth-viewer/?\?(?:[^#]*&)?clinicalShareToken=[^&#]+.*"
    asks = (ACCESS_CODE,)
    when_asked = "nothing, as a rule; access_code where the share carries a 提取码"
    deployments = (Deployment("work.sugh.net", "深圳大学总医院", "深圳"),)
    distinctive_routes = (route,)
    behind = (r"[^/]+/[\w-]+/auth-viewer.*",)
    entry = Call(
        "/api/cloudfilm/api/studyInfo/getClinicalByShareCode",
        params={"clinicalShareToken": "{clinicalShareToken}", "shareCode": "{answer|shareCode}"},
        question=ACCESS_CODE,
    )
    example = "https://work.sugh.net:8002/pc/auth-viewer?clinicalShareToken=0a1b2c3d"

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        share = await self.entered(link, session, response, ShareReply)
        if not share.uid:
            raise share.refusal()
        index = (await INDEX.send(link, session, share)).checked(IndexReply)
        headers = {"token": link.params["clinicalShareToken"], "orgCode": share.org, "systemCode": SYSTEM}
        return [
            series
            for study in index.data
            for series in study.described(link.join(IMAGES), headers, replace(study.study, patient_name=share.patient))
        ]
