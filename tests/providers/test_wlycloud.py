"""万里云: the viewer's own object read once it has stopped growing; raw frames rebuilt pixel for pixel."""

import pytest

from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.sites.wlycloud.site import PAGE, SHARE, VIEWER, WlycloudSite
from fixtures.world import World
from providers.wlycloud.provider import Wlycloud
from scraper.contract import LinkExpired, NoSuchStudy, Origin
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.testing import Case, check, first_of, rows

SITE = WlycloudSite()
SERIES = {series.uid: len(series.images) for series in SITE.study.series if series.images} | {f"{SITE.loop_uid}.1": 1}
BROWSER = (Via.BROWSER,)
CASES = (
    Case("a share", SHARE, series=SERIES, origin=Origin.REBUILT, ways=BROWSER),
    Case("the viewer itself", VIEWER, series=SERIES, origin=Origin.REBUILT, ways=(), thorough=BROWSER),
    Case(
        "a relative address of the viewer",
        f"{PAGE.origin}/#/?uid=BARE1",
        series=SERIES,
        origin=Origin.REBUILT,
        ways=(),
        thorough=BROWSER,
    ),
    Case("a viewer's address that is over", f"{VIEWER}d", raises=LinkExpired, ways=(), thorough=BROWSER),
    Case("a share that leads to one", f"{PAGE.origin}/#/?uid=SPENT1", raises=LinkExpired, ways=(), thorough=BROWSER),
    Case("expired", f"{PAGE.origin}/#/?uid=OLD", raises=LinkExpired, says="已过期", ways=(), thorough=BROWSER),
    Case("a report without images", f"{PAGE.origin}/?uid=REPORT1", raises=NoSuchStudy, ways=(), thorough=BROWSER),
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(Wlycloud, case, world, tmp_path, via)
        assert not world.unexpected


@pytest.mark.thorough
async def test_a_list_that_is_still_on_its_way_is_waited_for(tmp_path):
    site = WlycloudSite()
    site.is_late = True
    with World(site) as world:
        await check(Wlycloud, CASES[0], world, tmp_path, Via.BROWSER)


@pytest.mark.thorough
async def test_an_image_in_a_form_that_nobody_can_read_is_missing(tmp_path):
    site = WlycloudSite()
    site.video = True
    row = Case("a video", SHARE, series=SERIES, origin=Origin.REBUILT, left_out=1, lacks="missing-instances")
    with World(site) as world:
        await check(Wlycloud, row, world, tmp_path, Via.BROWSER)


@pytest.mark.thorough
async def test_a_loop_of_which_a_frame_has_no_address_is_missing(tmp_path):
    site = WlycloudSite()
    site.frames = (2, 0)
    del site.originals[site.loop_uid]
    rest = {uid: count for uid, count in SERIES.items() if not uid.startswith(site.loop_uid)}
    row = Case("two of three frames", SHARE, series=rest, origin=Origin.REBUILT, left_out=1, lacks="missing-instances")
    with World(site) as world:
        await check(Wlycloud, row, world, tmp_path, Via.BROWSER)


@pytest.mark.thorough
@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", CASES[::3], ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(SITE, SHAPES[shape], only="/cfilm/")) as world:
        await check(Wlycloud, case, world, tmp_path, Via.BROWSER)


@pytest.mark.parametrize("link", [f"{PAGE.origin}/", f"{PAGE.origin}/#/?facId=1"])
def test_not_ours(link):
    assert Wlycloud.owns(parse_url(link)) is None
