"""威众云影像 (wegopoly), a film cloud that many hospitals use.

facts:    fixtures/sites/wegopoly/README.md
asks:     nothing
serves:   Part 10 files, one GET each, from an object store
verified: emulated site only

Over 120 lines because a link's token is deciphered here, and the list joins two answers.
"""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import urljoin

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from providers.toolkit import envelope
from scraper.contract import (
    AsyncIterator,
    Deployment,
    Field,
    Found,
    Instance,
    NoSuchStudy,
    Provider,
    Reply,
    Series,
    Session,
    ShareLink,
    Study,
    UnusableLink,
    WadoUri,
    gone,
    whole,
)

KEY = b"f9c3a7e8d2b64f1a9e0c5b7d3a8f6c21"  # of the site's script; last seen to work 2026-06
FIRST_BLOCK = b"8a3f9c2e6b1d7a04"  # the 128-bit counter's first value, same month
API = "/saas/image/h5/api/"
REPORT, IMAGES = "get/report/info", "image/json/infoH5"
DONE = "1"


class InstanceReply(Reply):
    image: str | None = Field("", alias="imageId")


class SeriesReply(Reply):
    number: str | None = Field(None, alias="seriesNumber")
    description: str | None = Field("", alias="seriesDescription")
    instances: list[InstanceReply] | None = Field(None, alias="instanceList")


class StudyReply(Reply):  # the report's and the images' answers each hold a part of it
    exam: str | None = Field("", alias="examName")
    index: str | None = Field("", alias="studyIndex")
    modality: str | None = ""
    chinese_name: str | None = Field("", alias="patientCnName")
    name: str | None = Field("", alias="patientName")
    date: str | None = Field("", alias="studyDate")
    host: str | None = Field("", alias="serverhost")
    folder: str | None = Field("", alias="dicomfile")
    directory: str | None = Field("", alias="relativeDir")
    series: list[SeriesReply] | None = Field(None, alias="seriesList")


class Answer(Reply):
    code: str = ""
    message: str | None = ""
    data: StudyReply | None = None


class Wegopoly(Provider):
    name = "wegopoly"
    route = r"/image/?\?(?=[^#]*\b(?:q|acc)=)[^#]*(?:#.*)?"
    deployments = (Deployment("cfsaas.wegopoly.com", "威众云影像", "全国"),)
    marks = (
        r"/image/?\?(?:[^#]*&)?q=[\w-]{60,}={0,2}(?:&.*)?",
        r"/image/?\?(?=[^#]*\bstudyIndex=)(?=[^#]*\bacc=)[^#]*(?:#.*)?",
    )
    behind = (r"cfsaas\.wegopoly\.com/image.*",)
    example = "https://cfsaas.wegopoly.com/image/?q=0a1b2c"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        hospital, study, token = opened(link)
        sent = {"hid": hospital, "verifyToken": token, "version": "undefined", "x-cf-biz": ""}
        report = envelope.entered(await session.post(link.join(API + REPORT), headers=sent), Answer)
        images = envelope.entered(await session.post(link.join(API + IMAGES), headers=sent), Answer)
        _granted(link, images)
        for series in described(link, study, report, images):
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        report = await envelope.heard(session, re.escape(API + REPORT))
        if report is not None:
            _granted(link, envelope.entered(report, Answer))
        images = None if report is None else await envelope.heard(session, re.escape(API + IMAGES))
        if report is None or images is None:
            async for series in self.discover(link, session):
                yield series
            return
        told = _granted(link, envelope.entered(images, Answer))
        for series in described(link, opened(link)[1], report.read(Answer), told):
            yield series


def opened(link: ShareLink) -> tuple[str, str, str]:
    """Hospital, study and token, as the link's ``q`` holds them under cipher, or as they stand in the link in clear.

    Raises:
        UnusableLink: the link is damaged, or of a version that is not known.
    """
    plain: object = link.params
    if sealed := link.params.get("q", "").replace("+", "-").replace("/", "_").rstrip("="):
        cipher = Cipher(algorithms.AES(KEY), modes.CTR(FIRST_BLOCK)).decryptor()
        try:
            plain = json.loads(cipher.update(base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))))
        except ValueError:
            plain = None
    if not isinstance(plain, dict) or not (plain.get("hid") and plain.get("acc")):
        raise UnusableLink(link=link.redacted)
    return str(plain["hid"]), str(plain.get("studyIndex") or ""), str(plain["acc"])


def _granted(link: ShareLink, answer: Answer) -> Answer:
    """The answer, where it is no refusal."""
    if answer.code != DONE:
        raise gone(answer.message or answer.code, host=link.host)
    return answer


def described(link: ShareLink, key: str, report: Answer, images: Answer) -> list[Series]:
    """The series as the two answers list them; the site names no DICOM UID, so its file names are the keys."""
    told = report.data
    listed = images.data
    if listed is None or not any(series.instances for series in listed.series or ()):
        raise NoSuchStudy(images.message or "", host=link.host)
    study = Study(
        date=re.sub(r"\D", "", listed.date or "")[:8],
        modality=(told.modality if told else "") or "",
        description=(told.exam if told else "") or "",
        patient_name=listed.chinese_name or listed.name or "",
        key=key or (told.index if told else "") or "",
    )
    parts = ((part or "").strip("/") for part in (listed.host, listed.folder, listed.directory))
    base = "/".join(part for part in parts if part)
    found = []
    for place, series in enumerate(listed.series or ()):
        named = (instance.image.lstrip("/") for instance in series.instances or () if instance.image)
        names = list(dict.fromkeys(named))
        found.append(
            Series(
                study_instance_uid="",
                series_instance_uid="",
                key=f"{place}/{series.number or ''}",
                number=whole(series.number),
                description=series.description or "",
                modality=study.modality,
                expected=len(names),
                study=study,
                instances=tuple(Instance("", WadoUri(urljoin(f"{base}/", name)), key=name) for name in names),
            )
        )
    return found
