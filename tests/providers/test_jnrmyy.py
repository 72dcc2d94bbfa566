"""jnrmyy: known by its link; the universal capture brings the study."""

import pytest

from fixtures.sites.jnrmyy.site import OLD, JnrmyySite
from fixtures.world import World
from providers.jnrmyy import Jnrmyy
from scraper.contract import LinkExpired
from scraper.link import of
from scraper.model import Via
from scraper.testing import Case, check, run

SITE = JnrmyySite()
SERIES = {one.uid: len(one.instances) for one in SITE.study.series}
CASES = (
    Case("a share", SITE.link(), series=SERIES),
    Case("expired", SITE.link(OLD), raises=LinkExpired),
)
NOT_OURS = ("https://yjp.jnrmyy.com/", "https://yjp.jnrmyy.com/Dicom/Index?token=1")


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_case(case, tmp_path):
    with World(JnrmyySite()) as world:
        await check(Jnrmyy, case, world, tmp_path, Via.BROWSER)
        assert not world.unexpected


async def test_slices_that_the_server_has_lost_are_named_and_the_rest_is_kept(tmp_path):
    site = JnrmyySite(lacking=2)
    with World(site) as world:
        result = await run(Jnrmyy, CASES[0], world, tmp_path, Via.BROWSER)
    assert result.exit_code == 7
    assert result.counts.saved == len(site.originals) - 2
    assert "missing-instances" in {
        one.code for study in result.studies for series in study.series for one in series.problems
    }


def test_the_product_elsewhere():
    assert Jnrmyy.recognises(of("https://film.other.test/CloudView/Dicom/View?a=1&UrlToken=AB12"))


@pytest.mark.parametrize("link", NOT_OURS)
def test_not_ours(link):
    assert Jnrmyy.owns(of(link)) is None
