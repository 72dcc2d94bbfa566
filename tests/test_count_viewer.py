"""Viewers that nobody knows: what is called complete is complete, whatever came."""

import json

import pytest

from fixtures.sites.count_viewer.site import HOST, CountViewer
from fixtures.world import World
from providers.universal import Universal
from scraper.core.model import Status, Via
from scraper.core.timings import DriveTimings, Timings
from scraper.session.browser import find_browser
from scraper.testing import Case, run

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
thorough = pytest.mark.thorough
NOTHING_COMES = Timings(drive=DriveTimings(step_s=0.05))  # for pages that no gesture moves


@pytest.fixture(scope="module", params=[640])
def world(request):
    with World(CountViewer(request.param)) as running:
        yield running


async def grab(kind, world, tmp_path, **options):
    link = f"https://{HOST}/v/{kind}"
    return await run(Universal, Case(kind, link, ways=(Via.BROWSER,)), world, tmp_path, Via.BROWSER, **options)


def codes(result) -> set[str]:
    found = [problem for study in result.studies for problem in study.problems]
    found += [problem for study in result.studies for row in study.series for problem in row.problems]
    return {item.code for item in found}


@pytest.mark.parametrize(
    "kind",
    [
        "rows-li",
        pytest.param("rows-button", marks=thorough),
        pytest.param("rows-div", marks=thorough),
        pytest.param("listed", marks=thorough),
        pytest.param("dead", marks=thorough),
    ],
)
async def test_verdicts_1_a_study_of_21_is_complete_with_21_alone(kind, world, tmp_path):
    result = await grab(kind, world, tmp_path)
    assert result.counts.expected == 21
    assert (result.status is Status.COMPLETE) == (result.counts.saved == 21)
    assert result.exit_code == (0 if result.counts.saved == 21 else 7)
    if result.counts.saved < 21:
        assert codes(result) & {"missing-series", "missing-instances"}


@pytest.mark.thorough
async def test_verdicts_1_only_seen_is_incomplete_and_a_person_may_count(world, tmp_path):
    result = await grab("stuck", world, tmp_path, timings=NOTHING_COMES)
    assert (result.exit_code, result.status, result.counts.saved) == (7, Status.INCOMPLETE, 1)
    assert "judged-by-sight" in codes(result)
    assert json.loads(next(tmp_path.rglob("study.json")).read_text())["status"] == "incomplete"
    result = await grab("stuck", world, tmp_path, timings=NOTHING_COMES, expect=12)
    assert (result.exit_code, result.counts.expected, result.counts.reused) == (7, 12, 1)
    result = await grab("stuck", world, tmp_path, timings=NOTHING_COMES, expect=1)
    assert (result.exit_code, result.status) == (0, Status.COMPLETE)
    report = json.loads(next(tmp_path.rglob("study.json")).read_text())
    assert (report["status"], report["series"][0]["evidence"]) == ("complete", "user")
    assert "judged-by-user" in codes(result)


@thorough
async def test_verdicts_1_a_stack_that_was_scrolled_to_both_ends_is_complete(world, tmp_path):
    result = await grab("scroll", world, tmp_path)
    assert (result.exit_code, result.counts.saved) == (0, 12)
    assert "judged-by-numbers" in codes(result)


@thorough
async def test_verdicts_1_a_running_counter_is_never_dropped(world, tmp_path):
    result = await grab("swipe", world, tmp_path, timings=NOTHING_COMES)
    if result.counts.saved < 12:
        assert (result.exit_code, result.counts.expected) == (7, 12)


@thorough
async def test_verdicts_1_series_that_a_list_names_without_counts_are_missing(world, tmp_path):
    result = await grab("named", world, tmp_path)
    assert result.exit_code == (0 if result.counts.saved == 21 else 7)
    if result.counts.saved < 21:
        assert codes(result) & {"missing-series", "missing-instances", "judged-by-sight"}


@thorough
async def test_verdicts_1_no_preview_is_called_an_original(world, tmp_path):
    result = await grab("previews", world, tmp_path)
    sizes = {load["size"] for load in json.loads(next(tmp_path.rglob("study.json")).read_text())["instances_saved"]}
    full = {len(instance.data) for instance in world.sites[0].study.series[1].instances}
    assert (result.exit_code == 0) == (result.counts.saved == 12 and sizes <= full)
    assert "lesser-copies" in codes(result)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("pictures", 8), pytest.param("raw", 8, marks=thorough), pytest.param("blank", 4, marks=thorough)],
)
@pytest.mark.thorough
async def test_verdicts_1_nothing_came_and_the_page_counts(kind, code, world, tmp_path):
    result = await grab(kind, world, tmp_path)
    assert (result.exit_code, result.studies, result.status) == (code, (), Status.FAILED)
    assert not list(tmp_path.rglob("*.dcm"))
