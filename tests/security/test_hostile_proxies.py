"""The user's own proxy is the way for the direct client, for WebSockets and for the browser alike, whatever it speaks."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import quote

import pytest
import trustme
from websockets.asyncio.server import serve

from scraper.core.errors import BadCertificate, CloudfilmError, SiteUnreachable
from scraper.core.model import Request
from scraper.core.reasons import Reason
from scraper.core.settings import Settings
from scraper.session.door import Door
from scraper.session.door.relay import Relay
from scraper.session.http.client import Http
from scraper.session.http.pace import Pace
from scraper.session.websocket import opened
from scraper.testing import borrowed_browser, first_of, in_browser_loop
from tests.security.played import PUBLIC, Played
from tests.security.proxies import PAIR, Proxy, running
from tests.security.test_hostile_addresses import answer, server

AUTHORITY = trustme.CA()
SCHEMES = ("http", "https", "socks5", "socks5h", "socks4a", "")
LARGE = bytes(range(256)) * 2**13


def of_tls(*names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(*names).configure_cert(context)
    return context


heads: list[bytes] = []


@asynccontextmanager
async def site() -> AsyncIterator[int]:
    """Serves any path, a large one too, and says how many bytes were posted."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            heads.append(head)
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            if length:
                body = b"%d" % len(await reader.readexactly(int(length[1])))
            else:
                body = LARGE if b"/large" in head.split(b" ")[1] else head.split(b" ")[1]
            writer.write(answer(body, "Content-Type: text/html"))
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as running_site:
        yield running_site.sockets[0].getsockname()[1]


def address(scheme: str, port: int, *, password: bool = False) -> str:
    name = "".join(f"{quote(word, safe='')}{mark}" for word, mark in zip(PAIR, ":@", strict=True)) if password else ""
    return f"{scheme}://{name}127.0.0.1:{port}" if scheme else f"{name}127.0.0.1:{port}"


@asynccontextmanager
async def by_relay(door: Door) -> AsyncIterator[Http]:
    """A client that goes by the browser's relay, as the browser does."""
    relay = Relay(lambda: door, lambda _: None)
    port = await relay.start()
    settings = Settings(proxy=f"socks5h://127.0.0.1:{port}", timeout_s=5)
    http = Http(settings, Pace(4, None))
    try:
        yield http
    finally:
        await http.close()
        await relay.close()


@pytest.mark.parametrize("password", first_of([True, False]))
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_hostile_3_the_browsers_relay_goes_by_every_kind_of_proxy(scheme, password):
    if password and scheme == "socks4a":
        pytest.skip("SOCKS 4 knows no passwords")
    async with site() as port:
        proxy = Proxy({"film.test:80": port}, wants_password=password)
        async with running(proxy, of_tls("127.0.0.1") if scheme == "https" else None) as at:
            door = Door(Settings(proxy=address(scheme, at, password=password), insecure=True))
            async with by_relay(door) as http:
                large = await http.send(Request("http://film.test/large"))
                posted = await http.send(Request("http://film.test/posted", "POST", {}, LARGE))
            assert large.body == LARGE
            assert posted.body == b"%d" % len(LARGE)
            assert any("film.test:80" in line for line in proxy.asked)
            async with by_relay(door) as http:
                with pytest.raises(SiteUnreachable):
                    await http.send(Request("https://nowhere.test/"))
            assert isinstance(door.failure, SiteUnreachable)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_hostile_3_a_websocket_goes_by_every_kind_of_proxy(scheme):
    async def echo(connection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0, max_size=None) as sockets:
        proxy = Proxy({"film.test:80": sockets.sockets[0].getsockname()[1]}, wants_password=scheme != "socks4a")
        async with running(proxy, of_tls("127.0.0.1") if scheme == "https" else None) as at:
            settings = Settings(proxy=address(scheme, at, password=scheme != "socks4a"), insecure=True, timeout_s=5)
            async with opened("ws://film.test/", settings, headers={}, door=Door(settings)) as socket:
                await socket.send(LARGE)
                assert await anext(aiter(socket)) == LARGE
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_hostile_3_the_direct_client_goes_by_every_kind_of_proxy(scheme, monkeypatch):
    async with site() as port:
        proxy = Proxy({"film.test:80": port, f"{PUBLIC}:80": port}, wants_password=scheme != "socks4a")
        async with running(proxy, of_tls("127.0.0.1") if scheme == "https" else None) as at:
            settings = Settings(proxy=address(scheme, at, password=scheme != "socks4a"), insecure=True, timeout_s=5)
            http = Http(settings, Pace(4, None))
            try:
                assert (await http.send(Request("http://film.test/large"))).body == LARGE
            finally:
                await http.close()


