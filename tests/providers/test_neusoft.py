"""东软睿影 M-Viewer: a signed link, and one zip that the hospital packs."""

import pytest

from fixtures.sites.neusoft.site import NOW, NeusoftSite
from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.world import World
from providers.neusoft import Neusoft
from scraper.contract import DownloadNotPermitted, LinkExpired, NoSuchStudy, UnusableLink
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.testing import Case, check, first_of, rows

SITE = NeusoftSite()
SERIES = {series.uid: len(series.instances) for series in SITE.study.series}
BROWSER = (Via.BROWSER,)
CASES = (
    Case("opens", SITE.link(), series=SERIES, left_out=3, thorough=BROWSER),
    Case("the other page", SITE.link(page="profilesign"), series=SERIES, left_out=3),
    Case("a short link", SITE.short_link(), series=SERIES, left_out=3, thorough=BROWSER),
    Case("a short link that leads nowhere", SITE.short_link("gone"), raises=LinkExpired),
    Case("the token has expired", SITE.link(expires=NOW - 1), raises=LinkExpired, says="链接已过期"),
    Case("a table is missing", SITE.link("CHECK002"), raises=DownloadNotPermitted, says="ORA-00942"),
    Case("not permitted", SITE.link("CHECK003"), raises=DownloadNotPermitted, says="该检查未开放下载"),
    Case("no such study", SITE.link("CHECK004"), raises=NoSuchStudy, says="检查不存在"),
    Case("cleared away", SITE.link("CHECK006"), raises=LinkExpired, says="该检查已过期清除"),
    Case("a token that is none", SITE.link().partition("?")[0] + "?sign=abc", raises=UnusableLink),
)
NOT_OURS = (
    "http://202.100.221.200:6087/",
    "http://202.100.221.200:6087/M-Viewer/#/profile/C1",
    "https://x.test/short/abc",
)


@pytest.fixture
def world():
    SITE.offers_download, SITE.jobs = True, 0
    with World(SITE) as up:
        yield up


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, world, tmp_path):
    await check(Neusoft, case, world, tmp_path, via)
    assert not world.unexpected


@pytest.mark.parametrize("number", ["CHECK003", "CHECK005"])
async def test_a_page_that_offers_no_download_is_believed(number, world, tmp_path):
    SITE.offers_download = False
    case = Case("no download", SITE.link(number), raises=DownloadNotPermitted)
    await check(Neusoft, case, world, tmp_path)
    assert SITE.jobs == 1


@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", first_of(CASES), ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(SITE, SHAPES[shape])) as world:
        await check(Neusoft, case, world, tmp_path)


@pytest.mark.parametrize("link", NOT_OURS)
def test_not_ours(link):
    assert Neusoft.owns(parse_url(link)) is None
    assert Neusoft.recognises(parse_url(link)) is None
