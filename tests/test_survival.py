"""Fetching through a line that is cut, a proxy that dies, a clock that jumps and processes that are killed at any moment."""

import asyncio
import hashlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fixtures.dicom import SyntheticStudy, chest_ct
from scraper.core.model import Origin, Status
from scraper.core.settings import BrowserUse, ConnectTo, Settings
from scraper.core.timings import Timings
from scraper.testing import Silent, compare, nobody
from tests.aurora import HOST, LINK, Site, serving
from tests.programs import environment, from_nothing
from tests.test_cli import up

pytestmark = pytest.mark.usefixtures("plugged_in")


@pytest.fixture(scope="module")
def study() -> SyntheticStudy:
    return chest_ct(slices=30, size=64, seed=7, localizers=0, dose_report=False)


def site_of(study: SyntheticStudy) -> Site:
    return Site(
        study.study_instance_uid,
        {series.uid: {i.sop_instance_uid: i.data for i in series.instances} for series in study.series},
    )


class Line:
    """What lies between the visitor and the site: every connection passes through, until it is cut.

    With ``proxy`` it is a forward proxy for plain HTTP: it takes the absolute address, and answers for the site's name.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.port = 0
        self.carried = 0  # bytes that came back
        self.cut_after: int | None = None  # bytes, after which the line is dead
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        """From now on connections pass."""
        self.cut_after = None
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Every connection is reset, and none is taken."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.site.port)
        self._writers |= {writer, back}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, back, counts=False))
                group.create_task(self._pump(there, writer, counts=True))
        except* ConnectionError:
            pass
        finally:
            self._writers -= {writer, back}
            writer.close()
            back.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counts: bool) -> None:
        while piece := await reader.read(2**14):
            if counts:
                self.carried += len(piece)
                if self.cut_after is not None and self.carried > self.cut_after:
                    self.cut()
                    return
            else:  # what a forward proxy is asked for by its whole address, a site is asked for by its path
                piece = piece.replace(f"http://{HOST}/".encode(), b"/")
            writer.write(piece)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def line_to(site: Site) -> AsyncIterator[Line]:
    line = Line(site)
    async with serving(site):
        await line.mend()
        yield line
        line.cut()


async def grab(output: Path, **options):
    from scraper.pipeline.run import Run

    usual = {"timeout_s": 5.0, "timings": Timings(first_pause_s=0.01)}
    settings = Settings(output=output, browser=BrowserUse.NEVER, **(usual | options))
    async with Run(settings, Silent(), nobody) as run:
        return await run.grab(LINK)


def through(line: Line) -> dict[str, object]:
    return {"connect_to": (ConnectTo.parse(f"{HOST}:80:127.0.0.1:{line.port}"),)}


async def test_a_network_that_is_gone_for_a_while_costs_only_time(study, tmp_path):
    site = site_of(study)
    site.latency_s = 0.02
    async with line_to(site) as line:
        line.cut_after = len(site.originals) * 4000
        running = asyncio.create_task(grab(tmp_path, timings=Timings(first_pause_s=0.1), **through(line)))
        while line.cut_after is not None and line._server is not None:  # until it was cut
            await asyncio.sleep(0.01)
            assert not running.done()
        before = line.carried
        await asyncio.sleep(2.0)  # the outage itself
        assert not running.done(), "given up before the line came back"
        await line.mend()
        result = await running
    assert before < line.carried
    assert result.status is Status.COMPLETE, result
    compare(tmp_path, site.originals, Origin.ORIGINAL)


async def test_a_network_that_stays_gone_keeps_what_came(study, tmp_path):
    site = site_of(study)
    async with line_to(site) as line:
        line.cut_after = len(site.originals) * 4000
        result = await grab(tmp_path, **through(line))
        assert (result.status, result.exit_code) == (Status.INCOMPLETE, 7)
        assert 0 < result.counts.saved < len(site.originals)
        lost = {name for row in result.studies[0].series for problem in row.problems for name in problem.instances}
        assert len(lost) == len(site.originals) - result.counts.saved
        await line.mend()
        site.requests.clear()
        again = await grab(tmp_path, **through(line))
    assert again.status is Status.COMPLETE
    assert {path.removeprefix("/image/") for path in site.requests if "/image/" in path} == lost
    compare(tmp_path, site.originals, Origin.ORIGINAL)


async def test_a_proxy_that_dies_is_named_and_the_next_one_goes_on(study, tmp_path):
    site = site_of(study)
    async with line_to(site) as line:
        line.cut_after = len(site.originals) * 4000
        proxy = f"http://127.0.0.1:{line.port}"
        result = await grab(tmp_path, proxy=proxy)
        assert (result.status, result.exit_code) == (Status.INCOMPLETE, 7)
        assert 0 < result.counts.saved < len(site.originals)
        unreachable = await grab(tmp_path / "another", proxy=proxy)
        assert unreachable.exit_code == 9
        await line.mend()
        again = await grab(tmp_path, proxy=proxy)
    assert again.status is Status.COMPLETE
    assert again.counts.reused == result.counts.saved
    compare(tmp_path, site.originals, Origin.ORIGINAL)


async def test_a_clock_that_jumps_changes_nothing(study, tmp_path, monkeypatch):
    dice = random.Random(3)  # noqa: S311  # the same dice every time
    true_time = time.time
    site = site_of(study)
    site.latency_s = 0.01
    async with serving(site):
        with monkeypatch.context() as jumping:
            jumping.setattr(time, "time", lambda: true_time() + dice.uniform(-1, 1) * 10 * 365 * 86400)
            options = {"connect_to": tuple(ConnectTo.parse(row) for row in site.connect_to)}
            first = await grab(tmp_path, **options)
            second = await grab(tmp_path, **options)
    assert (first.status, second.status) == (Status.COMPLETE, Status.COMPLETE)
    assert second.counts.reused == len(site.originals)
    assert 0 <= first.seconds < 600
    compare(tmp_path, site.originals, Origin.ORIGINAL)


@pytest.mark.soak
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_killed_at_twenty_random_moments(study, tmp_path):
    dice = random.Random(20)  # noqa: S311  # the same dice every time
    site = site_of(study)
    site.latency_s = 0.12
    whole = {hashlib.sha256(data).hexdigest() for data in site.originals.values()}
    words = ["grab", LINK, "--browser", "never", "--jobs", "2", "-q"]
    round_, killed = 0, 0
    with up(site):
        while killed < 20:
            output = tmp_path / str(round_)
            running = subprocess.Popen(
                from_nothing(*words, "-o", output, "--connect-to", site.connect_to[0]),
                env=environment(),
                cwd=Path(__file__).parent.parent,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                assert running.wait(dice.uniform(0.3, 2.5)) == 0
                round_ += 1  # it was faster than the kill: the next one starts a new study
            except subprocess.TimeoutExpired:
                running.send_signal(signal.SIGKILL)
                running.wait()
                killed += 1
            for path in output.rglob("*.dcm"):
                assert hashlib.sha256(path.read_bytes()).hexdigest() in whole, "a torn file under its final name"
        site.latency_s = 0.0
        final = from_nothing(*words, "-o", output, "--connect-to", site.connect_to[0])
        done = subprocess.run(
            final, env=environment(), cwd=Path(__file__).parent.parent, capture_output=True, check=False
        )
    assert done.returncode == 0, done.stderr
    for folder in tmp_path.iterdir():
        if list(folder.rglob("*.dcm")):
            compare(folder, site.originals, Origin.ORIGINAL)
