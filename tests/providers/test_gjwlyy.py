"""浙大二院: the viewer is driven by keys, and the pixels that it decodes are taken at full resolution only."""

from dataclasses import replace

import pytest
from pydicom import dcmread

from fixtures.sites.gjwlyy.site import FILM, OLD, SHARE, SPENT, VIEW, GjwlyySite
from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.world import World
from providers.gjwlyy.images import image
from providers.gjwlyy.provider import Gjwlyy
from providers.gjwlyy.viewer import Decoded, Tile
from scraper.contract import LinkExpired, Origin
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.testing import Case, check, first_of, rows


def served(site):
    return {series.uid: len(series.images) for series in site.study.series if series.images}


BROWSER = (Via.BROWSER,)
OPENS = Case("opens", SHARE, series=served(GjwlyySite()), origin=Origin.REBUILT, left_out=1, ways=(), thorough=BROWSER)
CASES = (
    OPENS,
    Case("over", OLD, raises=LinkExpired, says="已过期", ways=(), thorough=BROWSER),
    Case("a ticket that is spent", SPENT, raises=LinkExpired, ways=(), thorough=BROWSER),
)
NOT_OURS = (f"{FILM.origin}/cloudfilmserver/cloudFilm/showShareReport.htm", f"{VIEW.origin}/e/viewer")


async def test_two_stacks_by_keys(tmp_path):
    site = GjwlyySite(slices=4, localizers=0)
    with World(site) as world:
        await check(Gjwlyy, replace(OPENS, series=served(site)), world, tmp_path, Via.BROWSER)
        assert not world.unexpected


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(GjwlyySite()) as world:
        await check(Gjwlyy, case, world, tmp_path, via)
        assert not world.unexpected


@pytest.mark.thorough
async def test_another_version(tmp_path):
    with World(GjwlyySite(gray=True)) as world:
        await check(Gjwlyy, OPENS, world, tmp_path, Via.BROWSER)
    windows = {str(dcmread(item, stop_before_pixels=True).WindowWidth) for item in tmp_path.rglob("*.dcm")}
    assert windows == {"400"}


@pytest.mark.thorough
@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", [OPENS], ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(GjwlyySite(), SHAPES[shape], only="queryShareReport")) as world:
        await check(Gjwlyy, case, world, tmp_path, Via.BROWSER)


@pytest.mark.thorough
async def test_a_series_that_only_its_thumbnail_shows(tmp_path):
    with World(GjwlyySite(by_arrows=False)) as world:
        await check(Gjwlyy, OPENS, world, tmp_path, Via.BROWSER)


@pytest.mark.parametrize("link", NOT_OURS)
def test_not_ours(link):
    assert Gjwlyy.owns(parse_url(link)) is None


def tile(width, x, y, w, h, fill):
    return Tile(width, x, y, w, h, 1, bytes([fill]) * (w * h))


LOWER = tile(2, 0, 0, 2, 2, 9)
FULL = (tile(4, 0, 0, 2, 2, 1), tile(4, 2, 0, 2, 2, 2), tile(4, 0, 2, 2, 1, 3), tile(4, 2, 2, 2, 1, 4))
PICTURE = bytes([1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4])


@pytest.mark.parametrize("size", [(4, 3), None])
def test_the_highest_level_is_put_together(size):
    assert image(Decoded((LOWER, *FULL), size, (), ())) == (4, 3, PICTURE)


def test_tiles_without_a_place_stand_in_rows():
    tiles = tuple(Tile(item.width, 0, 0, item.w, item.h, 1, item.data) for item in FULL)
    assert image(Decoded((LOWER, *tiles), (4, 3), (), ())) == (4, 3, PICTURE)


def test_a_width_that_is_the_tiles_own_does_not_mislead():
    tiles = tuple(Tile(item.w, item.x, item.y, item.w, item.h, 1, item.data) for item in (LOWER, *FULL))
    assert image(Decoded(tiles, (4, 3), (), ())) == (4, 3, PICTURE)


@pytest.mark.parametrize("missing", range(4))
def test_what_does_not_cover_the_image_is_none(missing):
    tiles = tuple(item for at, item in enumerate(FULL) if at != missing)
    assert image(Decoded((LOWER, *tiles), (4, 3), (), ())) is None
    assert image(Decoded((LOWER,), (4, 3), (), ())) is None
