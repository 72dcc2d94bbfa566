"""xa_data: the page's cookie, lists inside strings, a preview among the objects, and the page that asks first."""

import pytest

from fixtures.sites.xa_data import site
from fixtures.world import World
from providers.xa_data import XaData
from scraper.errors import CaptchaRequired, LinkExpired, NotOriginalDicom
from scraper.link import of
from scraper.model import Via
from scraper.registry import find
from scraper.testing import Case, check

BOTH = (Via.DIRECT, Via.BROWSER)
SITE = site.XaDataSite()
SERIES = {one.uid: len(one.instances) for one in SITE.study.series}
CASES = (
    Case("opens a link; the preview is named", site.OPEN, series=SERIES, left_out=1, ways=BOTH),
    Case("a page that asks for a phone's code", site.WITH_CHECK, raises=CaptchaRequired, ways=BOTH),
    Case("an expired link", site.EXPIRED, raises=LinkExpired, says="分享已失效"),
)
NOT_OURS = ("https://yxy.xa-data.cn/", "https://xa-data.cn/NeuView/mobile/?title=CT")


@pytest.mark.parametrize(("case", "via"), [(case, via) for case in CASES for via in case.ways], ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(XaData, case, world, tmp_path, via)
        assert world.unexpected == []


async def test_a_study_of_previews_is_no_study(tmp_path):
    with World(site.XaDataSite(previews=True)) as world:
        await check(XaData, Case("previews", site.OPEN, raises=NotOriginalDicom), world, tmp_path)


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(of(url))
    assert owner is None or owner.provider.name != "xa_data"
