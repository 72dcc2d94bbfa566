"""杭州市第一人民医院 (wehzsy), patients' film cloud; 微影 radinfo.

facts:    fixtures/sites/wehzsy/README.md
asks:     nothing; the share must have been made with downloading allowed
serves:   one zip of Part 10 files, packed when asked for
verified: emulated site only

Over 120 lines because the zip is packed on request over a WebSocket.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from urllib.parse import quote, urljoin

from providers.products import radinfo
from providers.toolkit import envelope
from scraper.contract import (
    AsyncIterator,
    CloudfilmError,
    Deployment,
    DownloadNotPermitted,
    Found,
    LinkExpired,
    Package,
    Provider,
    Reason,
    Reply,
    Request,
    Response,
    Session,
    ShareLink,
    SiteBusy,
    StudyGone,
    gone,
    read,
    whole,
)

PREFIX = "image_down$"
API_PORT, SOCKET_PORT = 9005, 9004
PACKING_S = 1800.0  # packing takes minutes
ASKED = {
    "resultsIndex": "rid",
    "phoneNum": "tel",
    "patientsId": "pid",
    "download": "download",
    "forward": "forward",
    "Expires": "expires",
    "Signature": "signature",
}


class PackedReply(Reply):
    success: bool
    data: str | None = ""
    message: str | None = ""


class Wehzsy(Provider):
    name = "wehzsy"
    route = r"(?i:(?=.*[?&#]rid=)/PC(?:/[\w.]*)?(?:\?[^#]*)?(?:#.*)?)"
    deployments = (Deployment("cloud.wehzsy.com", "杭州市第一人民医院", "浙江"),)
    marks = (r"/PC/.*share_report\?(?=.*\brid=)(?=.*\b[Ss]ignature=).*",)
    behind = (r"cloud\.wehzsy\.com/PC\b.*",)
    example = "http://cloud.wehzsy.com:9003/PC/#/share_report?tel=T1&pid=P1&rid=R1&download=1&forward=1&Expires=1900000000&Signature=abc%3D"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        link = _plain(link)
        told = radinfo.params(link)
        asked = "&".join(f"{name}={quote(told.get(own, ''), safe='')}" for name, own in ASKED.items())
        answer = await session.get(f"{_at(link, API_PORT)}{radinfo.REPORT}?{asked}", headers=radinfo.site(link))
        yield _described(link, session, answer)

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(_plain(link).url)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        answer = await envelope.heard(session, radinfo.REPORTED)
        if answer is not None:
            yield _described(_plain(link), session, answer)
            return
        async for found in self.discover(link, session):
            yield found


def _described(link: ShareLink, session: Session, answer: Response) -> Package:
    told = radinfo.params(link)
    if answer.status == 401:
        raise _refused(told)(host=link.host)
    report = radinfo.report(link, answer)
    return Package(partial(_packed, link, session, report), study=report.study(told.get("rid", "")))


def _refused(told: Mapping[str, str]) -> type[LinkExpired] | type[DownloadNotPermitted]:
    """Both a link that is over and one without "allow download" get the same 401; the signed link itself tells which."""
    expires = whole(told.get("expires"))
    is_over = expires is not None and expires < time.time()
    return DownloadNotPermitted if told.get("download") != "1" and not is_over else LinkExpired


async def _packed(link: ShareLink, session: Session, report: radinfo.ReportReply) -> Request:
    """Have the site pack the study; it says over the WebSocket when that is done, among other things."""
    wanted = {
        "AccessionNumber": report.accession or "",
        "StudyInstUid": report.uid or "",
        "FileType": "Viewer",
    }
    session.tell("packing", host=link.host)
    address = _at(link, SOCKET_PORT, socket=True) + "/ImageDown"
    async with session.websocket(address, headers={"Origin": link.origin}) as socket:
        await socket.send(PREFIX + json.dumps(wanted, ensure_ascii=False, separators=(",", ":")))
        give_up = time.monotonic() + PACKING_S
        said: str | bytes = ""
        while not (isinstance(said, str) and said.startswith(PREFIX)):
            said = await socket.receive(timeout_s=max(give_up - time.monotonic(), 0.1))
    packed = read(said.removeprefix(PREFIX).encode(), PackedReply, link.url)
    if not packed.success or not packed.data:
        raise _why(packed.message or "", link)
    return Request(urljoin(f"{_at(link, API_PORT)}/", packed.data), headers=radinfo.site(link))


def _why(said: str, link: ShareLink) -> CloudfilmError:
    meant = gone(said, host=link.host)
    return meant if type(meant) is not StudyGone else SiteBusy(said, host=link.host, why=Reason.STUDY_NOT_PACKED)


def _at(link: ShareLink, port: int, *, socket: bool = False) -> str:
    scheme = link.scheme.replace("http", "ws") if socket else link.scheme
    return f"{scheme}://{link.host}:{port}"


def _plain(link: ShareLink) -> ShareLink:
    """The known deployment speaks plain HTTP, also where its link was written otherwise."""
    return replace(link, url=link.url.replace("https:", "http:", 1)) if Wehzsy.owns(link) else link
