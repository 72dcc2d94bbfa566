"""Viewers whose images are DICOM only in the page's memory: each image is shown, and taken from there."""

import pytest

from fixtures.sites.generic_hidden import site as hidden
from fixtures.world import World
from providers.universal import Universal
from scraper.core.model import Via
from scraper.session.browser import find_browser
from scraper.testing import Case, check

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")

SITE = hidden.GenericHidden(slices=8, thin=3, localizers=0)
ALL = {series.uid: len(series.instances) for series in SITE.study.series}


@pytest.fixture(scope="module")
def world():
    with World(SITE) as running:
        yield running


@pytest.mark.thorough
@pytest.mark.parametrize("kind", hidden.KINDS)
async def test_every_way_to_hide_an_object(kind, world, tmp_path):
    case = Case(kind, f"{hidden.LINK}/{kind}", ways=(Via.BROWSER,), series=ALL)
    await check(Universal, case, world, tmp_path, Via.BROWSER)
    assert world.unexpected == []


DRIVEN = [f"list={kind}" for kind in hidden.LISTS] + [f"move={kind}" for kind in hidden.MOVES]
DRIVEN_EVERY_RUN = ("move=slider",)  # its objects are hidden by ``xor``


@pytest.mark.parametrize(
    "query", [pytest.param(text, marks=[] if text in DRIVEN_EVERY_RUN else [pytest.mark.thorough]) for text in DRIVEN]
)
async def test_every_way_to_show_a_list_and_its_images(query, world, tmp_path):
    case = Case(query, f"{hidden.LINK}/xor?{query}", ways=(Via.BROWSER,), series=ALL)
    await check(Universal, case, world, tmp_path, Via.BROWSER)
