"""卡易 (Kayi) 无极云影像, shares with a password; the same image server stands elsewhere under other names ("VRAD").

facts:    fixtures/sites/kayicloud_share/README.md
asks:     password (four digits), where the share has one
serves:   Part 10 files, one GET each
verified: emulated site only

Over 120 lines because three kinds of link lead to the one server, and a page asks for the password in several ways.
"""

from __future__ import annotations

import asyncio
import re
import time

from providers.kayicloud_share.server import GOOD, Info, InfoReply, Server, Serving, StudiesReply, base64_of
from providers.toolkit import drive_page, envelope
from scraper.contract import (
    PASSWORD,
    AsyncIterator,
    CredentialsRefused,
    Deployment,
    Found,
    NoSuchStudy,
    Provider,
    Response,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    Study,
    StudyGone,
    gone,
    whole,
)

KAYI_PORT, PAGE_PORT, OTHER_PORT = 11136, 7198, 7194
STUDIES, INFO = r"/StudyData/GetStudies\?", r"/StudyData/GetShareInfo\?"
TYPED = INFO + r"(?:[^#]*&)?password=[^&#]"
BOXES = "input:not([type=hidden]):not([type=checkbox]):not([type=button])"


class KayicloudShare(Provider):
    name = "kayicloud-share"
    route = r"(?i:/viewer/(?:s/?(?:\?[^#]*)?#!?/?view/?\?.*\bids?=[^&]+.*|index/?\?(?=.*\bsignature=)(?=.*\bserverAddr=).*))"
    asks = (PASSWORD,)
    deployments = (Deployment("www.kayicloud.com", "卡易 无极云影像", "全国"),)
    marks = (route,)
    calls = STUDIES
    behind = (r"(?i:[^/]+/viewer/s/?(?:\?[^#]*)?#!?/view.*)", r"(?i:[^/]+\.kayicloud\.com/viewer/.*)")
    example = "https://www.kayicloud.com/Viewer/s#/view?ids=01234567-89ab-cdef-0123-456789abcdef"

    def __init__(self) -> None:
        self._lapsed: set[str] = set()  # images that were refused once: a second time is no matter of age

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        info = await _info(link, session)
        answer = await session.get(f"{_server(link)}StudyData/GetStudies", params=_query(info, link))
        for series in self._described(link, session, envelope.told(answer, StudiesReply), info.vendor or ""):
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        if "ids" not in link.params:
            return
        if await _has_boxes(session):
            await _enter(session)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        if "signature" not in link.params:
            await drive_page.called(session, rf"{STUDIES}|{TYPED}")
            if (said := _said(session)) is not None:
                _read(said, link)
        answer = await envelope.heard(session, STUDIES)
        if answer is None:
            async for found in self.discover(link, session):
                yield found
            return
        for series in self._described(link, session, envelope.told(answer, StudiesReply), _vendor(session, link)):
            yield series

    def _described(self, link: ShareLink, session: Session, listed: StudiesReply, vendor: str) -> list[Series]:
        if listed.code != GOOD:
            raise gone(listed.message or "", host=link.host)
        if not listed.data:
            raise NoSuchStudy(listed.message or "", host=link.host)
        found = []
        server = Server(_server(link), vendor, _is_other(link))
        for item in listed.data:
            study = Study(
                item.uid,
                item.date or "",
                item.modality or "",
                item.description or "",
                item.name or item.pat_name or "",
            )
            for place, series in enumerate(item.series):
                serving = Serving(session, server, item, series, self._lapsed)
                count = whole(series.count) or 0
                if count == sum(whole(image.frames) or 1 for image in series.images):
                    count = 0  # of frames
                described = Series(
                    item.uid,
                    series.uid,
                    tuple(serving.instance(at) for at in range(len(series.images))),
                    max(count, len(series.images)),
                    whole(series.number) if whole(series.number) is not None else whole(series.index) or place,
                    series.description or "",
                    series.modality or "",
                    study=study,
                )
                found.append(described)
        return found


async def _has_boxes(session: Session) -> bool:
    """Does the page ask for the password; it does not where it lists the study, or comes to rest without boxes."""
    give_up = time.monotonic() + session.settings.timeout_s
    while not any(re.search(STUDIES, exchange.url) for exchange in session.traffic.exchanges):
        try:
            await session.which(boxes=BOXES, timeout_s=drive_page.LOOK_S)
        except SiteChanged:
            if session.traffic.idle_s > drive_page.QUIET_S or time.monotonic() > give_up:
                return False
        else:
            return True
    return False


