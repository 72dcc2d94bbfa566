"""Viewers by another hand: whole, or an honest code; never a success that is not whole, never other pixels."""

import pytest

from fixtures.sites.other_hand.viewers import VIEWERS
from fixtures.world import World
from providers.universal import Universal
from scraper.core.model import Origin, Via
from scraper.session.browser import find_browser
from scraper.testing import Case, compare, run

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")

REBUILT = ("keys", "offscreen")  # their frames come without an object around them
HONEST = {  # the codes of what is not whole
    "tiles": (8,)  # samples of 16 bits are put together in the page alone
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", VIEWERS)
async def test_a_viewer_by_another_hand(name, tmp_path):
    site = VIEWERS[name]()
    with World(site) as world:
        result = await run(Universal, Case(name, site.link, ways=(Via.BROWSER,)), world, tmp_path, Via.BROWSER)
        refused = [seen.path for seen in world.unexpected]
    assert result.exit_code in HONEST.get(name, (0,))
    assert refused == []
    origin = Origin.REBUILT if name in REBUILT else Origin.ORIGINAL
    if list(tmp_path.rglob("*.dcm")):
        compare(tmp_path, site.originals, origin)
    if result.exit_code == 0:
        saved = {series.uid: series.saved for study in result.studies for series in study.series if series.saved}
        assert saved == {series.uid: len(series.images) for series in site.study.series}
