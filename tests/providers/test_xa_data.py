"""xa_data: the page's cookie, lists inside strings, a preview among the objects, and the page that asks first."""

import pytest

from fixtures.faults import Fault
from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.sites.xa_data import site
from fixtures.world import World
from providers.xa_data import XaData
from scraper.core.errors import CaptchaRequired, CredentialsRefused, ExitCode, LinkExpired, NotOriginalDicom, StudyGone
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, check_listing, first_of, rows, run

IN_PAGE = (Via.BROWSER,)
BROWSER = (Via.BROWSER,)
CODE, WRONG = {"sms_code": "246810"}, {"sms_code": "000000"}
SITE = site.XaDataSite()
SERIES = {series.uid: len(series.instances) for series in SITE.study.series}
CASES = (
    Case("opens a link; the report is named", site.OPEN, series=SERIES, left_out=1, thorough=BROWSER),
    Case("a page that asks for a phone's code", site.WITH_CHECK, raises=CaptchaRequired, thorough=BROWSER),
    Case("a page that lists at once", site.AT_ONCE, series=SERIES, left_out=1, thorough=BROWSER),
    Case("the phone's code", site.WITH_CHECK, answers=CODE, series=SERIES, left_out=1, ways=(), thorough=IN_PAGE),
    Case(
        "a wrong code",
        site.WITH_CHECK,
        answers=WRONG,
        raises=CredentialsRefused,
        says="手机验证",
        ways=(),
        thorough=IN_PAGE,
    ),
    Case("an expired link", site.EXPIRED, raises=LinkExpired, says="分享已失效", thorough=BROWSER),
    Case("a page that only says so", site.CLOSED, raises=LinkExpired, says="已失效", thorough=BROWSER),
    Case("an altered link", site.FOREIGN, raises=StudyGone, says="签名校验不通过", thorough=BROWSER),
)
NOT_OURS = ("https://yxy.xa-data.cn/", "https://xa-data.cn/NeuView/mobile/?title=CT")


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(XaData, case, world, tmp_path, via)
        assert world.unexpected == []


async def test_a_study_of_previews_is_no_study(tmp_path):
    with World(site.XaDataSite(previews=True)) as world:
        await check(XaData, Case("previews", site.OPEN, raises=NotOriginalDicom), world, tmp_path)


async def test_a_preview_among_the_objects_is_a_lost_image(tmp_path):
    with World(site.XaDataSite(one_preview=True)) as world:
        result = await run(XaData, CASES[0], world, tmp_path)
    assert result.exit_code == ExitCode.INCOMPLETE
    assert result.counts.saved == len(SITE.originals)


@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", first_of([case for case in CASES if Via.DIRECT in case.ways]), ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(SITE, SHAPES[shape])) as world:
        await check_listing(XaData, case, world, tmp_path)


@pytest.mark.parametrize("fault", first_of([Fault.LAPSED, Fault.GONE, Fault.ERROR]))
async def test_an_object_that_is_refused_has_the_list_asked_for_anew(tmp_path, fault):
    with World(SITE) as world:
        world.faults.plan("/oss/", fault)
        await check(XaData, CASES[0], world, tmp_path)
        assert len(world.requests(path="/nwservice/")) == (1 if fault is Fault.ERROR else 2)


async def test_an_object_that_is_not_there_is_missed(tmp_path):
    with World(SITE) as world:
        world.faults.plan(f"/{site.first_key(SITE.study)}", Fault.GONE, times=99)
        result = await run(XaData, CASES[0], world, tmp_path)
        assert len(world.requests(path="/nwservice/")) == 2
    assert result.exit_code == 7
    assert result.counts.saved == len(SITE.originals) - 1


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "xa_data"
