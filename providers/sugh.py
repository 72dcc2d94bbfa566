"""深圳大学总医院 云胶片 (sugh), LanWon's cloud film."""

from __future__ import annotations

from functools import partial

from scraper.contract import (
    ACCESS_CODE,
    CheckedReply,
    CredentialsRefused,
    Deployment,
    Field,
    Instance,
    Number,
    Provider,
    Reply,
    Response,
    Series,
    Session,
    ShareLink,
    Study,
    WadoUri,
    refusal_error,
    refusal_kind,
)

SHARE = "/api/cloudfilm/api/studyInfo/getClinicalByShareCode"
INDEX = "/api/cloudfilm-mgt/api/v1/study/json/index"
IMAGES = "/api/cloudfilm-mgt/api/v1/dicom/studies"
SYSTEM = "cloudfilm"
ASKS = (
    "提取码",
    "分享码",
    "取件码",
    "访问码",
    "验证码",
    "密码",
    "口令",
    "share code",
    "sharecode",
    "access code",
    "password",
)


class SughReply(CheckedReply):
    good = ("200",)

    @property
    def site_message(self) -> str:
        return self.message or self.msg


class ShareReply(SughReply):
    is_entrance = True
    uid: str = Field("", alias="data.studyUid")
    org: str = Field("", alias="data.params.orgCode")
    patient: str = Field("", alias="data.params.patientName")

    @property
    def asks(self) -> bool:
        """Does it ask for a share code, or refuse one; a share that is over asks for nothing."""
        message = self.site_message.lower()
        return not (self.ok or refusal_kind(message)) and any(word in message for word in ASKS)


class ImageReply(Reply):
    uid: str = Field("", alias="imageUID")


class SeriesReply(Reply):
    uid: str = Field("", alias="seriesUID")
    number: Number = Field(None, alias="seriesNumber")
    description: str = Field("", alias="seriesDescription")
    images: dict[str, ImageReply] = Field(default_factory=dict, alias="imgs")


class StudyReply(Reply):
    uid: str = Field(alias="std.studyUID")
    description: str = Field("", alias="std.studyDescription")
    when: str = Field("", alias="std.studyDateTime")
    series: dict[str, SeriesReply] = Field(default_factory=dict, alias="sers")


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
    study_list_call = SHARE
    example = "https://work.sugh.net:8002/pc/auth-viewer?clinicalShareToken=0a1b2c3d"

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        return await self.describe(link, session, await _ask(link, session, link.params.get("shareCode", "")))

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        share = response.unwrap(ShareReply)
        if share.asks:  # the 提取码 is given once, at the call that checks it
            share = (await _ask(link, session, session.answer(ACCESS_CODE))).unwrap(ShareReply)
            if not share.ok:
                raise refusal_error(share.site_message, or_else=partial(CredentialsRefused, ACCESS_CODE.name))
        if not share.ok or not share.uid:
            raise share.refusal()
        asked = {"systemCode": SYSTEM, "studyUid": share.uid, "orgCode": share.org, "purview": "1"}
        token = {"token": link.params["clinicalShareToken"]}
        index = await session.get(link.join(INDEX), params=asked, headers=token, reply=IndexReply)
        headers = {**token, "orgCode": share.org, "systemCode": SYSTEM}
        return [_series(link, study, key, share.patient, headers) for study in index.data for key in study.series]


async def _ask(link: ShareLink, session: Session, code: str) -> Response:
    asked = {"clinicalShareToken": link.params["clinicalShareToken"], "shareCode": code}
    return await session.get(link.join(SHARE), params=asked)


def _series(link: ShareLink, study: StudyReply, key: str, patient: str, headers: dict[str, str]) -> Series:
    series, known = study.series[key], Study(study.uid, study.when, "", study.description, patient)
    uid, images = series.uid or key, [image.uid or name for name, image in series.images.items()]
    root = link.join(f"{IMAGES}/{study.uid}/series/{uid}/instances/")
    instances = tuple(Instance(image, WadoUri(f"{root}{image}/", headers)) for image in images)
    return Series(study.uid, uid, instances, len(images), series.number, series.description, study=known)
