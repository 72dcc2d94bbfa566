"""A run that brings nothing new for too long ends with what it has on the disk, and says so; 9 is for nothing at all."""

import asyncio
import importlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from fixtures.dicom import SyntheticStudy, chest_ct
from scraper.contract import Discovered, Session, ShareLink
from scraper.core.errors import ExitCode, NothingNew
from scraper.core.model import Result, Status
from scraper.core.settings import MOST_BUSY_TIMES, BrowserUse, ConnectTo, Settings
from scraper.pipeline.run import Run
from scraper.session.browser import find_browser
from scraper.session.browser.processes import of_this_system
from scraper.store.place import REPORT
from scraper.testing import Silent, in_pipeline, nobody
from tests.aurora import LINK, Site, serving
from tests.security.test_hostile_addresses import answer, server

ENDS_S = 60.0


@pytest.fixture(scope="module")
def study() -> SyntheticStudy:
    return chest_ct(slices=6, size=64, seed=11)


def codes(result: Result) -> set[str]:
    own = [problem.code for study in result.studies for problem in study.problems if problem.fatal]
    return {
        *own,
        *(
            problem.code
            for study in result.studies
            for row in study.series
            for problem in row.problems
            if problem.fatal
        ),
    }


async def run(output, rows: tuple[ConnectTo, ...], link: str, ends_s: float = ENDS_S, **options: object) -> Result:
    given = {"browser": BrowserUse.NEVER, "give_up_s": 2.0, **options}
    settings = Settings(output=output, connect_to=rows, timeout_s=5, **given)
    async with asyncio.timeout(ends_s):
        return await in_pipeline(settings, lambda pipeline: pipeline.grab(link))


@pytest.fixture
def endless(plugged_in, monkeypatch) -> dict[str, int]:
    """The provider of the Aurora site, whose list has no end after so many of its series."""
    provider = importlib.import_module("cloudfilm_aurora").Aurora
    original, keeps = provider.discover, {"series": 1}

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Discovered]:
        left = keeps["series"]
        async for item in original(self, link, session):
            if left == 0:
                break
            left -= 1
            yield item
        while True:
            await session.get(link.join("/api/study?page=2"))
            await asyncio.sleep(0.02)  # the site's own pace

    monkeypatch.setattr(provider, "discover", discover)
    return keeps


def site_of(study: SyntheticStudy) -> tuple[Site, tuple[ConnectTo, ...]]:
    series = {item.uid: {i.sop_instance_uid: i.data for i in item.instances} for item in study.series}
    return Site(str(study.study_instance_uid), series), ()


@pytest.mark.parametrize("chosen", [(), ("1",)])
async def test_hostile_8_a_list_without_end_keeps_what_it_gave(study, tmp_path, endless, chosen):
    site, _ = site_of(study)
    async with serving(site):
        rows = tuple(ConnectTo.parse(row) for row in site.connect_to)
        result = await run(tmp_path, rows, LINK, series=chosen)
    first = next(iter(site.series.values()))
    assert (result.status, result.exit_code, result.error) == (Status.INCOMPLETE, ExitCode.INCOMPLETE, None)
    assert result.counts.saved == len(first) == len(list(tmp_path.rglob("*.dcm")))
    assert "given-up" in codes(result)
    report = json.loads(next(tmp_path.rglob(REPORT)).read_text("utf-8"))
    assert "given-up" in json.dumps(report)


async def test_hostile_8_a_list_without_end_that_gives_nothing_is_the_sites_error(study, tmp_path, endless):
    endless["series"] = 0
    site, _ = site_of(study)
    async with serving(site):
        rows = tuple(ConnectTo.parse(row) for row in site.connect_to)
        result = await run(tmp_path, rows, LINK)
    assert isinstance(result.error, NothingNew)
    assert (result.status, result.exit_code) == (Status.FAILED, ExitCode.SITE)
    assert not list(tmp_path.rglob("*.dcm"))


async def test_hostile_8_a_list_that_was_ended_is_not_said_to_be_whole(study, tmp_path, endless):
    site, _ = site_of(study)
    async with serving(site):
        rows = tuple(ConnectTo.parse(row) for row in site.connect_to)
        settings = Settings(output=tmp_path, connect_to=rows, browser=BrowserUse.NEVER, give_up_s=1.0)
        async with asyncio.timeout(ENDS_S), Run(settings, Silent(), nobody) as pipeline:
            result = await pipeline.survey(LINK)
    assert (result.status, result.exit_code) == (Status.INCOMPLETE, ExitCode.INCOMPLETE)
    assert [problem.code for study in result.studies for problem in study.problems] == ["given-up"]


