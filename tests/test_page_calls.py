"""Viewers whose requests nobody else can make: their own functions are called with their lists' values."""

import pytest

from fixtures.sites.generic_signed import site as signed
from fixtures.world import World
from providers.universal import Universal
from scraper.core.model import Via
from scraper.core.timings import DriveTimings, Timings
from scraper.session.browser import find_browser
from scraper.testing import Case, check

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")

MOST_MOVES = (
    18  # turns of the wheel, of the 37 and more that it takes to see everything; a busy machine takes some in vain
)
IN_VAIN = Timings(drive=DriveTimings(step_s=0.1))  # no gesture shows anything new, however long it is waited for


async def asked(site, kind, folder, timings):
    series = {series.uid: len(series.instances) for series in site.study.series}
    with World(site) as world:
        case = Case(kind, f"{signed.LINK}/{kind}", ways=(Via.BROWSER,), series=series)
        await check(Universal, case, world, folder, Via.BROWSER, timings=timings)
        assert world.unexpected == []


@pytest.mark.thorough
@pytest.mark.parametrize("kind", [kind for kind in signed.KINDS if kind != "still"])
async def test_every_way_to_ask_once_only(kind, tmp_path):
    site = signed.GenericSigned(slices=30)
    await asked(site, kind, tmp_path, Timings())
    assert site.moves <= MOST_MOVES


async def test_a_viewer_that_nothing_moves_is_asked_for_all_images(tmp_path):
    await asked(signed.GenericSigned(slices=5, thin=0, localizers=1), "still", tmp_path, IN_VAIN)
