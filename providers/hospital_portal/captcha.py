"""The picture that a portal's login shows: fetched once, saved with the session that it belongs to.

One that nobody is there to read waits in the output's private folder, so that a second run with ``--answer captcha=…`` answers
that very picture.

facts: fixtures/sites/hospital_portal/README.md
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import time
from pathlib import Path
from urllib.parse import urlsplit

from providers.hospital_portal.page import Login, PortalPage
from scraper.contract import CAPTCHA, CloudfilmError, Cookie, Reason, Reply, Session, SiteChanged, SiteUnreachable, read

PATIENCE_S = 540.0  # a session of ten minutes, less what the rest of the way takes
SUFFIXES = {b"GIF": ".gif", b"\xff\xd8": ".jpg", b"BM": ".bmp"}  # by a picture's first bytes; else .png


class _SavedLogin(Reply):
    url: str
    text: str
    encoding: str
    at: float
    cookies: list[list[str]]


def _place_of(session: Session) -> Path:
    """Where a link's login waits, in the output's private folder, as what is under way; its picture lies beside it."""
    link = session.link
    name = hashlib.sha256(f"{link.origin}{link.path}?{link.parts.query}".encode()).hexdigest()[:20]
    return session.settings.output / ".cloudfilm" / "captcha" / f"{name}.json"


async def fetch(session: Session, login: Login, page: PortalPage) -> Path:
    """The picture, with the session's cookies, once: every fetch makes another."""
    if not login.picture:
        raise SiteChanged(host=session.link.host, what=Reason.CAPTCHA_WITHOUT_PICTURE)
    response = await session.get(login.picture, headers={"Referer": page.url})
    if not response.ok or not response.body:
        raise SiteUnreachable(host=session.link.host, why=Reason.CAPTCHA_PICTURE_HTTP.of(status=response.status))
    suffix = next((text for start, text in SUFFIXES.items() if response.body.startswith(start)), ".png")
    path = _place_of(session).with_suffix(suffix)
    await asyncio.to_thread(_private, path, response.body)
    return path


async def shot(session: Session, login: Login) -> Path:
    """The picture as the page shows it: not asked for once more."""
    path, name = session.spool / "captcha.png", urlsplit(login.picture).path.rpartition("/")[2]
    picture = await session.screen.picture(f'img[src*="{name}"]' if name else "")
    await asyncio.to_thread(_private, path, picture)
    return path


def save(session: Session, page: PortalPage) -> None:
    """The page with its form, and the cookies that its picture belongs to, for a second run."""
    cookies = [[cookie.name, cookie.value, cookie.domain, cookie.path] for cookie in session.http.cookies()]
    saved = {"url": page.url, "text": page.page.text, "encoding": page.encoding, "at": time.time(), "cookies": cookies}
    _private(_place_of(session), json.dumps(saved, ensure_ascii=False).encode())


def resume(session: Session) -> tuple[Login, PortalPage, tuple[str, ...]] | None:
    """The login page of an earlier run, whose picture the user has answered now; None where there is none, or too old."""
    path = _place_of(session)
    if not session.given(CAPTCHA) or not path.is_file():
        return None
    with contextlib.suppress(OSError, CloudfilmError):
        saved = read(path.read_bytes(), _SavedLogin, session.link.url)
        page = PortalPage(saved.text, saved.url, saved.encoding)
        if 0 <= time.time() - saved.at < PATIENCE_S and page.login is not None:
            session.http.add_cookies(
                [Cookie(cookie[0], cookie[1], cookie[2], cookie[3]) for cookie in saved.cookies if len(cookie) == 4]
            )
            return page.login, page, page.sentences
    return None


def forget(session: Session) -> None:
    """A picture is answered once; what was saved of it is of no use any more."""
    stem = _place_of(session)
    for suffix in (".json", ".png", *SUFFIXES.values()):
        stem.with_suffix(suffix).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        stem.parent.rmdir()


def _private(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.parent.chmod(0o700)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(data)
