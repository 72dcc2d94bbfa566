"""The door of an account-and-password portal: a person's answers submitted once, directly or in the window.

A picture that nobody is there to read is kept with its session (in the output's private folder), so that a second run with
``--answer captcha=…`` answers that very picture.

facts: fixtures/sites/hospital_portal/README.md
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from providers.families import driven
from providers.families.portal import CAPTCHA_WORDS, LAPSED, REFUSED, Login, Offer, Sheet
from scraper.contract import (
    ACCOUNT,
    CAPTCHA,
    PASSWORD,
    CaptchaRequired,
    CloudfilmError,
    Cookie,
    CredentialsRefused,
    CredentialsRequired,
    NoSuchStudy,
    Reply,
    Request,
    Response,
    Session,
    SessionLapsed,
    ShareLink,
    SiteBusy,
    SiteChanged,
    SiteUnreachable,
    read,
)

PATIENCE_S = 540.0  # a session of ten minutes, less what the rest of the way takes
HOPS = 6  # pages that lead on by themselves
LEAD_S = 5.0  # a page that leads on within so many seconds is on the way; later, it waits
TOLD_EVERY = 32 * 2**20  # bytes
LOCKED = re.compile(r"锁定|停用|禁用|冻结|locked")
PLAIN = re.compile(r"(?i)(?:user)?log[io]n|index|default|main|home|list|welcome")


class Way(Protocol):
    """How a portal's pages are opened and its buttons pressed."""

    async def open(self, url: str) -> Sheet:
        """A page, wherever it leads by itself."""

    async def press(self, offer: Offer, sheet: Sheet) -> Path | Sheet:
        """What a button gives: a file, or a page."""

    async def follow(self, url: str) -> Path | Sheet:
        """What an address gives: a file, or a page."""


class Direct:
    """By plain requests."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._files = 0
        self._referer = session.link.url

    async def open(self, url: str) -> Sheet:
        response = await self._session.get(url, headers={"Referer": self._referer})
        return await self.landed(response)

    async def landed(self, response: Response) -> Sheet:
        """A page, and where it leads by itself at once."""
        for _ in range(HOPS):
            sheet = _sheet(response)
            goes = sheet.goes_to
            self._referer = response.url
            if (
                goes is None
                or goes[0] > LEAD_S
                or goes[1] == response.url
                or sheet.offers
                or sheet.examinations
            ):
                return sheet
            response = await self._session.get(goes[1], headers={"Referer": response.url})
        return _sheet(response)

    async def press(self, offer: Offer, sheet: Sheet) -> Path | Sheet:
        if offer.form is not None and not (offer.control.kind == "a" or _is_script(offer)):
            return await self._brought(offer.form.request({}, offer.control, sheet.encoding, sheet.url))
        return await self._brought(Request(offer.control.link, headers={"Referer": sheet.url}))

    async def follow(self, url: str) -> Path | Sheet:
        return await self._brought(Request(url, headers={"Referer": self._referer}))

    async def _brought(self, request: Request) -> Path | Sheet:
        """An answer as a file, unless it is a page; which of both it is, its first bytes say."""
        self._files += 1
        into = self._session.spool / f"portal-{self._files}"
        come, told = 0, 0

        def count(size: int) -> None:
            nonlocal come, told
            come += size
            if come - told >= TOLD_EVERY:
                told = come
                self._session.tell("received-so-far", megabytes=come // 10**6)

        response = await self._session.request(request, into=into, on_bytes=count)
        head = await asyncio.to_thread(_head, into)
        if response.ok and (head[:4] == b"PK\x03\x04" or head[128:132] == b"DICM"):
            return into
        body = await asyncio.to_thread(_small, into)
        return _sheet(Response(response.status, response.headers, body, response.url))


class InWindow:
    """In the browser: pages are opened, buttons pressed, files taken as downloads."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def here(self) -> Sheet:
        """The page that is shown."""
        page = self._session.page
        declared = str(await page.evaluate("() => document.characterSet"))
        return Sheet(await page.content(), page.url, "gbk" if declared.upper().startswith("GB") else "utf-8")

    async def open(self, url: str) -> Sheet:
        window = await self._session.window()
        async with window.guard():
            await self._session.open(url)
            return await self.here()

    async def press(self, offer: Offer, sheet: Sheet) -> Path | Sheet:
        return await self._taken(
            lambda page: page.locator("input, button, a").nth(offer.control.place).click(no_wait_after=True)
        )

    async def follow(self, url: str) -> Path | Sheet:
        return await self._taken(lambda page: page.goto(url, wait_until="commit"))

    async def _taken(self, act: Callable[[Any], Awaitable[object]]) -> Path | Sheet:
        """The download that an act brings, else the page that it leads to."""
        session, window = self._session, await self._session.window()
        traffic, before = session.traffic, len(session.traffic.exchanges)
        async with window.guard():
            was = session.page.url
            stamp = f"cloudfilm{before}"
            await session.page.evaluate("stamp => { window[stamp] = true; }", stamp)
            with window.quietly():
                await act(session.page)
            give_up = time.monotonic() + session.settings.timeout_s
            while time.monotonic() < give_up or traffic.busy:
                for one in traffic.exchanges[before:]:
                    if one.kind == "download":
                        return traffic.spooled(one)
                with window.quietly():
                    if not traffic.busy and not await session.page.evaluate(
                        "stamp => window[stamp] === true", stamp
                    ):
                        await session.page.wait_for_load_state("domcontentloaded")
                        return await self.here()
                await traffic.after(len(traffic.exchanges), timeout_s=0.2)
        raise SiteUnreachable(host=urlsplit(was).hostname, why="no answer in time")