PAGE = """<!doctype html><title>viewer</title><canvas width=600 height=600></canvas><p>loading ...</p><script>
(async () => {
  for (const name of [%s]) await (await fetch("/image/" + name)).arrayBuffer();
  for (let n = 0; ; n++) { await fetch("/poll?n=" + n); await new Promise(done => setTimeout(done, 200)); }
})();
</script>"""


@pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
@pytest.mark.skipif(sys.platform != "linux", reason="finds the browser's processes in /proc")
async def test_hostile_7_a_viewer_whose_browser_ends_keeps_what_was_captured(study, tmp_path):
    files = {str(n): item.data for n, item in enumerate(study.instances[:4])}
    before = set(of_this_system().found())  # of the browser that other tests share

    async def pages(head: bytes, writer: asyncio.StreamWriter) -> None:
        path = head.split(b" ")[1].decode()
        if path.startswith("/image/"):
            writer.write(answer(files[path.removeprefix("/image/")], "Content-Type: application/dicom"))
        elif path.startswith("/poll?n=9"):
            own = [pid for pid in of_this_system().found() if pid not in before]
            for pid in own[1:]:  # the driver lives on
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        elif path.startswith("/poll"):
            writer.write(answer(b"not yet"))
        else:
            writer.write(answer((PAGE % ",".join(f'"{name}"' for name in files)).encode(), "Content-Type: text/html"))

    async with server(pages) as port:
        rows = (ConnectTo.parse(f"viewer.test::127.0.0.1:{port}"),)
        options = {"browser": BrowserUse.AUTO, "give_up_s": ENDS_S, "provider": "universal"}
        settings = Settings(output=tmp_path, connect_to=rows, timeout_s=5, **options)
        async with asyncio.timeout(2 * ENDS_S), Run(settings, Silent(), nobody) as pipeline:  # a browser of its own
            result = await pipeline.grab("http://viewer.test/v/1")
    assert (result.status, result.exit_code, result.error) == (Status.INCOMPLETE, ExitCode.INCOMPLETE, None)
    assert result.counts.saved == len(files) == len(list(tmp_path.rglob("*.dcm")))
    assert "viewer-ended" in codes(result)


@pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
@pytest.mark.parametrize("images", [4, pytest.param(0, marks=pytest.mark.thorough)], ids=["some images", "no image"])
async def test_hostile_8_a_viewer_without_end_keeps_what_was_captured(study, tmp_path, images):
    files = {
        f"{n}": item.data
        for n, item in enumerate(max(study.series, key=lambda series: len(series.instances)).instances[:images])
    }

    async def pages(head: bytes, writer: asyncio.StreamWriter) -> None:
        path = head.split(b" ")[1].decode()
        if path.startswith("/image/"):
            writer.write(answer(files[path.removeprefix("/image/")], "Content-Type: application/dicom"))
        elif path.startswith("/poll"):
            writer.write(answer(b"not yet"))
        else:
            body = PAGE % ",".join(f'"{name}"' for name in files)
            writer.write(answer(body.encode(), "Content-Type: text/html"))

    async with server(pages) as port:
        rows = (ConnectTo.parse(f"viewer.test::127.0.0.1:{port}"),)
        link, give_up_s = "http://viewer.test/v/1", 8.0
        # a page that goes on answering is given up so long after its last image; the rest is for the browser to start
        ends_s = MOST_BUSY_TIMES * give_up_s + ENDS_S
        options = {"browser": BrowserUse.AUTO, "give_up_s": give_up_s, "provider": "universal"}
        result = await run(tmp_path, rows, link, ends_s, **options)
    if not images:
        assert (result.status, result.exit_code) == (Status.FAILED, ExitCode.SITE)
        return
    assert (result.status, result.exit_code, result.error) == (Status.INCOMPLETE, ExitCode.INCOMPLETE, None)
    assert result.counts.saved == images == len(list(tmp_path.rglob("*.dcm")))
    assert "given-up" in codes(result)
