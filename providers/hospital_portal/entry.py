"""The door of an account-and-password portal: a person's answers submitted once, directly or in the window.

facts: fixtures/sites/hospital_portal/README.md
"""

from __future__ import annotations

import contextlib
import re
import time
from functools import partial
from pathlib import Path

from providers.hospital_portal import captcha as portal_captcha
from providers.hospital_portal.page import CAPTCHA_WORDS, LAPSED, REFUSED, Login, PortalPage
from providers.hospital_portal.routes import CONTROLS, BrowserRoute, HttpRoute
from providers.toolkit import drive_page
from scraper.contract import (
    ACCOUNT,
    CAPTCHA,
    LOOK_S,
    PASSWORD,
    PERSON_S,
    CaptchaRequired,
    CredentialsRefused,
    CredentialsRequired,
    Reason,
    Session,
    ShareLink,
    SiteChanged,
    SiteUnreachable,
)

PLAIN = re.compile(r"(?i)(?:user)?log[io]n|index|default|main|home|list|welcome")


def is_deep(link: ShareLink) -> bool:
    """Does a link name a page of its own, not the portal's front door."""
    last = link.path.rpartition("/")[2].partition(";")[0]
    return bool(last or link.parts.query) and not PLAIN.match(last)


async def enter(session: Session, page: PortalPage, route: HttpRoute) -> PortalPage:
    """Log in by the page's form, once; gives the page that it leads to.

    Raises:
        CredentialsRequired, CaptchaRequired: nobody answers; the picture is kept for a second run.
        CredentialsRefused: with the page's own words.
    """
    login = page.login
    if login is None:
        raise SiteChanged(host=session.link.host, what=Reason.NO_LOGIN_FORM)
    account, password = (session.answer(ACCOUNT) if login.account else ""), session.answer(PASSWORD)
    spent = CAPTCHA.name in session.answers
    captcha, known = "", page.sentences
    if login.captcha is not None:
        resumed = None if spent else portal_captcha.resume(session)
        if resumed is not None:
            login, page, known = resumed
        picture = None if resumed is not None else await portal_captcha.fetch(session, login, page)
        captcha = _ask(session, page, picture, ask_again=spent)
    response = await session.request(login.request(account, password, captcha, page))
    portal_captcha.forget(session)
    landed = await route.landed(response)
    _judge(session, landed, known)
    return landed


def _ask(session: Session, page: PortalPage, picture: Path | None, *, ask_again: bool) -> str:
    try:
        return session.answer(CAPTCHA, picture=picture, ask_again=ask_again)
    except CredentialsRequired:
        portal_captcha.save(session, page)
        session.tell("captcha-kept", path=picture)
        session.tell("captcha-answer", minutes=round(portal_captcha.PATIENCE_S / 60))
        raise CaptchaRequired(CAPTCHA.name, host=session.link.host, picture=str(picture)) from None


def _judge(session: Session, landed: PortalPage, known: tuple[str, ...]) -> None:
    """A login form again, or a dialog that sends one back, means a refusal: in the page's own words."""
    fresh = [text for text in landed.sentences if text not in known and REFUSED.search(text)]
    is_dialog = "history." in landed.page.text and not landed.examinations and not landed.offers
    if landed.login is None and not (is_dialog and fresh):
        return
    message = next(iter(fresh), "") or next((text for text in landed.sentences if text not in known), "")
    host = session.link.host
    if LAPSED.search(message):
        raise CaptchaRequired(CAPTCHA.name, message, host=host)
    if CAPTCHA_WORDS.search(message) and not re.search(r"密码|账号|帐号", message):
        raise CredentialsRefused(CAPTCHA.name, message, host=host)
    field = ACCOUNT.name if re.search(r"账号|帐号|用户", message) and "密码" not in message else PASSWORD.name
    raise CredentialsRefused(field, message, host=host)


# ---- in the window


async def enter_window(session: Session, url: str) -> None:
    """Open the portal in the browser and log in there, once; with ``--headed`` the person does what was not given."""
    route = BrowserRoute(session)
    page = await route.open(url)
    login = page.login
    if login is None:
        return
    if session.settings.headed:
        await _by_person(session, login, route)
        return
    await _fill(session, login)
    window, screen = await session.window(), session.screen
    known_dialogs = len(window.dialogs)
    await screen.mark()
    with contextlib.suppress(SiteChanged, SiteUnreachable):
        if login.pressed is not None:
            await screen.click_at(CONTROLS, login.pressed.place)
        elif not await drive_page.press_button(session):
            await screen.press("Enter", "input[type=password]")
    give_up = time.monotonic() + session.settings.timeout_s
    while time.monotonic() < give_up and not await screen.has_left():
        await session.traffic.after(len(session.traffic.exchanges), timeout_s=LOOK_S)
    landed = await route.here()
    spoken = window.dialogs[known_dialogs:]
    if spoken and landed.login is not None:
        dialogs = "".join(f"<script>alert('{re.sub(chr(39), '', text)}')</script>" for text in spoken)
        landed = PortalPage(landed.page.text + dialogs, landed.url, landed.encoding)
    _judge(session, landed, page.sentences)


async def _by_person(session: Session, login: Login, route: BrowserRoute) -> None:
    """What was given is filled in; the rest, and the button, are the person's."""
    for control, question in ((login.account, ACCOUNT), (login.password, PASSWORD)):
        if control is not None and session.given(question):
            await session.screen.fill(CONTROLS, session.given(question), place=control.place, hidden=True)
    session.tell("person")
    give_up = time.monotonic() + PERSON_S
    while (await route.here()).login is not None:
        if time.monotonic() > give_up:
            raise CaptchaRequired(CAPTCHA.name, host=session.link.host)
        await session.traffic.after(len(session.traffic.exchanges), timeout_s=LOOK_S)


async def _fill(session: Session, login: Login) -> None:
    fill = partial(session.screen.fill, CONTROLS, hidden=True)
    if login.account is not None:
        await fill(session.answer(ACCOUNT), place=login.account.place)
    await fill(session.answer(PASSWORD), place=login.password.place)
    if login.captcha is not None:
        picture = await portal_captcha.shot(session, login)
        try:
            given = session.answer(CAPTCHA, picture=picture)
        except CredentialsRequired:
            raise CaptchaRequired(CAPTCHA.name, host=session.link.host) from None
        await fill(given, place=login.captcha.place)
