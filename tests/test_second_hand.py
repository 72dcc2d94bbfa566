"""Viewers written by somebody who had not seen the capture: whole, or an honest code; a trap never comes out as complete."""

from io import BytesIO

import pytest
from pydicom import dcmread

from fixtures.sites.second_hand.viewers import TRAPS, VIEWERS
from fixtures.world import World
from providers.universal import Universal
from scraper.core.model import Via
from scraper.session.browser import find_browser
from scraper.testing import Case, run

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")

ALWAYS = ("sameuid",)
REBUILT = ("j2kheader", "rawzlib")  # no file is given out: the pixels are compared
HONEST = {  # the codes of what is not whole
    "brokenlines": (7,),  # the site breaks its list off
    "countmore": (7,),  # four images that the page counts are nowhere
    "deadimages": (7,),
    "jpegonly": (8,),
    "reduced": (7,),
    "sameuid": (7, 10),
    "strangerinside": (7,),
    "shortfiles": (7,),
    "everysecond": (0,),  # all that the list names; that numbers are left out is said
    "notready": (7,),
    "latecomer": (7,),
    "priors": (0, 7),  # 7 where it names the other person's study
    "smscode": (5,),
    "refusedlist": (7,),  # the list of one series ends with an error of the server
    "smallerthanlisted": (7,),  # reduced copies alone are given out
    "xmlcount": (7,),  # two images that its list counts are nowhere
}
ROWS = [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.thorough) for name in VIEWERS]


@pytest.mark.parametrize("name", ROWS)
async def test_a_viewer_by_a_second_hand(name, tmp_path):
    site = VIEWERS[name]()
    case = Case(name, site.link, answers=site.answers, ways=(Via.BROWSER,))
    with World(site) as world:
        result = await run(Universal, case, world, tmp_path, Via.BROWSER)
        guessed = [seen.path for seen in world.unexpected]
    saved = {uid: data for uid, data in _saved(tmp_path).items() if uid in site.originals}
    whole = {uid for uid, data in saved.items() if _is_same(name, data, site.originals[uid])}
    assert result.exit_code in HONEST.get(name, (0,))
    assert guessed == []
    assert not _saved(tmp_path).keys() & site.people.keys()
    if name == "sameuid":
        assert len(site.originals) - len(whole) <= 1  # which of the two is kept
    else:
        assert whole == saved.keys()
        if result.exit_code == 0 or name in TRAPS:  # of a trap, what its site gives out
            assert whole == set(site.originals)
    if name == "everysecond":
        codes = {problem.code for study in result.studies for series in study.series for problem in series.problems}
        assert "instance-number-gap" in codes


def _saved(folder):
    files = [path.read_bytes() for path in folder.rglob("*.dcm")]
    return {str(dcmread(BytesIO(data), stop_before_pixels=True).SOPInstanceUID): data for data in files}


def _is_same(name, saved, served):
    if name not in REBUILT:
        return saved == served
    return (dcmread(BytesIO(saved)).pixel_array == dcmread(BytesIO(served)).pixel_array).all()
