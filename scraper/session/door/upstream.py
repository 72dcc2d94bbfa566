"""A connection through the user's own proxy: HTTP CONNECT (RFC 9110 9.3.6) or SOCKS 5 (RFC 1928, 1929)."""

from __future__ import annotations

import asyncio
import base64
import socket
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from scraper.errors import SiteUnreachable
from scraper.session.door import network as net

if TYPE_CHECKING:
    from scraper.session.door.door import Door, Route

ANSWER_S = 30.0  # for the proxy to reach the site
MAX_HEAD = 2**14
USUAL_PORTS = {"http": 80, "https": 443}  # of proxies; SOCKS has 1080


async def through_proxy(door: Door, route: Route) -> socket.socket:
    """A socket that a proxy has connected to the route's host.

    Raises:
        SiteUnreachable: no proxy there, or it refuses.
    """
    proxy = urlsplit(route.proxy)
    host, port = proxy.hostname or "", proxy.port or USUAL_PORTS.get(proxy.scheme, 1080)
    connection: socket.socket | None = None
    try:
        async with asyncio.timeout(ANSWER_S):
            addresses = await net.SystemNetwork().resolve(host, port)
            connection = await net.connect(addresses, port)
            ask = _by_socks if proxy.scheme.startswith("socks") else _by_connect
            await ask(connection, route, unquote(proxy.username or ""), unquote(proxy.password or ""))
            return connection
    except (OSError, ValueError, TimeoutError) as err:
        if connection is not None:
            connection.close()
        why = str(err) if isinstance(err, ValueError) else "the proxy does not answer"
        door.failure = SiteUnreachable(host=route.host, why=why)
        raise door.failure from err


async def _by_connect(connection: socket.socket, route: Route, user: str, password: str) -> None:
    loop = asyncio.get_running_loop()
    place = f"[{route.host}]:{route.port}" if ":" in route.host else f"{route.host}:{route.port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if user:
        lines.append("Proxy-Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
    await loop.sock_sendall(connection, "\r\n".join([*lines, "", ""]).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = await loop.sock_recv(connection, 1)  # one at a time: what follows is the site's
        if not piece or len(head) > MAX_HEAD:
            raise ValueError("the proxy refuses it")
        head += piece
    status = head.split(None, 2)[1:2]
    if status != [b"200"]:
        raise ValueError("the proxy refuses it")


async def _by_socks(connection: socket.socket, route: Route, user: str, password: str) -> None:
    loop = asyncio.get_running_loop()

    async def answer(count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = await loop.sock_recv(connection, count - len(data))
            if not piece:
                raise ValueError("the proxy refuses it")
            data += piece
        return data

    await loop.sock_sendall(connection, b"\x05\x02\x00\x02" if user else b"\x05\x01\x00")
    chosen = (await answer(2))[1]
    if chosen == 2:
        name, word = user.encode(), password.encode()
        said = b"\x01" + bytes((len(name),)) + name + bytes((len(word),)) + word
        await loop.sock_sendall(connection, said)
        if (await answer(2))[1] != 0:
            raise ValueError("the proxy refuses it")
    elif chosen != 0:
        raise ValueError("the proxy refuses it")
    host = route.host.encode()
    asked = b"\x05\x01\x00\x03" + bytes((len(host),)) + host + route.port.to_bytes(2, "big")
    await loop.sock_sendall(connection, asked)
    head = await answer(4)
    if head[1] != 0:
        raise ValueError("the proxy refuses it")
    await answer({1: 4, 4: 16}.get(head[3], 0) or (await answer(1))[0])
    await answer(2)