def is_deep(link: ShareLink) -> bool:
    """Does a link name a page of its own, not the portal's front door."""
    last = link.path.rpartition("/")[2].partition(";")[0]
    return bool(last or link.parts.query) and not PLAIN.match(last)


async def enter(session: Session, sheet: Sheet, way: Direct) -> Sheet:
    """Log in by the page's form, once; gives the page that it leads to.

    Raises:
        CredentialsRequired, CaptchaRequired: nobody answers; the picture is kept for a second run.
        CredentialsRefused: with the page's own words.
    """
    login = sheet.login
    if login is None:
        raise SiteChanged(host=session.link.host, what="no login form")
    account, password = (session.answer(ACCOUNT) if login.account else ""), session.answer(PASSWORD)
    spent = CAPTCHA.name in session.answers
    captcha, known = "", sheet.said
    if login.captcha is not None:
        kept = None if spent else _resumed(session)
        if kept is not None:
            login, sheet, known = kept
        picture = None if kept is not None else await _fetched(session, login, sheet)
        captcha = _asked(session, sheet, picture, anew=spent)
    answer = await session.request(login.request(account, password, captcha, sheet))
    _forget(session)
    landed = await way.landed(answer)
    _judge(session, landed, known)
    return landed


def _asked(session: Session, sheet: Sheet, picture: Path | None, *, anew: bool) -> str:
    try:
        return session.answer(CAPTCHA, picture=picture, anew=anew)
    except CredentialsRequired:
        _keep(session, sheet)
        session.tell("captcha-kept", path=picture)
        session.tell("captcha-answer", minutes=round(PATIENCE_S / 60))
        raise CaptchaRequired(CAPTCHA.name, host=session.link.host, picture=str(picture)) from None


def _judge(session: Session, landed: Sheet, known: tuple[str, ...]) -> None:
    """A login form again, or a dialog that sends one back, means a refusal: in the page's own words."""
    fresh = [one for one in landed.said if one not in known and REFUSED.search(one)]
    is_dialog = "history." in landed.page.text and not landed.examinations and not landed.offers
    if landed.login is None and not (is_dialog and fresh):
        return
    said = next(iter(fresh), "") or next((one for one in landed.said if one not in known), "")
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
    window, way = await session.window(), InWindow(session)
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
    said_before = len(window.said)
    stamp = "cloudfilmLogin"
    await page.evaluate("stamp => { window[stamp] = true; }", stamp)
    with window.quietly():
        if login.pressed is not None:
            await fields.nth(login.pressed.place).click()
        elif not await driven.press(session):
            await fields.nth(login.password.place).press("Enter")
    give_up = time.monotonic() + session.settings.timeout_s
    while time.monotonic() < give_up:
        with window.quietly():
            if not await page.evaluate("stamp => window[stamp] === true", stamp):
                await page.wait_for_load_state("load")
                break
        await session.traffic.after(len(session.traffic.exchanges), timeout_s=driven.LOOK_S)
    landed = await way.here()
    spoken = window.said[said_before:]
    if spoken and (landed.login is not None):
        dialogs = "".join(f"<script>alert('{re.sub(chr(39), '', one)}')</script>" for one in spoken)
        landed = Sheet(landed.page.text + dialogs, landed.url, landed.encoding)
    _judge(session, landed, known)


async def _by_person(session: Session, login: Login, way: InWindow) -> None:
    """What was given is filled in; the rest, and the button, are the person's."""
    fields = session.page.locator("input, button, a")
    for control, question in ((login.account, ACCOUNT), (login.password, PASSWORD)):
        if control is not None and session.given(question):
            await fields.nth(control.place).fill(session.given(question))
    session.tell("person")
    give_up = time.monotonic() + driven.PERSON_S
    while (await way.here()).login is not None:
        if time.monotonic() > give_up:
            raise CaptchaRequired(CAPTCHA.name, host=session.link.host)
        await session.traffic.after(len(session.traffic.exchanges), timeout_s=driven.LOOK_S)


