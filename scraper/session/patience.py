"""How long a run continues without progress; it then ends with what it has, however busy its site is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from scraper.core.errors import CloudfilmError, NothingNew
from scraper.core.reasons import Reason
from scraper.core.settings import MOST_BUSY_TIMES, MOST_LISTING_TIMES
from scraper.session.hold import Hold

MOST_WAITS = 3  # pauses that a host asks for in a row before its asking counts as nothing new
NEWS = 2**20  # bytes


class Patience:
    """One link's patience.

    Args:
        give_up_s: seconds without progress.
        host: the link's, for messages.
        hold: a person's pause, which counts as no waiting; by default there is none.
    """

    def __init__(self, give_up_s: float, host: str, hold: Hold | None = None) -> None:
        self._give_up_s = give_up_s
        self._host = host
        self._deadline: float | None = None
        self._busy_end = 0.0  # past which answers that are no images put nothing off
        self._listing_end: float | None = None  # past which nothing does
        self._is_listed = False
        self._waits = 0
        self._new_bytes = 0
        self._open: set[asyncio.Timeout] = set()
        self._rest: Callable[[], Awaitable[Sequence[object]]] | None = None
        self.ended: CloudfilmError | None = None  # what ended the listing, where something was listed until then
        self._hold = hold or Hold()
        self._hold.moves(self)

    def renew(self, also_s: float = 0.0) -> None:
        """Note progress, or the begin of a wait of ``also_s`` that has its own bound."""
        self._waits = 0
        self._busy_end = asyncio.get_running_loop().time() + MOST_BUSY_TIMES * self._give_up_s + also_s
        self._until(also_s)

    def note_page_response(self, *, is_image: bool) -> None:
        """Note a new response to the browser's page; without images the end is postponed only a limited time."""
        if is_image:
            self.renew()
        elif asyncio.get_running_loop().time() < self._busy_end:
            self._until(0.0)

    def listed(self) -> None:
        """Note that the listing is complete: fetching has its own bounds."""
        self._is_listed = True
        self.renew()

    def _until(self, also_s: float) -> None:
        now = asyncio.get_running_loop().time()
        self._deadline = now + self._give_up_s + also_s
        if not self._is_listed:
            if self._listing_end is None:
                self._listing_end = now + MOST_LISTING_TIMES * self._give_up_s
            self._deadline = min(self._deadline, self._listing_end)
        if not self._hold.is_on:
            self._reschedule(self._deadline)

    def _reschedule(self, deadline: float | None) -> None:
        for timeout in self._open:
            if not timeout.expired():
                timeout.reschedule(deadline)

    def held(self) -> None:
        """Let nothing end during a person's pause."""
        self._reschedule(None)

    def released(self, paused_s: float) -> None:
        """Give the time of a pause back."""
        self._busy_end += paused_s
        if self._listing_end is not None:
            self._listing_end += paused_s
        if self._deadline is not None:
            self._deadline += paused_s
            self._reschedule(self._deadline)

    def note_bytes(self, size: int) -> None:
        """Count received bytes; each megabyte is progress, a trickle is not."""
        self._new_bytes += size
        if self._new_bytes >= NEWS:
            self._new_bytes = 0
            self.renew()

    def wait(self, seconds: float) -> None:
        """Wait longer because the host asks for a pause; a host that asks again and again counts as no progress."""
        self._waits += 1
        if seconds and self._waits <= MOST_WAITS:
            self._until(seconds)

    @property
    def is_over(self) -> bool:
        """Whether there was no progress for so long that the run ends."""
        is_past = self._deadline is not None and asyncio.get_running_loop().time() >= self._deadline
        return is_past and not self._hold.is_on

    def error(self) -> NothingNew:
        """The error that ends a run without progress."""
        return NothingNew(
            host=self._host,
            why=Reason.NOTHING_NEW.of(seconds=f"{self._give_up_s:.0f}"),
            give_up_s=f"{self._give_up_s:g}",
        )

    def leaves(self, rest: Callable[[], Awaitable[Sequence[object]]]) -> None:
        """Name the function that returns what was found so far, should the listing end before it yields anything."""
        self._rest = rest

    async def rest(self) -> Sequence[object]:
        """What was found until the listing ended, and not yielded yet."""
        return await self._rest() if self._rest is not None else ()

    def end_listing(self, error: CloudfilmError) -> None:
        """Note that the listing ended, and that fetching what it found begins."""
        self.ended = error
        self.listed()

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Bound the block: it ends where there is no progress.

        Raises:
            NothingNew: no progress in time.
        """
        if self._deadline is None:
            self.renew()
        if self.is_over:
            raise self.error()
        timeout = asyncio.timeout_at(None if self._hold.is_on else self._deadline)
        try:
            async with timeout:
                self._open.add(timeout)
                try:
                    yield
                finally:
                    self._open.discard(timeout)
        except TimeoutError:
            if not timeout.expired():
                raise
            raise self.error() from None
