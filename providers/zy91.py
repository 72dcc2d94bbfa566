"""浙大一院 患者云 (zy91), patients' shared reports; 微影 radinfo.

facts:    fixtures/sites/zy91/README.md
asks:     id_last6 and captcha, in its own page (--headed, or --browser always); nothing where the viewer's page is given saved
serves:   Part 10 files, one GET each
verified: emulated site only

Over 120 lines because the page's own check must be passed in it, and a saved page is a second way in.
"""

from __future__ import annotations

import re
import time
from functools import partial
from urllib.parse import urljoin

from providers.products import radinfo
from providers.toolkit import drive_page
from scraper.contract import (
    CAPTCHA,
    ID_LAST6,
    AsyncIterator,
    CaptchaRequired,
    CredentialsRefused,
    Deployment,
    Found,
    LinkExpired,
    NoSuchStudy,
    Provider,
    Reason,
    Response,
    Session,
    ShareLink,
    SiteChanged,
    Study,
    gone,
    whole,
)

API = "https://yyx.zy91.com:5443"  # where the images lie; 2026-06
ASKED = {
    ID_LAST6: r"身份证|证件|后六位|后\s*6\s*位|id_?(?:card|no|num)",
    CAPTCHA: r"验证码|图形|校验码|captcha|verif|code",
}
REFUSED = "text=/错误|不正确|有误|不匹配|不一致/"
SENT = {
    "accessionNumber": "sid",
    "phoneNum": "tel",
    "patientsId": "pid",
    "Expires": "expires",
    "Signature": "signature",
}
CHECKED = r"验证码|校验码|身份证|证件|后六位"
OVERLAY_S = 1.5  # for a check to be laid over a report that has come already


class Zy91(Provider):
    name = "zy91"
    route = r"(?=.*[?&]sid=)/PC/?(?:index\.html)?(?:\?[^#]*)?(?:#.*)?|/PC/#/saved"
    asks = (ID_LAST6, CAPTCHA)
    deployments = (Deployment("yyx.zy91.com", "浙江大学医学院附属第一医院", "浙江"),)
    marks = (r"/PC/.*share_report\?(?=.*\bsid=)(?=.*\b[Ss]ignature=).*",)
    saved_page = radinfo.VIEWER
    saved_from = "https://yyx.zy91.com:6443/PC/#/saved"
    calls = radinfo.REPORTED
    behind = (r"yyx\.zy91\.com/PC\b.*",)
    example = "https://yyx.zy91.com:6443/PC/#/share_report?tel=&pid=P1&sid=A1&Expires=1900000000&Signature=abc%3D"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        """A saved page is read; a link's page has a check that nobody knows how to submit but the page itself."""
        if not link.saved:
            _check_time(link)
            can_ask = session.settings.interactive or session.given(ID_LAST6) or session.given(CAPTCHA)
            if session.settings.browser == "never" or not can_ask:
                raise CaptchaRequired(CAPTCHA.name, host=link.host)
            raise SiteChanged(host=link.host, what=Reason.CHECK_OF_ITS_PAGE)
        for series in radinfo.listed(link.saved, API, radinfo.site(link), Study()):
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        _check_time(link)
        await session.open(link.url)
        if session.settings.headed:
            await drive_page.comes(session, partial(_good, session))  # the person passes what there is
            return
        if await drive_page.comes(session, partial(_reports, session), check=drive_page.FIELD) != "check":
            try:
                await session.which(check=drive_page.FIELD, timeout_s=OVERLAY_S)
            except SiteChanged:
                return  # there is nothing to pass
        before = len(_good(session))
        warned = session.page.locator(REFUSED).locator("visible=true")
        faces = {} if await warned.count() else {"refused": REFUSED}
        await drive_page.fill_each(session, ASKED)
        if not await drive_page.press(session):
            await session.page.locator(drive_page.FIELD).locator("visible=true").last.press("Enter")
        session.traffic.touch()
        match await drive_page.comes(session, lambda: _good(session)[before:], **faces):
            case "called":
                return
            case "refused":
                is_refused, said = True, await warned.first.inner_text()
            case _:
                messages = [_told(response).message or "" for response in _reports(session)]
                said = next((message for message in messages[::-1] if re.search(CHECKED, message)), "")
                is_asked = await session.page.locator(drive_page.FIELD).locator("visible=true").count()
                is_refused, said = bool(said or is_asked), said or await drive_page.words(session)
        if is_refused:
            raise CredentialsRefused(CAPTCHA.name, said, host=link.host)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        answers = _good(session) or _reports(session)
        if not answers and CAPTCHA.name in session.answers:  # passed, and shown in another way: go on from that session
            told = radinfo.params(link)
            asked = {name: told.get(own, "") for name, own in SENT.items()}
            answers = [await session.get(API + radinfo.REPORT, params=asked, headers=radinfo.site(link))]
        if not answers:
            raise gone(await drive_page.words(session), host=link.host)
        report = radinfo.report(link, answers[-1])
        if not report.viewer:
            raise NoSuchStudy(host=link.host)
        here = answers[-1].url
        viewer = await session.get(urljoin(here, report.viewer), headers=radinfo.site(link))
        if not viewer.ok:
            raise viewer.refusal
        study = report.study(radinfo.params(link).get("sid", ""))
        for series in radinfo.listed(viewer.text, urljoin(here, "/")[:-1], radinfo.site(link), study):
            yield series


def _check_time(link: ShareLink) -> None:
    expires = whole(radinfo.params(link).get("expires"))
    if expires is not None and expires < time.time():
        raise LinkExpired(host=link.host)


def _reports(session: Session) -> list[Response]:
    """The answers that the page's own calls for the report had."""
    calls = session.traffic.matching(radinfo.REPORTED)
    return [
        Response(exchange.status, exchange.headers, exchange.read(), exchange.url)
        for exchange in calls
        if exchange.method != "OPTIONS"
    ]


def _told(answer: Response) -> radinfo.Answer:
    try:
        return answer.read(radinfo.Answer)
    except SiteChanged:  # refused without words of its own
        return radinfo.Answer(success=False, message="")


def _good(session: Session) -> list[Response]:
    """Those that are no refusal."""
    return [response for response in _reports(session) if _told(response).success]
