"""The browser's only way to the network: a SOCKS proxy on this computer that asks the door about every connection.

The browser resolves nothing and connects to nothing itself. It hands over each host as a name, whatever asked for it (a page, a
frame, a worker, a popup, a WebSocket, a redirect), and what the relay connects to is the address that was judged.

Source: RFC 1928 (SOCKS 5); measured against interception by the DevTools protocol, which never sees workers' sockets.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address

from scraper.core.addresses import canonical_host
from scraper.core.errors import CloudfilmError, SiteUnreachable, UnsafeRedirect
from scraper.core.settings import MOST_CONNECTIONS_ABROAD, MOST_SENT_ABROAD
from scraper.session.door.door import Door, Route
from scraper.session.door.forward import LONGEST_HEAD, forwarded, may_be_http
from scraper.session.door.pipe import MOST_BUFFERED, Pipe
from scraper.session.door.upstream import ANSWER_S, ConnectRefused, through_proxy, to_proxy

VERSION, CONNECT, NO_AUTH, NAME, IPV4, IPV6 = 5, 1, 0, 3, 1, 4
SUCCEEDED, FAILED, FORBIDDEN, UNREACHABLE = 0, 1, 2, 4
TLS_PORT = 443  # nothing but TLS is spoken there, which nobody can forward
HELLO_S = 10.0  # a client that has not said where it wants to go by then is none of ours
OWN = (
    "accounts.google.com",
    "android.clients.google.com",
    "mtalk.google.com",
    "clients1.google.com",
    "clients2.google.com",
    "clients3.google.com",
    "clients4.google.com",
    "clientservices.googleapis.com",
    "update.googleapis.com",
    "safebrowsing.googleapis.com",
    "sb-ssl.google.com",
    "optimizationguide-pa.googleapis.com",
    "content-autofill.googleapis.com",
    "translate.googleapis.com",
    "redirector.gvt1.com",
    "edgedl.me.gvt1.com",
    "dns.google",
    "chrome.cloudflare-dns.com",
    "edge.microsoft.com",
    "config.edge.skype.com",
    "smartscreen.microsoft.com",
    "msedge.api.cdp.microsoft.com",
)
"""Hosts that browsers ask on their own (signing in, messages, updates, warnings, hints): no page of a hospital lives there."""


def _is_browsers_own(host: str) -> bool:
    name = host.lower().rstrip(".")
    return any(name == own or name.endswith("." + own) for own in OWN)


class ForeignTraffic:
    """What the pages of one window send to other sites than the link's own: so much, and then nothing goes there any more."""

    def __init__(self) -> None:
        self._sent = 0
        self._connections = 0
        self._clients: set[_Client] = set()

    @property
    def is_over(self) -> bool:
        """Whether they had all that any honest page needs."""
        return self._sent > MOST_SENT_ABROAD or self._connections > MOST_CONNECTIONS_ABROAD

    def admit(self, client: _Client) -> None:
        """Count a connection, and from now on its bytes."""
        self._connections += 1
        self._clients.add(client)
        client.on_sent = self.count

    def count(self, client: _Client, size: int) -> None:
        """Count bytes that go out; where they are too many, end all these connections."""
        self._sent += size
        if self.is_over:
            for other in self._clients:
                other.abort()
            self._clients.clear()
        elif client.transport is None or client.transport.is_closing():
            self._clients.discard(client)


