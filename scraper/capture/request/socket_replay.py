"""Asks over a WebSocket for what was learnt of one: the messages that the viewer would send, on its own socket or on one like it.

The viewer's socket is used where the page can be asked to speak on it: it is known there, and its greetings were said. Else a
socket of our own is opened at the same address, and says first what the viewer's said before its first image.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

from scraper.capture.infer.templates import Rule
from scraper.capture.infer.volatile import VolatileParts
from scraper.capture.observe import correlate
from scraper.capture.observe.received import SENT, Observations
from scraper.core.errors import CloudfilmError
from scraper.session import Session
from scraper.session.browser import Window
from scraper.session.browser.traffic import WEBSOCKET_IN, WEBSOCKET_OUT, Exchange

ANSWER_S = 15.0
MOST_AT_ONCE = 6
MOST_COMPARED = 200  # answers that a header's meaning is told by
MOST_SILENT = 3  # messages without an answer, one after another, after which no more are sent


class Line(Protocol):
    """What messages can be sent on."""

    async def send(self, message: str) -> bool:
        """False where it is no longer open."""


def said(exchanges: Sequence[Exchange], catch: Observations) -> list[str]:
    """What was sent, as text, on the sockets that brought images: each with its address, as ``asked_by`` has it."""
    brought = {exchanges[place].url for place, _ in catch.heard}
    return [
        _key(exchange)
        for exchange in exchanges
        if exchange.kind == WEBSOCKET_OUT and exchange.is_text and exchange.url in brought
    ]


def _key(one: Exchange) -> str:
    return f"{one.url}{SENT}{one.read().decode('utf-8', 'replace')}"


def answered(
    exchanges: Sequence[Exchange], catch: Observations, rule: Rule, fresh: VolatileParts
) -> tuple[dict[str, str], int]:
    """What each message of the rule brought, and how many of them the viewer had under way at once at most.

    An answer is that of the message that names it, else of the one that its own header names, else of the oldest that has none.
    """
    heard = dict(catch.heard)
    named = ReplyMatcher(exchanges, catch, rule)
    waiting: list[str] = []
    found: dict[str, str] = {}
    most = 1
    for place, exchange in enumerate(exchanges):
        if (
            exchange.kind == WEBSOCKET_OUT
            and exchange.is_text
            and (asked := fresh.blanked(_key(exchange))) in rule.records
        ):
            waiting.append(asked)
        elif place in heard and waiting:
            most = max(most, len(waiting))
            its = named.request(place, heard[place], waiting)
            if its is not None:
                waiting.remove(its)
                found.setdefault(its, heard[place])
    return found, most


class ReplyMatcher:
    """Tells whose an answer is.

    Args:
        exchanges: everything that came and was sent, in order.
        catch: what it brought.
        rule: what the messages were learnt as.
    """

    def __init__(self, exchanges: Sequence[Exchange], catch: Observations, rule: Rule) -> None:
        self._exchanges = exchanges
        self._slot: correlate.Slot | None = None
        self._values: dict[str, str] = {}
        answers = [(correlate.slots(exchanges, place), uid) for place, uid in catch.heard[:MOST_COMPARED]]
        for name, _ in rule.template.blanks:
            values = {record.fields[name]: key for key, record in rule.records.items()}
            if len(values) == len(rule.records) and (slot := correlate.find(answers, values)):
                self._slot, self._values = slot, values
                break

    def request(self, place: int, uid: str, waiting: Sequence[str]) -> str | None:
        """The one of the waiting messages that the answer at that place is for; None where it is for none of them."""
        key = next((key for key in waiting if uid in key), None)
        if key is None and self._slot is not None:
            key = self._values.get(correlate.slots(self._exchanges, place).get(self._slot, ""))
            return key if key in waiting else None
        return key or next(iter(waiting), None)


class SocketReplayer:
    """Asks for images by messages.

    Args:
        session: the link's conversation.
        window: its window.
        catch: takes what comes.
        rule: what was learnt.
        fresh: writes what a message has anew.
    """

    def __init__(self, session: Session, window: Window, catch: Observations, rule: Rule, fresh: VolatileParts) -> None:
        self._session = session
        self._window = window
        self._catch = catch
        self._rule = rule
        self._fresh = fresh
        self._exchanges = window.traffic.exchanges
        self._url = next(iter(rule.records)).partition(SENT)[0]

    async def bring(self) -> dict[str, str]:
        """Everything that the rule gives: message → SOP Instance UID of what it brought; less, where the site fell silent."""
        found, at_once = answered(self._exchanges, self._catch, self._rule, self._fresh)
        missing = [key for key in self._rule.records if key not in found]
        for lines in (self._pages_own, self._our_own):
            if not missing:
                break
            async with lines() as line:
                if line is not None and await self._proven(line, found):
                    found |= await self._ask(line, missing, min(at_once, MOST_AT_ONCE))
            missing = [key for key in self._rule.records if key not in found]
        return found

    async def _proven(self, line: Line, found: Mapping[str, str]) -> bool:
        """Whether a message that the viewer sent brings again what it brought then."""
        for key, uid in list(found.items())[:1]:
            return await self._ask(line, [key], 1) == {key: uid}
        return False

    async def _ask(self, line: Line, keys: Sequence[str], at_once: int) -> dict[str, str]:
        todo, waiting, found = deque(keys), list[str](), dict[str, str]()
        heard, silent, until = len(self._catch.heard), 0, 0.0
        named = ReplyMatcher(self._exchanges, self._catch, self._rule)
        while todo or waiting:
            while todo and len(waiting) < at_once and silent < MOST_SILENT:
                waiting.append(todo.popleft())
                if not await line.send(self._fresh.filled(waiting[-1].partition(SENT)[2])):
                    return found
                until = time.monotonic() + ANSWER_S
            if not waiting:
                break
            seen = self._catch.taken
            await self._window.traffic.after(seen, timeout_s=max(until - time.monotonic(), 0))
            await self._catch.take(self._exchanges)
            for place, uid in self._catch.heard[heard:]:
                key = named.request(place, uid, waiting)
                if key is not None:
                    waiting.remove(key)
                    found[key], silent, until = uid, 0, time.monotonic() + ANSWER_S
            heard = len(self._catch.heard)
            if waiting and time.monotonic() >= until:
                waiting.pop(0)
                silent, until = silent + 1, time.monotonic() + ANSWER_S
        return found

    @asynccontextmanager
    async def _pages_own(self) -> AsyncIterator[Line | None]:
        socket = await self._window.socket(self._url)
        try:
            yield socket
        finally:
            if socket is not None:
                await socket.close()

    @asynccontextmanager
    async def _our_own(self) -> AsyncIterator[Line | None]:
        """A socket at the same address; what it hears joins the window's traffic."""
        first = next(
            place
            for place, exchange in enumerate(self._exchanges)
            if exchange.kind == WEBSOCKET_OUT and self._fresh.blanked(_key(exchange)) in self._rule.records
        )
        url = self._exchanges[first].url
        greetings = [
            exchange.read()
            for exchange in self._exchanges[:first]
            if exchange.kind == WEBSOCKET_OUT and exchange.url == url
        ]
        async with AsyncExitStack() as stack:
            try:
                socket = await stack.enter_async_context(self._session.websocket(url))
            except CloudfilmError:
                yield None
                return

            async def listen() -> None:
                async for message in socket:
                    self._window.record_message(url, WEBSOCKET_IN, message)

            listening = asyncio.ensure_future(listen())
            try:
                line = _Own(socket.send)
                yield (
                    line
                    if all([await line.send(greeting.decode("utf-8", "replace")) for greeting in greetings])
                    else None
                )
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)


class _Own:
    """A socket of ours as a line."""

    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        self._send = send

    async def send(self, message: str) -> bool:
        try:
            await self._send(message)
        except CloudfilmError:
            return False
        return True


__all__ = ["SocketReplayer", "answered", "said"]
