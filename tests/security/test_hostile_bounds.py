"""Nothing goes on for ever, grows without end or fills the disk: each attack ends, and what came before it is kept."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from websockets.asyncio.server import serve

from fixtures.dicom import SyntheticStudy, chest_ct
from scraper.contract import Discovered, Provider
from scraper.core import settings
from scraper.core.errors import AsksToWait, DiskFull, ExitCode, NothingNew, SiteBusy, SiteChanged
from scraper.core.link import ShareLink, parse_url
from scraper.core.model import Result, Status
from scraper.core.settings import BrowserUse, ConnectTo, Settings
from scraper.pipeline.discover import listed
from scraper.pipeline.run import Run
from scraper.session import Response, Session, direct
from scraper.session.http import client, status
from scraper.session.http.client import Http
from scraper.session.http.pace import Pace
from scraper.testing import Silent, borrowed_browser, in_browser_loop, nobody
from tests.aurora import LINK, Site, serving
from tests.security.test_hostile_addresses import answer, server

pytestmark = pytest.mark.usefixtures("plugged_in")
ENDS_S = 180.0  # far more than any of these needs; without its bound each would take for ever


@pytest.fixture(scope="module")
def study() -> SyntheticStudy:
    return chest_ct(slices=10, size=64, seed=7)


class Hostile(Site):
    """A site that serves all but one instance well; ``attack`` names what it does with that one."""

    def __init__(self, study: SyntheticStudy, attack: str) -> None:
        series = {item.uid: {i.sop_instance_uid: i.data for i in item.instances} for item in study.series}
        super().__init__(str(study.study_instance_uid), series)
        self.attack = attack
        self.victim = next(iter(next(iter(series.values()))))

    async def _image(self, writer: asyncio.StreamWriter, data: bytes) -> bool:
        if data != self.originals[self.victim]:
            return await super()._image(writer, data)
        match self.attack:
            case "trickle":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while True:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.05)
            case "endless":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    writer.write(b"100000\r\n" + bytes(2**20) + b"\r\n")
                    await writer.drain()
            case "announced":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n")
                while True:
                    writer.write(bytes(2**20))
                    await writer.drain()
            case "silent":
                await asyncio.sleep(3600)
            case "later":
                return await self._plain(writer, 429, b"", "Retry-After: 1000000")
            case "date":
                then = format_datetime(datetime.now(UTC) + timedelta(days=30), usegmt=True)
                return await self._plain(writer, 503, b"", f"Retry-After: {then}")
        raise AssertionError(self.attack)


async def grab(site: Site, output: Path, **options: object) -> Result:
    rows = tuple(ConnectTo.parse(row) for row in site.connect_to)
    given = {"timeout_s": 1.0, "give_up_s": 4.0, "jobs": 2, **options}
    chosen = Settings(output=output, browser=BrowserUse.NEVER, connect_to=rows, **given)
    async with asyncio.timeout(ENDS_S), Run(chosen, Silent(), nobody) as run:
        return await run.grab(LINK)


@pytest.mark.parametrize("attack", ["trickle", "endless", "announced", "silent", "later", "date"])
async def test_hostile_8_one_instance_that_never_ends_costs_no_more_than_itself(study, tmp_path, monkeypatch, attack):
    monkeypatch.setattr(client, "MOST_INSTANCE_BYTES", 8 * 2**20)
    site = Hostile(study, attack)
    async with serving(site):
        result = await grab(site, tmp_path)
    assert (result.status, result.exit_code) == (Status.INCOMPLETE, ExitCode.INCOMPLETE)
    whole = [path for path in tmp_path.rglob("*.dcm") if path.stat().st_size]
    if attack in ("later", "date"):  # it asks for a pause of days: whoever is there already is kept, nobody waits
        assert site.requests[f"/image/{site.victim}"] <= 2
    else:
        assert len(whole) == len(site.originals) - 1
    assert result.counts.saved == len(whole)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 2**20]


async def test_hostile_8_a_long_pause_is_said(study, tmp_path):
    site = Hostile(study, "later")
    site.series = {
        uid: {site.victim: images[site.victim]} for uid, images in site.series.items() if site.victim in images
    }
    async with serving(site):
        result = await grab(site, tmp_path)
    assert isinstance(result.error, AsksToWait) or "1000000" in json.dumps(
        [dict(problem.values) for study in result.studies for series in study.series for problem in series.problems]
        + [dict(problem.values) for study in result.studies for problem in study.problems]
    )


@pytest.mark.parametrize(
    ("value", "seconds", "kind"),
    [
        ("120", 120, SiteBusy),
        ("300", 300, SiteBusy),
        ("301", 301, AsksToWait),
        ("9" * 40, 1e11, AsksToWait),
        ("-5", None, SiteBusy),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0, SiteBusy),
        ("soon", None, SiteBusy),
        ("", None, SiteBusy),
    ],
)
def test_hostile_8_a_pause_is_read_in_both_forms(value, seconds, kind):
    busy = Response(429, {"retry-after": value}, b"", "http://film.test/")
    assert busy.retry_after_s == seconds or (seconds and busy.retry_after_s and busy.retry_after_s >= seconds)
    assert type(status.call_error(429, "film.test", "/", busy.retry_after_s)) is kind


async def test_hostile_8_a_list_of_which_nothing_comes_ends(study, tmp_path):
    site = Hostile(study, "silent")
    uid = next(iter(site.series))
    listed_there = {f"1.2.3.{number}": b"" for number in range(5_000)}

    class Empty(Hostile):
        def _study(self) -> dict[str, object]:
            images = {sop: f"/image/{sop}" for sop in listed_there}
            return {"studyUid": self.study_uid, "series": [{"seriesUid": uid, "seriesNumber": 1, "images": images}]}

    empty = Empty(study, "silent")
    async with serving(empty):
        result = await grab(empty, tmp_path, give_up_s=2.0)
    assert result.exit_code in (ExitCode.INCOMPLETE, ExitCode.SITE)
    assert 0 < sum(empty.requests.values()) < 5_000


@asynccontextmanager
async def talking(tmp_path: Path, port: int, **options: object) -> AsyncIterator[Session]:
    chosen = Settings(
        connect_to=(ConnectTo.parse(f"film.test::127.0.0.1:{port}"),), **{"timeout_s": 5, "give_up_s": 1.0, **options}
    )

    async def no_window() -> None:
        raise AssertionError

    session = Session(
        parse_url("http://film.test/s/1"),
        chosen,
        Http(chosen, Pace(4, None)),
        start_window=no_window,
        ask=lambda *_: None,
        spool=tmp_path / "spool",
    )
    try:
        async with asyncio.timeout(ENDS_S):
            yield session
    finally:
        await session.close()


class EndlessPages(Provider):
    name = "endless-pages"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Discovered]:
        number = 0
        while True:
            number += 1
            if not (await session.get(link.join(f"/list?page={number}"))).json()["more"]:
                return
            await asyncio.sleep(0.02)  # the site's own pace
            if number < 0:
                yield


class EndlessSocket(Provider):
    name = "endless-socket"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Discovered]:
        async with session.websocket("ws://film.test/socket") as socket:
            async for message in socket:
                if message == "end":
                    yield


async def test_hostile_8_endless_pages_of_a_list_end(tmp_path):
    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(json.dumps({"more": True, "page": head[:40].decode()}).encode()))

    async with server(handler) as port, talking(tmp_path, port) as session:
        with pytest.raises(NothingNew):
            await listed(EndlessPages(), session.link, session)


async def test_hostile_8_an_endless_socket_ends(tmp_path):
    async def handle(connection) -> None:
        while True:
            await connection.send("again")
            await asyncio.sleep(0.01)

    async with (
        serve(handle, "127.0.0.1", 0) as running,
        talking(tmp_path, running.sockets[0].getsockname()[1]) as session,
    ):
        with pytest.raises(NothingNew):
            await listed(EndlessSocket(), session.link, session)


async def test_hostile_8_a_list_has_a_largest_size(tmp_path, monkeypatch):
    monkeypatch.setattr(direct, "MOST_LIST_BYTES", 2**20)

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"[" + b"1," * (2**20 if b"/long" in head else 100) + b"1]"))

    async with server(handler) as port, talking(tmp_path, port) as session:
        assert len((await session.get("http://film.test/short")).json()) == 101
        with pytest.raises(SiteChanged):
            await session.get("http://film.test/long")


async def test_hostile_8_the_disk_keeps_its_reserve(study, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "RESERVE_BYTES", 2**60)
    site = Hostile(study, "silent")
    async with serving(site):
        result = await grab(site, tmp_path)
    assert isinstance(result.error, DiskFull)
    assert result.exit_code == ExitCode.STORE
    assert not list(tmp_path.rglob("*.dcm"))


async def test_hostile_8_the_reserve_is_looked_at_while_a_body_is_written(tmp_path, monkeypatch):
    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"100000\r\n" + bytes(2**20) + b"\r\n")
            await writer.drain()

    sizes: list[int] = []

    def fills_up(size: int) -> None:
        sizes.append(size)
        if sum(sizes) > 4 * 2**20:
            monkeypatch.setattr(settings, "RESERVE_BYTES", 2**60)

    monkeypatch.setattr(settings, "RESERVE_EVERY_BYTES", 2**20)
    async with server(handler) as port:
        chosen = Settings(connect_to=(ConnectTo.parse(f"film.test::127.0.0.1:{port}"),), timeout_s=5)
        async with client.opened(chosen, Pace(4, None)) as http, asyncio.timeout(ENDS_S):
            from scraper.core.model import Request

            with pytest.raises(DiskFull):
                await http.send(Request("http://film.test/x"), into=tmp_path / "x", on_bytes=fills_up)
    assert (tmp_path / "x").stat().st_size < 16 * 2**20


def test_hostile_8_every_bound_is_a_named_value():
    bounds = {
        name: value
        for name, value in vars(settings).items()
        if name.startswith(("MOST_", "LONGEST_", "SLOWEST_", "RESERVE"))
    }
    assert bounds["LONGEST_RETRY_AFTER_S"] == 300
    assert bounds["MOST_LIST_BYTES"] == 64 * 2**20
    assert bounds["MOST_INSTANCE_BYTES"] == 2 * 2**30
    assert bounds["RESERVE_BYTES"] == 500 * 2**20
    assert bounds["LONGEST_RETRY_AFTER_S"] == settings.Settings().timings.asked_pause_s


@pytest.mark.parametrize(
    "script", ["for (;;) alert(1)", pytest.param("setInterval(() => confirm('x'), 1)", marks=pytest.mark.thorough)]
)
@in_browser_loop
async def test_hostile_8_a_page_that_never_stops_asking_ends(script):
    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(
            answer(
                f"<title>x</title><script>setTimeout(() => {{ {script} }}, 50)</script>".encode(),
                "Content-Type: text/html",
            )
        )

    chosen = Settings(timeout_s=20)
    async with server(handler) as port, borrowed_browser(chosen) as browser, asyncio.timeout(ENDS_S):
        window = await browser.window()
        with pytest.raises(SiteChanged, match="endless-messages"):
            await asking(window, f"http://127.0.0.1:{port}/")


async def asking(window, url: str) -> None:
    async with window.guard():
        await window.open(url)
        await window.traffic.wait_for("/never", timeout_s=20)


@pytest.mark.thorough
@in_browser_loop
async def test_hostile_8_a_download_that_never_ends_leaves_the_reserve(monkeypatch):
    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        if b"GET /file" in head:
            head_lines = (
                "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment\r\n\r\n"
            )
            writer.write(head_lines.encode())
            monkeypatch.setattr(settings, "RESERVE_BYTES", 2**60)
            while True:
                writer.write(bytes(2**16))
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.write(answer(b"<title>x</title><a href='/file' id=a>x</a>", "Content-Type: text/html"))

    async with server(handler) as port, borrowed_browser(Settings(timeout_s=20)) as browser, asyncio.timeout(ENDS_S):
        window = await browser.window()
        await window.open(f"http://127.0.0.1:{port}/")
        await window.page.click("#a")
        with pytest.raises(DiskFull):
            await window.traffic.wait_for("/never", timeout_s=20)
