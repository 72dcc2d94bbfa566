"""The only door to the WebSocket client: one connection, text and binary messages both ways."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scraper.core.errors import BadCertificate, SiteUnreachable
from scraper.core.reasons import Reason
from scraper.core.settings import Settings
from scraper.protocols.headers import OF_THE_HANDSHAKE, joined_cookies, merged, taken, without
from scraper.session.door import Door
from scraper.session.door.pipe import socket_through_proxy
from scraper.session.http.client import Cookie
from scraper.session.http.status import handshake_error
from scraper.session.reasons import reason_of

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

MAX_MESSAGE = 256 * 2**20  # bytes of one message
OPEN_TIMEOUT_S = 20.0
LEGACY_SERVER = 0x4  # SSL_OP_LEGACY_SERVER_CONNECT: a server without RFC 5746
CIPHERS = "ALL:!aNULL:!eNULL:!EXPORT:!LOW:!RC4:@SECLEVEL=0"  # level 1 and up leave TLS 1.0 and SHA-1 signatures out

Check = Callable[["str | bytes"], None]
"""Raises where a message may not be sent."""


class Socket:
    """One open WebSocket. Iterating yields messages until the site closes it: text as ``str``, binary as ``bytes``.

    Attributes:
        check: called before a message is sent; raises where it is not allowed.
    """

    def __init__(self, connection: ClientConnection, host: str, timeout_s: float) -> None:
        self._connection = connection
        self.check: Check = lambda _: None
        self._host = host
        self._timeout_s = timeout_s

    async def send(self, message: str | bytes) -> None:
        """Send one text or binary message.

        Raises:
            SiteUnreachable: the connection is gone. ForeignHost: it holds an answer, and the site has no right to it.
        """
        from websockets.exceptions import ConnectionClosed

        self.check(message)
        try:
            await self._connection.send(message)
        except ConnectionClosed as err:
            raise SiteUnreachable(host=self._host, why=Reason.CONNECTION_CLOSED) from err

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
            raise SiteUnreachable(host=self._host, why=Reason.NO_ANSWER_IN_TIME) from None
        except ConnectionClosed as err:
            raise SiteUnreachable(host=self._host, why=Reason.CONNECTION_CLOSED) from err

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
    door: Door,
) -> AsyncIterator[Socket]:
    """Open a WebSocket; closed at the end.

    Args:
        url: ``ws://`` or ``wss://``.
        settings: ``--connect-to`` (an address mapped there is reached without the proxy), ``--insecure``, ``--proxy``.
        headers: of the handshake, ``Origin`` and ``User-Agent`` among them.
        cookies: the link's jar; those that belong to ``url`` are sent.
        subprotocols: offered to the site, best first.
        door: judges where it goes.

    Raises:
        UnsafeRedirect: inside, where the link is not.
        SiteUnreachable: no connection. BadCertificate: its certificate can't be trusted.
        SessionLapsed: 401 or 403. SiteBusy: 429 or 503.
    """
    from websockets.exceptions import InvalidStatus, WebSocketException
    from websockets.typing import Origin, Subprotocol

    host = urlsplit(url).hostname or ""
    sent = without(merged(door.cleared(url, headers)), *OF_THE_HANDSHAKE)
    own_cookies = cookie_header(cookies, url) if door.keeps_cookies(url) else ""
    if jar := joined_cookies(taken(sent, "Cookie") or "", own_cookies):
        sent["Cookie"] = jar
    origin, agent = taken(sent, "Origin"), taken(sent, "User-Agent")
    options: dict[str, Any] = {
        "origin": Origin(origin) if origin else None,
        "user_agent_header": agent,
        "additional_headers": sent,
        "subprotocols": [Subprotocol(name) for name in subprotocols] or None,
        "open_timeout": min(OPEN_TIMEOUT_S, settings.timeout_s),
    }
    try:
        connection = await _connected(url, options, door, insecure=settings.insecure)
    except ssl.SSLCertVerificationError as err:
        raise BadCertificate(host=host, why=Reason.CERTIFICATE) from err
    except InvalidStatus as err:
        raise handshake_error(err.response.status_code, host) from err
    except ssl.SSLError as err:
        raise SiteUnreachable(host=host, why=Reason.NO_TLS_BECAUSE.of(error=err.reason or type(err).__name__)) from err
    except (OSError, WebSocketException) as err:
        raise SiteUnreachable(host=host, why=reason_of(err)) from err
    try:
        yield Socket(connection, host, settings.timeout_s)
    finally:
        await connection.close()


async def _connected(url: str, options: dict[str, Any], door: Door, *, insecure: bool) -> ClientConnection:
    """Connect to the approved address, or through the user's proxy."""
    from websockets.asyncio.client import connect  # loaded where a socket is opened

    class Connect(connect):
        """The library's connector, without following redirects."""

        def process_redirect(self, exc: Exception) -> Exception:
            return exc

    route = await door.route(url)
    way: dict[str, Any] = {"proxy": None}
    if urlsplit(url).scheme.lower() == "wss":
        way |= {"ssl": lenient_context(insecure=insecure), "server_hostname": route.host}
    way["sock"] = await (socket_through_proxy(door, route) if route.proxy else door.connection(route))
    return await Connect(
        url,
        max_size=MAX_MESSAGE,
        ping_interval=None,  # browsers send none
        close_timeout=2.0,
        **options,
        **way,
    )


def lenient_context(*, insecure: bool) -> ssl.SSLContext:
    """TLS settings for every server that libcurl's BoringSSL accepts: TLS 1.0 and up, with or without RFC 5746.

    Many hospitals' servers are that old; certificates are checked as usual.
    """
    context = ssl.create_default_context()
    context.options |= LEGACY_SERVER
    context.set_ciphers(CIPHERS)
    with warnings.catch_warnings():  # the old versions are meant
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def cookie_header(cookies: Iterable[Cookie], url: str) -> str:
    """The ``Cookie`` header for ``url``: the jar's cookies of its host and path, longest paths first.

    Source: RFC 6265 5.1.3, 5.1.4 and 5.4.
    """
    parts = urlsplit(url)
    host, path = parts.hostname or "", parts.path or "/"
    fitting = [
        cookie
        for cookie in cookies
        if _is_domain(cookie.domain, host)
        and (path == cookie.path or path.startswith(cookie.path.rstrip("/") + "/"))
        and (not cookie.secure or parts.scheme in ("wss", "https"))
    ]
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in sorted(fitting, key=lambda item: -len(item.path)))


def _is_domain(domain: str, host: str) -> bool:
    """Whether a cookie domain with a leading dot covers the name."""
    name = domain.lstrip(".").lower()
    return host == name or (domain.startswith(".") and host.endswith("." + name))
