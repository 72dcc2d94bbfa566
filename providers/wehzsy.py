"""杭州市第一人民医院 (wehzsy), patients' film cloud; 微影 radinfo."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from functools import partial
from urllib.parse import urljoin

from providers.products import radinfo
from scraper.contract import (
    Call,
    CheckedReply,
    Deployment,
    DownloadNotPermitted,
    LinkExpired,
    Package,
    Provider,
    Reason,
    Request,
    Response,
    Session,
    ShareLink,
    SiteBusy,
    parse_int,
    read,
    refusal_error,
)

PREFIX = "image_down$"
API_PORT, SOCKET_PORT = 9005, 9004
PACKING_S = 1800.0  # packing takes minutes
REPORT = Call(
    "{api}/api/OAuth/User/StudyReport",
    params={
        "resultsIndex": "{rid}",
        "phoneNum": "{tel}",
        "patientsId": "{pid}",
        "download": "{download}",
        "forward": "{forward}",
        "Expires": "{expires}",
        "Signature": "{signature}",
    },
    headers={"Referer": "{origin}/", "Origin": "{origin}"},
)


class PackedReply(CheckedReply):
    success: bool
    data: str = ""


class Wehzsy(Provider):
    name = "wehzsy"
    route = r"(?i:(?=.*[?&#]rid=)/PC(?:/[\w.]*)?(?:\?[^#]*)?(?:#.*)?)"
    when_asked = "nothing; the share must have been made with downloading allowed"
    serves = "one zip of Part 10 files, packed when asked for"
    deployments = (Deployment("cloud.wehzsy.com", "杭州市第一人民医院", "浙江"),)
    distinctive_routes = (r"/PC/.*share_report\?(?=.*\brid=)(?=.*\b[Ss]ignature=).*",)
    behind = (r"cloud\.wehzsy\.com/PC\b.*",)
    study_list_call = radinfo.REPORTED
    example = "http://cloud.wehzsy.com:9003/PC/#/share_report?tel=T1&pid=P1&rid=R1&download=1&forward=1&Expires=1900000000&Signature=abc%3D"

    async def discover(self, link: ShareLink, session: Session) -> list[Package]:
        page = _plain(link)
        response = await REPORT.send(page, session, radinfo.params(link), api=_at(page, API_PORT))
        return await self.describe(link, session, response)

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(_plain(link).url)

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Package]:
        given = radinfo.params(link)
        # 401 is the answer to a link that is over, and to one without "allow download": the signed link tells which
        if response.status == 401:
            is_expired = (parse_int(given.get("expires")) or math.inf) < time.time()
            raise LinkExpired if given.get("download") == "1" or is_expired else DownloadNotPermitted
        report = radinfo.report(response)
        return [Package(partial(_pack, _plain(link), session, report), study=report.study(given.get("rid", "")))]


async def _pack(link: ShareLink, session: Session, report: radinfo.ReportReply) -> Request:
    """Have the site pack the study; it says over the WebSocket when that is done, among other things."""
    wanted = {"AccessionNumber": report.accession, "StudyInstUid": report.uid, "FileType": "Viewer"}
    session.tell("packing", host=link.host)
    socket_url = _at(link, SOCKET_PORT).replace("http", "ws", 1) + "/ImageDown"
    async with session.websocket(socket_url, headers={"Origin": link.origin}) as socket:
        await socket.send(PREFIX + json.dumps(wanted, ensure_ascii=False, separators=(",", ":")))
        give_up = time.monotonic() + PACKING_S
        message: str | bytes = ""
        while not (isinstance(message, str) and message.startswith(PREFIX)):
            message = await socket.receive(timeout_s=max(give_up - time.monotonic(), 0.1))
    packed = read(message.removeprefix(PREFIX).encode(), PackedReply, link.url)
    if not packed.ok or not packed.data:
        raise refusal_error(packed.message, host=link.host, or_else=partial(SiteBusy, why=Reason.STUDY_NOT_PACKED))
    return Request(urljoin(f"{_at(link, API_PORT)}/", packed.data), headers=radinfo.site(link))


def _at(link: ShareLink, port: int) -> str:
    return f"{link.scheme}://{link.host}:{port}"


def _plain(link: ShareLink) -> ShareLink:
    """The known deployment speaks plain HTTP, also where its link was written otherwise."""
    return replace(link, url=link.url.replace("https:", "http:", 1)) if Wehzsy.owns(link) else link
