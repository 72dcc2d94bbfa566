"""The door of an account-and-password portal: a person's answers submitted once, directly or in the window.

facts: fixtures/sites/hospital_portal/README.md
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from providers.hospital_portal import captcha as portal_captcha
from providers.hospital_portal.page import CAPTCHA_WORDS, LAPSED, REFUSED, Login, PortalPage
from providers.hospital_portal.routes import BrowserRoute, Direct
from providers.toolkit import drive_page
from scraper.contract import (
    ACCOUNT,
    CAPTCHA,
    PASSWORD,
    CaptchaRequired,
    CredentialsRefused,
    CredentialsRequired,
    Reason,
    Session,
    ShareLink,
    SiteChanged,
)

PLAIN = re.compile(r"(?i)(?:user)?log[io]n|index|default|main|home|list|welcome")


def is_deep(link: ShareLink) -> bool:
    """Does a link name a page of its own, not the portal's front door."""
    last = link.path.rpartition("/")[2].partition(";")[0]
    return bool(last or link.parts.query) and not PLAIN.match(last)


async def enter(session: Session, sheet: PortalPage, way: Direct) -> PortalPage:
    """Log in by the page's form, once; gives the page that it leads to.

    Raises:
        CredentialsRequired, CaptchaRequired: nobody answers; the picture is kept for a second run.
        CredentialsRefused: with the page's own words.
    """
    login = sheet.login
    if login is None:
        raise SiteChanged(host=session.link.host, what=Reason.NO_LOGIN_FORM)
    account, password = (session.answer(ACCOUNT) if login.account else ""), session.answer(PASSWORD)
    spent = CAPTCHA.name in session.answers
    captcha, known = "", sheet.said
    if login.captcha is not None:
        kept = None if spent else portal_captcha.resumed(session)
        if kept is not None:
            login, sheet, known = kept
        picture = None if kept is not None else await portal_captcha.fetched(session, login, sheet)
        captcha = _asked(session, sheet, picture, ask_again=spent)
    answer = await session.request(login.request(account, password, captcha, sheet))
    portal_captcha.forget(session)
    landed = await way.landed(answer)
    _judge(session, landed, known)
    return landed


def _asked(session: Session, sheet: PortalPage, picture: Path | None, *, ask_again: bool) -> str:
    try:
        return session.answer(CAPTCHA, picture=picture, ask_again=ask_again)
    except CredentialsRequired:
        portal_captcha.keep(session, sheet)
        session.tell("captcha-kept", path=picture)
        session.tell("captcha-answer", minutes=round(portal_captcha.PATIENCE_S / 60))
        raise CaptchaRequired(CAPTCHA.name, host=session.link.host, picture=str(picture)) from None


def _judge(session: Session, landed: PortalPage, known: tuple[str, ...]) -> None:
    """A login form again, or a dialog that sends one back, means a refusal: in the page's own words."""
    fresh = [text for text in landed.said if text not in known and REFUSED.search(text)]
    is_dialog = "history." in landed.page.text and not landed.examinations and not landed.offers
    if landed.login is None and not (is_dialog and fresh):
        return
    said = next(iter(fresh), "") or next((text for text in landed.said if text not in known), "")
    host = session.link.host
    if LAPSED.search(said):
        raise CaptchaRequired(CAPTCHA.name, said, host=host)
    if CAPTCHA_WORDS.search(said) and not re.search(r"密码|账号|帐号", said):
        raise CredentialsRefused(CAPTCHA.name, said, host=host)
    field = ACCOUNT.name if re.search(r"账号|帐号|用户", said) and "密码" not in said else PASSWORD.name
    raise CredentialsRefused(field, said, host=host)


# ---- in the window


async def enter_window(session: Session, url: str) -> None:
    """Open the portal in the browser and log in there, once; with ``--headed`` the person does what was not given."""
    window, way = await session.window(), BrowserRoute(session)
    sheet = await way.open(url)
    login = sheet.login
    if login is None:
        return
    known, page = sheet.said, session.page
    fields = page.locator("input, button, a")
    if session.settings.headed:
        await _by_person(session, login, way)
        return
    await _filled(session, login)
    said_before = len(window.dialogs)
    stamp = "cloudfilmLogin"
    await page.evaluate("stamp => { window[stamp] = true; }", stamp)
    with window.quietly():
        if login.pressed is not None:
            await fields.nth(login.pressed.place).click()
        elif not await drive_page.press(session):
            await fields.nth(login.password.place).press("Enter")
    give_up = time.monotonic() + session.settings.timeout_s
    while time.monotonic() < give_up:
        with window.quietly():
            if not await page.evaluate("stamp => window[stamp] === true", stamp):
                await page.wait_for_load_state("load")
                break
        await session.traffic.after(len(session.traffic.exchanges), timeout_s=drive_page.LOOK_S)
    landed = await way.here()
    spoken = window.dialogs[said_before:]
    if spoken and (landed.login is not None):
        dialogs = "".join(f"<script>alert('{re.sub(chr(39), '', text)}')</script>" for text in spoken)
        landed = PortalPage(landed.page.text + dialogs, landed.url, landed.encoding)
    _judge(session, landed, known)


async def _by_person(session: Session, login: Login, way: BrowserRoute) -> None:
    """What was given is filled in; the rest, and the button, are the person's."""
    fields = session.page.locator("input, button, a")
    for control, question in ((login.account, ACCOUNT), (login.password, PASSWORD)):
        if control is not None and session.given(question):
            await fields.nth(control.place).fill(session.given(question))
    session.tell("person")
    give_up = time.monotonic() + drive_page.PERSON_S
    while (await way.here()).login is not None:
        if time.monotonic() > give_up:
            raise CaptchaRequired(CAPTCHA.name, host=session.link.host)
        await session.traffic.after(len(session.traffic.exchanges), timeout_s=drive_page.LOOK_S)


async def _filled(session: Session, login: Login) -> None:
    fields = session.page.locator("input, button, a")
    if login.account is not None:
        await fields.nth(login.account.place).fill(session.answer(ACCOUNT))
    await fields.nth(login.password.place).fill(session.answer(PASSWORD))
    if login.captcha is not None:
        picture = await portal_captcha.shot(session, login)
        try:
            given = session.answer(CAPTCHA, picture=picture)
        except CredentialsRequired:
            raise CaptchaRequired(CAPTCHA.name, host=session.link.host) from None
        await fields.nth(login.captcha.place).fill(given)


__all__ = ["enter", "enter_window", "is_deep"]
