"""A socket reaches every server that a request reaches, and says so where TLS is what fails."""

import asyncio
import ssl
import warnings

import pytest
import trustme
from websockets.asyncio.server import serve

from scraper.core.errors import BadCertificate, SiteUnreachable
from scraper.core.model import Request
from scraper.core.settings import ConnectTo, Settings
from scraper.session.door import Door
from scraper.session.http.client import Http
from scraper.session.http.pace import Pace
from scraper.session.websocket import lenient_context, opened
from tests.security.test_hostile_addresses import answer

OLD = [
    (ssl.TLSVersion.TLSv1, "ECDHE-RSA-AES128-SHA"),
    (ssl.TLSVersion.TLSv1, "AES128-SHA"),
    (ssl.TLSVersion.TLSv1_1, "AES256-SHA"),
    (ssl.TLSVersion.TLSv1_2, "AES128-GCM-SHA256"),
    (ssl.TLSVersion.TLSv1_3, ""),
]


def old_context(authority: trustme.CA, version: ssl.TLSVersion, ciphers: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    authority.issue_cert("film.test", key_type=trustme.KeyType.RSA).configure_cert(context)
    return context


@pytest.mark.parametrize(("version", "ciphers"), OLD, ids=str)
async def test_verdicts_b15_wss_speaks_to_every_server_that_https_speaks_to(version, ciphers):
    context = old_context(trustme.CA(), version, ciphers)

    async def page(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"page"))

    async def echo(connection) -> None:
        async for message in connection:
            await connection.send(message)

    running = await asyncio.start_server(lambda r, w: respond(page, r, w), "127.0.0.1", 0, ssl=context)
    async with running, serve(echo, "127.0.0.1", 0, ssl=context) as sockets:
        port, socket_port = running.sockets[0].getsockname()[1], sockets.sockets[0].getsockname()[1]
        rows = (
            ConnectTo.parse(f"film.test:443:127.0.0.1:{port}"),
            ConnectTo.parse(f"film.test:8443:127.0.0.1:{socket_port}"),
        )
        settings = Settings(connect_to=rows, insecure=True, timeout_s=5)
        http = Http(settings, Pace(4, None))
        assert (await http.send(Request("https://film.test/"))).body == b"page"
        async with opened("wss://film.test:8443/x", settings, headers={}, door=http.door) as socket:
            await socket.send("hello")
            assert await socket.receive() == "hello"
        await http.close()
        checked = Settings(connect_to=rows, timeout_s=5)
        with pytest.raises(BadCertificate):
            async with opened("wss://film.test:8443/x", checked, headers={}, door=Door(checked)):
                pass


async def respond(handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await handler(b"", writer)
    await writer.drain()
    writer.close()


def test_verdicts_b15_a_server_without_rfc_5746_is_spoken_to():
    context = lenient_context(insecure=False)
    assert context.options & 0x4  # SSL_OP_LEGACY_SERVER_CONNECT: no server of that age can be started here
    assert context.minimum_version == ssl.TLSVersion.TLSv1
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


async def test_verdicts_b15_what_is_no_tls_is_named_so():
    async def plain(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"not a word of TLS\r\n")

    async def any_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(16)
        await plain(b"", writer)
        writer.close()

    running = await asyncio.start_server(any_bytes, "127.0.0.1", 0)
    async with running:
        row = ConnectTo.parse(f"film.test:443:127.0.0.1:{running.sockets[0].getsockname()[1]}")
        settings = Settings(connect_to=(row,), timeout_s=5)
        with pytest.raises(SiteUnreachable, match="no-tls"):
            async with opened("wss://film.test/x", settings, headers={}, door=Door(settings)):
                pass
