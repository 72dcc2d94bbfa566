"""wehzsy: packing over the WebSocket, permissions that are signed into the link, and what the site refuses."""

import pytest

from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.sites.wehzsy import site
from fixtures.world import World
from providers.wehzsy import Wehzsy
from scraper.core.errors import DownloadNotPermitted, LinkExpired, NoSuchStudy, SiteBusy
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, first_of, rows

BROWSER = (Via.BROWSER,)
SITE = site.WehzsySite()
SERIES = {series.uid: len(series.instances) for series in SITE.study.series}
CASES = (
    Case("opens a link", site.OPEN, series=SERIES, left_out=1, thorough=BROWSER),
    Case("opens a link with its parameters in the query", site.IN_QUERY, series=SERIES, left_out=1),
    Case("a link written with https", site.OPEN.replace("http://", "https://"), series=SERIES, left_out=1),
    Case("a share without downloading", site.NOT_PERMITTED, raises=DownloadNotPermitted, thorough=BROWSER),
    Case("a share that never said", site.NEVER_PERMITTED, raises=DownloadNotPermitted),
    Case("an expired share", site.EXPIRED, raises=LinkExpired, thorough=BROWSER),
    Case("an altered share", site.ALTERED, raises=LinkExpired),
    Case("an unknown report", site.UNKNOWN, raises=NoSuchStudy, says="检查不存在"),
    Case("a study that can't be packed", site.UNPACKABLE, raises=SiteBusy, says="打包失败"),
)
NOT_OURS = (
    "http://cloud.wehzsy.com:9003/PC/",
    "http://cloud.wehzsy.com:9003/PC/#/share_report?tel=&pid=P1&sid=A1&Signature=x",
    "http://wehzsy.com/PC/#/share_report?rid=1",
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(Wehzsy, case, world, tmp_path, via)
        assert world.unexpected == []


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "wehzsy"


@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", first_of(CASES), ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(SITE, SHAPES[shape])) as world:
        await check(Wehzsy, case, world, tmp_path)
