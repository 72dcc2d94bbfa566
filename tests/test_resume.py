"""A large body over a connection that breaks: it goes on where the site lets it, and comes whole either way."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fixtures.dicom import chest_ct
from scraper.core.errors import CorruptInstance, LinkExpired, SiteBusy, SiteUnreachable
from scraper.core.link import parse_url
from scraper.core.model import Package, Request
from scraper.core.settings import Settings
from scraper.core.timings import Timings
from scraper.download import retry
from scraper.download.fetch import Fetcher
from scraper.session import Session
from scraper.session.http.client import Http
from scraper.session.http.pace import Pace

CHUNK = 30_000


class Site:
    """Gives one body, and breaks off after so many bytes; remembers the ranges that it was asked for."""

    def __init__(self, body: bytes, *, breaks: int, ranges: bool = True, changes: bool = False) -> None:
        self.body, self.breaks, self.ranges, self.changes = body, breaks, ranges, changes
        self.asked: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(line.split(": ", 1) for line in head.lower().splitlines() if ": " in line)
        wanted = fields.get("range", "")
        self.asked.append(wanted)
        tag = f'"v{len(self.asked) if self.changes else 1}"'
        offset = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if fields.get("if-range", tag) != tag:
            offset = 0
        rest = self.body[offset:]
        lines = [
            "HTTP/1.1 206 Partial" if offset else "HTTP/1.1 200 OK",
            f"Content-Length: {len(rest)}",
            "Connection: close",
        ]
        if self.ranges:
            lines += ["Accept-Ranges: bytes", f"ETag: {tag}"]
        if offset:
            lines += [f"Content-Range: bytes {offset}-{len(self.body) - 1}/{len(self.body)}"]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        if self.breaks:
            self.breaks -= 1
            rest = rest[:CHUNK]
        writer.write(rest)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def fetching(answer: Callable[..., object], spool: Path) -> AsyncIterator[tuple[Fetcher, str]]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/study.zip"

    async def no_window() -> None:
        raise AssertionError

    settings = Settings(timeout_s=5, timings=Timings(first_pause_s=0.01))
    session = Session(
        parse_url(url),
        settings,
        Http(settings, Pace(4, None)),
        start_window=no_window,
        ask=lambda *_: None,
        spool=spool,
    )
    try:
        yield Fetcher(session), url
    finally:
        await session.close()
        server.close()
        await server.wait_closed()


@pytest.fixture(scope="module")
def archive() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as opened:
        for instance in chest_ct(slices=6, size=128, seed=9).instances:
            opened.writestr(f"2/{instance.instance_number}-{instance.sop_instance_uid}.dcm", instance.data)
    return packed.getvalue()


async def members(site: Site, tmp_path: Path) -> int:
    async with fetching(site.answer, tmp_path) as (fetcher, url):
        found = await fetcher.package(Package(Request(url)), tmp_path / "package")
    assert not list(tmp_path.glob("package.zip*")), "nothing of the archive stays behind"
    return len([member for member in found if member.path is not None])


async def test_it_goes_on_where_it_stopped_however_often_it_breaks(archive, tmp_path):
    site = Site(archive, breaks=len(archive) // CHUNK - 1)
    assert site.breaks > retry.ATTEMPTS - 3
    assert await members(site, tmp_path) == len(chest_ct(slices=6, size=128, seed=9).instances)
    assert site.asked == ["", *(f"bytes={CHUNK * n}-" for n in range(1, len(archive) // CHUNK))]


async def test_a_site_without_ranges_is_asked_for_all_of_it_again(archive, tmp_path):
    site = Site(archive, breaks=2, ranges=False)
    assert await members(site, tmp_path) == len(chest_ct(slices=6, size=128, seed=9).instances)
    assert site.asked == ["", "", ""]


async def test_a_body_that_changed_meanwhile_is_taken_whole(archive, tmp_path):
    site = Site(archive, breaks=1, changes=True)
    assert await members(site, tmp_path) == len(chest_ct(slices=6, size=128, seed=9).instances)
    assert site.asked == ["", f"bytes={CHUNK}-"]


async def test_a_site_that_gives_nothing_is_given_up(tmp_path):
    site = Site(b"x" * CHUNK, breaks=99, ranges=False)
    site.body = b""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        site.asked.append("")
        writer.close()

    async with fetching(silent, tmp_path) as (fetcher, url):
        with pytest.raises(SiteUnreachable):
            await fetcher.package(Package(Request(url)), tmp_path / "package")
    assert len(site.asked) == retry.ATTEMPTS


async def test_a_study_of_one_object_needs_no_zip(tmp_path):
    instance = chest_ct(slices=6, size=128, seed=9).instances[0]
    async with fetching(Site(instance.data, breaks=0).answer, tmp_path) as (fetcher, url):
        found = await fetcher.package(Package(Request(url)), tmp_path / "package")
    assert [member.path.read_bytes() for member in found] == [instance.data]


async def test_what_is_no_zip_is_asked_for_once_more_and_then_named(tmp_path):
    site = Site(b"<html>busy</html>" * 40, breaks=0)
    async with fetching(site.answer, tmp_path) as (fetcher, url):
        with pytest.raises(CorruptInstance):
            await fetcher.package(Package(Request(url)), tmp_path / "package")
    assert len(site.asked) == 2


async def test_a_job_that_says_it_cannot_is_not_asked_again(tmp_path):
    asked = []

    async def job() -> Request:
        asked.append(1)
        raise SiteBusy(host="a.test")

    async with fetching(Site(b"", breaks=0).answer, tmp_path) as (fetcher, _):
        with pytest.raises(SiteBusy):
            await fetcher.package(Package(job), tmp_path / "package")
    assert asked == [1]


async def test_a_refusal_means_what_the_recipe_says(tmp_path):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 4\r\nConnection: close\r\n\r\nover")
        await writer.drain()
        writer.close()

    def meant(status: int, body: bytes) -> Exception | None:
        return LinkExpired(body.decode()) if status == 403 else None

    async with fetching(refuse, tmp_path) as (fetcher, url):
        with pytest.raises(LinkExpired, match="over"):
            await fetcher.package(Package(Request(url), refused=meant), tmp_path / "package")
