"""Viewers that give one image after another, to their own page alone: they are stepped through, and the site refuses nothing."""

import pytest

from fixtures.sites.generic_stepped import site as stepped
from fixtures.world import World
from providers.universal import Universal
from scraper.core.model import Via
from scraper.session.browser import find_browser
from scraper.testing import Case, check, first_of

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")


@pytest.mark.parametrize("kind", first_of(stepped.KINDS))
async def test_every_image_is_shown_once(kind, tmp_path):
    site = stepped.GenericStepped(slices=7)
    series = {item.uid: len(item.instances) for item in site.study.series}
    with World(site) as world:
        case = Case(kind, f"{stepped.LINK}/{kind}", ways=(Via.BROWSER,), series=series)
        await check(Universal, case, world, tmp_path, Via.BROWSER)
    assert (site.served, site.refused) == (7, 0)
