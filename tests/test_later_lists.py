"""Lists that come after there is a plan already: what they name is part of the study."""

import pytest

from fixtures.sites.second_hand.clicked import pausedevents
from fixtures.world import World
from providers.universal import Universal
from scraper.capture.drive.wording import MORE
from scraper.core.model import Via
from scraper.core.settings import Timings
from scraper.core.timings import DriveTimings
from scraper.session.browser import find_browser
from scraper.testing import Case, run

QUICK = Timings(drive=DriveTimings(quiet_s=0.3, stream_quiet_s=0.1, list_quiet_s=3.0, opened_quiet_s=0.2))


@pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
async def test_a_stream_that_rests_has_not_said_all(tmp_path):
    site = pausedevents(1.5)
    case = Case("pausedevents", site.link, ways=(Via.BROWSER,))
    with World(site) as world:
        result = await run(Universal, case, world, tmp_path, Via.BROWSER, timings=QUICK)
    assert result.exit_code == 0
    assert len([*tmp_path.rglob("*.dcm")]) == len(site.originals)


@pytest.mark.parametrize(
    ("words", "is_more"),
    [
        ("其余序列", True),
        ("查看其他序列 (3)", True),
        ("更多（2）", True),
        ("remaining series", True),
        ("其他检查", False),
        ("其他", False),
        ("剩余", False),
    ],
)
def test_a_button_for_the_rest_of_a_list(words, is_more):
    assert (MORE.search(words) is not None) is is_more
