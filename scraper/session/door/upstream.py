"""A connection through the user's own proxy: HTTP CONNECT (RFC 9110 9.3.6), also over TLS; SOCKS 5 (RFC 1928, 1929), 4 and 4a.

A proxy may refuse CONNECT for plain http; requests are then forwarded to it (RFC 9112 3.2.2): see ``forward``.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from scraper.core.errors import BadCertificate, CloudfilmError, SiteUnreachable
from scraper.core.reasons import Reason
from scraper.session.door import network as net

if TYPE_CHECKING:
    from scraper.session.door.door import Door, Route

ANSWER_S = 30.0  # for the proxy to reach the site
MAX_HEAD = 2**14
USUAL_PORTS = {"http": 80, "https": 443}  # of proxies; SOCKS has 1080
REFUSES = Reason.PROXY_REFUSES


class ConnectRefused(ValueError):
    """An HTTP proxy answered, but makes no tunnel to that host and port."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A connection through a proxy; everything received from now on is the site's.

    Attributes:
        transport: open, not read from until it has its protocol.
        early: bytes that the site sent already.
    """

    transport: asyncio.Transport
    early: bytes = b""

    def give_to(self, protocol: asyncio.Protocol) -> None:
        """Hand the connection to ``protocol``."""
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        if self.early:
            protocol.data_received(self.early)
        self.transport.resume_reading()


class Conversation(asyncio.Protocol):
    """The handshake with a proxy, before its connection is the site's."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._data = b""
        self._arrived = asyncio.Event()
        self._is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Attach to the connection."""
        self.transport = transport  # type: ignore[assignment]  # a stream's, as asyncio says

    def data_received(self, data: bytes) -> None:
        """Buffer received data."""
        self._data += data
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that nothing more will come."""
        self._is_over = True
        self._arrived.set()

    def say(self, data: bytes) -> None:
        """Send to the proxy."""
        if self.transport is not None:
            self.transport.write(data)

    async def _more(self) -> None:
        if self._is_over or len(self._data) > MAX_HEAD:
            raise ValueError(REFUSES)
        self._arrived.clear()
        await self._arrived.wait()

    async def exactly(self, count: int) -> bytes:
        """The next bytes of the proxy's answer.

        Raises:
            ValueError: the proxy disconnected.
        """
        while len(self._data) < count:
            await self._more()
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    async def head(self) -> bytes:
        """The head of an HTTP answer.

        Raises:
            ValueError: no complete head within the limit.
        """
        while (end := self._data.find(b"\r\n\r\n")) < 0:
            await self._more()
        return await self.exactly(end + 4)

    def tunnel(self) -> Tunnel:
        """Hand the connection over; nothing is read before it has a new owner.

        Raises:
            ValueError: the connection is closed.
        """
        if self.transport is None or self._is_over:
            raise ValueError(REFUSES)
        self.transport.pause_reading()
        return Tunnel(self.transport, self._data)

    def abort(self) -> None:
        """End the connection."""
        if self.transport is not None:
            self.transport.abort()


def proxy_of(route: Route) -> SplitResult:
    """The proxy's address, parsed."""
    return urlsplit(route.proxy)


def credentials(route: Route) -> str:
    """The ``Proxy-Authorization`` header from the user's address of the proxy, or an empty text."""
    proxy = proxy_of(route)
    if not proxy.username:
        return ""
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


async def through_proxy(door: Door, route: Route) -> Tunnel:
    """A connection that a proxy made to the route's host.

    Raises:
        ConnectRefused: an HTTP proxy makes no tunnel there; a plain http request may still be forwarded.
        SiteUnreachable: no proxy there, or it refuses. BadCertificate: the proxy's own can't be trusted.
    """
    handshake: Conversation | None = None
    try:
        async with asyncio.timeout(ANSWER_S):
            handshake = await to_proxy(door, route)
            await _ask(route, handshake)
            return handshake.tunnel()
    except BaseException as err:
        if handshake is not None:
            handshake.abort()
        if isinstance(err, ConnectRefused):
            door.failure = SiteUnreachable(host=route.host, why=REFUSES)
            raise
        if isinstance(err, (OSError, ValueError, TimeoutError)):
            door.failure = _failure(route, err)
            raise door.failure from err
        raise


