"""A product's viewer on a host that no row lists, behind an address that betrays nothing: its provider knows it by its calls."""

import pytest
from starlette.responses import HTMLResponse
from starlette.routing import Route

from fixtures.sites import Address
from fixtures.sites.radonline.site import MERGED
from fixtures.sites.rjh.site import RjhSite
from fixtures.world import World
from providers.universal import Universal
from scraper.core.link import parse_url
from scraper.core.model import Origin, Status, Via
from scraper.registry import catalogue
from scraper.session.browser import find_browser
from scraper.testing import Case, check, compare, in_pipeline, settings_in

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
HOST = "view.unlisted.test"
LINK = f"https://{HOST}/s/Ab12Cd34"


class Elsewhere(RjhSite):
    """The viewer that only its page's own functions bring images from, under another name."""

    address = Address(HOST)

    def routes(self):
        target = f"/webImageSyn/activeImage.html?mergeParameters={MERGED}"
        page = HTMLResponse(f"<!doctype html><title>film</title><script>location.href='{target}'</script>")
        return [Route("/s/{code}", lambda _: page), *super().routes()]


async def test_by_the_universal_capture(tmp_path):
    site = Elsewhere()
    with World(site) as world:
        result = await check(Universal, Case("", LINK), world, tmp_path, Via.BROWSER)
        assert not world.unexpected
    codes = {problem.code for row in result.studies[0].series for problem in row.problems}
    assert codes == {"judged-by-service"}
    assert result.counts.saved == len(site.originals)


async def test_with_no_provider_named(tmp_path):
    assert catalogue.find(parse_url(LINK)) is None
    site = Elsewhere()
    with World(site) as world:
        result = await in_pipeline(settings_in(world, tmp_path), lambda pipeline: pipeline.grab(LINK))
    assert (result.status, result.provider, result.via) == (Status.COMPLETE, "universal", Via.BROWSER)
    assert result.counts.saved == len(site.originals)
    compare(tmp_path, site.originals, Origin.ORIGINAL)


def test_what_is_listened_for_is_said_by_the_recipes():
    listeners = catalogue.universal().recognisers
    assert {"radonline", "wlycloud", "nyfy", "tjmucih"} <= {type(provider).name for provider in listeners}
    assert all(type(provider).watches() for provider in listeners)
