"""卡易 无极云影像, a hospital's own viewer: three spellings of an image's address, two of a link."""

import pytest

from fixtures.sites.kayicloud.site import ELSEWHERE, NOW, KayicloudSite
from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.world import World
from providers.kayicloud import Kayicloud
from scraper.contract import LinkExpired
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.testing import Case, check, check_listing, first_of, rows

SITE = KayicloudSite()
SERIES = {series.uid: len(series.instances) for series in SITE.study.series}
BROWSER = (Via.BROWSER,)
CASES = (
    Case("absolute addresses", SITE.link("A1"), series=SERIES, thorough=BROWSER),
    Case("relative addresses, no new token", SITE.link("A2"), series=SERIES),
    Case("storage paths, a file of two frames", SITE.link("A3"), series=SERIES),
    Case("a bare list, the study's own token", SITE.link("A4"), series=SERIES),
    Case("parameters in the fragment", SITE.link("A1", in_fragment=True), series=SERIES, thorough=BROWSER),
    Case("numbers in serverAddr alone", SITE.link("A1", is_bare=True), series=SERIES),
    Case("a host of its own", SITE.link("A3", host=ELSEWHERE), series=SERIES),
    Case("no tokens to exchange, addresses from the root", SITE.link("A6"), series=SERIES),
    Case("nothing listed", SITE.link("A5"), raises=LinkExpired, thorough=BROWSER),
    Case("the link's token has lapsed", SITE.link("A1", expires=NOW - 1), raises=LinkExpired, says="链接已过期"),
)
NOT_OURS = (
    "https://dicomviewer.demo.kayicloud.com/help",
    "https://www.kayicloud.com/Viewer/s#/view?ids=01234567-89ab-cdef-0123-456789abcdef",
    "https://www.kayicloud.com/Viewer/Index?dataid=MQ==&serverAddr=local@pacs.demo/wujiquery&signature=00#/view",
)


@pytest.fixture(scope="module")
def world():
    with World(SITE) as up:
        yield up


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, world, tmp_path):
    await check(Kayicloud, case, world, tmp_path, via)
    assert not world.unexpected


async def test_a_busy_server_gives_no_copies(world, tmp_path):
    SITE.busy = 1
    result = await check(Kayicloud, CASES[2], world, tmp_path)
    assert not [problem for study in result.studies for problem in study.problems if problem.code == "listed-twice"]


@pytest.mark.parametrize("link", NOT_OURS)
def test_not_ours(link):
    assert Kayicloud.owns(parse_url(link)) is None
    assert Kayicloud.recognises(parse_url(link)) is None


def test_recognised_elsewhere():
    assert Kayicloud.recognises(parse_url(SITE.link("A3", host=ELSEWHERE))) is not None


@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", first_of(CASES), ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(SITE, SHAPES[shape])) as world:
        await check_listing(Kayicloud, case, world, tmp_path)