async def _filled(session: Session, login: Login) -> None:
    fields = session.page.locator("input, button, a")
    if login.account is not None:
        await fields.nth(login.account.place).fill(session.answer(ACCOUNT))
    await fields.nth(login.password.place).fill(session.answer(PASSWORD))
    if login.captcha is not None:
        picture = await _shot(session, login)
        try:
            given = session.answer(CAPTCHA, picture=picture)
        except CredentialsRequired:
            raise CaptchaRequired(CAPTCHA.name, host=session.link.host) from None
        await fields.nth(login.captcha.place).fill(given)


async def _shot(session: Session, login: Login) -> Path:
    """The picture as the page shows it: not asked for once more."""
    path, name = session.spool / "captcha.png", urlsplit(login.picture).path.rpartition("/")[2]
    named = session.page.locator(f'img[src*="{name}"]').locator("visible=true")
    is_there = bool(name) and await named.count() > 0
    shot = await (named.first if is_there else session.page).screenshot()
    await asyncio.to_thread(_private, path, shot)
    return path


# ---- the picture, and the session that it belongs to


class _Kept(Reply):
    url: str
    text: str
    encoding: str
    at: float
    cookies: list[list[str]]


def _folder(session: Session) -> Path:
    """The output's private folder, where the store keeps what is under way."""
    return session.settings.output / ".cloudfilm" / "captcha"


def _paths(session: Session) -> tuple[Path, Path]:
    link = session.link
    name = hashlib.sha256(f"{link.origin}{link.path}?{link.parts.query}".encode()).hexdigest()[:20]
    return _folder(session) / f"{name}.json", _folder(session) / f"{name}.png"


async def _fetched(session: Session, login: Login, sheet: Sheet) -> Path:
    """The picture, with the session's cookies, once: every fetch makes another."""
    if not login.picture:
        raise SiteChanged(host=session.link.host, what="a captcha without a picture")
    answer = await session.get(login.picture, headers={"Referer": sheet.url})
    if not answer.ok or not answer.body:
        raise SiteUnreachable(host=session.link.host, why=f"the captcha's picture: HTTP {answer.status}")
    path = _paths(session)[1]
    kind = (
        ".gif"
        if answer.body[:3] == b"GIF"
        else ".jpg"
        if answer.body[:2] == b"\xff\xd8"
        else ".bmp"
        if answer.body[:2] == b"BM"
        else ".png"
    )
    path = path.with_suffix(kind)
    await asyncio.to_thread(_private, path, answer.body)
    return path


def _keep(session: Session, sheet: Sheet) -> Path:
    cookies = [[one.name, one.value, one.domain, one.path] for one in session.http.cookies()]
    kept = {
        "url": sheet.url,
        "text": sheet.page.text,
        "encoding": sheet.encoding,
        "at": time.time(),
        "cookies": cookies,
    }
    path = _paths(session)[0]
    _private(path, json.dumps(kept, ensure_ascii=False).encode())
    return path


def _resumed(session: Session) -> tuple[Login, Sheet, tuple[str, ...]] | None:
    """The login page of an earlier run, whose picture the user has answered now; None where there is none, or too old."""
    path = _paths(session)[0]
    if not session.given(CAPTCHA) or not path.is_file():
        return None
    with contextlib.suppress(OSError, CloudfilmError):
        kept = read(path.read_bytes(), _Kept, session.link.url)
        sheet = Sheet(kept.text, kept.url, kept.encoding)
        if 0 <= time.time() - kept.at < PATIENCE_S and sheet.login is not None:
            session.http.add_cookies(
                [Cookie(one[0], one[1], one[2], one[3]) for one in kept.cookies if len(one) == 4]
            )
            return sheet.login, sheet, sheet.said
    return None


def _forget(session: Session) -> None:
    """A picture is answered once; what was kept of it is of no use any more."""
    stem = _paths(session)[0]
    for suffix in (".json", ".png", ".jpg", ".gif", ".bmp"):
        stem.with_suffix(suffix).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        stem.parent.rmdir()


def _private(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.parent.chmod(0o700)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(data)


def _sheet(response: Response) -> Sheet:
    host = urlsplit(response.url).hostname
    if response.status in (401, 403):
        raise SessionLapsed(host=host)
    if response.status in (429, 503):
        raise SiteBusy(host=host, why=f"HTTP {response.status}", retry_after_s=response.retry_after_s)
    if response.status >= 500:
        raise SiteUnreachable(host=host, why=f"HTTP {response.status}")
    if response.status in (404, 410):
        raise NoSuchStudy(host=host)
    return Sheet.of(response)


def _is_script(offer: Offer) -> bool:
    """A plain button whose script goes to an address of its own."""
    return offer.control.kind == "button" and bool(offer.control.link)


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(132)


def _small(path: Path) -> bytes:
    with path.open("rb") as stream:
        body = stream.read(2**20)
    path.unlink()
    return body


__all__ = ["Direct", "InWindow", "Way", "enter", "enter_window", "is_deep"]
