"""Proxies as people have them, on real sockets: HTTP with tunnels or without, over TLS, SOCKS 5 and 4."""

from __future__ import annotations

import asyncio
import base64
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

PAIR = ("an ni", "p:w@")  # with what an address has to escape
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
WHO = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Proxy:
    """What it serves, and what it was asked.

    Attributes:
        sites: ports on this computer, by ``name:port``.
        tunnels_to: ports that CONNECT may name; None: any.
        wants_password: PAIR.
        asked: the first line of each request, or ``SOCKS <version> <name>:<port>``.
    """

    sites: Mapping[str, int]
    tunnels_to: frozenset[int] | None = None
    wants_password: bool = False
    asked: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            first = await reader.readexactly(1)
            if first == b"\x05":
                await self._socks_5(reader, writer)
            elif first == b"\x04":
                await self._socks_4(reader, writer)
            else:
                await self._http(first + await reader.readuntil(b"\r\n\r\n"), reader, writer)
        writer.close()

    async def _http(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *fields = head.decode("latin-1").rstrip().split("\r\n")
        self.asked.append(line)
        given = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in fields)}
        pair = "Basic " + base64.b64encode(":".join(PAIR).encode()).decode()
        if self.wants_password and given.get("proxy-authorization") != pair:
            writer.write(WHO)
            return
        method, target, _ = line.split(" ")
        if method == "CONNECT":
            place = target
            if place not in self.sites or not self._may_tunnel(int(place.rpartition(":")[2])):
                writer.write(REFUSED)
                return
            await self._join(place, b"", b"HTTP/1.1 200 Yes\r\nX-Proxy: 1\r\n\r\n", reader, writer)
            return
        assert target.startswith("http://"), target
        host, slash, path = target.removeprefix("http://").partition("/")
        place = host if ":" in host else f"{host}:80"
        if place not in self.sites:
            writer.write(REFUSED)
            return
        sent = [text for text in fields if not text.lower().startswith("proxy-")]
        start = "\r\n".join([f"{method} {slash}{path} HTTP/1.1", *sent, "", ""]).encode("latin-1")
        await self._join(place, start, b"", reader, writer)

    def _may_tunnel(self, port: int) -> bool:
        return self.tunnels_to is None or port in self.tunnels_to

    async def _socks_5(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ways = await reader.readexactly((await reader.readexactly(1))[0])
        way = 2 if self.wants_password else 0
        if way not in ways:
            writer.write(b"\x05\xff")
            return
        writer.write(bytes((5, way)))
        if way == 2:
            pair = []
            await reader.readexactly(1)
            for _ in PAIR:
                pair.append((await reader.readexactly((await reader.readexactly(1))[0])).decode())
            writer.write(bytes((1, tuple(pair) != PAIR)))
            if tuple(pair) != PAIR:
                return
        *_, kind = await reader.readexactly(4)
        if kind == 3:
            name = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            name = ".".join(map(str, await reader.readexactly(4)))
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        place = f"{name}:{port}"
        self.asked.append(f"SOCKS 5 {place}")
        if place not in self.sites:
            writer.write(b"\x05\x04\x00\x01" + bytes(6))
            return
        await self._join(place, b"", b"\x05\x00\x00\x03\x04here\x00\x00", reader, writer)

    async def _socks_4(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, port, address = struct.unpack("!BH4s", await reader.readexactly(7))
        await reader.readuntil(b"\0")
        name = ".".join(map(str, address))
        if name.startswith("0.0.0."):
            name = (await reader.readuntil(b"\0"))[:-1].decode()
        place = f"{name}:{port}"
        self.asked.append(f"SOCKS 4 {place}")
        if place not in self.sites:
            writer.write(b"\x00\x5b" + bytes(6))
            return
        await self._join(place, b"", b"\x00\x5a" + bytes(6), reader, writer)

    async def _join(
        self, place: str, start: bytes, word: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        site, to_site = await asyncio.open_connection("127.0.0.1", self.sites[place])
        writer.write(word)
        to_site.write(start)
        try:
            await asyncio.gather(_copied(reader, to_site), _copied(site, writer))
        finally:
            to_site.close()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while piece := await reader.read(2**16):
            writer.write(piece)
            await writer.drain()
    with suppress(OSError, RuntimeError):
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()


@asynccontextmanager
async def running(proxy: Proxy, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The proxy's port; over TLS with a context."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await proxy.serve(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