class Relay:
    """A SOCKS proxy on the loopback interface, for the browser alone.

    Args:
        current: the door of the window that is open; None: nothing goes out.
        on_refused: called once for each host that was blocked.
    """

    def __init__(self, current: Callable[[], Door | None], on_refused: Callable[[str], None]) -> None:
        self._current = current
        self._on_refused = on_refused
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._pipes: set[Pipe] = set()
        self._abroad = ForeignTraffic()  # of the window that is open
        self.asked: dict[str, None] = {}  # every host that was let through to the door

    async def start(self) -> int:
        """Listen; returns the port."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Client(self._accept), "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def drop(self) -> None:
        """End every connection: their window is closed."""
        self._abroad = ForeignTraffic()
        for task in list(self._tasks):
            task.cancel()
        for pipe in list(self._pipes):
            pipe.abort()

    async def close(self) -> None:
        """End every connection and stop listening."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        self.drop()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, client: _Client) -> None:
        task = asyncio.ensure_future(self._serve(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: _Client) -> None:
        try:
            async with asyncio.timeout(HELLO_S):
                host, port = await _destination(client)
        except (TimeoutError, ConnectionError, ValueError):
            client.abort()
            return
        door = self._current()
        if door is None or _is_browsers_own(host):
            client.refuse(FORBIDDEN)
            return
        self.asked[host] = None
        if not door.is_of_site(host):
            if self._abroad.is_over:
                client.refuse(FORBIDDEN)
                return
            self._abroad.admit(client)
        try:
            # the scheme is not known yet; it matters for the environment's proxies alone
            route = await door.route_to(canonical_host(host), port, "http" if port == 80 else "https")
            if route.proxy:
                await self._by_proxy(client, door, route)
            else:
                await self._join(client, await door.connection(route))
        except UnsafeRedirect:
            self._on_refused(host)
            client.refuse(FORBIDDEN)
        except SiteUnreachable:
            client.refuse(UNREACHABLE)
        except CloudfilmError:
            client.refuse(FAILED)
        except asyncio.CancelledError:
            client.abort()
            raise

    async def _by_proxy(self, client: _Client, door: Door, route: Route) -> None:
        other = Pipe(self._pipes)
        try:
            tunnel = await through_proxy(door, route)
        except ConnectRefused:
            if route.port == TLS_PORT:
                client.refuse(UNREACHABLE)
            else:
                await self._forward(client, door, route)
            return
        tunnel.give_to(other)
        client.join(other, self._pipes)

    async def _forward(self, client: _Client, door: Door, route: Route) -> None:
        """Have the proxy forward one plain request; anything else ends the connection."""
        client.accept()
        try:
            async with asyncio.timeout(ANSWER_S):
                request, remaining = forwarded(await client.request_head(), route)
                tunnel = (await to_proxy(door, route)).tunnel()
        except (OSError, ValueError, TimeoutError):
            client.abort()
            return
        other = Pipe(self._pipes)
        tunnel.give_to(other)
        tunnel.transport.write(request)
        client.join_for(other, self._pipes, remaining)

    async def _join(self, client: _Client, connection: socket.socket) -> None:
        other = Pipe(self._pipes)
        try:
            await asyncio.get_running_loop().create_connection(lambda: other, sock=connection)
        except OSError:
            connection.close()
            client.refuse(FAILED)
            return
        client.join(other, self._pipes)


class _Client(Pipe):
    """The browser's end: first the SOCKS handshake, then its bytes unchanged."""

    def __init__(self, accept: Callable[[_Client], None]) -> None:
        super().__init__()
        self._accept = accept
        self._arrived = asyncio.Event()
        self._remaining: int | None = None  # bytes that may still come; None: any number
        self.on_sent: Callable[[_Client, int], None] = lambda *_: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._accept(self)

    def data_received(self, data: bytes) -> None:
        self.on_sent(self, len(data))
        if self._remaining is not None:
            self._remaining -= len(data)
            if self._remaining < 0:  # another request, for which the browser is to open another connection
                self.abort()
                return
        super().data_received(data)
        if len(self._early) > MOST_BUFFERED and self.transport is not None:
            self.transport.pause_reading()  # until there is another end
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._arrived.set()

    async def wait_for(self, count: int) -> None:
        """Wait until ``count`` bytes are buffered, without consuming them.

        Raises:
            ConnectionError: the client disconnected.
        """
        while len(self._early) < count:
            if self.transport is None or self.transport.is_closing():
                raise ConnectionError
            self._arrived.clear()
            await self._arrived.wait()

    async def exactly(self, count: int) -> bytes:
        """Consume the next bytes.

        Raises:
            ConnectionError: the client disconnected.
        """
        await self.wait_for(count)
        taken, self._early = self._early[:count], self._early[count:]
        return taken

    def say(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def refuse(self, code: int) -> None:
        self.say(bytes((VERSION, code, 0, IPV4)) + bytes(6))
        if self.transport is not None:
            self.transport.close()

    async def request_head(self) -> bytes:
        """The head of a plain request, and the bytes that followed it.

        Raises:
            ConnectionError: the client disconnected. ValueError: no such head.
        """
        size = 1
        while b"\r\n\r\n" not in self._early:
            if len(self._early) > LONGEST_HEAD or not may_be_http(self._early):
                raise ValueError
            await self.wait_for(size)
            size = len(self._early) + 1
        return await self.exactly(len(self._early))

    def accept(self) -> None:
        self.say(bytes((VERSION, SUCCEEDED, 0, IPV4)) + bytes(6))

    def join(self, other: Pipe, pipes: set[Pipe]) -> None:
        self.accept()
        self._couple(other, pipes)

    def join_for(self, other: Pipe, pipes: set[Pipe], remaining: int) -> None:
        """Send on no more than ``remaining`` bytes, and everything that comes back."""
        self._remaining = remaining - len(self._early)
        if self._remaining < 0:
            self.abort()
            other.abort()
            return
        self._couple(other, pipes)

    def _couple(self, other: Pipe, pipes: set[Pipe]) -> None:
        self._pipes = pipes
        pipes.add(self)
        self.couple(other)
        other.couple(self)
        if self.transport is None or self.transport.is_closing():
            other.abort()


async def _destination(client: _Client) -> tuple[str, int]:
    """The destination that a client asks for, as in RFC 1928."""
    version, count = await client.exactly(2)
    if version != VERSION or NO_AUTH not in await client.exactly(count):
        raise ValueError
    client.say(bytes((VERSION, NO_AUTH)))
    version, command, _, kind = await client.exactly(4)
    if version != VERSION or command != CONNECT or kind not in (NAME, IPV4, IPV6):
        raise ValueError
    if kind == NAME:
        (size,) = await client.exactly(1)
        host = (await client.exactly(size)).decode("ascii")
    else:
        host = str(ip_address(await client.exactly(4 if kind == IPV4 else 16)))
    (port,) = struct.unpack("!H", await client.exactly(2))
    return host, port
