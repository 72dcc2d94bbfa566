"""WebSockets of shared workers, which the library does not report: it covers pages and their own workers only.

Source: Chrome DevTools Protocol, domains Target and Network (November 2026). A shared worker is announced before its script
runs, so that none of its messages is missed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from scraper.session.browser.tap import Send, TargetClosed
from scraper.session.browser.traffic import WEBSOCKET_IN, WEBSOCKET_OUT

TEXT = 1  # opcode of RFC 6455 5.2
ONLY_SHARED = [{"type": "shared_worker"}]
NO_BUFFERS = {"maxTotalBufferSize": 0, "maxResourceBufferSize": 0}

OnMessage = Callable[[str, str, "str | bytes"], None]
"""Is told the socket's address, the kind of exchange, and the message."""


class WorkerSockets:
    """Listen to the sockets of every shared worker.

    Args:
        send: sends a command over the browser-level session.
        on_message: called with each message.
    """

    def __init__(self, send: Send, on_message: OnMessage) -> None:
        self._send = send
        self._on_message = on_message
        self._urls: dict[tuple[str, str], str] = {}  # (worker, socket) -> address

    async def arm(self) -> None:
        """Ask the browser to announce workers."""
        await self._send("Target.setDiscoverTargets", {"discover": True, "filter": ONLY_SHARED})

    async def announced(self, event: dict[str, Any]) -> None:
        """Attach to a new worker; called for each ``Target.targetCreated``."""
        if event["targetInfo"]["type"] != "shared_worker":
            return
        enable = json.dumps({"id": 1, "method": "Network.enable", "params": NO_BUFFERS})
        with suppress(TargetClosed):
            asked = {"targetId": event["targetInfo"]["targetId"], "flatten": False}
            attached = await self._send("Target.attachToTarget", asked)
            await self._send("Target.sendMessageToTarget", {"sessionId": attached["sessionId"], "message": enable})

    def received(self, event: dict[str, Any]) -> None:
        """Handle a worker's own event; called for each ``Target.receivedMessageFromTarget``."""
        if '"Network.webSocket' not in event["message"]:
            return
        message = json.loads(event["message"])
        method, params = message["method"], message["params"]
        socket = (event["sessionId"], params["requestId"])
        if method == "Network.webSocketCreated":
            self._urls[socket] = params["url"]
        elif method == "Network.webSocketClosed":
            self._urls.pop(socket, None)
        elif method in ("Network.webSocketFrameReceived", "Network.webSocketFrameSent"):
            frame = params["response"]
            data: str | bytes = frame["payloadData"]
            if frame["opcode"] != TEXT:
                data = base64.b64decode(data)
            kind = WEBSOCKET_IN if method.endswith("Received") else WEBSOCKET_OUT
            self._on_message(self._urls.get(socket, ""), kind, data)
