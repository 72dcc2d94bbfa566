"""圆心云影: one image at a time, on a desktop's page and on a phone's."""

import pytest

from fixtures.faults import Fault
from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.sites.tjmucih.site import ELSEWHERE, EXPIRED, LOCKED, PASSWORD, TjmucihSite
from fixtures.world import World
from providers.tjmucih.provider import UNCOUNTED_PACE, Tjmucih
from providers.toolkit import drive_page
from scraper.contract import CredentialsRefused, CredentialsRequired, LinkExpired
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.core.timings import Timings
from scraper.testing import Case, check, rows, run

SITE = TjmucihSite()
QUICK = Timings(site_scale=0.3)  # the emulated page opens a series in a quarter of a second, and turns in 40 ms
SERIES = {series.uid: len(series.instances) for series in SITE.study.series}
BROWSER = (Via.BROWSER,)
CASES = (
    Case("phone", SITE.mobile_link(), series=SERIES, ways=(), thorough=BROWSER),
    Case("desktop", SITE.link(), series=SERIES, ways=(), thorough=BROWSER),
    Case(
        "a password, on a host of its own",
        SITE.link(LOCKED, host=ELSEWHERE),
        {"password": PASSWORD},
        SERIES,
        ways=(),
        thorough=BROWSER,
    ),
    Case("asks for the password", SITE.link(LOCKED), raises=CredentialsRequired, ways=(), thorough=BROWSER),
    Case(
        "a wrong password",
        SITE.link(LOCKED),
        {"password": "0000"},
        raises=CredentialsRefused,
        says="密码错误",
        ways=(),
        thorough=BROWSER,
    ),
    Case("expired", SITE.link(EXPIRED), raises=LinkExpired, says="分享已过期", ways=BROWSER),
)
NOT_OURS = (
    "https://zlyy.tjmucih.cn/",
    "https://zlyy.tjmucih.cn/yunyingxiang/?dignosis=0123",
    "https://x.test/?diagnosis=0123456789abcdef0123456789abcdef",
)


@pytest.fixture
def world():
    SITE.without_count, SITE.understated, SITE.tries, SITE.slow_s, SITE.image_s = set(), set(), 0, 0.0, 0.0
    with World(SITE) as up:
        yield up


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, world, tmp_path):
    await check(Tjmucih, case, world, tmp_path, via, timings=QUICK)
    assert not world.unexpected
    assert SITE.tries <= 1


@pytest.mark.thorough
async def test_a_series_without_a_count_is_leafed_to_its_end(world, tmp_path):
    SITE.without_count = {1}
    await check(Tjmucih, CASES[1], world, tmp_path, Via.BROWSER, timings=QUICK)


@pytest.mark.thorough
async def test_an_image_that_comes_after_the_next_press_hides_none(world, tmp_path):
    """It loads before the page has turned to the image of that press, which a third press at once would skip."""
    SITE.without_count, SITE.image_s = {1}, UNCOUNTED_PACE[0] / 1000 + 0.005
    await check(Tjmucih, CASES[1], world, tmp_path, Via.BROWSER)


@pytest.mark.thorough
async def test_a_series_that_counts_too_few_is_leafed_to_its_end(world, tmp_path):
    SITE.understated = {1}
    await check(Tjmucih, CASES[1], world, tmp_path, Via.BROWSER, timings=QUICK)


@pytest.mark.thorough
async def test_a_list_that_takes_its_time_is_waited_for(world, tmp_path):
    SITE.slow_s = drive_page.QUIET_S + 1.0
    await check(Tjmucih, CASES[1], world, tmp_path, Via.BROWSER, timings=QUICK)


@pytest.mark.thorough
async def test_the_same_by_another_hand(tmp_path):
    with World(Reshaped(SITE, SHAPES["texts"])) as world:
        await check(Tjmucih, CASES[0], world, tmp_path, Via.BROWSER, timings=QUICK)


@pytest.mark.thorough
async def test_an_image_that_never_comes_is_missed(world, tmp_path):
    world.faults.plan(r"get_dcm_jpg.*&s=1&i=5$", Fault.GONE, times=99)
    result = await run(Tjmucih, CASES[1], world, tmp_path, Via.BROWSER, timings=QUICK)
    assert result.exit_code == 7
    assert result.counts.saved == result.counts.expected - 1


@pytest.mark.parametrize("link", NOT_OURS)
def test_not_ours(link):
    assert Tjmucih.owns(parse_url(link)) is None
    assert Tjmucih.recognises(parse_url(link)) is None
