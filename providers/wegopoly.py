"""威众云影像 (wegopoly), a film cloud that many hospitals use."""

from __future__ import annotations

from providers.toolkit import envelope
from scraper.contract import (
    Call,
    CheckedReply,
    Deployment,
    Field,
    ImageRow,
    NoSuchStudy,
    Number,
    Provider,
    Response,
    Series,
    SeriesRow,
    Session,
    ShareLink,
    Study,
    StudyRow,
)
from scraper.protocols import ciphers

KEY = b"f9c3a7e8d2b64f1a9e0c5b7d3a8f6c21"  # of the site's script; last seen to work 2026-06
FIRST_BLOCK = b"8a3f9c2e6b1d7a04"  # the 128-bit counter's first value, same month
SENT = {"hid": "{hid}", "verifyToken": "{acc}", "version": "undefined", "x-cf-biz": ""}
REPORT = Call("/saas/image/h5/api/get/report/info", headers=SENT, method="POST")
IMAGES = Call("/saas/image/h5/api/image/json/infoH5", headers=SENT, method="POST")


class ImageReply(ImageRow):
    key: str = Field("", alias="imageId")

    @property
    def path(self) -> str:
        return self.key.lstrip("/")


class SeriesReply(SeriesRow):
    address = "{image.path}"
    number: Number = Field(None, alias="seriesNumber")
    description: str = Field("", alias="seriesDescription")
    images: tuple[ImageReply, ...] = Field((), alias="instanceList")


class StudyReply(CheckedReply, StudyRow):  # the report's and the images' answers each hold a part of it
    good = ("1",)
    is_entrance = True
    description: str = Field("", alias="data.examName")
    key: str = Field("", alias="data.studyIndex")
    modality: str = Field("", alias="data.modality")
    patient_name: str = Field("", alias="data.patientCnName|data.patientName")
    date: str = Field("", alias="data.studyDate")
    host: str = Field("", alias="data.serverhost")
    folder: str = Field("", alias="data.dicomfile")
    directory: str = Field("", alias="data.relativeDir")
    series: tuple[SeriesReply, ...] = Field((), alias="data.seriesList")


class Wegopoly(Provider):
    name = "wegopoly"
    route = r"/image/?\?(?=[^#]*\b(?:q|acc)=)[^#]*(?:#.*)?"
    serves = "Part 10 files, one GET each, from an object store"
    deployments = (Deployment("cfsaas.wegopoly.com", "威众云影像", "全国"),)
    distinctive_routes = (
        r"/image/?\?(?:[^#]*&)?q=[\w-]{60,}={0,2}(?:&.*)?",
        r"/image/?\?(?=[^#]*\bstudyIndex=)(?=[^#]*\bacc=)[^#]*(?:#.*)?",
    )
    behind = (r"cfsaas\.wegopoly\.com/image.*",)
    study_list_call = REPORT.pattern
    example = "https://cfsaas.wegopoly.com/image/?q=0a1b2c"

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        ids = study_ids(link)
        report = (await REPORT.send(link, session, ids)).unwrap(StudyReply)
        images = (await IMAGES.send(link, session, ids)).checked(StudyReply)
        return _described(ids["studyIndex"], report, images)

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        report = response.checked(StudyReply)
        images = await session.captured_reply(IMAGES.pattern)
        if images is None:
            return await self.discover(link, session)
        return _described(study_ids(link)["studyIndex"], report, images.checked(StudyReply))


def study_ids(link: ShareLink) -> dict[str, str]:
    """Hospital, study and token, as the link's ``q`` holds them under cipher, or as they stand in the link in clear."""
    sealed = link.param("q")
    plain = envelope.in_link(
        link,
        lambda: ciphers.ctr_opened(ciphers.from_base64(sealed), KEY, FIRST_BLOCK) if sealed else link.params,
        "hid",
        "acc",
    )
    return {name: str(plain.get(name) or "") for name in ("hid", "studyIndex", "acc")}


def _described(key: str, report: StudyReply, images: StudyReply) -> list[Series]:
    """The series as the two answers list them; the site names no DICOM UID, so its file names are the keys."""
    if not any(series.images for series in images.series):
        raise NoSuchStudy(images.message)
    parts = (part.strip("/") for part in (images.host, images.folder, images.directory))
    base = "/".join(part for part in parts if part)
    about = Study("", images.date, report.modality, report.description, images.patient_name, key or report.key)
    return images.described(f"{base}/", about=about)
