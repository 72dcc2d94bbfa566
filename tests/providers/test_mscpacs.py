"""mscpacs: the originals next to the pictures, two cases on one page, a list as text or as an object, links that are over."""

import json
from dataclasses import replace

import pydicom
import pytest

from fixtures.sites.mscpacs import site
from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.world import World
from providers.mscpacs import Mscpacs
from providers.universal import Universal
from scraper.core.errors import LinkExpired, NoSuchStudy
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, check_listing, first_of, rows

SITES = {"text": site.MscpacsSite(), "object": site.MscpacsSite(as_object=True)}
STUDIES = SITES["text"].studies.values()
SERIES = {series.uid: len(series.instances) for study in STUDIES for series in study.series}
LINK = site.MscpacsSite.link
BROWSER = (Via.BROWSER,)
CASES = (
    Case("two cases", LINK(), series=SERIES, thorough=BROWSER),
    Case("expired", LINK(site.EXPIRED), raises=LinkExpired, says="hết hạn", thorough=BROWSER),
    Case("unknown", LINK("x"), raises=NoSuchStudy, says="Không tìm thấy", thorough=BROWSER),
)
NOT_OURS = (
    "https://ris.benhvien-msc.test:8090/Pages/ShareStudy.aspx",
    "https://ris.benhvien-msc.test:8090/Pages/Login.aspx?stoken=1",
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITES["text"]) as world:
        await check(Mscpacs, case, world, tmp_path, via)
        assert world.unexpected == []


async def test_a_list_that_is_an_object(tmp_path):
    with World(SITES["object"]) as world:
        await check(Mscpacs, CASES[0], world, tmp_path)


async def test_a_vietnamese_name_is_read_as_it_is_written(tmp_path):
    with World(SITES["text"]) as world:
        await check(Mscpacs, CASES[0], world, tmp_path)
    assert {str(pydicom.dcmread(path).PatientName) for path in tmp_path.rglob("*.dcm")} == {site.NAME}


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "mscpacs"


def test_any_host_is_recognised():
    found = find(parse_url("https://pacs.hospital.test/pages/sharestudy.aspx?sToken=1"))
    assert found is not None
    assert (found.provider.name, found.listed) == ("mscpacs", False)


@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", first_of(CASES), ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(SITES["object"], SHAPES[shape])) as world:
        await check_listing(Mscpacs, case, world, tmp_path)


async def test_an_original_below_the_origin_without_a_slash(tmp_path):
    def relative(value):
        return json.loads(json.dumps(value).replace('"/ws/getfile', '"ws/getfile'))

    with World(Reshaped(SITES["object"], relative)) as world:
        await check(Mscpacs, CASES[0], world, tmp_path)
        assert world.unexpected == []


async def test_a_list_that_is_the_text_of_nothing(tmp_path):
    with World(Reshaped(SITES["object"], lambda _: {"d": "null"})) as world:
        await check(Mscpacs, Case("", LINK(), raises=NoSuchStudy), world, tmp_path)


@pytest.mark.parametrize("case", first_of(CASES[1:]), ids=str)
async def test_a_message_in_vietnamese_without_the_provider(case, tmp_path):
    with World(SITES["text"]) as world:
        await check(Universal, replace(case, says=""), world, tmp_path, Via.BROWSER)
