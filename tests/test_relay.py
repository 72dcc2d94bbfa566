"""The browser's relay ends a connection as the other end ended: in order, or broken off."""

import asyncio
import socket
import struct
from contextlib import asynccontextmanager, suppress

import pytest

from scraper.core.settings import Settings
from scraper.session.door import Door
from scraper.session.door.relay import Relay
from tests.security.played import PUBLIC, Played

RESET = struct.pack("ii", 1, 0)  # SO_LINGER
BODY = bytes(range(256)) * 2**12


@asynccontextmanager
async def connected(serve):
    """A connection to a site through the relay, as the browser opens it."""
    is_over = asyncio.Event()

    async def served(reader, writer):
        try:
            with suppress(ConnectionError):
                await serve(reader, writer)
                writer.close()
                await writer.wait_closed()
        finally:
            is_over.set()

    async with await asyncio.start_server(served, "127.0.0.1", 0) as site:
        port = site.sockets[0].getsockname()[1]
        door = Door(Settings(), Played({"film.test": [PUBLIC]}))
        door.belongs_to(f"http://film.test:{port}/")
        relay = Relay(lambda: door, lambda _: None)
        reader, writer = await asyncio.open_connection("127.0.0.1", await relay.start())
        writer.write(b"\5\1\0")
        assert await reader.readexactly(2) == b"\5\0"
        writer.write(b"\5\1\0\3\x09film.test" + struct.pack("!H", port))
        assert (await reader.readexactly(10))[:2] == b"\5\0"
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            await relay.close()
            await is_over.wait()


@pytest.mark.parametrize("is_half_closed", [False, True])
async def test_all_that_a_site_sent_before_it_ended_arrives(is_half_closed):
    async def serve(reader, writer):
        await reader.readexactly(1)
        writer.write(BODY)
        if is_half_closed:
            writer.write_eof()
            assert await reader.read() == b""

    async with connected(serve) as (reader, writer):
        writer.write(b"?")
        assert await reader.read() == BODY


async def test_a_body_that_is_broken_off_does_not_end_as_if_it_were_whole():
    """It states no length: an orderly end would say that it came whole (RFC 9112 6.3)."""

    async def serve(reader, writer):
        await reader.readexactly(1)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await reader.readexactly(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()

    async with connected(serve) as (reader, writer):
        writer.write(b"?")
        assert (await reader.readuntil(b"half")).endswith(b"half")
        writer.write(b"!")
        with pytest.raises(ConnectionResetError):
            await reader.read()
