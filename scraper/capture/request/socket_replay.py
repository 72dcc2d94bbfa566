"""Send messages like the viewer's own over a WebSocket: on the viewer's socket, or on one like it.

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

from scraper.capture.infer.socket_replies import ReplyMatcher, matched_replies, message_key
from scraper.capture.infer.templates import Rule
from scraper.capture.infer.volatile import VolatileParts
from scraper.capture.observe.received import SENT, Observations
from scraper.core.errors import CloudfilmError
from scraper.session import Session
from scraper.session.browser import Window
from scraper.session.browser.traffic import WEBSOCKET_IN, WEBSOCKET_OUT

MOST_AT_ONCE = 6
MOST_SILENT = 3  # messages without an answer, one after another, after which no more are sent


class Connection(Protocol):
    """What messages can be sent on."""

    async def send(self, message: str) -> bool:
        """False where it is no longer open."""


class SocketReplayer:
    """Asks for images by messages.

    Args:
        session: the link's conversation.
        window: its window.
        observations: takes what comes.
        rule: what was learnt.
        volatile: generates the volatile parts of a message.
    """

    def __init__(
        self, session: Session, window: Window, observations: Observations, rule: Rule, volatile: VolatileParts
    ) -> None:
        self._session = session
        self._window = window
        self._answer_s = session.settings.timings.drive.answer_s
        self._observations = observations
        self._rule = rule
        self._volatile = volatile
        self._exchanges = window.traffic.exchanges
        self._url = next(iter(rule.records)).partition(SENT)[0]

    async def ask_for_all(self) -> dict[str, str]:
        """Request all that the rule gives: message → SOP Instance UID of its reply; fewer if the site stopped answering."""
        found, at_once = matched_replies(self._exchanges, self._observations, self._rule, self._volatile)
        missing = [key for key in self._rule.records if key not in found]
        for connected in (self._page_socket, self._own_socket):
            if not missing:
                break
            async with connected() as connection:
                if connection is not None and await self._is_proven(connection, found):
                    found |= await self._ask(connection, missing, min(at_once, MOST_AT_ONCE))
            missing = [key for key in self._rule.records if key not in found]
        return found

    async def _is_proven(self, connection: Connection, found: Mapping[str, str]) -> bool:
        """Whether a message that the viewer sent has the same reply a second time."""
        for key, uid in list(found.items())[:1]:
            return await self._ask(connection, [key], 1) == {key: uid}
        return False

    async def _ask(self, connection: Connection, keys: Sequence[str], at_once: int) -> dict[str, str]:
        todo, waiting, found = deque(keys), list[str](), dict[str, str]()
        received, silent, until = len(self._observations.socket_messages), 0, 0.0
        named = ReplyMatcher(self._exchanges, self._observations, self._rule)
        while todo or waiting:
            while todo and len(waiting) < at_once and silent < MOST_SILENT:
                waiting.append(todo.popleft())
                if not await connection.send(self._volatile.filled(waiting[-1].partition(SENT)[2])):
                    return found
                until = time.monotonic() + self._answer_s
            if not waiting:
                break
            seen = self._observations.consumed
            await self._window.traffic.after(seen, timeout_s=max(until - time.monotonic(), 0))
            await self._observations.take(self._exchanges)
            for place, uid in self._observations.socket_messages[received:]:
                key = named.request(place, uid, waiting)
                if key is not None:
                    waiting.remove(key)
                    found[key], silent, until = uid, 0, time.monotonic() + self._answer_s
            received = len(self._observations.socket_messages)
            if waiting and time.monotonic() >= until:
                waiting.pop(0)
                silent, until = silent + 1, time.monotonic() + self._answer_s
        return found

    @asynccontextmanager
    async def _page_socket(self) -> AsyncIterator[Connection | None]:
        socket = await self._window.socket(self._url)
        try:
            yield socket
        finally:
            if socket is not None:
                await socket.close()

    @asynccontextmanager
    async def _own_socket(self) -> AsyncIterator[Connection | None]:
        """A socket at the same address; what it hears joins the window's traffic."""
        first = next(
            place
            for place, exchange in enumerate(self._exchanges)
            if exchange.kind == WEBSOCKET_OUT and self._volatile.blanked(message_key(exchange)) in self._rule.records
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
                connection = _OwnConnection(socket.send)
                yield (
                    connection
                    if all([await connection.send(greeting.decode("utf-8", "replace")) for greeting in greetings])
                    else None
                )
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)


class _OwnConnection:
    """A socket of our own."""

    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        self._send = send

    async def send(self, message: str) -> bool:
        try:
            await self._send(message)
        except CloudfilmError:
            return False
        return True
