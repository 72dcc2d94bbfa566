"""DCM4CHEE 2 behind its own pages: no list but texts and links, no service but WADO-URI."""

import pytest

from fixtures.sites.generic_dcm4chee2.site import GenericDcm4chee2
from fixtures.world import World
from providers.universal import Universal
from scraper.core.errors import NotOriginalDicom
from scraper.core.model import Via
from scraper.session.browser import find_browser
from scraper.testing import Case, check, run

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")


@pytest.mark.parametrize("kind", ["viewer", pytest.param("folder", marks=pytest.mark.thorough)])
async def test_its_pages_give_the_whole_study(kind, tmp_path):
    site = GenericDcm4chee2()
    series = {item.uid: len(item.instances) for item in site.study.series}
    with World(site) as world:
        case = Case(kind, site.link(kind), ways=(Via.BROWSER,), series=series)
        await check(Universal, case, world, tmp_path, Via.BROWSER)


@pytest.mark.thorough
async def test_what_its_page_lists_as_texts_alone_is_brought_and_not_called_complete(tmp_path):
    site = GenericDcm4chee2()
    with World(site) as world:
        case = Case("texts", site.link("texts"), ways=(Via.BROWSER,))
        result = await run(Universal, case, world, tmp_path, Via.BROWSER)
    assert (result.exit_code, result.counts.saved) == (7, len(site.originals))


@pytest.mark.thorough
async def test_where_it_gives_pictures_alone_there_is_no_study(tmp_path):
    site = GenericDcm4chee2()
    with World(site) as world:
        case = Case("closed", site.link("closed"), ways=(Via.BROWSER,), raises=NotOriginalDicom)
        await check(Universal, case, world, tmp_path, Via.BROWSER)
