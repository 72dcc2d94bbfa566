"""深圳聚点云: Socket.IO 2 on Engine.IO 3, where the client pings and one question is asked at a time."""

import pytest

from fixtures.sites.szjudianyun.site import SzjudianyunSite
from fixtures.world import World
from providers.szjudianyun.provider import Szjudianyun
from scraper.contract import CredentialsRefused, CredentialsRequired, NoSuchStudy
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.testing import Case, check, first_of, rows, run

SITE = SzjudianyunSite()
SERIES = {series.uid: len(series.images) for series in SITE.study.series if series.images}
BROWSER = (Via.BROWSER,)
CASES = (
    Case("opens; the film's picture is left out", SITE.link(), series=SERIES, left_out=1, thorough=BROWSER),
    Case("the link lacks its password", SITE.link(""), {"password": "123456"}, SERIES, left_out=1),
    Case("nobody knows the password", SITE.link(""), raises=CredentialsRequired),
    Case("a wrong password given", SITE.link(""), {"password": "1"}, raises=CredentialsRefused),
    Case("a wrong password in the link", SITE.link("000000"), raises=NoSuchStudy, thorough=BROWSER),
    Case("an unknown study", SITE.link(study="CT9999"), raises=NoSuchStudy),
)
NOT_OURS = ("http://qr.szjudianyun.com/", "http://qr.szjudianyun.com/abc/?a=H001", "http://example.test/?a=1&b=2")


@pytest.fixture
def world():
    SITE.dropped = SITE.drop_at = 0
    with World(SITE) as up:
        yield up


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, world, tmp_path):
    await check(Szjudianyun, case, world, tmp_path, via)
    assert not world.unexpected
    assert SITE.dropped == 0


@pytest.mark.parametrize("case", first_of(CASES), ids=str)
async def test_a_server_of_other_manners(case, tmp_path):
    with World(SzjudianyunSite(is_chatty=True)) as world:
        await check(Szjudianyun, case, world, tmp_path)


async def test_a_connection_that_breaks_costs_nothing(world, tmp_path):
    SITE.drop_at = SITE._images + 5
    await check(Szjudianyun, CASES[0], world, tmp_path)


async def test_series_that_nothing_is_told_of_are_all_chosen(world, tmp_path):
    result = await run(Szjudianyun, CASES[0], world, tmp_path, series=("1",))
    assert result.counts.saved == sum(SERIES.values())


@pytest.mark.parametrize("link", NOT_OURS)
def test_not_ours(link):
    assert Szjudianyun.owns(parse_url(link)) is None
    assert Szjudianyun.recognises(parse_url(link)) is None
