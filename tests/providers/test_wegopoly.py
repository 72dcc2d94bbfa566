"""wegopoly: sealed and plain links, objects that the store lost, and what the site refuses."""

import pytest

from fixtures.dicom import multi_frame
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


def counting(name, more):
    """An answer whose series say how many images they have, and one of them more than it lists."""

    def reshape(value):
        for place, series in enumerate(value["data"].get("seriesList", ())):
            series[name] = str(len(series["instanceList"]) + (more if place == 1 else 0))
        return value

    return reshape


@pytest.mark.parametrize("name", ["imageCount", "instance_num", "numberOfImages", "total"])
async def test_images_that_a_list_only_counts_are_missing(name, tmp_path):
    with World(Reshaped(SITE, counting(name, 2), only="/json/infoH5")) as world:
        result = await run(Wegopoly, CASES[0], world, tmp_path)
    short = [(series.saved, series.expected) for series in result.studies[0].series if series.status != "ok"]
    assert (result.exit_code, short) == (7, [(9, 11)])


async def test_images_that_are_only_counted_for_the_whole_study_are_missing(tmp_path):
    def reshape(value):
        listed = sum(len(series["instanceList"]) for series in value["data"]["seriesList"])
        value["data"]["imageCount"] = listed + 3
        return value

    with World(Reshaped(SITE, reshape, only="/json/infoH5")) as world:
        result = await run(Wegopoly, CASES[0], world, tmp_path)
    problems = [problem for series in result.studies[0].series for problem in series.problems if problem.fatal]
    assert [(problem.code, problem.values["stated"]) for problem in problems] == [
        ("count-unmet", len(SITE.originals) + 3)
    ]


@pytest.mark.parametrize("name", ["countryCode", "totalSize", "frameCount", "imageNo"])
async def test_a_number_of_something_else_is_no_count_of_images(name, tmp_path):
    with World(Reshaped(SITE, counting(name, 2), only="/json/infoH5")) as world:
        assert (await run(Wegopoly, CASES[0], world, tmp_path)).exit_code == 0


async def test_a_count_of_frames_is_met_by_the_frames_that_came(tmp_path):
    study = SITE.study
    first = study.series[1].instances[0]
    loops = site.WegopolySite(study.with_data(first.sop_instance_uid, multi_frame(first, 3, first.sop_instance_uid)))
    with World(Reshaped(loops, counting("imageCount", 2), only="/json/infoH5")) as world:
        result = await run(Wegopoly, CASES[0], world, tmp_path)
    assert "missing-instances" not in {problem.code for row in result.studies[0].series for problem in row.problems}


async def test_null_among_the_images_is_one_of_them_and_the_rest_comes(tmp_path):
    def reshape(value):
        value["data"]["seriesList"][1]["instanceList"][2] = None
        value["data"]["seriesList"].append(None)
        return value

    with World(Reshaped(SITE, reshape, only="/json/infoH5")) as world:
        result = await run(Wegopoly, CASES[0], world, tmp_path)
    assert (result.exit_code, result.counts.saved) == (7, len(SITE.originals) - 1)


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
