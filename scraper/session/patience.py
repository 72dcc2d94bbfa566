"""How long a run goes on without anything new: it ends with what it has, however busy its site is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from scraper.core.errors import NothingNew
from scraper.core.settings import MOST_BUSY_TIMES, MOST_LISTING_TIMES

MOST_WAITS = 3  # pauses that a host asks for in a row before its asking counts as nothing new
NEWS = 2**20  # bytes


class Patience:
    """One link's patience.

    Args:
        give_up_s: seconds without anything new.
        host: the link's, for messages.
    """

    def __init__(self, give_up_s: float, host: str) -> None:
        self._give_up_s = give_up_s
        self._host = host
        self._deadline: float | None = None
        self._busy_end = 0.0  # past which answers that are no images put nothing off
        self._listing_end: float | None = None  # past which nothing does
        self._is_listed = False
        self._waits = 0
        self._brought = 0
        self._open: set[asyncio.Timeout] = set()
        self._rest: Callable[[], Awaitable[Sequence[object]]] | None = None
        self.ended: NothingNew | None = None  # what ended the listing, where something was listed until then

    def renew(self, also_s: float = 0.0) -> None:
        """Something new came; or a wait of ``also_s`` begins that has a bound of its own."""
        self._waits = 0
        self._busy_end = asyncio.get_running_loop().time() + MOST_BUSY_TIMES * self._give_up_s + also_s
        self._until(also_s)

    def page_brought(self, *, is_image: bool) -> None:
        """The browser's page got an answer that was not there before; one that is no image does not put the end off for ever."""
        if is_image:
            self.renew()
        elif asyncio.get_running_loop().time() < self._busy_end:
            self._until(0.0)

    def listed(self) -> None:
        """All is listed: what is fetched from now on has bounds of its own."""
        self._is_listed = True
        self.renew()

    def _until(self, also_s: float) -> None:
        now = asyncio.get_running_loop().time()
        self._deadline = now + self._give_up_s + also_s
        if not self._is_listed:
            if self._listing_end is None:
                self._listing_end = now + MOST_LISTING_TIMES * self._give_up_s
            self._deadline = min(self._deadline, self._listing_end)
        for timeout in self._open:
            if not timeout.expired():
                timeout.reschedule(self._deadline)

    def brought(self, size: int) -> None:
        """So many bytes came; each megabyte is something new, a trickle is not."""
        self._brought += size
        if self._brought >= NEWS:
            self._brought = 0
            self.renew()

    def wait(self, seconds: float) -> None:
        """The host asks for a pause, which is no reason to give up; asked for again and again, it is."""
        self._waits += 1
        if seconds and self._waits <= MOST_WAITS:
            self._until(seconds)

    @property
    def is_over(self) -> bool:
        """Whether nothing new came for so long that the run ends."""
        return self._deadline is not None and asyncio.get_running_loop().time() >= self._deadline

    def error(self) -> NothingNew:
        """What a run that is over ends with."""
        return NothingNew(
            host=self._host, why=f"nothing new in {self._give_up_s:.0f} s", give_up_s=f"{self._give_up_s:g}"
        )

    def leaves(self, rest: Callable[[], Awaitable[Sequence[object]]]) -> None:
        """Name what gives that which was found until then, where the listing is ended before it gives anything."""
        self._rest = rest

    async def rest(self) -> Sequence[object]:
        """What was found until the listing was ended, and not given yet."""
        return await self._rest() if self._rest is not None else ()

    def end_listing(self, error: NothingNew) -> None:
        """The listing is over, and what it gave is fetched: which is a new beginning."""
        self.ended = error
        self.listed()

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Do something that ends where nothing new comes.

        Raises:
            NothingNew: it was ended.
        """
        if self._deadline is None:
            self.renew()
        if self.is_over:
            raise self.error()
        timeout = asyncio.timeout_at(self._deadline)
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
