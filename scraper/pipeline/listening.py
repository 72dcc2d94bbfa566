"""A source that is no file and no link: what the person's own browser or phone receives while this program listens."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from scraper.capture.listened import Progress, series_from
from scraper.contract import AsyncIterator, Series, Session, ShareLink
from scraper.pipeline.local_files import WithoutSite
from scraper.session.browser.traffic import Traffic

LINK = ShareLink("listen://this-computer/")


class TrafficSource(Protocol):
    """Fills a traffic while its context is entered: a proxy, or a browser that is attached to."""

    async def __aenter__(self) -> object:
        """Begin."""

    async def __aexit__(self, *_: object) -> None:
        """End; what came stays in the traffic."""


class Listening(WithoutSite):
    """Stands where a link's provider stands.

    Args:
        traffic_source: makes what fills the traffic.
        end: set where the person has seen enough.
        on_start: called once it listens.
        on_progress: called where more of a series has come.
        expect: how many images there are, by the person.
    """

    name = "listen"
    serves = "what a person's own browser or phone received"

    def __init__(
        self,
        traffic_source: Callable[[Traffic, Session], TrafficSource],
        end: asyncio.Event,
        on_start: Callable[[TrafficSource], Awaitable[None]],
        on_progress: Callable[[Sequence[Progress]], None],
        expect: int | None = None,
    ) -> None:
        self._traffic_source = traffic_source
        self._end = end
        self._on_start = on_start
        self._on_progress = on_progress
        self._expect = expect

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Series]:
        """Listen until all is there, or the person ends it."""
        del link
        traffic = Traffic(session.spool / "listen")
        traffic_source = self._traffic_source(traffic, session)
        try:
            async with traffic_source:
                await self._on_start(traffic_source)
                found = await series_from(
                    traffic, session.spool / "listened", self._end, self._on_progress, self._expect
                )
        finally:
            shutil.rmtree(traffic.folder / "authority", ignore_errors=True)
        for series in found:
            yield series
