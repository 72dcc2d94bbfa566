"""The package of one examination: its button pressed until the file is there, each press with a ticket of its own.

facts: fixtures/sites/hospital_portal/README.md
"""

from __future__ import annotations

from pathlib import Path

from providers.hospital_portal import entry
from providers.hospital_portal.page import CLOSED, LAPSED, PREPARING, PackageControl, PortalPage
from providers.hospital_portal.routes import HttpRoute, Route
from providers.hospital_portal.rows import ARCHIVED
from scraper.contract import (
    DownloadNotPermitted,
    NoSuchStudy,
    Reason,
    Session,
    SessionLapsed,
    ShareLink,
    SiteBusy,
    SiteUnreachable,
)
from scraper.protocols import zip_archive

PREPARING_UP_TO_S = 900.0
PRESSES = 3  # of the button, each with a ticket of its own
# between two looks whether a package is ready; the page itself names the time
SOONEST_S, LATEST_S = (1.0, 15.0)


async def fetch(link: ShareLink, session: Session, route: Route, url: str) -> Path:
    """Press the button of a detail page until its package is there; every press has a ticket of its own.

    Raises:
        SessionLapsed, CaptchaRequired: the login is over, and nobody is there for another.
    """
    pending: str | None = None
    presses, wait_s = 0, SOONEST_S

    async def ask() -> Path | None:
        nonlocal pending, presses, wait_s
        if pending is not None:
            response = await route.follow(pending)
        else:
            presses += 1
            page = await _detail(link, session, route, url)
            response = await route.press(_offer(link, page), page)
        if isinstance(response, Path):
            if not zip_archive.is_whole(response) and not _is_part10(response):
                response.unlink(missing_ok=True)
                raise SiteUnreachable(host=link.host, why=Reason.ANSWER_CUT_SHORT)
            return response
        pending = None
        if response.login is not None or response.says(LAPSED):
            if presses >= PRESSES:
                raise SessionLapsed(host=link.host)
            return None  # the next turn logs in again
        if response.says(PREPARING):
            goes = response.goes_to
            pending = goes[1] if goes is not None else None
            wait_s = min(max(goes[0] if goes else LATEST_S, SOONEST_S), LATEST_S)
            presses = 0
            return None
        if message := response.says(ARCHIVED):
            raise NoSuchStudy(message, host=link.host)
        if message := response.says(CLOSED):
            raise DownloadNotPermitted(message, host=link.host)
        if presses >= PRESSES:
            raise SiteBusy(" ".join(response.sentences)[:120], host=link.host, why=Reason.PAGE_IN_PLACE_OF_PACKAGE)
        return None

    first = await ask()
    if first is not None:
        return first
    return await session.poll(ask, every_s=wait_s, up_to_s=PREPARING_UP_TO_S)


async def _detail(link: ShareLink, session: Session, route: Route, url: str) -> PortalPage:
    """The detail page, with a fresh ticket; a login that is over is asked of the person once more."""
    page = await route.open(url)
    if page.login is None and (page.offers or not page.says(LAPSED)):
        return page
    if page.login is None:
        page = await route.open(link.url)
    if page.login is not None:
        await entry.enter(session, page, HttpRoute(session))
    page = await route.open(url)
    if page.login is not None:
        raise SessionLapsed(host=link.host)
    return page


def _offer(link: ShareLink, page: PortalPage) -> PackageControl:
    if page.offers:
        return page.offers[0]
    if message := page.says(ARCHIVED):
        raise NoSuchStudy(message, host=link.host)
    raise DownloadNotPermitted(page.says(CLOSED), host=link.host)


def _is_part10(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"
