"""How a portal's pages are opened, its buttons pressed and its files taken: directly, or in the window.

facts: fixtures/sites/hospital_portal/README.md
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from providers.hospital_portal.page import PackageControl, PortalPage
from scraper.contract import Reason, Request, Response, Session, SiteChanged, SiteUnreachable

HOPS = 6  # pages that lead on by themselves
LEAD_S = 5.0  # a page that leads on within so many seconds is on the way; later, it waits
PROGRESS_EVERY = 32 * 2**20  # bytes
CONTROLS = "input, button, a"


class Route(Protocol):
    """How a portal's pages are opened and its buttons pressed."""

    async def open(self, url: str) -> PortalPage:
        """A page, wherever it leads by itself."""

    async def press(self, offer: PackageControl, page: PortalPage) -> Path | PortalPage:
        """What a button gives: a file, or a page."""

    async def follow(self, url: str) -> Path | PortalPage:
        """What an address gives: a file, or a page."""


class HttpRoute:
    """By plain requests."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._files = 0
        self._referer = session.link.url

    async def open(self, url: str) -> PortalPage:
        response = await self._session.get(url, headers={"Referer": self._referer})
        return await self.landed(response)

    async def landed(self, response: Response) -> PortalPage:
        """A page, and where it leads by itself at once."""
        for _ in range(HOPS):
            page = _page_of(response)
            goes = page.goes_to
            self._referer = response.url
            if goes is None or goes[0] > LEAD_S or goes[1] == response.url or page.offers or page.examinations:
                return page
            response = await self._session.get(goes[1], headers={"Referer": response.url})
        return _page_of(response)

    async def press(self, offer: PackageControl, page: PortalPage) -> Path | PortalPage:
        if offer.form is not None and not (offer.control.kind == "a" or _is_script(offer)):
            return await self._fetch(offer.form.request({}, offer.control, page.encoding, page.url))
        return await self._fetch(Request(offer.control.link, headers={"Referer": page.url}))

    async def follow(self, url: str) -> Path | PortalPage:
        return await self._fetch(Request(url, headers={"Referer": self._referer}))

    async def _fetch(self, request: Request) -> Path | PortalPage:
        """An answer as a file, unless it is a page; which of both it is, its first bytes say."""
        self._files += 1
        into = self._session.spool / f"portal-{self._files}"
        received, reported = 0, 0

        def count(size: int) -> None:
            nonlocal received, reported
            received += size
            if received - reported >= PROGRESS_EVERY:
                reported = received
                self._session.tell("received-so-far", megabytes=received // 10**6)

        response = await self._session.request(request, into=into, on_bytes=count)
        head = await asyncio.to_thread(_head, into)
        if response.ok and (head[:4] == b"PK\x03\x04" or head[128:132] == b"DICM"):
            return into
        body = await asyncio.to_thread(_small, into)
        return _page_of(Response(response.status, response.headers, body, response.url))


class BrowserRoute:
    """In the browser: pages are opened, buttons pressed, files taken as downloads."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def here(self) -> PortalPage:
        """The page that is shown."""
        screen = self._session.screen
        declared = str(await screen.evaluate("() => document.characterSet"))
        return PortalPage(await screen.html(), screen.url, "gbk" if declared.upper().startswith("GB") else "utf-8")

    async def open(self, url: str) -> PortalPage:
        await self._session.open(url)
        return await self.here()

    async def press(self, offer: PackageControl, page: PortalPage) -> Path | PortalPage:
        return await self._outcome(self._session.screen.click_at(CONTROLS, offer.control.place))

    async def follow(self, url: str) -> Path | PortalPage:
        return await self._outcome(self._session.screen.go(url))

    async def _outcome(self, act: Awaitable[None]) -> Path | PortalPage:
        """The download that an act brings, else the page that it leads to."""
        session, traffic = self._session, self._session.traffic
        before, url = len(traffic.exchanges), session.screen.url
        await session.screen.mark()
        with contextlib.suppress(SiteChanged, SiteUnreachable):  # a download ends the navigation that it began as
            await act
        give_up = time.monotonic() + session.settings.timeout_s
        while time.monotonic() < give_up or traffic.busy:
            for exchange in traffic.exchanges[before:]:
                if exchange.kind == "download":
                    return traffic.spooled(exchange)
            if not traffic.busy and await session.screen.has_left():
                return await self.here()
            await traffic.after(len(traffic.exchanges), timeout_s=0.2)
        raise SiteUnreachable(host=urlsplit(url).hostname, why=Reason.NO_ANSWER_IN_TIME)


def _page_of(response: Response) -> PortalPage:
    """An answer as a page, also a refusal's own; raises what its status means where that says enough."""
    if response.status in (401, 403, 404, 410, 429) or response.status >= 500:
        raise response.refusal
    return PortalPage.of(response)


def _is_script(offer: PackageControl) -> bool:
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
