"""The WebSocket door: what it sends in the handshake, and what a connection that fails means."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from scraper.core.errors import BadCertificate, SessionLapsed, SiteBusy, SiteUnreachable
from scraper.core.link import parse_url
from scraper.core.settings import ConnectTo, Settings
from scraper.session import Session
from scraper.session.door import Door
from scraper.session.http.client import Cookie, Http
from scraper.session.http.pace import Pace
from scraper.session.websocket import cookie_header, opened

LINK = "https://film.aurora.test/s/Ab12Cd34"


class Echo:
    """Sends back what comes, and remembers how it was asked; ``status``: refuses instead."""

    def __init__(self, status: HTTPStatus | None = None) -> None:
        self.status = status
        self.asked: Request | None = None

    async def handle(self, connection: ServerConnection) -> None:
        async for message in connection:
            if message == "bye":
                return
            await connection.send(message)

    def judge(self, connection: ServerConnection, request: Request) -> Response | None:
        self.asked = request
        return connection.respond(self.status, "no") if self.status else None


@asynccontextmanager
async def talking(echo: Echo, *, insecure: bool = True) -> AsyncIterator[Session]:
    authority = trustme.CA()
    certificate = authority.issue_cert("film.aurora.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    async with serve(echo.handle, "127.0.0.1", 0, ssl=context, process_request=echo.judge) as server:
        port = server.sockets[0].getsockname()[1]
        rows = (ConnectTo.parse(f"film.aurora.test:443:127.0.0.1:{port}"),)
        settings = Settings(connect_to=rows, insecure=insecure, timeout_s=5)

        async def no_window() -> None:
            raise AssertionError

        session = Session(
            parse_url(LINK),
            settings,
            Http(settings, Pace(4, None), "agent/1"),
            start_window=no_window,
            ask=lambda *_: None,
            spool=Path(),
        )
        try:
            yield session
        finally:
            await session.close()


async def test_the_handshake_is_a_browsers():
    echo = Echo()
    async with talking(echo) as session:
        session.http.add_cookies([Cookie("k", "v", "film.aurora.test"), Cookie("other", "x", "elsewhere.test")])
        async with session.websocket("wss://film.aurora.test/socket", headers={"X-Extra": "1"}) as socket:
            await socket.send("hello")
            assert await socket.receive() == "hello"
            await socket.send(b"\x00\xff")
            assert await socket.receive() == b"\x00\xff"
            await socket.send("bye")
            assert [message async for message in socket] == []
    assert echo.asked is not None
    sent = echo.asked.headers
    named = ("Host", "Origin", "User-Agent", "Cookie", "X-Extra")
    expected = ["film.aurora.test", "https://film.aurora.test", "agent/1", "k=v", "1"]
    assert [sent[name] for name in named] == expected


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (HTTPStatus.FORBIDDEN, SessionLapsed),
        (HTTPStatus.UNAUTHORIZED, SessionLapsed),
        (HTTPStatus.SERVICE_UNAVAILABLE, SiteBusy),
        (HTTPStatus.NOT_FOUND, SiteUnreachable),
    ],
)
async def test_a_refusal_is_named(status, error):
    async with talking(Echo(status)) as session:
        with pytest.raises(error):
            async with session.websocket("wss://film.aurora.test/socket"):
                pass


async def test_a_certificate_that_nobody_vouches_for():
    async with talking(Echo(), insecure=False) as session:
        with pytest.raises(BadCertificate):
            async with session.websocket("wss://film.aurora.test/socket"):
                pass


async def test_silence_and_an_end_are_told_apart_from_messages():
    async with talking(Echo()) as session, session.websocket("wss://film.aurora.test/socket") as socket:
        with pytest.raises(SiteUnreachable) as silence:
            await socket.receive(timeout_s=0.05)
        await socket.send("bye")
        with pytest.raises(SiteUnreachable) as end:
            await socket.receive()
    assert silence.value.values["why"] != end.value.values["why"]


async def test_nobody_there():
    settings = Settings(connect_to=(ConnectTo.parse("film.aurora.test:80:127.0.0.1:1"),), timeout_s=5)
    with pytest.raises(SiteUnreachable):
        async with opened("ws://film.aurora.test/socket", settings, headers={}, door=Door(settings)):
            pass


@pytest.mark.parametrize(
    ("cookie", "is_sent"),
    [
        (Cookie("a", "1", "film.test"), True),
        (Cookie("a", "1", ".film.test"), True),
        (Cookie("a", "1", ".test"), True),
        (Cookie("a", "1", "ilm.test"), False),
        (Cookie("a", "1", "test"), False),
        (Cookie("a", "1", "film.test", "/socket"), True),
        (Cookie("a", "1", "film.test", "/sock"), False),
        (Cookie("a", "1", "film.test", "/other"), False),
        (Cookie("a", "1", "film.test", secure=True), False),
    ],
)
def test_only_the_addresses_own_cookies_are_sent(cookie, is_sent):
    assert cookie_header([cookie], "ws://film.test/socket/1") == ("a=1" if is_sent else "")
