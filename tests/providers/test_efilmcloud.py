"""efilmcloud: short links, viewer links, reports without images, and tokens that lapse."""

import pytest

from fixtures.faults import Fault
from fixtures.sites.efilmcloud import site
from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.world import World
from providers.efilmcloud import Efilmcloud
from scraper.core.errors import DownloadNotPermitted, LinkExpired, NoSuchStudy
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, check_listing, first_of, rows

SITE = site.EfilmcloudSite()
SERIES = {item.uid: len(item.instances) for item in SITE.study.series}
BROWSER = (Via.BROWSER,)
CASES = (
    Case("a short link", site.short(site.OPEN), series=SERIES, thorough=BROWSER),
    Case("a viewer's link", site.viewer_link(site.SHARED_TOKEN), series=SERIES, thorough=BROWSER),
    Case("expired", site.short(site.EXPIRED), raises=LinkExpired, says="链接已过期", thorough=BROWSER),
    Case("unknown", site.short("Zzz000xyz"), raises=NoSuchStudy, says="链接不存在"),
    Case("the report alone", site.short(site.REPORT_ONLY), raises=DownloadNotPermitted, thorough=BROWSER),
    Case("a viewer's link that is over", site.viewer_link("V.old"), raises=LinkExpired, thorough=BROWSER),
)
NOT_OURS = (
    "https://demo.efilmcloud.com:8810/pages/reportmian/index",
    "https://demo.efilmcloud.com:8803/?token=V.kept",
    "https://efilmcloud.com.example.org/AbC123xyz",
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(Efilmcloud, case, world, tmp_path, via)
        assert world.unexpected == []


async def test_lapsed_tokens_are_fetched_anew(tmp_path):
    with World(SITE) as world:
        world.faults.plan("/wado", Fault.LAPSED)
        world.faults.plan("StudyMedicaldocuments", Fault.LAPSED)
        await check(Efilmcloud, Case("", site.short(site.OPEN), series=SERIES), world, tmp_path)
        assert len(world.requests(path="EntranceValidate")) == 3


async def test_an_image_without_an_address_is_missing(tmp_path):
    lacking = site.EfilmcloudSite()
    series = lacking.study.series[-2]
    lacking.nowhere = {series.instances[-1].sop_instance_uid}
    row = Case(
        "",
        site.short(site.OPEN),
        series=SERIES | {series.uid: len(series.instances) - 1},
        left_out=1,
        lacks="missing-instances",
    )
    with World(lacking) as world:
        await check(Efilmcloud, row, world, tmp_path)


async def test_images_come_in_the_order_of_their_numbers(tmp_path):
    with World(SITE) as world:
        result = await check(Efilmcloud, Case("", site.short(site.OPEN), series=SERIES), world, tmp_path)
    assert [series.number for series in result.studies[0].series] == sorted(item.number for item in SITE.study.series)


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "efilmcloud"


def test_a_viewers_link_elsewhere_is_recognised():
    found = find(
        parse_url("https://film.hospital.test:8803/?token=V.T&webApiUrl=https%3A%2F%2Ffilm.hospital.test%3A8801&hID=1")
    )
    assert found is not None
    assert (found.provider.name, found.listed) == ("efilmcloud", False)


@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", first_of(CASES), ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(SITE, SHAPES[shape])) as world:
        await check_listing(Efilmcloud, case, world, tmp_path)
