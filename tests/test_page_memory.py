"""Viewers whose images are DICOM only in the page's memory: each image is shown, and taken from there."""

import pytest

from fixtures.sites.generic_hidden import site as hidden
from fixtures.world import World
from providers.universal import Universal
from scraper.core.model import Via
from scraper.session.browser import find_browser
from scraper.testing import Case, check

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")


async def comes_whole(site, page, folder):
    series = {series.uid: len(series.instances) for series in site.study.series}
    with World(site) as world:
        case = Case(page, f"{hidden.LINK}/{page}", ways=(Via.BROWSER,), series=series)
        await check(Universal, case, world, folder, Via.BROWSER)
        assert world.unexpected == []


@pytest.mark.thorough
@pytest.mark.parametrize("kind", hidden.KINDS)
async def test_every_way_to_hide_an_object(kind, tmp_path):
    await comes_whole(hidden.GenericHidden(), kind, tmp_path)


DRIVEN = [f"list={kind}" for kind in hidden.LISTS] + [f"move={kind}" for kind in hidden.MOVES]
EVERY_RUN = ("move=slider",)  # its objects are hidden by ``xor``
TWO_STACKS = ("move=slider", "move=finger")


@pytest.mark.parametrize(
    "query", [pytest.param(text, marks=[] if text in EVERY_RUN else [pytest.mark.thorough]) for text in DRIVEN]
)
async def test_every_way_to_show_a_list_and_its_images(query, tmp_path):
    site = hidden.GenericHidden(slices=8, thin=3, localizers=0) if query in TWO_STACKS else hidden.GenericHidden()
    await comes_whole(site, f"xor?{query}", tmp_path)
