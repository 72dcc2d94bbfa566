"""The only door to the WebSocket client: one connection, texts and bytes both ways."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scraper.errors import BadCertificate, SessionLapsed, SiteBusy, SiteUnreachable
from scraper.protocols.headers import OF_THE_HANDSHAKE, joined_cookies, merged, taken, without
from scraper.session.http import Cookie
from scraper.settings import ConnectTo, Settings

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

MAX_MESSAGE = 256 * 2**20  # bytes of one message
OPEN_TIMEOUT_S = 20.0


class Socket:
    """One open WebSocket. Iterating gives messages until the site closes it: text as ``str``, binary as ``bytes``."""

    def __init__(self, connection: ClientConnection, host: str, timeout_s: float) -> None:
        self._connection = connection
        self._host = host
        self._timeout_s = timeout_s

    async def send(self, message: str | bytes) -> None:
        """Send one text or binary message.

        Raises:
            SiteUnreachable: the connection is gone.
        """
        from websockets.exceptions import ConnectionClosed

        try:
            await self._connection.send(message)
        except ConnectionClosed as err:
            raise SiteUnreachable(host=self._host, why="the connection was closed") from err

    async def receive(self, *, timeout_s: float | None = None) -> str | bytes:
        """The next message.

        Args:
            timeout_s: silence allowed; the run's own where it is None.

        Raises:
            SiteUnreachable: silence, or the connection is gone.
        """
        from websockets.exceptions import ConnectionClosed

        try:
            async with asyncio.timeout(timeout_s or self._timeout_s):
                return await self._connection.recv()
        except TimeoutError:
            raise SiteUnreachable(host=self._host, why="no answer in time") from None
        except ConnectionClosed as err:
            raise SiteUnreachable(host=self._host, why="the connection was closed") from err

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        async for message in self._connection:
            yield message


@asynccontextmanager
async def opened(
    url: str,
    settings: Settings,
    *,
    headers: Mapping[str, str],
    cookies: Iterable[Cookie] = (),
    subprotocols: Iterable[str] = (),
) -> AsyncIterator[Socket]:
    """A WebSocket that is closed at the end.

    Args:
        url: ``ws://`` or ``wss://``.
        settings: ``--connect-to`` (an address mapped there is reached without the proxy), ``--insecure``, ``--proxy``.
        headers: of the handshake, ``Origin`` and ``User-Agent`` among them.
        cookies: the link's jar; those that belong to ``url`` are sent.
        subprotocols: offered to the site, best first.

    Raises:
        SiteUnreachable: no connection. BadCertificate: its certificate can't be trusted.
        SessionLapsed: 401 or 403. SiteBusy: 429 or 503.
    """
    from websockets.asyncio.client import connect  # loaded where a socket is opened
    from websockets.exceptions import InvalidStatus, WebSocketException
    from websockets.typing import Origin, Subprotocol

    host = urlsplit(url).hostname or ""
    sent = without(merged(headers), *OF_THE_HANDSHAKE)
    if jar := joined_cookies(taken(sent, "Cookie") or "", cookie_header(cookies, url)):
        sent["Cookie"] = jar
    origin, agent = taken(sent, "Origin"), taken(sent, "User-Agent")
    try:
        connection = await connect(
            url,
            origin=Origin(origin) if origin else None,
            user_agent_header=agent,
            additional_headers=sent,
            subprotocols=[Subprotocol(one) for one in subprotocols] or None,
            max_size=MAX_MESSAGE,
            open_timeout=min(OPEN_TIMEOUT_S, settings.timeout_s),
            ping_interval=None,  # browsers send none
            close_timeout=2.0,
            **_route(url, settings),
        )
    except ssl.SSLCertVerificationError as err:
        raise BadCertificate(host=host, why="certificate") from err
    except InvalidStatus as err:
        raise _refused(err.response.status_code, host) from err
    except (OSError, WebSocketException) as err:
        raise SiteUnreachable(host=host, why=type(err).__name__) from err
    try:
        yield Socket(connection, host, settings.timeout_s)
    finally:
        await connection.close()


def _refused(status: int, host: str) -> SessionLapsed | SiteUnreachable:
    if status in (401, 403):
        return SessionLapsed(host=host)
    if status in (429, 503):
        return SiteBusy(host=host, why=f"HTTP {status}")
    return SiteUnreachable(host=host, why=f"HTTP {status}")


def _route(url: str, settings: Settings) -> dict[str, Any]:
    """How the connection is made: where to, by which proxy, trusting which certificates."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)
    route: dict[str, Any] = {"proxy": settings.proxy or True}
    if parts.scheme == "wss":
        context = ssl.create_default_context()
        if settings.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        route["ssl"] = context
    for row in settings.connect_to:
        if _applies(row, host, port):
            return {**route, "proxy": None, "host": row.address or host, "port": row.to_port or port}
    return route


def mapped(host: str, port: int, settings: Settings) -> tuple[str, int]:
    """Where a connection to ``host:port`` goes: there, or where ``--connect-to`` says."""
    for row in settings.connect_to:
        if _applies(row, host, port):
            return row.address or host, row.to_port or port
    return host, port


def _applies(row: ConnectTo, host: str, port: int) -> bool:
    return row.host in ("", host) and row.port in (None, port)


def cookie_header(cookies: Iterable[Cookie], url: str) -> str:
    """The ``Cookie`` header for ``url``: the jar's cookies of its host and path, the longest paths first.

    Source: RFC 6265 5.1.3, 5.1.4 and 5.4.
    """
    parts = urlsplit(url)
    host, path = parts.hostname or "", parts.path or "/"
    fitting = [
        one
        for one in cookies
        if _is_domain(one.domain, host)
        and (path == one.path or path.startswith(one.path.rstrip("/") + "/"))
        and (not one.secure or parts.scheme in ("wss", "https"))
    ]
    return "; ".join(f"{one.name}={one.value}" for one in sorted(fitting, key=lambda one: -len(one.path)))


def _is_domain(domain: str, host: str) -> bool:
    """A domain with a leading dot holds for the names below it too."""
    name = domain.lstrip(".").lower()
    return host == name or (domain.startswith(".") and host.endswith("." + name))
