"""浙大一院 患者云 (zy91), patients' shared reports; 微影 radinfo.

facts:    fixtures/sites/zy91/README.md
asks:     id_last6 and captcha, in its own page (--headed, or --browser always); nothing where the viewer's page is given saved
serves:   Part 10 files, one GET each
verified: emulated site only

Over 120 lines because the page's own check must be passed in it, and a saved page is a second way in.
"""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urljoin, urlsplit

from providers.families import radinfo
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
    Response,
    Session,
    ShareLink,
    SiteChanged,
    Study,
    whole,
)

API = "https://yyx.zy91.com:5443"  # where the images lie; 2026-06
ID_INPUT = "input[placeholder*=身份证], input[placeholder*=证件], input[name*=id i]"
CAPTCHA_INPUT = (
    "input[placeholder*=验证码], input[placeholder*=图形], input[name*=captcha i], input[name*=code i]"
)
CAPTCHA_PICTURE = (
    "img[src*=captcha i], img[src*=code i], img[src^='data:image'], img[alt*=验证码], form canvas"
)
CONFIRM = "button:has-text('确'), button:has-text('验证'), button:has-text('查'), button[type=submit], input[type=submit]"
REFUSED = "text=/错误|不正确|有误|不匹配|不一致/"
HEADED_S = 300.0  # a person reads and types


class Zy91(Provider):
    name = "zy91"
    route = r"(?=.*[?&]sid=)/PC/?(?:index\.html)?(?:\?[^#]*)?(?:#.*)?|/PC/#/saved"
    asks = (ID_LAST6, CAPTCHA)
    deployments = (Deployment("yyx.zy91.com", "浙江大学医学院附属第一医院", "浙江"),)
    marks = (r"/PC/.*share_report\?(?=.*\bsid=)(?=.*\b[Ss]ignature=).*",)
    saved_page = radinfo.VIEWER
    saved_from = "https://yyx.zy91.com:6443/PC/#/saved"
    calls = radinfo.REPORTED
    example = (
        "https://yyx.zy91.com:6443/PC/#/share_report?tel=&pid=P1&sid=A1&Expires=1900000000&Signature=abc%3D"
    )

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        """A saved page is read; a link's page has a check that nobody knows how to submit but the page itself."""
        if not link.saved:
            _check_time(link)
            can_ask = session.settings.interactive or session.given(ID_LAST6)
            if session.settings.browser == "never" or not can_ask:
                raise CaptchaRequired(CAPTCHA.name, host=link.host)
            raise SiteChanged(host=link.host, what="a check that only its own page can submit")
        for series in radinfo.listed(link.saved, API, radinfo.site(link), Study()):
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        _check_time(link)
        await session.open(link.url)
        if session.settings.headed or await _first(session, check=f"{ID_INPUT}, {CAPTCHA_INPUT}") == "report":
            return  # the person passes what there is, or there is nothing to pass
        page = session.page
        if await page.locator(ID_INPUT).count():
            await page.locator(ID_INPUT).first.fill(session.answer(ID_LAST6))
        if await page.locator(CAPTCHA_INPUT).count():
            picture = session.spool / "captcha.png"
            await page.locator(CAPTCHA_PICTURE).first.screenshot(path=picture)
            await page.locator(CAPTCHA_INPUT).first.fill(session.answer(CAPTCHA, picture=picture))
        await page.locator(CONFIRM).first.click()
        if await _first(session, refused=REFUSED) == "refused":
            raise CredentialsRefused(
                CAPTCHA.name, await page.locator(REFUSED).first.inner_text(), host=link.host
            )

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        patience = HEADED_S if session.settings.headed else session.settings.timeout_s
        call = await session.traffic.wait_for(radinfo.REPORTED, timeout_s=patience)
        report = radinfo.report(link, Response(call.status, call.headers, call.read(), call.url))
        if not report.viewer:
            raise NoSuchStudy(host=link.host)
        viewer = await session.get(urljoin(call.url, report.viewer), headers=radinfo.site(link))
        parts = urlsplit(call.url)
        study = report.study(radinfo.params(link).get("sid", ""))
        for series in radinfo.listed(
            viewer.text, f"{parts.scheme}://{parts.netloc}", radinfo.site(link), study
        ):
            yield series


def _check_time(link: ShareLink) -> None:
    expires = whole(radinfo.params(link).get("expires"))
    if expires is not None and expires < time.time():
        raise LinkExpired(host=link.host)


async def _first(session: Session, **faces: str) -> str:
    """Which comes first: one of the faces, or (``report``) the page's own call for the report."""
    patience = session.settings.timeout_s
    called = asyncio.ensure_future(session.traffic.wait_for(radinfo.REPORTED, timeout_s=patience))
    shown = asyncio.ensure_future(session.which(timeout_s=patience, **faces))
    try:
        await asyncio.wait((called, shown), return_when=asyncio.FIRST_COMPLETED)
        return "report" if called.done() and not called.exception() else await shown
    finally:
        called.cancel()
        shown.cancel()
        await asyncio.gather(called, shown, return_exceptions=True)
