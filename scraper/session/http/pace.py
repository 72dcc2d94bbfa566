"""How fast one host may be asked: requests in flight, requests per second, pauses that the host or a person asks for."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from scraper.session.hold import Hold

SLOWEST = 1  # requests in flight that remain however often a host says that it is overloaded
RECOVER_AFTER = 20  # good answers in a row after which one more request may be in flight again


@dataclass(slots=True)
class _Host:
    allowed: int
    in_flight: int = 0
    good: int = 0
    next_start: float = 0.0  # monotonic seconds; no request starts earlier
    turn: asyncio.Condition = field(default_factory=asyncio.Condition)


class Pace:
    """The pace of one run, shared by all its links, separate for each host.

    Args:
        jobs: requests in flight at once to one host, at most.
        rate: requests a second to one host, at most; None: no limit but ``jobs``.

    Attributes:
        hold: a person's pause; no request starts meanwhile.
    """

    def __init__(self, jobs: int, rate: float | None) -> None:
        self._jobs = jobs
        self._rate = rate
        self.hold = Hold()
        self._hosts: dict[str, _Host] = defaultdict(lambda: _Host(jobs))

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Wait for a free place; leaving the context releases it."""
        state = self._hosts[host]
        async with state.turn:
            await state.turn.wait_for(lambda: state.in_flight < state.allowed)
            state.in_flight += 1
        try:
            await self._start(state)
            yield
        finally:
            async with state.turn:
                state.in_flight -= 1
                state.turn.notify_all()

    async def _start(self, state: _Host) -> None:
        """Wait until a request may start, by its host's pace and by a person's pause."""
        while True:
            await self.hold.passed()
            now = time.monotonic()
            start = max(now, state.next_start)
            if self._rate:
                state.next_start = start + 1 / self._rate
            if start > now:
                await asyncio.sleep(start - now)
            if not self.hold.is_on:  # else it was paused meanwhile, and has to find a new place among the others
                return

    def went_well(self, host: str) -> None:
        """Note a success: after enough of them the host may be asked a little faster again."""
        state = self._hosts[host]
        state.good += 1
        if state.good >= RECOVER_AFTER and state.allowed < self._jobs:
            state.allowed += 1
            state.good = 0

    def overloaded(self, host: str, pause_s: float) -> None:
        """Note 429, 503 or silence: halve the requests in flight, and send none for ``pause_s``."""
        state = self._hosts[host]
        state.good = 0
        state.allowed = max(SLOWEST, state.allowed // 2)
        state.next_start = max(state.next_start, time.monotonic() + pause_s)
