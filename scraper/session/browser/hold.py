"""Requests of the pages that are kept waiting: once it is known how the rest of a study is had, nobody needs them twice.

A page whose requests wait is at rest by itself: its own queue is full, it has no error to show, and what keeps its session alive
goes on. To freeze it would stop that, too, and its workers would go on.

Source: Chrome DevTools Protocol, domain Fetch (tip of tree, November 2026): a paused request costs no connection.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from enum import Enum, auto
from typing import Any, Final

MOST_WAITING: Final = 5000  # requests; a page may ask for all of a study at once
ARM_S: Final = 5.0  # for the browser to agree; one that has ended never answers
RESOURCES: Final = ("XHR", "Fetch", "Image", "Other")  # of pages and of workers

IsSurplus = Callable[[str, bytes], bool]
"""Whether nobody needs what a request asks for: its address, and what is sent with it."""


async def _nothing(*_: object) -> None:
    """What a browser does that is not there."""


class Decision(Enum):
    """What becomes of a request that is about to be sent."""

    GOES = auto()
    WAITS = auto()
    FAILS = auto()  # too many wait


class Hold:
    """Keeps requests waiting while it is on.

    Args:
        arm: has the browser pause the kinds of ``resources`` as well, before they are sent.
        resume: lets a request go that waits.
        fail: ends one.
    """

    def __init__(
        self,
        arm: Callable[[], Awaitable[None]] = _nothing,
        resume: Callable[[str], Awaitable[None]] = _nothing,
        fail: Callable[[str], Awaitable[None]] = _nothing,
    ) -> None:
        self._arm = arm
        self._resume = resume
        self._fail = fail
        self._is_surplus: IsSurplus | None = None
        self._waiting: dict[str, str] = {}  # id of a request → its kind
        self._passes: Counter[tuple[str, str]] = Counter()  # method and address of requests of our own
        self._passed: set[str] = set()  # their ids, for what they are redirected to

    @property
    def resources(self) -> tuple[str, ...]:
        """The kinds of requests that are looked at before they are sent."""
        return RESOURCES if self._is_surplus is not None else ()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    def waiting_of(self, kinds: Collection[str]) -> int:
        """How many requests of these kinds (``xhr``, ``fetch``, ``image``, ``other``) wait."""
        return sum(kind in kinds for kind in self._waiting.values())

    async def begin(self, is_surplus: IsSurplus) -> None:
        """Keep waiting, from now on, what nobody needs."""
        self._is_surplus = is_surplus
        await self._armed()

    @property
    def is_on(self) -> bool:
        """Whether requests are kept waiting."""
        return self._is_surplus is not None

    async def end(self, *, is_needed: bool = False) -> None:
        """Keep nothing waiting any more; what waits is ended, or, where it is of need after all, sent."""
        if self._is_surplus is None:
            return
        self._is_surplus = None
        waiting, self._waiting = self._waiting, {}
        self._passes.clear()
        self._passed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(ARM_S):
                for request_id in waiting:
                    await (self._resume if is_needed else self._fail)(request_id)
        await self._armed()

    async def _armed(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(ARM_S):
                await self._arm()

    def let_pass(self, method: str, url: str) -> None:
        """Let one request go: the page sends it for us."""
        if self._is_surplus is not None:
            self._passes[method, url.partition("#")[0]] += 1

    def decision(self, event: Mapping[str, Any], sent: bytes) -> Decision:
        """What becomes of a request that is about to be sent.

        Args:
            event: the browser's (``Fetch.requestPaused``).
            sent: its body.
        """
        request = event["request"]
        if self._is_surplus is None or event.get("resourceType") not in RESOURCES or request["method"] == "OPTIONS":
            return Decision.GOES
        asked = request["method"], request["url"].partition("#")[0]
        if self._passes[asked] or event.get("redirectedRequestId") in self._passed:
            self._passes[asked] = max(0, self._passes[asked] - 1)
            self._passed.add(event["requestId"])
            return Decision.GOES
        if not self._is_surplus(request["url"], sent):
            return Decision.GOES
        if len(self._waiting) >= MOST_WAITING:
            return Decision.FAILS
        self._waiting[event["requestId"]] = event["resourceType"].lower()
        return Decision.WAITS
