"""Reject every request to the window's server that does not come from its own page.

Other programs' pages run in the same browser and can send requests to any port. Each request must name this server's own host
(a rebound name does not), carry the token in its address, and, where it changes something, come from this server's own page.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)


class Guard:
    """Let through what the window's own page asks; answer everything else with an empty 403 or 404.

    Args:
        app: what is guarded; it sees paths without the token.
        host: address and port, as the page's own address names them.
        token: the first part of every path.
    """

    def __init__(self, app: ASGIApp, host: str, token: str) -> None:
        self._app = app
        self._host = host.encode()
        self._origin = f"http://{host}".encode()
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one request before its body is read."""
        if scope["type"] != "http":
            return
        status = self._refusal(scope)
        if status:
            await send({"type": "http.response.start", "status": status, "headers": [*_HEADERS]})
            await send({"type": "http.response.body", "body": b""})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        path = "/" + scope["path"].lstrip("/").partition("/")[2]
        await self._app({**scope, "path": path, "raw_path": path.encode(), "root_path": ""}, receive, with_headers)

    def _refusal(self, scope: Scope) -> int:
        """The status of a refusal; 0 where the request is the page's own."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        if headers.get(b"host") != [self._host]:
            return 403
        given = scope["path"].lstrip("/").partition("/")[0].encode()
        if not secrets.compare_digest(given, self._token):
            return 404
        site = headers.get(b"sec-fetch-site", [b"none"])
        if site not in ([b"none"], [b"same-origin"]):
            return 403
        if scope["method"] == "GET":
            return 0
        return 0 if scope["method"] == "POST" and headers.get(b"origin") == [self._origin] else 403
