"""whuh: signed calls, a job that takes its time, two examinations behind one link, and what the site refuses."""

import pytest

from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.sites.whuh import site
from fixtures.world import World
from providers.whuh.provider import Whuh
from scraper.core.errors import (
    CredentialsRefused,
    CredentialsRequired,
    DownloadNotPermitted,
    LinkExpired,
    NotThereYet,
    SiteBusy,
    StudyGone,
)
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.core.timings import Timings
from scraper.registry.catalogue import find
from scraper.testing import Case, check, first_of, rows, run

BROWSER = (Via.BROWSER,)
IN_PAGE = (Via.BROWSER,)
STUDIES = site.WhuhSite().studies
FIRST = {series.uid: len(series.instances) for series in STUDIES["EXAM1"].series}
ALL = {series.uid: len(series.instances) for study in STUDIES.values() for series in study.series}
CODE = {"access_code": site.SECURITY_CODE}
CASES = (
    Case("opens one examination", site.OPEN, series=FIRST, left_out=2, thorough=BROWSER),
    Case("parameters in the query", site.IN_QUERY, series=FIRST, left_out=2, thorough=BROWSER),
    Case("brings both examinations", site.LIST, series=ALL, left_out=4, thorough=BROWSER),
    Case("passes the security code", site.WITH_CODE, answers=CODE, series=FIRST, left_out=2, ways=(), thorough=IN_PAGE),
    Case("asks for the security code", site.WITH_CODE, raises=CredentialsRequired, ways=(), thorough=IN_PAGE),
    Case(
        "a wrong security code",
        site.WITH_CODE,
        answers={"access_code": "1"},
        raises=CredentialsRefused,
        says="安全码错误",
        ways=(),
        thorough=IN_PAGE,
    ),
    Case("asks for the security code, without a page", site.WITH_CODE, raises=CredentialsRequired),
    Case("an expired code", site.EXPIRED, raises=LinkExpired, thorough=BROWSER),
    Case("an altered link", site.ALTERED, raises=StudyGone, says="链接校验失败", thorough=BROWSER),
    Case("no hospital", site.NO_HOSPITAL, raises=StudyGone, says="医院编号不能为空"),
    Case("a hospital that offers no download", site.NO_DOWNLOAD, raises=DownloadNotPermitted, thorough=BROWSER),
    Case("images that are not on the cloud yet", site.NOT_YET, raises=NotThereYet),
    Case("a job that fails", site.FAILING, raises=SiteBusy),
)
NOT_OURS = (
    "https://xhbi.whuh.com/index.html",
    "https://xhbi.whuh.com/index.html#/login?h=1",
    "https://whuh.com/#/reportView?h=1&key=2",
)


QUICK = Timings(site_scale=0.01)  # the site's own pace between polls is seconds


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    emulated = site.WhuhSite(sealed=via is Via.DIRECT)
    with World(emulated) as world:
        await check(Whuh, case, world, tmp_path, via, timings=QUICK)
        assert world.unexpected == []
    assert bool(emulated.recorded) == (case.raises is None), "the page's own record of the download"


async def test_two_examinations_have_a_folder_each(tmp_path):
    with World(site.WhuhSite(polls=3)) as world:
        result = await check(Whuh, CASES[2], world, tmp_path, timings=QUICK)
    folders = {study.output for study in result.studies}
    assert len(folders) == 2


@pytest.mark.thorough
async def test_a_code_asked_for_in_other_words(tmp_path):
    case = Case("coded", site.WITH_CODE, answers=CODE, series=FIRST, left_out=2)
    with World(site.WhuhSite(sealed=False, other_form=True)) as world:
        await check(Whuh, case, world, tmp_path, Via.BROWSER, timings=QUICK)


async def test_an_examination_that_is_not_there_yet_is_missed(tmp_path):
    with World(site.WhuhSite()) as world:
        result = await run(Whuh, Case("half", site.HALF_YET), world, tmp_path, timings=QUICK)
    assert result.exit_code == 7
    assert result.counts.saved == sum(FIRST.values())


@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", first_of([case for case in CASES if Via.DIRECT in case.ways]), ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(site.WhuhSite(sealed=False), SHAPES[shape])) as world:
        await check(Whuh, case, world, tmp_path, timings=QUICK)


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "whuh"