@pytest.mark.parametrize(
    ("insecure", "trusted", "name", "reached"),
    [
        (False, False, "127.0.0.1", False),
        (True, False, "127.0.0.1", True),
        (False, True, "127.0.0.1", True),
        (False, True, "other.test", False),
        (True, True, "other.test", True),
    ],
)
async def test_hostile_3_a_proxys_certificate_counts_as_a_sites(
    tmp_path, monkeypatch, insecure, trusted, name, reached
):
    if trusted:
        AUTHORITY.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    async with site() as port:
        proxy = Proxy({"film.test:80": port})
        async with running(proxy, of_tls(name)) as at:
            door = Door(Settings(proxy=address("https", at), insecure=insecure))
            async with by_relay(door) as http:
                if reached:
                    assert (await http.send(Request("http://film.test/x"))).body.endswith(b"/x")
                    return
                with pytest.raises(SiteUnreachable):
                    await http.send(Request("http://film.test/x"))
        assert isinstance(door.failure, BadCertificate)
        assert door.failure.values["host"] == "127.0.0.1"
        assert proxy.asked == []


@pytest.mark.parametrize("password", first_of([True, False]))
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_hostile_3_where_a_proxy_tunnels_to_443_alone_plain_requests_are_forwarded(scheme, password):
    heads.clear()
    async with site() as port:
        proxy = Proxy({"film.test:80": port, "film.test:8080": port}, frozenset((443,)), wants_password=password)
        async with running(proxy, of_tls("127.0.0.1") if scheme == "https" else None) as at:
            door = Door(Settings(proxy=address(scheme, at, password=password), insecure=True))
            async with by_relay(door) as http:
                response = await http.send(Request("http://film.test/large?a=1", headers={"Cookie": "a=b"}))
                two = await http.send(Request("http://film.test:8080/posted", "POST", {}, LARGE))
                three = await http.send(Request("http://film.test/large"))
                with pytest.raises(CloudfilmError):
                    await http.send(Request("https://film.test:8080/x"))
    assert (response.body, two.body, three.body) == (LARGE, b"%d" % len(LARGE), LARGE)
    assert "GET http://film.test/large?a=1 HTTP/1.1" in proxy.asked
    assert "POST http://film.test:8080/posted HTTP/1.1" in proxy.asked
    assert heads[0].startswith(b"GET /large?a=1 HTTP/1.1\r\n")
    assert b"proxy-" not in b"".join(heads).lower()


async def test_hostile_3_a_wrong_password_of_the_proxys_ends_with_a_word():
    proxy = Proxy({"film.test:80": 1}, wants_password=True)
    async with running(proxy) as at:
        for scheme in ("http", "socks5"):
            door = Door(Settings(proxy=f"{scheme}://somebody:else@127.0.0.1:{at}"))
            async with by_relay(door) as http:
                with pytest.raises(SiteUnreachable):
                    await http.send(Request("http://film.test/"))
            assert door.failure is not None
            assert door.failure.values["why"] == Reason.PROXY_WANTS_LOGIN


async def test_hostile_3_a_socks_4_proxy_gets_a_judged_address(tmp_path):
    async with site() as port:
        proxy = Proxy({f"{PUBLIC}:80": port, "192.168.77.1:80": port})
        async with running(proxy) as at:
            network = Played({"film.test": [PUBLIC], "evil.test": ["192.168.77.1"]})
            door = Door(Settings(proxy=address("socks4", at)), network)
            door.belongs_to("http://film.test/")
            async with by_relay(door) as http:
                assert (await http.send(Request("http://film.test/x"))).body.endswith(b"/x")
                with pytest.raises(CloudfilmError):
                    await http.send(Request("http://evil.test/x"))
    assert proxy.asked == [f"SOCKS 4 {PUBLIC}:80"]


@pytest.mark.parametrize(
    ("scheme", "tunnels_to"),
    [
        ("https", frozenset((443,))),
        pytest.param("http", frozenset((443,)), marks=pytest.mark.thorough),
        pytest.param("http", None, marks=pytest.mark.thorough),
        pytest.param("socks5", None, marks=pytest.mark.thorough),
    ],
)
@in_browser_loop
async def test_hostile_3_the_browser_goes_by_the_users_proxy(scheme, tunnels_to):
    """Plain pages, several of one host, and one over TLS, by a proxy that itself speaks TLS and tunnels to 443 alone."""

    async def pages(head: bytes, writer: asyncio.StreamWriter) -> None:
        path = head.split(b" ")[1].decode()
        body = "".join(f"<img src=/i{n}>" for n in range(8)) if path == "/page" else path
        writer.write(answer(f"<title>here</title>{body}".encode(), "Content-Type: text/html"))
        seen.append(path)

    seen: list[str] = []

    async def over_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await pages(await reader.readuntil(b"\r\n\r\n"), writer)
        writer.close()

    secure = await asyncio.start_server(over_tls, "127.0.0.1", 0, ssl=of_tls("film.test"))
    async with secure, server(pages) as port:
        sites = {"film.test:80": port, "film.test:443": secure.sockets[0].getsockname()[1]}
        proxy = Proxy(sites, tunnels_to, wants_password=True)
        async with running(proxy, of_tls("127.0.0.1") if scheme == "https" else None) as at:
            settings = Settings(proxy=address(scheme, at, password=True), insecure=True, timeout_s=60)
            async with borrowed_browser(settings) as browser:
                window = await browser.window(door=Door(settings))
                await window.open("http://film.test/page")
                await window.open("https://film.test/secure")
                assert await window.page.title() == "here"
    assert {f"/i{n}" for n in range(8)} | {"/page", "/secure"} <= set(seen)
