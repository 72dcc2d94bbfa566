"""东软睿影 M-Viewer as a hospital runs it: a signed link, and the page's own download of the whole study.

facts:    fixtures/sites/neusoft/README.md
asks:     nothing
serves:   one zip of Part 10 files
verified: emulated site only

Over 120 lines because the site refuses in four ways that must be told apart before a zip is asked for.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable

from providers.products import mviewer
from providers.toolkit.envelope import entered, told
from scraper.contract import (
    AsyncIterator,
    Deployment,
    DownloadNotPermitted,
    Field,
    Found,
    LinkExpired,
    Package,
    Provider,
    Reply,
    Request,
    Session,
    ShareLink,
    SiteChanged,
    SiteUnreachable,
    Study,
    StudyGone,
    UnusableLink,
    decode_text,
    gone,
)

SHORT = "/short/"
PROFILE = r"/M-Viewer/?(?:(?<=/)index\.html)?(?:\?[^#]*)?#/profile(?:sign)?/[^/?#]+/?\?(?:.*&)?sign=[^&]+.*"
VALID, READY = "60", "00"
TABLE_MISSING = "ORA-00942"


class Claims(Reply):
    exp: str = ""
    ext: dict[str, object] = Field(default_factory=dict)


class Config(Reply):
    download: bool | str | None = True


class Status(Reply):
    code: str
    message: str | None = ""


class Patient(Reply):
    name: str | None = ""


class Examined(Reply):
    item: str | None = Field("", alias="check_item")
    modality: str | None = Field("", alias="device_type")
    date: str | None = ""


class StudyReply(Reply):
    patient: Patient = Field(default_factory=lambda: Patient.model_validate({}))
    study: Examined = Field(default_factory=lambda: Examined.model_validate({}))


class ZipReply(Reply):
    result: str = Field(alias="downloadResult")
    value: str | None = Field("", alias="returnResult")
    message: str | None = ""


class Neusoft(Provider):
    name = "neusoft"
    route = rf"/short/[\w-]+/?(?:\?[^#]*)?|{PROFILE}"
    deployments = (Deployment("202.100.221.200:6087", "东软睿影（某医院）"),)
    marks = (PROFILE,)
    behind = (r"[^/]+/M-Viewer/.*",)
    example = "http://202.100.221.200:6087/M-Viewer/#/profile/CHECK001?sign=eyJ0"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        page = await mviewer.lengthened(link, session, SHORT)
        sign = page.params.get("sign", "")
        claims = _claims(sign, page)
        number = str(claims.ext.get("checkserialnum") or mviewer.page_route(page)[1])
        referer = {"Referer": f"{page.origin}/M-Viewer/"}
        is_offered = await _offers_download(page, session)
        asked = await session.post(
            page.join("/pacs-mobile/mobile_auth/tokenStatus"), json={"exp": claims.exp}, headers=referer
        )
        status = entered(asked, Status)
        if status.code != VALID:
            raise LinkExpired(status.message or "", host=page.host)
        about = await session.get(
            page.join("/pacs-mobile/mobile/getStudyInfo"),
            params={"checkserialnum": number},
            headers={"Authorization": f"Bearer {sign}", **referer},
            reply=StudyReply,
        )
        yield Package(_packing(page, session, number, is_offered=is_offered), _described(about, number))

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        async for found in self.discover(ShareLink(session.page.url), session):
            yield found


def _described(about: StudyReply, number: str) -> Study:
    study = about.study
    date = "".join(filter(str.isdigit, study.date or ""))[:8]
    return Study("", date, study.modality or "", study.item or "", about.patient.name or "", number)


def _claims(sign: str, page: ShareLink) -> Claims:
    """What the link's JWT says; its signature is the site's to check."""
    payload = [*sign.split("."), ""][1]
    try:
        return Claims.model_validate(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))
    except (binascii.Error, ValueError):
        raise UnusableLink("sign", link=page.redacted) from None


async def _offers_download(page: ShareLink, session: Session) -> bool:
    answer = await session.get(
        page.join("/M-Viewer/assets/config/config.json"), headers={"Referer": f"{page.origin}/M-Viewer/"}
    )
    try:
        return str(answer.read(Config).download).lower() != "false"
    except SiteChanged:
        return True  # no settings: the page then offers it


def _packing(page: ShareLink, session: Session, number: str, *, is_offered: bool) -> Callable[[], Awaitable[Request]]:
    """The page's own download: the hospital packs the study, then tells where the zip lies."""

    async def pack() -> Request:
        referer = {"Referer": f"{page.origin}/M-Viewer/"}
        answer = await session.post(
            page.join("/pacs-mobile/image/downloadZipImage"), json={"checkserialnum": number}, headers=referer
        )
        if TABLE_MISSING in answer.text:
            raise DownloadNotPermitted(f"{TABLE_MISSING}: WEBRIS_DICOM_DOWNLOAD_RECORD", host=page.host)
        try:
            reply = told(answer, ZipReply)
        except (SiteUnreachable, SiteChanged) as err:
            raise err if is_offered else DownloadNotPermitted(host=page.host) from err
        if reply.result != READY or not reply.value:
            said = reply.value or reply.message or ""
            error = gone(said, host=page.host)
            raise DownloadNotPermitted(said, host=page.host) if type(error) is StudyGone else error
        address = _address(page, reply.value)
        await session.http.check_hop(page.url, address)
        return Request(address, headers=referer)

    return pack


def _address(page: ShareLink, packed: str) -> str:
    try:
        text = "".join(packed.split())
        return page.join(decode_text(base64.b64decode(text + "=" * (-len(text) % 4))).strip())
    except binascii.Error as err:
        raise SiteChanged(host=page.host, what="downloadZipImage, returnResult") from err
