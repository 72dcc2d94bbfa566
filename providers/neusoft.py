"""东软睿影 M-Viewer as a hospital runs it: a signed link, and the page's own download of the whole study."""

from __future__ import annotations

import json
from functools import partial

from providers.products import mviewer
from scraper.contract import (
    CheckedReply,
    Deployment,
    DownloadNotPermitted,
    Field,
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
    UnusableLink,
    decode_text,
    refusal_error,
)
from scraper.protocols import ciphers

SHORT = "/short/"
PROFILE = r"/M-Viewer/?(?:(?<=/)index\.html)?(?:\?[^#]*)?#/profile(?:sign)?/[^/?#]+/?\?(?:.*&)?sign=[^&]+.*"
CONFIG = "/M-Viewer/assets/config/config.json"
VALID, INFO = "/pacs-mobile/mobile_auth/tokenStatus", "/pacs-mobile/mobile/getStudyInfo"
PACK = "/pacs-mobile/image/downloadZipImage"
TABLE_MISSING = "ORA-00942"


class Claims(Reply):
    exp: str = ""
    ext: dict[str, object] = Field(default_factory=dict)


class ConfigReply(Reply):
    download: str | bool = True


class StatusReply(CheckedReply):
    good = ("60",)
    is_entrance = True

    def refusal(self) -> LinkExpired:
        return LinkExpired(self.message)


class StudyReply(Reply):
    patient: str = Field("", alias="patient.name")
    item: str = Field("", alias="study.check_item")
    modality: str = Field("", alias="study.device_type")
    date: str = Field("", alias="study.date")


class ZipReply(CheckedReply):
    good = ("00",)
    code: str = Field(alias="downloadResult")
    value: str = Field("", alias="returnResult")


class Neusoft(Provider):
    name = "neusoft"
    route = (r"/short/[\w-]+/?(?:\?[^#]*)?", PROFILE)
    serves = "one zip of Part 10 files"
    deployments = (Deployment("202.100.221.200:6087", "东软睿影（某医院）"),)
    distinctive_routes = (PROFILE,)
    behind = (r"[^/]+/M-Viewer/.*",)
    example = "http://202.100.221.200:6087/M-Viewer/#/profile/CHECK001?sign=eyJ0"

    async def discover(self, link: ShareLink, session: Session) -> list[Package]:
        page = await mviewer.lengthen(link, session, SHORT)
        sign, referer = page.params.get("sign", ""), {"Referer": f"{page.origin}/M-Viewer/"}
        claims = _claims(sign, page)
        number = str(claims.ext.get("checkserialnum") or mviewer.page_route(page)[1])
        is_offered = await _offers_download(page, session)
        await session.post(page.join(VALID), json={"exp": claims.exp}, headers=referer, reply=StatusReply)
        asked, headers = {"checkserialnum": number}, {"Authorization": f"Bearer {sign}", **referer}
        about = await session.get(page.join(INFO), params=asked, headers=headers, reply=StudyReply)
        study = Study("", about.date, about.modality, about.item, about.patient, number)
        return [Package(partial(_pack, page, session, number, is_offered=is_offered), study)]

    async def watch(self, link: ShareLink, session: Session) -> list[Package]:
        return await self.discover(ShareLink(session.screen.url), session)


def _claims(sign: str, page: ShareLink) -> Claims:
    """What the link's JWT says; its signature is the site's to check."""
    payload = [*sign.split("."), ""][1]
    try:
        return Claims.model_validate(json.loads(ciphers.from_base64(payload)))
    except ValueError:
        raise UnusableLink("sign", link=page.redacted) from None


async def _offers_download(page: ShareLink, session: Session) -> bool:
    response = await session.get(page.join(CONFIG), headers={"Referer": f"{page.origin}/M-Viewer/"})
    try:
        return str(response.read(ConfigReply).download).lower() != "false"
    except SiteChanged:
        return True  # no settings: the page then offers it


async def _pack(page: ShareLink, session: Session, number: str, *, is_offered: bool) -> Request:
    """The page's own download: the hospital packs the study, then says where the zip lies."""
    referer = {"Referer": f"{page.origin}/M-Viewer/"}
    response = await session.post(page.join(PACK), json={"checkserialnum": number}, headers=referer)
    if TABLE_MISSING in response.text:
        raise DownloadNotPermitted(f"{TABLE_MISSING}: WEBRIS_DICOM_DOWNLOAD_RECORD", host=page.host)
    try:
        reply = response.unwrap(ZipReply)
    except (SiteUnreachable, SiteChanged) as err:
        raise err if is_offered else DownloadNotPermitted(host=page.host) from err
    if not reply.ok or not reply.value:
        raise refusal_error(reply.value or reply.message, host=page.host, or_else=DownloadNotPermitted)
    try:
        address = page.join(decode_text(ciphers.from_base64(reply.value)).strip())
    except ciphers.WrongKey as err:
        raise SiteChanged(host=page.host, what="downloadZipImage, returnResult") from err
    await session.http.check_hop(page.url, address)
    return Request(address, headers=referer)
