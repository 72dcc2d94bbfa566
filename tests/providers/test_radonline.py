"""锐达: each series is packed by the viewer's own download; what fails or comes short is asked for again."""

import pytest

from fixtures.sites.radonline.site import (
    FORE,
    ID_LAST4,
    OLD,
    PERSON,
    PHONES,
    SCAN,
    SCAN_BARE,
    SHARE,
    VIEWER,
    VIEWER_2,
    RadonlineSite,
)
from fixtures.sites.reshaped import SHAPES
from fixtures.world import World
from providers.products.active_image import State
from providers.radonline import Radonline
from scraper.contract import CredentialsRefused, CredentialsRequired, LinkExpired
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.testing import Case, check, first_of, rows

ANSWERS = {"id_last4": ID_LAST4}
BROWSER = (Via.BROWSER,)
CASES = (
    Case("a share", SHARE, ways=BROWSER),
    Case("scanned", SCAN, answers=ANSWERS, ways=(), thorough=BROWSER),
    Case("scanned, without a slash", SCAN_BARE, answers=ANSWERS, ways=(), thorough=BROWSER),
    Case("the viewer", VIEWER, ways=(), thorough=BROWSER),
    Case("the newer viewer", VIEWER_2, ways=(), thorough=BROWSER),
    Case("over", OLD, raises=LinkExpired, says="已过期", ways=(), thorough=BROWSER),
    Case("nobody answers", SCAN, raises=CredentialsRequired, ways=(), thorough=BROWSER),
    Case(
        "a wrong answer",
        SCAN,
        answers={"id_last4": "0000"},
        raises=CredentialsRefused,
        says="不匹配",
        ways=(),
        thorough=BROWSER,
    ),
)
NOT_OURS = (
    FORE,
    f"{FORE}?redirect=%2Fcheck-scan%3Fother%3D1",
    f"{FORE}#/login",
    "https://film.radonline.cn/webImage2/activeImage.html",
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(RadonlineSite()) as world:
        await check(Radonline, case, world, tmp_path, via)
        assert not world.unexpected


@pytest.mark.thorough
async def test_a_page_drawn_another_way(tmp_path):
    case = Case("scanned", SCAN, answers={**ANSWERS, "name": PERSON})
    with World(RadonlineSite(look=PHONES)) as world:
        await check(Radonline, case, world, tmp_path, Via.BROWSER)
        assert not world.unexpected


@pytest.mark.parametrize("stumbles", first_of(["short", "fails"]))
@pytest.mark.thorough
async def test_a_download_that_goes_wrong_is_called_again(tmp_path, stumbles):
    site = RadonlineSite(stumbles=stumbles, new_tab=True)
    with World(site) as world:
        await check(Radonline, CASES[0], world, tmp_path, Via.BROWSER)
    assert not [text for text in site.asked if text.startswith("9")]


@pytest.mark.parametrize("listed", ["studyList", "indexList"])
def test_other_studies_that_the_viewer_lists_are_counted(listed):
    state = {listed: [{"xeGUID": "XE2"}, {"xeGUID": "XE1"}, {"xeGUID": None}], "select_index": "1"}
    found = State.model_validate(state)
    assert (found.study.guid, found.further) == ("XE1", 1)


@pytest.mark.parametrize("link", NOT_OURS)
def test_not_ours(link):
    assert Radonline.owns(parse_url(link)) is None


@pytest.mark.thorough
@pytest.mark.parametrize("shape", first_of(SHAPES))
async def test_the_same_by_another_hand(shape, tmp_path):
    class OtherHand(RadonlineSite):
        def state(self) -> dict[str, object]:
            return SHAPES[shape](super().state())

    with World(OtherHand()) as world:
        await check(Radonline, CASES[0], world, tmp_path, Via.BROWSER)
