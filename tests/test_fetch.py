"""Fetching over real sockets: every fault of the wire ends in a whole study, or in a named loss; nothing saved is lost."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.dicom import SyntheticStudy, chest_ct
from scraper.core.errors import NothingNew, SiteUnreachable
from scraper.core.model import Origin, Result, Status
from scraper.core.settings import BrowserUse, ConnectTo, Settings
from scraper.core.timings import Timings
from scraper.download import retry
from scraper.session.hold import Hold
from scraper.session.http.pace import RECOVER_AFTER, Pace
from scraper.session.patience import Patience
from scraper.testing import Silent, compare, nobody
from tests.aurora import ASKS, LINK, PHONE, Fault, Site, serving

pytestmark = pytest.mark.usefixtures("plugged_in")


QUICK = Timings(first_pause_s=0.01, asked_pause_s=0.05)  # pauses between tries are the site's business


@pytest.fixture(scope="module")
def study() -> SyntheticStudy:
    return chest_ct(slices=10, size=64, seed=7)


def site_of(study: SyntheticStudy) -> Site:
    series = {item.uid: {i.sop_instance_uid: i.data for i in item.instances} for item in study.series}
    return Site(str(study.study_instance_uid), series)


async def grab(site: Site, output: Path, **options: object) -> Result:
    from scraper.pipeline.run import Run

    settings = Settings(
        output=output,
        browser=BrowserUse.NEVER,
        connect_to=tuple(ConnectTo.parse(row) for row in site.connect_to),
        timings=QUICK,
        **{"timeout_s": 1.0, **options},
    )
    async with Run(settings, Silent(), nobody) as run:
        return await run.grab(LINK)


def images(study: SyntheticStudy) -> list[str]:
    return [instance.sop_instance_uid for series in study.series for instance in series.images]


PASSING = [fault for fault in Fault if fault not in (Fault.GONE_404, Fault.LAPSED_401, Fault.OTHER_IMAGE)]


@pytest.mark.parametrize("fault", PASSING)
async def test_a_fault_that_passes_costs_nothing(study, tmp_path, fault):
    site = site_of(study).fail(images(study)[3], fault)
    async with serving(site):
        result = await grab(site, tmp_path)
    assert result.status is Status.COMPLETE, result
    assert result.counts.saved == len(site.originals)
    compare(tmp_path, site.originals, Origin.ORIGINAL)


@pytest.mark.parametrize("fault", [fault for fault in PASSING if fault is not Fault.SILENT])
async def test_a_fault_that_stays_is_named_and_the_rest_is_kept(study, tmp_path, fault):
    uid = images(study)[3]
    site = site_of(study).fail(uid, *[fault] * 50)
    async with serving(site):
        result = await grab(site, tmp_path)
        assert result.status is Status.INCOMPLETE
        assert result.exit_code == 7
        assert result.counts.saved >= len(site.originals) - 1
        named = {name for row in result.studies[0].series for problem in row.problems for name in problem.instances}
        assert uid in named
        site.faults.clear()
        site.requests.clear()
        again = await grab(site, tmp_path)
    assert again.status is Status.COMPLETE if fault is not Fault.DAMAGED else again.exit_code in (0, 10)
    fetched = [path for path in site.requests if path.startswith("/image/")]
    assert set(fetched) <= {f"/image/{uid}"}, "only what was missing is fetched again"


async def test_a_missing_instance_is_named(study, tmp_path):
    uid = images(study)[4]
    site = site_of(study).fail(uid, *[Fault.GONE_404] * 9)
    async with serving(site):
        result = await grab(site, tmp_path)
    assert (result.exit_code, result.counts.saved) == (7, len(site.originals) - 1)
    row = next(row for row in result.studies[0].series if row.problems)
    assert row.status == "incomplete"
    assert (row.expected, row.saved) == (10, 9)
    assert site.requests[f"/image/{uid}"] == 1, "what is gone is not asked for again"


async def test_another_image_under_the_same_address_is_not_taken_for_it(study, tmp_path):
    uid = images(study)[4]
    site = site_of(study).fail(uid, *[Fault.OTHER_IMAGE] * 9)
    async with serving(site):
        result = await grab(site, tmp_path)
    assert result.exit_code == 7
    assert result.counts.saved == len(site.originals) - 1
    compare(tmp_path, site.originals, Origin.ORIGINAL)


async def test_a_token_that_expires_is_asked_for_anew(study, tmp_path):
    site = site_of(study).fail(images(study)[5], Fault.LAPSED_401)
    async with serving(site):
        result = await grab(site, tmp_path, jobs=3)
    assert result.status is Status.COMPLETE, result
    assert site.requests["/api/enter"] == 2
    assert max(site.requests[f"/image/{uid}"] for uid in site.originals) <= 2


async def test_a_token_that_expires_for_ever_ends_the_study_once(study, tmp_path):
    uid = images(study)[5]
    site = site_of(study).fail(uid, *[Fault.LAPSED_401] * 50)
    async with serving(site):
        result = await grab(site, tmp_path, jobs=1)
    assert result.exit_code == 7
    assert site.requests[f"/image/{uid}"] <= 3


async def test_a_site_that_goes_away_is_given_up_once_not_per_image(study, tmp_path):
    site = site_of(study)
    for uid in images(study)[2:]:
        site.fail(uid, *[Fault.RESET] * 99)
    async with serving(site):
        result = await grab(site, tmp_path, jobs=2)
    asked = sum(count for path, count in site.requests.items() if path.startswith("/image/"))
    assert result.exit_code == 7
    assert asked < 2 * 2 * retry.ATTEMPTS + 8


async def test_nothing_at_all_arrives(study, tmp_path):
    site = site_of(study)
    for uid in site.originals:
        site.fail(uid, *[Fault.RESET] * 99)
    async with serving(site):
        result = await grab(site, tmp_path, jobs=2)
    assert result.status is Status.FAILED
    assert isinstance(result.error, SiteUnreachable)
    assert result.exit_code == 9


async def test_a_second_run_fetches_nothing(study, tmp_path):
    site = site_of(study)
    async with serving(site):
        first = await grab(site, tmp_path)
        site.requests.clear()
        second = await grab(site, tmp_path)
    assert second.status is Status.COMPLETE
    assert second.counts.reused == first.counts.saved
    assert not [path for path in site.requests if path.startswith("/image/")]


async def test_a_file_that_rotted_on_the_disk_is_fetched_again(study, tmp_path):
    site = site_of(study)
    async with serving(site):
        await grab(site, tmp_path)
        victim = sorted(tmp_path.rglob("*.dcm"))[3]
        data = bytearray(victim.read_bytes())
        data[-5] ^= 0xFF
        victim.write_bytes(bytes(data))
        result = await grab(site, tmp_path)
    assert result.status is Status.COMPLETE
    compare(tmp_path, site.originals, Origin.ORIGINAL)


async def test_two_runs_at_once_on_one_study(study, tmp_path):
    site = site_of(study)
    async with serving(site):
        results = await asyncio.gather(grab(site, tmp_path), grab(site, tmp_path))
    assert [result.status for result in results] == [Status.COMPLETE] * 2
    assert max(site.requests[f"/image/{uid}"] for uid in site.originals) == 1
    compare(tmp_path, site.originals, Origin.ORIGINAL)


async def test_jobs_bounds_what_is_in_flight(study, tmp_path):
    site = site_of(study)
    site.latency_s = 0.02
    async with serving(site):
        await grab(site, tmp_path / "a", jobs=3)
        assert 1 < site.most_in_flight <= 3


async def test_an_overloaded_host_is_asked_half_as_much_at_once_and_slowly_more_again():
    pace, in_flight, most = Pace(8, None), 0, 0

    async def ask() -> None:
        nonlocal in_flight, most
        async with pace.turn("film.aurora.test"):
            in_flight += 1
            most = max(most, in_flight)
            for _ in range(20):
                await asyncio.sleep(0)
            in_flight -= 1

    async def most_at_once() -> int:
        nonlocal most
        most = 0
        await asyncio.gather(*(ask() for _ in range(24)))
        return most

    found = [await most_at_once()]
    for _ in range(4):
        pace.overloaded("film.aurora.test", 0.0)
        found.append(await most_at_once())
    assert found == [8, 4, 2, 1, 1]
    for _ in range(2 * RECOVER_AFTER):
        pace.went_well("film.aurora.test")
    assert await most_at_once() == 3


async def test_nothing_starts_in_a_pause_and_what_is_under_way_ends():
    pace, begun, ended = Pace(2, None), 0, 0
    gate = asyncio.Event()

    async def ask() -> None:
        nonlocal begun, ended
        async with pace.turn("film.aurora.test"):
            begun += 1
            await gate.wait()
        ended += 1

    async def turns() -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(ask())
        await turns()
        pace.hold.begin()
        gate.set()
        await turns()
        assert (begun, ended) == (2, 2)
        pace.hold.end()
    assert (begun, ended) == (6, 6)


async def test_a_pause_is_no_waiting_for_the_site():
    hold = Hold()
    patience = Patience(0.05, "film.aurora.test", hold)
    async with patience.bounded():
        hold.begin()
        await asyncio.sleep(0.2)
        assert not patience.is_over
        hold.end()
    with pytest.raises(NothingNew):
        async with patience.bounded():
            await asyncio.sleep(60)


async def test_a_clock_stands_still_in_a_pause():
    hold = Hold()
    hold.begin()
    before = hold.clock()
    await asyncio.sleep(0.02)
    assert hold.clock() == before
    hold.end()
    assert hold.clock() < before + 0.02


class PausedAfter(Silent):
    """Calls something once so many instances have arrived."""

    def __init__(self, count: int, then: Callable[[], None]) -> None:
        super().__init__()
        self.count, self.then = count, then

    def arrived(self, series: str, *, reused: bool) -> None:
        self.count -= 1
        if not self.count:
            self.then()


async def test_a_paused_run_goes_on_with_the_answers_that_it_had(study, tmp_path):
    from scraper.pipeline.run import Run

    site, asked = site_of(study), []
    site.answers_at_most = 4
    paused = asyncio.Event()

    def ask(question, host, picture):
        asked.append(question.name)
        return PHONE

    def pause() -> None:
        run.hold.begin()
        paused.set()

    async with serving(site):
        rows = tuple(ConnectTo.parse(row) for row in site.connect_to)
        options = {"browser": BrowserUse.NEVER, "timings": QUICK, "interactive": True, "jobs": 2}
        settings = Settings(output=tmp_path, connect_to=rows, timeout_s=1.0, **options)
        async with Run(settings, PausedAfter(4, pause), ask) as run:
            grabbing = asyncio.create_task(run.grab(ASKS))
            await paused.wait()
            site.answers_at_most = None  # what is under way comes to its end
            while site.in_flight:  # noqa: ASYNC110  # the site has a number, no event
                await asyncio.sleep(0.01)
            requests = sum(site.requests.values())
            site.token += 1  # the session lapses meanwhile
            await asyncio.sleep(0.05)
            assert sum(site.requests.values()) == requests
            assert not grabbing.done()
            run.hold.end()
            result = await grabbing
    assert result.status is Status.COMPLETE
    assert asked == ["phone_last4"]
    compare(tmp_path, site.originals, Origin.ORIGINAL)


async def test_the_rate_is_kept(study, tmp_path):
    site = site_of(study)
    loop = asyncio.get_running_loop()
    async with serving(site):
        started = loop.time()
        result = await grab(site, tmp_path, rate=40.0)
        took = loop.time() - started
    assert result.status is Status.COMPLETE
    requests = sum(site.requests.values())
    assert requests / took <= 48.0  # the first request waits for nobody


async def test_fewer_than_announced_is_never_silent(study, tmp_path):
    site = site_of(study)
    uid = next(series.uid for series in study.series if len(series.instances) == 10)
    site.announced = {uid: 12}
    async with serving(site):
        result = await grab(site, tmp_path)
    assert result.exit_code == 7
    codes = {problem.code for row in result.studies[0].series for problem in row.problems}
    assert "missing-instances" in codes


async def test_a_site_without_a_count_is_judged_by_itself(study, tmp_path):
    site = site_of(study)
    site.announced = dict.fromkeys(site.series)
    async with serving(site):
        result = await grab(site, tmp_path)
    assert result.status is Status.COMPLETE
    assert result.counts.expected is None


async def test_soak_of_random_faults_loses_nothing(study, tmp_path):
    """A short form of the long soak: seeded faults on a third of all answers, three runs at most."""
    for seed in range(6):
        dice = random.Random(seed)  # noqa: S311  # the same dice every time
        site = site_of(study)
        for uid in site.originals:
            if dice.random() < 0.35:
                site.fail(
                    uid,
                    *dice.choices(
                        [literal for literal in PASSING if literal is not Fault.SILENT], k=dice.randint(1, 2)
                    ),
                )
        output = tmp_path / str(seed)
        async with serving(site):
            for _ in range(3):
                result = await grab(site, output)
                if result.status is Status.COMPLETE:
                    break
        assert result.status is Status.COMPLETE, f"seed {seed}: {result}"
        compare(output, site.originals, Origin.ORIGINAL)
