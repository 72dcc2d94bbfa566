"""飞图影像: the page loads the study by itself; what it announces is held against what it received."""

import pytest

from fixtures.faults import Fault
from fixtures.sites.ftimage.site import ACCESSION, CHECKED, CODE, EXPIRED, LAZY, FtimageSite
from fixtures.world import World
from providers.ftimage import Ftimage, SeriesShown
from scraper.contract import CaptchaRequired, CredentialsRefused, LinkExpired, StudyGone
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.testing import Case, check, rows, run

SITE = FtimageSite()
SERIES = {series.uid: len(series.instances) for series in SITE.study.series}
BROWSER = (Via.BROWSER,)
CASES = (
    Case("token link", SITE.link(), series=SERIES, ways=BROWSER),
    Case("accession link", SITE.app_link(), series=SERIES, ways=(), thorough=BROWSER),
    Case("a series that is not loaded by itself", SITE.app_link(LAZY), series=SERIES, ways=(), thorough=BROWSER),
    Case("a check, answered", SITE.link(CHECKED), {"captcha": CODE}, SERIES, ways=(), thorough=BROWSER),
    Case("a check, nobody there", SITE.link(CHECKED), raises=CaptchaRequired, ways=(), thorough=BROWSER),
    Case(
        "a check, answered wrongly",
        SITE.link(CHECKED),
        {"captcha": "0000"},
        raises=CredentialsRefused,
        says="验证码错误",
        ways=(),
        thorough=BROWSER,
    ),
    Case("expired", SITE.link(EXPIRED), raises=LinkExpired, says="链接已过期", ways=(), thorough=BROWSER),
    Case("unknown", SITE.app_link("ffff"), raises=StudyGone, says="未查询到影像", ways=(), thorough=BROWSER),
)
NOT_OURS = (
    "https://yyx.ftimage.cn/dimage/index.html",
    "https://yyx.ftimage.cn/about?stm=1",
    "https://x.test/index.html?stm=1",
)


@pytest.fixture
def world():
    SITE.tries = 0
    with World(SITE) as up:
        yield up


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, world, tmp_path):
    await check(Ftimage, case, world, tmp_path, via)
    assert not world.unexpected
    assert SITE.tries <= 1


SEEN = [
    pytest.param(False, LAZY),
    pytest.param(False, ACCESSION, marks=pytest.mark.thorough),
    pytest.param(True, LAZY, marks=pytest.mark.thorough),
    pytest.param(True, ACCESSION, marks=pytest.mark.thorough),
]


@pytest.mark.parametrize(("li", "accession"), SEEN)
@pytest.mark.thorough
async def test_the_page_as_it_was_seen_in_2026_08(li, accession, tmp_path):
    site = FtimageSite(seen=True, li=li)
    with World(site) as world:
        result = await check(Ftimage, Case("", site.app_link(accession), series=SERIES), world, tmp_path, Via.BROWSER)
        assert not world.unexpected
    assert result.counts.expected == sum(SERIES.values())


@pytest.mark.thorough
async def test_of_rows_without_an_id_an_image_that_never_comes_is_missed(tmp_path):
    site = FtimageSite(seen=True)
    with World(site) as world:
        world.faults.plan(next(path for path in site.paths if "/2/" in path), Fault.GONE, times=99)
        result = await run(Ftimage, Case("", site.app_link()), world, tmp_path, Via.BROWSER)
    assert result.exit_code == 7
    assert result.counts.saved == result.counts.expected - 1


@pytest.mark.parametrize(
    ("stated", "total"),
    [("共 131张 106→109", 131), ("共\u00a060张", 60), ("106→109 共12幅", 12), ("106→109", None), ("", None)],
)
def test_a_row_states_its_count_between_its_two_words(stated, total):
    assert SeriesShown(stated=stated).total == total


@pytest.mark.thorough
async def test_an_image_that_the_page_did_not_get_is_fetched(world, tmp_path):
    world.faults.plan(r"/2/[^/]+\.dcm$", Fault.ERROR)
    await check(Ftimage, CASES[0], world, tmp_path, Via.BROWSER)


@pytest.mark.thorough
async def test_an_image_that_never_comes_is_missed(world, tmp_path):
    lost = next(path for path in SITE.paths if "/2/" in path)
    world.faults.plan(lost, Fault.GONE, times=99)
    result = await run(Ftimage, CASES[0], world, tmp_path, Via.BROWSER)
    assert result.exit_code == 7
    assert result.counts.saved == result.counts.expected - 1


@pytest.mark.parametrize("link", NOT_OURS)
def test_not_ours(link):
    assert Ftimage.owns(parse_url(link)) is None
    assert Ftimage.recognises(parse_url(link)) is None
