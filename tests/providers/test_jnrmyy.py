"""jnrmyy: known by its link; the universal capture brings the study."""

import pytest

from fixtures.sites.jnrmyy.site import OLD, JnrmyySite
from fixtures.world import World
from providers.jnrmyy import Jnrmyy
from scraper.contract import LinkExpired
from scraper.link import of
from scraper.model import Via
from scraper.testing import Case, check

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


def test_the_product_elsewhere():
    assert Jnrmyy.recognises(of("https://film.other.test/CloudView/Dicom/View?a=1&UrlToken=AB12"))


@pytest.mark.parametrize("link", NOT_OURS)
def test_not_ours(link):
    assert Jnrmyy.owns(of(link)) is None