async def _enter(session: Session) -> None:
    """Type the password, one digit a box, and send it once: by itself, by Enter, or by a button."""
    password, sent = session.answer(PASSWORD), list[str]()
    session.page.on("request", lambda request: sent.append(request.url))
    found = session.page.locator(BOXES).locator("visible=true")
    one_each = await found.count() >= len(password)
    for place, typed in enumerate(password if one_each else [password]):
        await found.nth(place).fill(typed)
    if not await _is_sent(sent):
        await session.page.keyboard.press("Enter")
        if not await _is_sent(sent):
            await drive_page.press(session)
    session.traffic.touch()


async def _is_sent(sent: list[str]) -> bool:
    give_up = time.monotonic() + drive_page.LOOK_S
    while not any(re.search(TYPED, url) for url in sent):
        if time.monotonic() > give_up:
            return False
        await asyncio.sleep(0.05)
    return True


def _said(session: Session) -> InfoReply | None:
    """The newest answer to the page's own question for the share; it may have asked without a password first."""
    asked = [
        exchange for exchange in session.traffic.exchanges if re.search(INFO, exchange.url) and exchange.method == "GET"
    ]
    if not asked:
        return None
    last = asked[-1]
    return envelope.entered(Response(last.status, last.headers, last.read(), last.url), InfoReply)


def _vendor(session: Session, link: ShareLink) -> str:
    """The vendor's code, as the page got it with the share, or the link carries it."""
    said = None if "signature" in link.params else _said(session)
    if said is not None and said.data is not None:
        return said.data.vendor or ""
    return link.params.get("vendorCode", "")


async def _info(link: ShareLink, session: Session) -> Info:
    """What step one gives, or an old link carries itself."""
    params = link.params
    if "signature" in params:
        return Info.model_validate(
            {**params, "serverSignature": params["signature"], "dataids": params.get("dataid", "")}
        )
    asked = {"shareId": params.get("ids") or params["id"]}
    address = f"{_server(link)}StudyData/GetShareInfo"
    if not _is_other(link):
        asked["password"] = session.given(PASSWORD)
    answer = envelope.entered(await session.get(address, params=asked), InfoReply)
    if answer.code != GOOD and asked.get("password") == "" and not _is_gone(answer, link):
        asked["password"] = session.answer(PASSWORD)
        answer = envelope.entered(await session.get(address, params=asked), InfoReply)
    return _read(answer, link)


def _read(answer: InfoReply, link: ShareLink) -> Info:
    said = answer.message or ""
    if answer.code != GOOD:
        if _is_other(link) or _is_gone(answer, link):
            raise gone(said, host=link.host)
        raise CredentialsRefused(PASSWORD.name, said, host=link.host)
    if answer.data is None:
        raise SiteChanged(host=link.host, what="GetShareInfo, data")
    return answer.data


def _is_gone(answer: InfoReply, link: ShareLink) -> bool:
    """Does the message speak of the share (expired, cancelled), and not of its password."""
    said = answer.message or ""
    return "密码" not in said and type(gone(said, host=link.host)) is not StudyGone


def _query(info: Info, link: ShareLink) -> dict[str, str]:
    """Step two; empty parameters are sent too."""
    return {
        "dataids": info.dataids,
        "studyKeys": "",
        "cloudImage": info.cloud or "1",
        "dataSource": "rest" if _is_other(link) else info.ds or "rest",
        "signature": info.signature or "",
        "vendorCode": "link" if _is_other(link) else info.vendor or "",
        "seriesKeys": "",
        "isAnony": "true" if info.anonymous else "false",
        "getImageInfo": "false",
        "token": "",
        "serverAddr": base64_of(info.address or ""),
        "expires": info.expires or "",
    }


def _is_other(link: ShareLink) -> bool:
    """Is it a server under another name ("VRAD"): its links say ``id``, no password is asked, and it words calls otherwise."""
    return "id" in link.params and "ids" not in link.params


def _server(link: ShareLink) -> str:
    """The image server: on Kayi's own port, else on the page's host beside the page's port."""
    if link.host.endswith("kayicloud.com"):
        return f"https://{link.host}:{KAYI_PORT}/imageserver/"
    port = OTHER_PORT if link.parts.port in (None, PAGE_PORT) else link.port
    return f"{link.scheme}://{link.host}:{port}/imageserver/"
