"""A link's requests past the browser: checked for a person's answers, with the window's cookies, noted for the diagnostic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from scraper.core.errors import SiteUnreachable
from scraper.core.link import redact
from scraper.core.model import Request
from scraper.core.settings import LONGEST_RETRY_AFTER_S, MOST_LIST_BYTES, Settings
from scraper.protocols.headers import merged
from scraper.session.guard import Guard
from scraper.session.http.client import BROKEN, Cookie, Http
from scraper.session.http.encode import page_headers
from scraper.session.http.response import Response
from scraper.session.http.status import OVERLOADED
from scraper.session.patience import Patience
from scraper.session.websocket import Socket, opened

MOST_NOTED = 400


class DirectRequests:
    """Sends one link's requests by the direct client.

    Args:
        settings: the run's options.
        http: this link's direct client.
        guard: checks each request before it leaves.
        patience: how long the run goes on without progress.
        window_cookies: the cookies that the browser's window has now.
        page: the page whose ``Origin`` and ``Referer`` requests carry; empty: only those of the request itself.

    Attributes:
        log: each exchange for the diagnostic: redacted addresses, statuses, sizes.
        record: keeps what was asked and answered, where somebody wants it.
    """

    def __init__(
        self,
        settings: Settings,
        http: Http,
        guard: Guard,
        patience: Patience,
        window_cookies: Callable[[], Awaitable[Sequence[Cookie]]],
        *,
        page: str,
    ) -> None:
        self.log: list[dict[str, object]] = []
        self.record: Callable[[Request, Response], None] | None = None
        self._settings = settings
        self._http = http
        self._guard = guard
        self._patience = patience
        self._window_cookies = window_cookies
        self._page = page
        self._taken: dict[tuple[str, str, str], Cookie] = {}  # from the window

    async def send_patiently(self, request: Request, hops: int) -> Response:
        """Send; up to two more times after a pause where the host is overloaded (429, 503), or a GET's connection broke.

        What may carry a person's answer is sent once: a busy host may have counted it as an attempt.
        """
        self._guard.check(request)
        if self._guard.answers.may_be_in(request):
            return await self.send(request, hops=hops, limit=MOST_LIST_BYTES)
        host = urlsplit(request.url).hostname or ""
        for pause_s in self._settings.timings.busy_pauses_s:
            try:
                response = await self.send(request, hops=hops, limit=MOST_LIST_BYTES)
            except SiteUnreachable as err:
                if request.method != "GET" or err.reason not in BROKEN:
                    raise
                retry_after_s = None
            else:
                retry_after_s = response.retry_after_s
                if response.status not in OVERLOADED or (retry_after_s or 0.0) > LONGEST_RETRY_AFTER_S:
                    return response
            self._http.pace.overloaded(host, pause_s if retry_after_s is None else retry_after_s)
            self._patience.wait(retry_after_s or 0.0)
        return await self.send(request, hops=hops, limit=MOST_LIST_BYTES)

    async def send(
        self,
        request: Request,
        *,
        hops: int = 12,
        into: Path | None = None,
        on_bytes: Callable[[int], None] | None = None,
        limit: int = 0,
    ) -> Response:
        """Send one request with this link's cookies; see ``Http.send``.

        Raises:
            ForeignHost: it holds an answer, and goes to a host that has no right to it.
        """
        self._guard.check(request)
        self._guard.answers.were_sent()
        await self._take_cookies()
        if self._page:
            named = page_headers(self._page, request.url, request.method)
            request = replace(request, headers=merged(named, request.headers))
        sent = {name.lower(): value for name, value in request.headers.items()}
        response = await self._http.send(request, hops=hops, into=into, on_bytes=on_bytes, limit=limit)
        response = replace(response, sent=sent)
        if response.hops and request.method == "GET":
            self._http.door.lands(request.url, response.url)
        self.note(
            request.method, response.url, response.status, response.headers.get("content-type", ""), len(response.body)
        )
        self._guard.check_refusal(request, response)
        if self.record is not None:
            self.record(request, response)
        return response

    async def hops(
        self, url: str, *, most: int, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[Response, str]]:
        """Go from redirect to redirect: each response, with the checked address that it leads to; empty, where it leads nowhere.

        A fragment, which no request carries, is there in the address.

        Raises:
            UnsafeRedirect: it leads to an address that the link has no right to.
        """
        for _ in range(most):
            response = await self.send(Request(url.partition("#")[0], headers=dict(headers or {})), hops=0)
            location = response.headers.get("location", "")
            target = urljoin(url, location) if 300 <= response.status < 400 and location else ""
            if target:
                await self._http.check_hop(url, target)
            yield response, target
            if not target:
                return
            url = target

    @asynccontextmanager
    async def websocket(
        self, url: str, *, headers: Mapping[str, str] | None = None, subprotocols: tuple[str, ...] = ()
    ) -> AsyncIterator[Socket]:
        """Open a WebSocket (``ws://``, ``wss://``) with this link's cookies; closed at the end.

        Args:
            url: where to.
            headers: of the handshake.
            subprotocols: offered to the site.

        Raises:
            SiteUnreachable: no connection. SessionLapsed: 401 or 403.
        """
        self._guard.check(Request(url, headers=dict(headers or {})))

        def check(message: str | bytes) -> None:
            data = message.encode() if isinstance(message, str) else message
            self._guard.check(Request(url, "SEND", body=data))

        await self._take_cookies()
        sent = merged({"User-Agent": self._http.user_agent}, headers)
        async with opened(
            url,
            self._settings,
            headers=sent,
            cookies=self._http.cookies(),
            subprotocols=subprotocols,
            door=self._http.door,
        ) as socket:
            socket.check = check
            self.note("GET", url, 101, "websocket", 0)
            yield socket

    async def _take_cookies(self) -> None:
        """Take over the cookies that the window changed; the direct client may have newer ones of the others."""
        cookies = {(cookie.name, cookie.domain, cookie.path): cookie for cookie in await self._window_cookies()}
        self._http.add_cookies([cookie for key, cookie in cookies.items() if self._taken.get(key) != cookie])
        self._taken = cookies

    def note(self, method: str, url: str, status: int, kind: str, size: int) -> None:
        """Record one exchange for the diagnostic, without its secrets."""
        if len(self.log) < MOST_NOTED:
            self.log.append({"method": method, "url": redact(url), "status": status, "type": kind, "bytes": size})
