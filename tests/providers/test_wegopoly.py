"""wegopoly: sealed and plain links, objects that the store lost, and what the site refuses."""

import pytest

from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.sites.wegopoly import site
from fixtures.world import World
from providers.wegopoly import Wegopoly
from scraper.core.errors import LinkExpired, NoSuchStudy, StudyGone, UnusableLink
from scraper.core.link import parse_url
from scraper.core.model import Origin, Status, Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, check_listing, compare, first_of, rows, run

BROWSER = (Via.BROWSER,)
SITE = site.WegopolySite()
SERIES = {item.uid: len(item.instances) for item in SITE.study.series}
CASES = (
    Case("opens a link", site.OPEN, series=SERIES, thorough=BROWSER),
    Case("opens a link without the slash", site.NO_SLASH, series=SERIES),
    Case("opens a link in clear", site.PLAIN, series=SERIES),
    Case("an expired link", site.EXPIRED, raises=LinkExpired, says="链接已过期", thorough=BROWSER),
    Case("a token that is not known", site.UNKNOWN, raises=StudyGone, says="验证失败"),
    Case("a study without images", site.EMPTY, raises=NoSuchStudy),
    Case("a damaged link", site.DAMAGED, raises=UnusableLink),
    Case("a link of another version", site.OF_ANOTHER_VERSION, raises=UnusableLink),
)
NOT_OURS = (
    "https://cfsaas.wegopoly.com/",
    "https://cfsaas.wegopoly.com/image/?id=1",
    "https://wegopoly.com/image/?q=abc",
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(Wegopoly, case, world, tmp_path, via)
        assert world.unexpected == []


async def test_objects_that_the_store_lost_are_named_and_the_rest_is_kept(tmp_path):
    with World(SITE) as world:
        result = await run(Wegopoly, Case("holed", site.HOLED), world, tmp_path)
        assert (result.status, result.exit_code) == (Status.INCOMPLETE, 7)
        compare(tmp_path, world.originals, Origin.ORIGINAL)
    problems = [problem for series in result.studies[0].series for problem in series.problems]
    named = {name for problem in problems if problem.code == "fetch-failed" for name in problem.instances}
    assert named == {f"holed/{name}" for name in SITE.lost}


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "wegopoly"


def test_another_host_is_recognised_by_its_sealed_value():
    found = find(parse_url(site.OPEN.replace("cfsaas.wegopoly.com", "192.0.2.7:8443")))
    assert found is not None
    assert (found.provider.name, found.listed) == ("wegopoly", False)


@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", first_of(CASES), ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(SITE, SHAPES[shape])) as world:
        await check_listing(Wegopoly, case, world, tmp_path)
