"""fssalon: both link shapes, the image service on HTTP and HTTPS, and reports without images."""

import pytest

from fixtures.sites.fssalon import site
from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.world import World
from providers.fssalon import Fssalon
from scraper.core.errors import CredentialsRefused, CredentialsRequired, DownloadNotPermitted, LinkExpired, NoSuchStudy
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, check_listing, first_of, rows

SITE = site.FssalonSite()
SERIES = {series.uid: len(series.instances) for series in SITE.study.series}
SERVED = {series.uid: len(series.instances) for series in SITE.study.series[:2]}
BROWSER = (Via.BROWSER,)
CODE, WRONG = {"access_code": site.CODE}, {"access_code": "000000"}
CASES = (
    Case("an index link, images over HTTP", site.index_link(site.OPEN), series=SERIES, thorough=BROWSER),
    Case("a film link, images over HTTPS", site.film_link(site.OVER_TLS), series=SERIES, thorough=BROWSER),
    Case("a series that is not served", site.index_link(site.PARTLY), series=SERVED, lacks="fetch-failed"),
    Case("with its code", site.film_link(site.ASKS), answers=CODE, series=SERIES, thorough=BROWSER),
    Case("asks for a code", site.film_link(site.ASKS), raises=CredentialsRequired),
    Case("a wrong code", site.film_link(site.ASKS), answers=WRONG, raises=CredentialsRefused, says="验证码错误"),
    Case("images not opened", site.index_link(site.CLOSED), raises=DownloadNotPermitted, thorough=BROWSER),
    Case("an unknown report", site.index_link("R9999"), raises=NoSuchStudy, says="报告不存在", thorough=BROWSER),
    Case("images cleared away", site.film_link(site.NO_IMAGES), raises=LinkExpired, says="影像已过期清除"),
)
NOT_OURS = ("https://efilm.fs-salon.cn/index?barcode=R0001", "https://efilm.fs-salon.cn/help?barcode=1&hospitalcode=2")


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(Fssalon, case, world, tmp_path, via)
        assert world.unexpected == []


async def test_images_that_are_counted_and_not_listed(tmp_path):
    case = Case("counts one more", site.index_link(site.OPEN), series=SERIES, lacks="missing-instances")
    with World(site.FssalonSite(unlisted=1)) as world:
        await check(Fssalon, case, world, tmp_path)


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "fssalon"


@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", first_of(CASES), ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(SITE, SHAPES[shape])) as world:
        await check_listing(Fssalon, case, world, tmp_path)
