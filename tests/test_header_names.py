"""No request carries a header's name twice: read as raw bytes from a plain socket, whatever the client makes of names.

Source: RFC 9110 5.1 (names are case-insensitive) and 5.3 (a name may stand once, but for lists).
"""

import asyncio
import base64
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from scraper.capture.observe.own_headers import own_headers
from scraper.capture.request.dicomweb import DicomWeb
from scraper.capture.request.http_replay import HttpReplayer
from scraper.core.errors import CloudfilmError
from scraper.core.link import parse_url
from scraper.core.model import Instance, Request, WadoRs, WadoUri
from scraper.core.settings import Settings
from scraper.download.fetch import Fetcher
from scraper.download.resume import Resumable
from scraper.protocols.dicomweb import Service
from scraper.protocols.headers import merged
from scraper.session import Session
from scraper.session.browser import find_browser
from scraper.session.browser.traffic import Exchange
from scraper.session.http.client import Cookie, Http
from scraper.session.http.pace import Pace
from scraper.testing import borrowed_browser, first_of, in_browser_loop

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PAGES_OWN = {  # as the browser's traffic has them
    "accept": "*/*",
    "user-agent": "Mozilla/5.0 (Page)",
    "origin": "http://127.0.0.1",
    "referer": "http://127.0.0.1/v",
    "content-type": "application/json",
    "cookie": "a=1",
    "host": "127.0.0.1",
    "x-token": "t-1",
    "content-length": "2",
    "sec-fetch-mode": "cors",
    "accept-language": "zh-CN",
}


