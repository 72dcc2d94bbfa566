"""medapi: sealed and plain studies, the visitor's login, and shares that end at each of its steps."""

import pytest

from fixtures.faults import Fault
from fixtures.sites.medapi import site
from fixtures.world import World
from providers.medapi import Medapi
from scraper.core.errors import LinkExpired, NoSuchStudy, ShareCancelled
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, rows

SITE = site.MedapiSite()
SERIES = {series.uid: len(series.instances) for series in SITE.study.series}
BROWSER = (Via.BROWSER,)
CASES = (
    Case("sealed", site.share(site.SEALED), series=SERIES, thorough=BROWSER),
    Case("plain", site.long_share(site.PLAIN), series=SERIES, thorough=BROWSER),
    Case("unknown or over", site.share("Zz99Zz"), raises=LinkExpired, says="已失效", thorough=BROWSER),
    Case("the login refuses", site.share(site.DENIED), raises=ShareCancelled, says="分享已取消", thorough=BROWSER),
    Case("no viewer", site.share(site.NO_VIEW), raises=NoSuchStudy, says="未找到影像"),
    Case("no study", site.share(site.NO_STUDY), raises=NoSuchStudy, says="检查不存在"),
)
NOT_OURS = (
    "http://medapi.dsrmyy.cn:9088/help",
    "http://medapi.dsrmyy.cn:9088/sharevisit/mobile/digitalimage/index",
    "http://other.test:9088/s/Ab12Cd",
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(Medapi, case, world, tmp_path, via)
        assert world.unexpected == []


@pytest.mark.parametrize("where", ["image-web-view-url", "GetSearchParams", "studyinfo", "Dicom/File"])
async def test_a_lapsed_token_is_fetched_anew(where, tmp_path):
    with World(SITE) as world:
        world.faults.plan(where, Fault.LAPSED)
        await check(Medapi, Case("", site.share(site.SEALED), series=SERIES), world, tmp_path)


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "medapi"


def test_another_host_is_recognised_by_its_path():
    found = find(parse_url("http://10.9.8.7:9088/sharevisit/mobile/digitalimage/index?sid=Ab12Cd"))
    assert found is not None
    assert (found.provider.name, found.listed) == ("medapi", False)
