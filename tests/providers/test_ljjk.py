"""ljjk: the list in all its spellings, signatures that lapse, and what the site refuses."""

import pytest

from fixtures.faults import Fault
from fixtures.sites.ljjk import site
from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.world import World
from providers.ljjk import Ljjk
from scraper.core.errors import ExitCode, LinkExpired, StudyGone
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, check_listing, first_of, rows, run

BROWSER = (Via.BROWSER,)
SERIES = {series.uid: len(series.instances) for series in site.LjjkSite().study.series}
CASES = (
    Case("opens a link", site.OPEN, series=SERIES, thorough=BROWSER),
    Case("passes the link's bType on", site.OTHER_TYPE, series=SERIES),
    Case("a link of the token alone", site.PLAIN, series=SERIES),
    Case("an expired link", site.EXPIRED, raises=LinkExpired, says="链接已过期", thorough=BROWSER),
    Case("an altered link", site.ALTERED, raises=StudyGone, says="签名验证失败", thorough=BROWSER),
)
NOT_OURS = (
    "https://mic.ljjk.org.cn/",
    "https://mic.ljjk.org.cn/NeuView/mobile/?r=1",
    "https://ljjk.org.cn/NeuView/#A1",
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(site.LjjkSite()) as world:
        await check(Ljjk, case, world, tmp_path, via)
        assert world.unexpected == []


async def test_addresses_that_lapse_are_asked_for_anew(tmp_path):
    with World(site.LjjkSite(lapse_after=5)) as world:
        await check(Ljjk, CASES[0], world, tmp_path)
        assert len(world.requests(path="/nwservice/")) == 2


@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", first_of(CASES), ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(site.LjjkSite(), SHAPES[shape])) as world:
        await check_listing(Ljjk, case, world, tmp_path)


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.CUT])
async def test_a_list_is_asked_for_again_where_the_site_is_busy(tmp_path, fault):
    with World(site.LjjkSite()) as world:
        world.faults.plan("/nwservice/", fault)
        await check(Ljjk, CASES[0], world, tmp_path)
        assert len(world.requests(path="/nwservice/")) == 2


@pytest.mark.parametrize("gap", [{"preview_of": 1}, {"unaddressed": 1}], ids=str)
async def test_what_the_list_numbers_and_the_store_lacks_is_missing(gap, tmp_path):
    with World(site.LjjkSite(**gap)) as world:
        result = await run(Ljjk, CASES[0], world, tmp_path)
    assert result.exit_code == ExitCode.INCOMPLETE


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "ljjk"


def test_another_host_is_recognised_by_its_token():
    found = find(parse_url("https://10.1.2.3:8080/NeuView/mobile/?r=1#A1_SIGN_b_OPEN_c&bType=2d"))
    assert found is not None
    assert (found.provider.name, found.listed) == ("ljjk", False)
