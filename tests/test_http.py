"""The direct client over real sockets: connect-to, cookies, redirects hop by hop, broken answers, TLS."""

import asyncio
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from hypercorn.asyncio import serve
from hypercorn.config import Config

from scraper.core.errors import BadCertificate, SiteChanged, SiteUnreachable, UnsafeRedirect
from scraper.core.link import parse_url
from scraper.core.model import Request
from scraper.core.questions import PASSWORD
from scraper.core.settings import ConnectTo, Settings
from scraper.core.timings import Timings
from scraper.session import Session
from scraper.session.http.client import Cookie, Http
from scraper.session.http.pace import Pace

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await handler(head, writer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with running:
        yield running.sockets[0].getsockname()[1]


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def client(*connect_to: str, **options: object) -> AsyncIterator[Http]:
    rows = tuple(ConnectTo.parse(row) for row in connect_to)
    http = Http(Settings(connect_to=rows, timeout_s=2, **options), Pace(4, None))
    try:
        yield http
    finally:
        await http.close()


async def test_connect_to_keeps_name_and_port_in_the_request():
    seen = []

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(head)
        writer.write(answer(b"hello"))

    async with (
        server(handler) as port,
        client(f"film.aurora.test:8088:127.0.0.1:{port}", f"203.0.113.9:80:127.0.0.1:{port}") as http,
    ):
        assert (await http.send(Request("http://film.aurora.test:8088/x?y=%2F+1"))).body == b"hello"
        assert (await http.send(Request("http://203.0.113.9/z"))).ok
    assert seen[0].startswith(b"GET /x?y=%2F+1 HTTP/1.1\r\n")
    assert b"Host: film.aurora.test:8088\r\n" in seen[0]
    assert b"Host: 203.0.113.9\r\n" in seen[1]


async def test_cookies_go_back_to_their_own_host_as_they_came():
    seen = []

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(head)
        writer.write(answer(b"", "Set-Cookie: a=x/y+z==; Path=/; HttpOnly"))

    async with server(handler) as port, client(f"::127.0.0.1:{port}") as http:
        await http.send(Request("http://one.test/"))
        http.add_cookies([Cookie("b", "2", "one.test")])
        await http.send(Request("http://one.test/again"))
        await http.send(Request("http://two.test/"))
        assert {cookie.name: cookie.value for cookie in http.cookies() if cookie.domain == "one.test"} == {
            "a": "x/y+z==",
            "b": "2",
        }
    assert b"a=x/y+z==" in seen[1]
    assert b"b=2" in seen[1]
    assert b"Cookie" not in seen[2]


async def test_redirects_are_followed_and_authorization_stays_home():
    seen = []

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(head)
        if b"GET /go" in head:
            writer.write(answer(b"", "Location: //cdn.test/image", status="302 Found"))
        else:
            writer.write(answer(b"there"))

    async with server(handler) as port, client(f"::127.0.0.1:{port}") as http:
        got = await http.send(Request("http://film.test/go", headers={"Authorization": "Bearer x"}))
        back = await http.send(Request("http://film.test/go"), hops=0)
    assert (got.body, got.url, got.hops) == (b"there", "http://cdn.test/image", ("http://film.test/go",))
    assert b"Authorization: Bearer x" in seen[0]
    assert b"Authorization" not in seen[1]
    assert back.status == 302


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1/x",
        "http://192.168.0.1/",
        "http://localhost/",
        "http://[::1]/",
        "http://169.254.169.254/latest",
    ],
)
async def test_a_public_link_never_leads_inside(target):
    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"", f"Location: {target}", status="302 Found"))

    async with server(handler) as port, client(f"film.test:80:127.0.0.1:{port}") as http:
        with pytest.raises(UnsafeRedirect):
            await http.send(Request("http://film.test/"))


async def test_a_body_streams_into_a_file(tmp_path: Path):
    body = bytes(range(256)) * 4096
    pieces = []

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(body))

    async with server(handler) as port, client(f"::127.0.0.1:{port}") as http:
        got = await http.send(Request("http://film.test/"), into=tmp_path / "x.part", on_bytes=pieces.append)
    assert (tmp_path / "x.part").read_bytes() == body
    assert got.body == b""
    assert sum(pieces) == len(body)


async def test_the_signer_runs_when_the_request_leaves():
    seen, count = [], iter(range(9))

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(head)
        writer.write(answer(b""))

    async with server(handler) as port, client(f"::127.0.0.1:{port}") as http:
        request = Request("http://film.test/", sign=lambda: {"Nonce": str(next(count))})
        await http.send(request)
        await http.send(request)
    assert b"Nonce: 0" in seen[0]
    assert b"Nonce: 1" in seen[1]


SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"
GZIP = (
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n"
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03AAAAAAAAAA"
)


