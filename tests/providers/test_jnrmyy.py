"""jnrmyy: known by its link; the universal capture brings the study."""

import asyncio
import itertools
from urllib.parse import parse_qsl

import pytest

from fixtures.sites.jnrmyy.site import OLD, JnrmyySite
from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.world import World
from providers.jnrmyy import Jnrmyy
from scraper.contract import LinkExpired
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.testing import Case, check, first_of, rows, run

SITE = JnrmyySite()
SERIES = {series.uid: len(series.instances) for series in SITE.study.series}
BROWSER = (Via.BROWSER,)
CASES = (
    Case("a share", SITE.link(), series=SERIES, ways=(), thorough=BROWSER),  # what comes whole is seen below too
    Case("expired", SITE.link(OLD), raises=LinkExpired, ways=(), thorough=BROWSER),
)
NOT_OURS = ("https://yjp.jnrmyy.com/", "https://yjp.jnrmyy.com/Dicom/Index?token=1")


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(JnrmyySite()) as world:
        await check(Jnrmyy, case, world, tmp_path, via)
        assert not world.unexpected


@pytest.mark.thorough
async def test_what_the_server_has_lost_is_named_and_the_rest_is_kept(tmp_path):
    """Two slices, and the one object of a series: the list names it, and not whose it is."""
    site = JnrmyySite(lacking=2)
    (report,) = site.study.series[-1].instances
    site.lost.add(report.sop_instance_uid)
    with World(site) as world:
        result = await run(Jnrmyy, CASES[0], world, tmp_path, Via.BROWSER)
    assert (result.exit_code, result.counts.saved) == (7, len(site.originals) - 3)
    fatal = [problem for study in result.studies for row in study.series for problem in row.problems if problem.fatal]
    assert {problem.code for problem in fatal} == {"missing-instances", "missing-series"}
    assert next(problem for problem in fatal if problem.code == "missing-series").instances == (
        report.sop_instance_uid,
    )


class Overtaken(JnrmyySite):
    """The fourth and the fifth image of the longest series come only once the page has asked for the one behind."""

    def __init__(self):
        super().__init__()
        uids = [
            instance.sop_instance_uid
            for instance in max(self.study.series, key=lambda row: len(row.instances)).instances
        ]
        self._waits_for = dict(itertools.pairwise(uids[3:6]))
        self._was_asked = {uid: asyncio.Event() for uid in self._waits_for.values()}
        self.overtaken = []

    async def fetched(self, request):
        uid = dict(parse_qsl((await request.body()).decode())).get("sop", "")
        if uid in self._was_asked:
            self._was_asked[uid].set()
        return await super().fetched(request)

    async def image(self, request):
        uid = self._cached.get(request.path_params["name"], "")
        if next_one := self._waits_for.pop(uid, None):
            async with asyncio.timeout(60):
                await self._was_asked[next_one].wait()
            self.overtaken.append(uid)
        return await super().image(request)


@pytest.mark.thorough
async def test_an_image_that_comes_after_the_next_was_asked_for_is_no_reply_to_that(tmp_path):
    """As on a busy machine: the page's own calls are learnt from, and one was taken for another's; an image was lost."""
    site = Overtaken()
    with World(site) as world:
        await check(Jnrmyy, CASES[0], world, tmp_path, Via.BROWSER)
    assert len(site.overtaken) == 2


def test_the_product_elsewhere():
    assert Jnrmyy.recognises(parse_url("https://film.other.test/CloudView/Dicom/View?a=1&UrlToken=AB12"))


@pytest.mark.parametrize("link", NOT_OURS)
def test_not_ours(link):
    assert Jnrmyy.owns(parse_url(link)) is None


@pytest.mark.thorough
@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(JnrmyySite(), SHAPES[shape], only="/Dicom/getWS")) as world:
        await check(Jnrmyy, case, world, tmp_path, Via.BROWSER)
