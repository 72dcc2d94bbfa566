"""东软睿影 M-Viewer as a hospital runs it: a signed link, and the page's own download of the whole study."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from providers.products import mviewer
from providers.toolkit import envelope
from scraper.contract import (
    Call,
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
    StudyRow,
    decode_text,
    refusal_error,
)
from scraper.protocols import ciphers

SHORT = "/short/"
PROFILE = r"/M-Viewer/?(?:(?<=/)index\.html)?(?:\?[^#]*)?#/profile(?:sign)?/[^/?#]+/?\?(?:.*&)?sign=[^&]+.*"
REFERER = {"Referer": "{origin}/M-Viewer/"}
CONFIG = Call("/M-Viewer/assets/config/config.json", headers=REFERER)
VALID = Call("/pacs-mobile/mobile_auth/tokenStatus", json={"exp": "{exp}"}, headers=REFERER)
INFO = Call(
    "/pacs-mobile/mobile/getStudyInfo",
    params={"checkserialnum": "{number}"},
    headers={"Authorization": "Bearer {sign}", **REFERER},
)
PACK = Call("/pacs-mobile/image/downloadZipImage", json={"checkserialnum": "{number}"}, headers=REFERER)
TABLE_MISSING = "ORA-00942"


class Claims(Reply):
    exp: str = ""
    ext: dict[str, object] = Field(default_factory=dict)


class ConfigReply(Reply):
    download: str | bool = True  # without settings, the page offers it


class StatusReply(CheckedReply):
    good = ("60",)
    is_entrance = True

    otherwise = LinkExpired


class StudyReply(StudyRow):
    patient_name: str = Field("", alias="patient.name")
    description: str = Field("", alias="study.check_item")
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
        sign = page.param("sign")
        # what the link's JWT says; its signature is the site's to check
        payload = [*sign.split("."), ""][1]
        claims = Claims.model_validate(envelope.in_link(page, lambda: ciphers.from_base64(payload)))
        number = str(claims.ext.get("checkserialnum") or mviewer.page_route(page)[1])
        config = await CONFIG.send(page, session)
        is_offered = str(config.read_or_empty(ConfigReply).download).lower() != "false"
        (await VALID.send(page, session, claims)).checked(StatusReply)
        about = (await INFO.send(page, session, number=number)).checked(StudyReply)
        study = replace(about.study, key=number)
        return [Package(partial(_pack, page, session, number, is_offered=is_offered), study)]

    async def watch(self, link: ShareLink, session: Session) -> list[Package]:
        return await self.discover(ShareLink(session.screen.url), session)


async def _pack(page: ShareLink, session: Session, number: str, *, is_offered: bool) -> Request:
    """The page's own download: the hospital packs the study, then says where the zip lies."""
    response = await PACK.send(page, session, number=number)
    if TABLE_MISSING in response.text:
        raise DownloadNotPermitted(f"{TABLE_MISSING}: WEBRIS_DICOM_DOWNLOAD_RECORD", host=page.host)
    try:
        reply = response.unwrap(ZipReply)
    except (SiteUnreachable, SiteChanged) as err:
        raise err if is_offered else DownloadNotPermitted(host=page.host) from err
    if not reply.ok or not reply.value:
        raise refusal_error(reply.value or reply.message, host=page.host, or_else=DownloadNotPermitted)
    try:
        is_plain = reply.value.startswith(("http://", "https://"))
        address = page.join(reply.value if is_plain else decode_text(ciphers.from_base64(reply.value)).strip())
    except ciphers.WrongKey as err:
        raise SiteChanged(host=page.host, what="downloadZipImage, returnResult") from err
    await session.http.check_hop(page.url, address)
    return Request(address, headers={"Referer": f"{page.origin}/M-Viewer/"})
