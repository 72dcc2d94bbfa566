"""江苏省肿瘤医院: a code asked of the user, and frames over the viewer's WebSocket; on sockets of our own, or on the page's."""

import pytest

from fixtures.sites.cif.site import CODE, FILM, FILM_LINK, OLD, SHARE, CifSite
from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.world import World
from providers.cif.provider import Cif
from scraper.contract import CredentialsRefused, CredentialsRequired, LinkExpired, Origin
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.testing import Case, check, first_of, rows

ANSWERS = {"access_code": CODE}
SERIES = {series.uid: len(series.images) for series in CifSite().study.series if series.images}
BROWSER = (Via.BROWSER,)
OPENS = Case("opens", SHARE, answers=ANSWERS, series=SERIES, origin=Origin.REBUILT, left_out=3, ways=BROWSER)
CASES = (
    OPENS,
    Case(
        "the film's own link",
        FILM_LINK,
        answers=ANSWERS,
        series=SERIES,
        origin=Origin.REBUILT,
        left_out=3,
        ways=(),
        thorough=BROWSER,
    ),
    Case("no code", SHARE, raises=CredentialsRequired, ways=(), thorough=BROWSER),
    Case(
        "a wrong code",
        SHARE,
        answers={"access_code": "XXXXXX"},
        raises=CredentialsRefused,
        says="访问码错误",
        ways=(),
        thorough=BROWSER,
    ),
    Case("over", OLD, answers=ANSWERS, raises=LinkExpired, says="链接已失效", ways=(), thorough=BROWSER),
)
NOT_OURS = (f"{FILM.origin}/CIF/film", f"{FILM.origin}/film?urlParam=AbCdEf", f"{FILM.origin}/CIF/film?param=AbCdEf")


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(CifSite()) as world:
        await check(Cif, case, world, tmp_path, via)
        assert not world.unexpected


@pytest.mark.thorough
@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", [OPENS, *CASES[-2:]], ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(CifSite(), SHAPES[shape], only="/cloudFilmDataLogicApi/")) as world:
        await check(Cif, case, world, tmp_path, Via.BROWSER)


@pytest.mark.parametrize("layout_as_text", [True, False])
@pytest.mark.thorough
async def test_a_ticket_that_opens_one_socket_leaves_the_pages(tmp_path, layout_as_text):
    site = CifSite(one_socket=True, layout_as_text=layout_as_text)
    with World(site) as world:
        await check(Cif, OPENS, world, tmp_path, Via.BROWSER)
    assert sorted(site.asked) == sorted(f"{uid}#0" for uid in site.originals)


@pytest.mark.thorough
async def test_several_sockets_are_used_where_the_site_allows_them(tmp_path):
    site = CifSite()
    with World(site) as world:
        await check(Cif, OPENS, world, tmp_path, Via.BROWSER)
    assert site.sockets > 2
    assert len(site.asked) == len(site.originals)


@pytest.mark.parametrize("link", NOT_OURS)
def test_not_ours(link):
    assert Cif.owns(parse_url(link)) is None
