"""A DevTools session to a dedicated worker of a page, spoken through the page's own session.

Source: Chrome DevTools Protocol, domain Target (``setAutoAttach`` without ``flatten``; tip of tree, November 2026).
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol


class DevTools(Protocol):
    """A DevTools session."""

    async def send(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer to a command."""

    def on(self, event: Any, f: Callable[..., Any]) -> None:
        """Call ``f`` at each event of one name."""

    async def detach(self) -> None:
        """End the session."""


class WorkerSession:
    """A session to one worker.

    Args:
        page: the page's session.
        session_id: the worker's, as the page's session announced it.
    """

    def __init__(self, page: DevTools, session_id: str) -> None:
        self._page = page
        self._id = session_id
        self._number = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._handlers: dict[str, list[Callable[..., Any]]] = defaultdict(list)
        page.on("Target.receivedMessageFromTarget", self._received)
        page.on("Target.detachedFromTarget", self._detached)

    async def send(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer to a command.

        Raises:
            Error: of the browser's library, where the worker refuses it or has ended.
        """
        from playwright.async_api import Error

        self._number += 1
        number = self._number
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        message = json.dumps({"id": number, "method": method, "params": params or {}})
        try:
            await self._page.send("Target.sendMessageToTarget", {"sessionId": self._id, "message": message})
            reply = await answer
        finally:
            self._waiting.pop(number, None)
        if "error" in reply:
            raise Error(str(reply["error"].get("message", "")))
        result: dict[str, Any] = reply["result"]
        return result

    def on(self, event: Any, f: Callable[..., Any]) -> None:
        """Call ``f`` at each event of one name."""
        self._handlers[str(event)].append(f)

    async def detach(self) -> None:
        """End the session."""
        await self._page.send("Target.detachFromTarget", {"sessionId": self._id})

    def _received(self, event: Mapping[str, Any]) -> None:
        if event["sessionId"] != self._id:
            return
        message = json.loads(event["message"])
        if "id" in message:
            answer = self._waiting.get(message["id"])
            if answer is not None and not answer.done():
                answer.set_result(message)
            return
        for handler in self._handlers[message["method"]]:
            handler(message["params"])

    def _detached(self, event: Mapping[str, Any]) -> None:
        if event["sessionId"] != self._id:
            return
        for answer in self._waiting.values():
            with suppress(asyncio.InvalidStateError):
                answer.set_result({"error": {"message": "the worker has ended"}})