def _failure(route: Route, error: Exception) -> CloudfilmError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return BadCertificate(host=proxy_of(route).hostname or "", why=Reason.CERTIFICATE)
    if isinstance(error, ssl.SSLError):
        return SiteUnreachable(host=route.host, why=Reason.NO_TLS_TO_PROXY)
    why = str(error) if type(error) is ValueError else Reason.PROXY_SILENT
    return SiteUnreachable(host=route.host, why=why)


async def to_proxy(door: Door, route: Route) -> Conversation:
    """A connection to the proxy itself, over TLS for an ``https`` address.

    Raises:
        OSError: nobody there, or no TLS that can be trusted.
    """
    proxy = proxy_of(route)
    host, port = proxy.hostname or "", proxy.port or USUAL_PORTS.get(proxy.scheme, 1080)
    connection = await net.connect(await net.SystemNetwork().resolve(host, port), port)
    is_tls = proxy.scheme == "https"
    try:
        _, handshake = await asyncio.get_running_loop().create_connection(
            Conversation,
            sock=connection,
            ssl=_tls(insecure=door.insecure) if is_tls else None,
            server_hostname=host if is_tls else None,
        )
    except BaseException:
        connection.close()
        raise
    return handshake


def _tls(*, insecure: bool) -> ssl.SSLContext:
    """TLS to a proxy; ``--insecure`` counts as for sites."""
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _ask(route: Route, handshake: Conversation) -> None:
    match proxy_of(route).scheme:
        case "http" | "https":
            await _by_connect(route, handshake)
        case "socks4" | "socks4a" as scheme:
            await _by_socks_4(route, handshake, resolves=scheme == "socks4a")
        case _:
            await _by_socks_5(route, handshake)


def place_of(route: Route) -> str:
    """The route's host and port in HTTP's notation."""
    return f"[{route.host}]:{route.port}" if ":" in route.host else f"{route.host}:{route.port}"


async def _by_connect(route: Route, handshake: Conversation) -> None:
    place = place_of(route)
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if authorization := credentials(route):
        lines.append(f"Proxy-Authorization: {authorization}")
    handshake.say("\r\n".join([*lines, "", ""]).encode())
    status = (await handshake.head()).split(None, 2)[1:2]
    if status == [b"407"]:
        raise ValueError(Reason.PROXY_WANTS_LOGIN)
    if status == [b""] or not status or not status[0].startswith(b"2"):
        raise ConnectRefused(REFUSES)


async def _by_socks_4(route: Route, handshake: Conversation, *, resolves: bool) -> None:
    """SOCKS 4 takes an IPv4 address; 4a takes a name after an invalid address."""
    user = unquote(proxy_of(route).username or "").encode() + b"\0"
    try:
        address, name = ip_address(route.host), b""
    except ValueError:
        if resolves:
            address, name = ip_address("0.0.0.1"), route.host.encode() + b"\0"
        else:
            placed = [address for address in route.addresses if ":" not in address]
            address, name = ip_address((placed or route.addresses)[0]), b""
    if address.version != 4:
        raise ValueError(Reason.PROXY_WITHOUT_IPV6)
    handshake.say(b"\x04\x01" + route.port.to_bytes(2, "big") + address.packed + user + name)
    if (await handshake.exactly(8))[1] != 90:
        raise ValueError(REFUSES)


async def _by_socks_5(route: Route, handshake: Conversation) -> None:
    proxy = proxy_of(route)
    user, password = unquote(proxy.username or "").encode(), unquote(proxy.password or "").encode()
    handshake.say(b"\x05\x02\x00\x02" if user else b"\x05\x01\x00")
    chosen = (await handshake.exactly(2))[1]
    if chosen == 2 and user:
        handshake.say(b"\x01" + bytes((len(user),)) + user + bytes((len(password),)) + password)
        if (await handshake.exactly(2))[1] != 0:
            raise ValueError(Reason.PROXY_WANTS_LOGIN)
    elif chosen != 0:
        raise ValueError(REFUSES)
    host = route.host.encode()
    handshake.say(b"\x05\x01\x00\x03" + bytes((len(host),)) + host + route.port.to_bytes(2, "big"))
    head = await handshake.exactly(4)
    if head[1] != 0:
        raise ValueError(REFUSES)
    await handshake.exactly({1: 4, 4: 16}.get(head[3], 0) or (await handshake.exactly(1))[0])
    await handshake.exactly(2)
