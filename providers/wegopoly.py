"""威众云影像 (wegopoly), a film cloud that many hospitals use."""

from __future__ import annotations

import json
import re
from urllib.parse import urljoin

from scraper.contract import (
    CheckedReply,
    Deployment,
    Field,
    Instance,
    NoSuchStudy,
    Number,
    Provider,
    Reply,
    Response,
    Series,
    Session,
    ShareLink,
    Study,
    UnusableLink,
    WadoUri,
)
from scraper.protocols import ciphers

KEY = b"f9c3a7e8d2b64f1a9e0c5b7d3a8f6c21"  # of the site's script; last seen to work 2026-06
FIRST_BLOCK = b"8a3f9c2e6b1d7a04"  # the 128-bit counter's first value, same month
REPORT, IMAGES = "/saas/image/h5/api/get/report/info", "/saas/image/h5/api/image/json/infoH5"


class ImageReply(Reply):
    name: str = Field("", alias="imageId")


class SeriesReply(Reply):
    number: Number = Field(None, alias="seriesNumber")
    description: str = Field("", alias="seriesDescription")
    images: tuple[ImageReply, ...] = Field((), alias="instanceList")


class StudyReply(CheckedReply):  # the report's and the images' answers each hold a part of it
    good = ("1",)
    is_entrance = True
    exam: str = Field("", alias="data.examName")
    index: str = Field("", alias="data.studyIndex")
    modality: str = Field("", alias="data.modality")
    chinese_name: str = Field("", alias="data.patientCnName")
    name: str = Field("", alias="data.patientName")
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
    study_list_call = re.escape(REPORT)
    example = "https://cfsaas.wegopoly.com/image/?q=0a1b2c"

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        hospital, key, token = study_ids(link)
        sent = {"hid": hospital, "verifyToken": token, "version": "undefined", "x-cf-biz": ""}
        report = (await session.post(link.join(REPORT), headers=sent)).unwrap(StudyReply)
        images = await session.post(link.join(IMAGES), headers=sent, reply=StudyReply)
        return _described(key, report, images)

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        report = response.checked(StudyReply)
        images = await session.captured_reply(re.escape(IMAGES))
        if images is None:
            return await self.discover(link, session)
        return _described(study_ids(link)[1], report, images.checked(StudyReply))


def study_ids(link: ShareLink) -> tuple[str, str, str]:
    """Hospital, study and token, as the link's ``q`` holds them under cipher, or as they stand in the link in clear.

    Raises:
        UnusableLink: the link is damaged, or of a version that is not known.
    """
    plain: object = link.params
    if sealed := link.params.get("q"):
        try:
            plain = json.loads(ciphers.ctr_opened(ciphers.from_base64(sealed), KEY, FIRST_BLOCK))
        except ValueError:
            plain = None
    if not isinstance(plain, dict) or not (plain.get("hid") and plain.get("acc")):
        raise UnusableLink(link=link.redacted)
    return str(plain["hid"]), str(plain.get("studyIndex") or ""), str(plain["acc"])


def _described(key: str, report: StudyReply, images: StudyReply) -> list[Series]:
    """The series as the two answers list them; the site names no DICOM UID, so its file names are the keys."""
    if not any(series.images for series in images.series):
        raise NoSuchStudy(images.message)
    name = images.chinese_name or images.name
    study = Study("", images.date, report.modality, report.exam, name, key or report.index)
    parts = (part.strip("/") for part in (images.host, images.folder, images.directory))
    base = "/".join(part for part in parts if part)
    found = []
    for place, series in enumerate(images.series):
        names = dict.fromkeys(image.name.lstrip("/") for image in series.images if image.name)
        instances = tuple(Instance("", WadoUri(urljoin(f"{base}/", name)), name) for name in names)
        key = f"{place}/{'' if series.number is None else series.number}"
        found.append(
            Series("", "", instances, len(names), series.number, series.description, report.modality, key, study)
        )
    return found
