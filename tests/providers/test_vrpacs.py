"""vrpacs: the service on the viewer's port and on one of its own, ids of both origins, Vietnamese names, links that are over."""

import json

import pydicom
import pytest

from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.sites.vrpacs import site
from fixtures.world import World
from providers.vrpacs import Vrpacs
from scraper.core.errors import LinkExpired, NoSuchStudy, UnusableLink
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, check_listing, first_of, rows

SITE, APART = site.VrpacsSite(), site.VrpacsSite(apart=True)
SERIES = {series.uid: len(series.instances) for study in (SITE.study, SITE.earlier) for series in study.series}
BROWSER = (Via.BROWSER,)
CASES = (
    Case("two studies", SITE.link(), series=SERIES, thorough=BROWSER),
    Case("the viewer's other address", SITE.link(path="vrviewer"), series=SERIES, thorough=BROWSER),
    Case("expired", SITE.link(site.EXPIRED), raises=LinkExpired, says="hết hạn", thorough=BROWSER),
    Case("unknown", SITE.link(site.UNKNOWN), raises=NoSuchStudy, says="Không tìm thấy", thorough=BROWSER),
    Case("a parameter that is no JSON", SITE.link().partition("=")[0] + "=YWJj", raises=UnusableLink),
    Case("a parameter that names no link", SITE.link().partition("=")[0] + "=e30", raises=UnusableLink),
)
ELSEWHERE = (
    Case("the service on a port of its own", APART.link(), series=SERIES, thorough=BROWSER),
    Case("expired there", APART.link(site.EXPIRED), raises=LinkExpired, says="hết hạn"),
)
NOT_OURS = ("https://pacs.benhvien.test/viewershare/index", "https://pacs.benhvien.test/help?params=eyJsaW5rIjoiQTEifQ")


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(Vrpacs, case, world, tmp_path, via)
        assert world.unexpected == []


@pytest.mark.parametrize(("case", "via"), rows(ELSEWHERE), ids=str)
async def test_a_service_of_its_own(case, via, tmp_path):
    with World(APART) as world:
        await check(Vrpacs, case, world, tmp_path, via)
        assert world.unexpected == []


async def test_a_vietnamese_name_is_read_as_it_is_written(tmp_path):
    with World(SITE) as world:
        result = await check(Vrpacs, CASES[0], world, tmp_path)
    assert {study.study.patient_name.replace("^", " ") for study in result.studies} == {site.NAME.replace("^", " ")}
    names = {str(pydicom.dcmread(path).PatientName) for path in tmp_path.rglob("*.dcm")}
    assert names == {site.NAME}


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "vrpacs"


def test_any_host_is_recognised():
    found = find(parse_url("https://102.45.6.7:1325/vrviewer/#/view?params=eyJsaW5rIjoiQTEifQ%3D%3D"))
    assert found is not None
    assert (found.provider.name, found.listed) == ("vrpacs", False)


@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", first_of(CASES[:4]), ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(SITE, SHAPES[shape])) as world:
        await check_listing(Vrpacs, case, world, tmp_path)


async def test_an_image_id_below_the_origin_without_a_slash(tmp_path):
    def relative(value):
        return json.loads(json.dumps(value).replace("wadouri:/vrpacs-file/", "wadouri:vrpacs-file/"))

    with World(Reshaped(SITE, relative)) as world:
        await check(Vrpacs, CASES[0], world, tmp_path)
        assert world.unexpected == []
