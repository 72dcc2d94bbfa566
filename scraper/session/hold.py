"""A person's pause of a run: whoever is about to ask a site for something waits until the run goes on."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol
from weakref import WeakSet


class Timed(Protocol):
    """Something with deadlines, which a pause moves."""

    def held(self) -> None:
        """Let no deadline pass from now on."""

    def released(self, paused_s: float) -> None:
        """Move the deadlines by so many seconds."""


class Hold:
    """The pause of one run; requests that are under way when it begins come to their end."""

    def __init__(self) -> None:
        self._free = asyncio.Event()
        self._free.set()
        self._since = 0.0
        self._paused_s = 0.0
        self._timed: WeakSet[Timed] = WeakSet()

    @property
    def is_on(self) -> bool:
        """Whether the run is paused."""
        return not self._free.is_set()

    def begin(self) -> None:
        """Pause; in the run's own thread."""
        if self.is_on:
            return
        self._since = time.monotonic()
        self._free.clear()
        for timed in list(self._timed):
            timed.held()

    def end(self) -> None:
        """Go on; in the run's own thread."""
        if not self.is_on:
            return
        paused_s = time.monotonic() - self._since
        self._paused_s += paused_s
        for timed in list(self._timed):
            timed.released(paused_s)
        self._free.set()

    async def passed(self) -> None:
        """Wait until the run is not paused."""
        await self._free.wait()

    def moves(self, timed: Timed) -> None:
        """Have a pause move something's deadlines, as long as that is there."""
        self._timed.add(timed)

    def clock(self) -> float:
        """Seconds on a clock that stands still during a pause."""
        return (self._since if self.is_on else time.monotonic()) - self._paused_s
