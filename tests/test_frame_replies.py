"""Tags and pixels that come apart by HTTP: rebuilt where they are the site's own and whole, exit 8 for pictures."""

import pytest

from fixtures.sites.generic_pixels import site as pixels
from fixtures.world import World
from providers.universal import Universal
from scraper.core.errors import NotOriginalDicom
from scraper.core.model import Via
from scraper.session.browser import find_browser
from scraper.testing import Case, check

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")

SITE = pixels.GenericPixels()


@pytest.fixture(scope="module")
def world():
    with World(SITE) as running:
        yield running


@pytest.mark.thorough
@pytest.mark.parametrize("kind", pixels.KINDS)
async def test_every_way_to_send_tags_and_pixels(kind, world, tmp_path):
    series = {series.uid: len(series.instances) for series in SITE.studies[kind].series}
    case = Case(kind, f"{pixels.LINK}/{kind}", ways=(Via.BROWSER,), series=series, origin="rebuilt")
    await check(Universal, case, world, tmp_path, Via.BROWSER)
    assert world.unexpected == []


@pytest.mark.thorough
async def test_pictures_with_their_tags_are_no_originals(world, tmp_path):
    case = Case("rendered", f"{pixels.LINK}/rendered", ways=(Via.BROWSER,), raises=NotOriginalDicom)
    await check(Universal, case, world, tmp_path, Via.BROWSER)
