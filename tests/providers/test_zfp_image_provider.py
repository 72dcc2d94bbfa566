"""zfp-image-provider: pixels that come to the page alone, the places that its groups give, and shares that are over."""

import io

import pydicom
import pytest

from fixtures.sites.zfp_image_provider import site
from fixtures.world import World
from providers.products.zfp_sockets import GroupReply, HeadReply, SopReply
from providers.toolkit.tags import read_tags
from providers.universal import Universal
from providers.zfp_image_provider import TAGS, ZfpImageProvider
from scraper.core.errors import LinkExpired, NoSuchStudy
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, rows

SITE = site.ZfpImageProviderSite()
SERIES = {series.uid: len(series.images) for series in SITE.study.series}
BROWSER = (Via.BROWSER,)
CASES = (
    Case("open", SITE.link(), series=SERIES, origin="rebuilt", ways=BROWSER),
    Case("expired", SITE.link(site.EXPIRED), raises=LinkExpired, says="expired", ways=(), thorough=BROWSER),
    Case("unknown", SITE.link("x"), raises=NoSuchStudy, says="not found", ways=(), thorough=BROWSER),
)
GIVEN = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "InstanceNumber")
HEAD = {
    "sopInstanceUid": "1.2.3",
    "dimensions": {"rows": 2, "columns": 3},
    "bitsAllocated": 16,
    "bitsStored": 12,
    "highBit": 11,
    "pixelRepresentation": 0,
    "photometricInterpretation": "MONOCHROME2",
}


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(ZfpImageProvider, case, world, tmp_path, via)
        assert world.unexpected == []


@pytest.mark.thorough
async def test_a_page_that_stops_streaming_is_loaded_once_more(tmp_path):
    stalling = site.ZfpImageProviderSite(stalls_after=3)
    with World(stalling) as world:
        case = Case("stalls", stalling.link(), series=SERIES, origin="rebuilt", ways=BROWSER)
        await check(ZfpImageProvider, case, world, tmp_path, Via.BROWSER)
        assert len(world.requests(path="/zfp/viewer")) == 2
        assert world.unexpected == []


@pytest.mark.thorough
async def test_a_viewer_on_any_host_is_read_by_its_sockets_and_its_places_are_written(tmp_path):
    with World(SITE) as world:
        await check(Universal, CASES[0], world, tmp_path, Via.BROWSER)
    for path in tmp_path.rglob("*.dcm"):
        rebuilt = pydicom.dcmread(path)
        original = pydicom.dcmread(io.BytesIO(SITE.originals[rebuilt.SOPInstanceUID]))
        assert [rebuilt[name].value for name in GIVEN] == [original[name].value for name in GIVEN]
        assert "PatientName" not in rebuilt  # no message gives it


def test_what_head_and_group_do_not_give_is_left_out():
    sop = SopReply.model_validate({"sopInstanceUid": "1.2.3", "imagePosition": {"x": 1, "y": 2}})
    group, head = GroupReply.model_validate({"modalities": ["CT", "PT"]}), HeadReply.model_validate(HEAD)
    tags = read_tags(TAGS, group=group, sop=sop, head=head)
    absent = {
        "ImagePositionPatient",
        "PixelSpacing",
        "Modality",
        "RescaleSlope",
        "WindowWidth",
        "ContentDate",
        "InstanceNumber",
    }
    assert absent.isdisjoint(tags)
    assert (tags["Rows"], tags["Columns"], tags["SamplesPerPixel"]) == ("2", "3", "1")


def test_no_link_is_its_own():
    owner = find(parse_url(SITE.link()))
    assert owner is None or owner.provider.name != "zfp-image-provider"