@pytest.mark.parametrize(
    "wire", [SHORT, CHUNKED, GZIP, b"", b"garbage\r\n\r\n"], ids=["short", "chunked", "gzip", "empty", "no-http"]
)
async def test_a_broken_answer_is_no_answer(wire: bytes):
    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(wire)

    async with server(handler) as port, client(f"::127.0.0.1:{port}") as http:
        with pytest.raises(SiteUnreachable):
            await http.send(Request("http://film.test/"))


async def test_silence_is_given_up():
    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab")
        await writer.drain()
        await asyncio.sleep(30)

    async with server(handler) as port, client(f"::127.0.0.1:{port}") as http:
        with pytest.raises(SiteUnreachable):
            await http.send(Request("http://film.test/"))


async def test_nobody_listens_and_no_such_name():
    async with client("refused.test:80:127.0.0.1:1") as http:
        with pytest.raises(SiteUnreachable, match="refused"):
            await http.send(Request("http://refused.test/"))
        with pytest.raises(SiteUnreachable, match="name"):
            await http.send(Request("http://nobody.invalid/"))


async def test_an_answer_that_is_far_too_large_is_cut():
    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"x" * 4096))

    async with server(handler) as port, client(f"::127.0.0.1:{port}") as http:
        with pytest.raises(SiteChanged):
            await http.send(Request("http://film.test/"), limit=1000)


async def test_a_certificate_of_nobody_is_refused_unless_insecure():
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("film.test").configure_cert(context)

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"secret"))

    async with server(handler, context) as port:
        async with client(f"film.test:443:127.0.0.1:{port}") as http:
            with pytest.raises(BadCertificate):
                await http.send(Request("https://film.test/"))
        async with client(f"film.test:443:127.0.0.1:{port}", insecure=True) as http:
            assert (await http.send(Request("https://film.test/"))).body == b"secret"


async def test_http_2_is_spoken_where_it_is_offered(tmp_path):
    """Several bodies at once, over one connection or more; each is whole."""
    authority, versions = trustme.CA(), set()
    authority.issue_cert("film.test").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "site.pem"))

    async def app(scope, receive, send) -> None:
        versions.add(scope["http_version"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode() * 40_000})

    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]
    config.certfile = config.keyfile = str(tmp_path / "site.pem")
    config.errorlog = None
    over = asyncio.Event()
    serving = asyncio.create_task(serve(app, config, shutdown_trigger=over.wait, mode="asgi"))
    try:
        async with client(f"film.test:443:127.0.0.1:{port}", insecure=True) as http:
            answers = await asyncio.gather(
                *(http.send(Request(f"https://film.test/{name}"), into=tmp_path / name) for name in "abcdefgh")
            )
    finally:
        over.set()
        await serving
    assert versions == {"2"}
    assert all(response.ok for response in answers)
    assert [(tmp_path / name).read_bytes() for name in "abcdefgh"] == [
        f"/{name}".encode() * 40_000 for name in "abcdefgh"
    ]


@pytest.mark.parametrize("text", ["", "a:b", "a:1:b:x", "a:1:b:2:c", "a:1:b:70000", "a:1::", "[::1:1:b:2"])
def test_connect_to_refuses_other_forms(text):
    from scraper.core.errors import UsageError

    with pytest.raises(UsageError):
        ConnectTo.parse(text)


def test_connect_to_forms():
    assert ConnectTo.parse("Film.test:443:127.0.0.1:8443") == ConnectTo("film.test", 443, "127.0.0.1", 8443)
    assert ConnectTo.parse("::[::1]:8443") == ConnectTo("", None, "::1", 8443)
    assert ConnectTo.parse("a.test:80:b.test:") == ConnectTo("a.test", 80, "b.test", None)


@pytest.mark.parametrize(
    ("send", "times"),
    [
        (lambda session, url: session.get(url), 3),
        (lambda session, url: session.post(url, json={"page": 1}), 3),
        (lambda session, url: session.post(url, json={"code": session.answer(PASSWORD)}), 1),
        (lambda session, url: session.get(url, params={"code": session.answer(PASSWORD)}), 1),
        (lambda session, url: session.get(url, params={"digest": md5(session.answer(PASSWORD))}), 1),
    ],
)
async def test_a_busy_host_is_asked_again_but_never_with_a_persons_answer(tmp_path, send, times):
    heads = []

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(answer(b"", status="503 Service Unavailable"))

    async def no_window() -> None:
        raise AssertionError

    async with server(handler) as port:
        settings = Settings(answers={"password": "s3cret"}, timeout_s=2, timings=Timings(busy_pauses_s=(0.0, 0.0)))
        session = Session(
            parse_url(f"http://127.0.0.1:{port}/"),
            settings,
            Http(settings, Pace(4, None)),
            start_window=no_window,
            ask=lambda *_: None,
            spool=tmp_path,
        )
        response = await send(session, f"http://127.0.0.1:{port}/list")
        assert response.status == 503
        assert len(heads) == times
        await session.get(f"http://127.0.0.1:{port}/next")
        assert len(heads) == times + 3
        await session.close()


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
