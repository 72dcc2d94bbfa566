"""Viewers whose requests nobody else can make: their own functions are called with their lists' values."""

import pytest

from fixtures.sites.generic_signed import site as signed
from fixtures.world import World
from providers.universal import Universal
from scraper.core.model import Via
from scraper.session.browser import find_browser
from scraper.testing import Case, check

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")

SITE = signed.GenericSigned(slices=30)
ALL = {series.uid: len(series.instances) for series in SITE.study.series}
EVERY_RUN = ("still",)
MOST_MOVES = (
    18  # turns of the wheel, of the 37 and more that it takes to see everything; a busy machine takes some in vain
)


@pytest.fixture(scope="module")
def world():
    with World(SITE) as running:
        yield running


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in EVERY_RUN else [pytest.mark.thorough]) for kind in signed.KINDS]
)
async def test_every_way_to_ask_once_only(kind, world, tmp_path):
    case = Case(kind, f"{signed.LINK}/{kind}", ways=(Via.BROWSER,), series=ALL)
    await check(Universal, case, world, tmp_path, Via.BROWSER)
    assert world.unexpected == []
    assert SITE.moves <= MOST_MOVES