class Recorder:
    """A strict server on a plain socket: keeps each request's names as they came, refuses one that has a name twice."""

    def __init__(self) -> None:
        self.heads: list[list[tuple[str, str]]] = []
        self.port = 0
        self.redirect = ""
        self.writers: list[asyncio.StreamWriter] = []

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def doubled(self) -> list[tuple[str, ...]]:
        """The names that stood twice in a request, for each request."""
        counts = [Counter(name.lower() for name, _ in head) for head in self.heads]
        return [tuple(name for name, times in count.items() if times > 1) for count in counts]

    def values(self, name: str) -> list[str]:
        """What each request said under a name."""
        return [", ".join(value for text, value in head if text.lower() == name) for head in self.heads]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while True:
                raw = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                head = [(name.strip(), value.strip()) for name, _, value in (x.partition(":") for x in raw[1:] if x)]
                self.heads.append(head)
                lowered = {name.lower(): value for name, value in head}
                await reader.readexactly(int(lowered.get("content-length", 0)))
                if "upgrade" in lowered:
                    key = hashlib.sha1(lowered["sec-websocket-key"].encode() + MAGIC).digest()  # noqa: S324  RFC 6455 4.2.2
                    accept = base64.b64encode(key).decode()
                    writer.write(
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
                        + b"\x88\x00"
                    )
                    return
                if self.redirect and raw[0].split()[1] == "/first":
                    answer = f"302 Found\r\nLocation: {self.redirect}\r\nContent-Length: 0\r\n\r\n"
                else:
                    answer = (
                        "200 OK\r\nContent-Type: text/html\r\nSet-Cookie: b=2; Path=/\r\nContent-Length: 2\r\n\r\n{}"
                    )
                writer.write(b"HTTP/1.1 " + answer.encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def recording() -> AsyncIterator[Recorder]:
    recorder = Recorder()
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    recorder.port = server.sockets[0].getsockname()[1]
    async with server:
        yield recorder
        for writer in recorder.writers:
            writer.close()


@asynccontextmanager
async def session_at(recorder: Recorder, folder: Path, start_window=None) -> AsyncIterator[Session]:
    settings = Settings(timeout_s=5)
    session = Session(
        parse_url(f"{recorder.origin}/s/Ab12Cd34"),
        settings,
        Http(settings, Pace(4, None)),
        start_window=start_window,
        ask=lambda *_: None,
        spool=folder,
    )
    session.http.add_cookies([Cookie("a", "0", "127.0.0.1")])
    try:
        yield session
    finally:
        await session.close()


def sample(recorder: Recorder, body: bytes | None = None) -> Exchange:
    method = "POST" if body else "GET"
    return Exchange(f"{recorder.origin}/i/1", "xhr", method, PAGES_OWN, body, 200, {}, b"\0" * 128 + b"DICM")


async def repeated(session: Session, recorder: Recorder) -> None:
    asker = HttpReplayer(session, sample(recorder, b"{}"), lambda: session.spool / "x")
    with pytest.raises(CloudfilmError):
        await asker._object(f"{recorder.origin}/i/1\0{{}}")


async def learnt(session: Session, recorder: Recorder) -> None:
    source = WadoUri(f"{recorder.origin}/i/1", own_headers(sample(recorder)))
    with pytest.raises(CloudfilmError):
        await Fetcher(session, lambda _: None)._once(Instance("1", source), session.spool / "x")


async def dicomweb(session: Session, recorder: Recorder) -> None:
    service = Service(f"{recorder.origin}/rs", own_headers(sample(recorder)))
    with pytest.raises(CloudfilmError):
        await DicomWeb(session, service, session.spool).series("1.2.3")


async def wado_rs(session: Session, recorder: Recorder) -> None:
    source = WadoRs(f"{recorder.origin}/studies/1/series/2/instances/3", {"accept": "x/y", "AUTHORIZATION": "t"})
    with pytest.raises(CloudfilmError):
        await Fetcher(session, lambda _: None)._once(Instance("1", source), session.spool / "x")


async def provider_calls(session: Session, recorder: Recorder) -> None:
    other = {"user-agent": "A", "ACCEPT-LANGUAGE": "en", "content-type": "text/x", "host": f"127.0.0.1:{recorder.port}"}
    await session.get(
        f"{recorder.origin}/x", headers={"accept": "a/b", "cookie": "c=3; d=3", "COOKIE": "d=4; a=0", **other}
    )
    await session.post(f"{recorder.origin}/x", json={}, headers=other)
    await session.post(f"{recorder.origin}/x", form={"a": "1"}, headers={"Content-type": "a/b"})
    await session.post(f"{recorder.origin}/x")


async def signed(session: Session, recorder: Recorder) -> None:
    recorder.redirect = f"{recorder.origin}/second"
    request = Request(
        f"{recorder.origin}/first", headers={"x-sign": "0", "user-agent": "A"}, sign=lambda: {"X-Sign": "1"}
    )
    await session.request(request)
    assert recorder.values("x-sign") == ["1", "1"]


async def resumed(session: Session, recorder: Recorder) -> None:
    whole = Request(f"{recorder.origin}/x", headers={"range": "bytes=0-", "accept-encoding": "gzip"})
    into = session.spool / "x"
    into.write_bytes(b"abc")
    resumable = Resumable(session.request, whole, into)
    resumable._head = await session.get(f"{recorder.origin}/y")
    await resumable.attempt()
    assert recorder.values("range")[-1] == "bytes=3-"


async def sockets(session: Session, recorder: Recorder) -> None:
    for headers in (
        {},
        own_headers(sample(recorder)),
        {"user-agent": "A", "ORIGIN": "http://b", "cookie": "c=3", "Host": "x"},
    ):
        async with session.websocket(f"ws://127.0.0.1:{recorder.port}/s", headers=headers) as socket:
            assert [item async for item in socket] == []


KINDS = (repeated, learnt, dicomweb, wado_rs, provider_calls, signed, resumed, sockets)


@pytest.mark.parametrize("kind", first_of(KINDS), ids=lambda item: item.__name__)
async def test_verdicts_b8_no_request_carries_a_name_twice(kind, tmp_path):
    async with recording() as recorder, session_at(recorder, tmp_path) as session:
        await kind(session, recorder)
    assert recorder.heads
    assert set(recorder.doubled) == {()}
    assert all(lowered for lowered in recorder.values("user-agent"))
    assert all(recorder.values("host"))


async def test_verdicts_b8_the_page_s_own_values_win(tmp_path):
    async with recording() as recorder, session_at(recorder, tmp_path) as session:
        await repeated(session, recorder)
        await provider_calls(session, recorder)
        await sockets(session, recorder)
    assert recorder.values("user-agent")[0] == PAGES_OWN["user-agent"]
    assert recorder.values("content-type")[:4] == ["application/json", "text/x", "text/x", "a/b"]
    assert set(recorder.values("cookie")[1].split("; ")) == {"a=0", "b=2", "d=4"}
    assert recorder.values("user-agent")[-2:] == [PAGES_OWN["user-agent"], "A"]
    assert recorder.values("origin")[-1] == "http://b"


@pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
@in_browser_loop
async def test_verdicts_b8_nor_does_one_sent_from_inside_the_page(tmp_path):
    async with (
        recording() as recorder,
        borrowed_browser(Settings(timeout_s=20)) as browser,
        session_at(recorder, tmp_path, browser.window) as session,
    ):
        await session.open(f"{recorder.origin}/v")
        window = await session.window()
        headers = {"accept": "a/b", "Accept": "c/d", "x-token": "1", "X-Token": "2", "user-agent": "A"}
        await window.fetch(Request(f"{recorder.origin}/x", "POST", headers, b"{}"))
    assert set(recorder.doubled) == {()}
    assert "c/d" in recorder.values("accept")
    assert [value for value in recorder.values("x-token") if value] == ["2"]


def test_verdicts_b8_the_later_value_wins_under_the_first_spelling():
    first = {"User-Agent": "a", "Accept": "b"}
    assert merged(first, {"user-agent": "c"}, None, {"ACCEPT": "d", "x": "e"}) == {
        "User-Agent": "c",
        "Accept": "d",
        "x": "e",
    }
    assert merged({"x-a": "1", "X-A": "2"}) == {"x-a": "2"}
