"""瑞金: the viewer's own provider gives one image after another; a socket that drops costs nothing."""

import pytest

from fixtures.sites.reshaped import SHAPES
from fixtures.sites.rjh.site import AWAY, FORE, OLD, SHARE, SHUT, VIEWER, RjhSite
from fixtures.world import World
from providers.rjh import Rjh
from scraper.contract import LinkExpired, NotThereYet
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.core.timings import Timings
from scraper.testing import Case, check, first_of, rows

BROWSER = (Via.BROWSER,)
CASES = (
    Case("a share", SHARE, ways=BROWSER),
    Case("the viewer", VIEWER, ways=(), thorough=BROWSER),
    Case("over", OLD, raises=LinkExpired, says="已过期", ways=(), thorough=BROWSER),
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(RjhSite()) as world:
        await check(Rjh, case, world, tmp_path, via)
        assert not world.unexpected


@pytest.mark.thorough
async def test_a_control_that_stays_disabled_beside_words_of_an_end(tmp_path):
    with World(RjhSite()) as world:
        case = Case("shut", SHUT, raises=LinkExpired, says="已过期")
        await check(Rjh, case, world, tmp_path, Via.BROWSER)


@pytest.mark.thorough
async def test_a_study_that_is_never_recalled_is_not_there_yet(tmp_path):
    case = Case("away", AWAY, raises=NotThereYet)
    with World(RjhSite()) as world:
        await check(Rjh, case, world, tmp_path, Via.BROWSER, timings=Timings(site_scale=1 / 30))


@pytest.mark.thorough
async def test_a_socket_that_drops_is_mended_by_loading_the_viewer_anew(tmp_path):
    site = RjhSite(drops_after=3)
    with World(site) as world:
        await check(Rjh, CASES[0], world, tmp_path, Via.BROWSER)
    assert len(site.asked) == len(site.originals) + 1


@pytest.mark.parametrize("link", [FORE, f"{FORE}#/login"])
def test_not_ours(link):
    assert Rjh.owns(parse_url(link)) is None


@pytest.mark.thorough
@pytest.mark.parametrize("shape", first_of(SHAPES))
async def test_the_same_by_another_hand(shape, tmp_path):
    class OtherHand(RjhSite):
        def state(self) -> dict[str, object]:
            return SHAPES[shape](super().state())

    with World(OtherHand()) as world:
        await check(Rjh, CASES[0], world, tmp_path, Via.BROWSER)
