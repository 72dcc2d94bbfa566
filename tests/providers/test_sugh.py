"""sugh: open shares, the 提取码, and shares that are over."""

import pytest

from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.sites.sugh import site
from fixtures.world import World
from providers.sugh import Sugh
from scraper.core.errors import CredentialsRefused, CredentialsRequired, LinkExpired, NoSuchStudy
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, check_listing, first_of, rows

SITE = site.SughSite()
SERIES = {series.uid: len(series.instances) for series in SITE.study.series}
BROWSER = (Via.BROWSER,)
CODE, WRONG = {"access_code": site.CODE}, {"access_code": "0000"}
CASES = (
    Case("open", site.share(site.OPEN), series=SERIES, thorough=BROWSER),
    Case("with the 提取码", site.share(site.ASKS), answers=CODE, series=SERIES, thorough=BROWSER),
    Case("asks for the 提取码", site.share(site.ASKS), raises=CredentialsRequired, thorough=BROWSER),
    Case("a wrong 提取码", site.share(site.ASKS), answers=WRONG, raises=CredentialsRefused, says="提取码错误"),
    Case("asks in other words", site.share(site.IN_WORDS), answers=CODE, series=SERIES),
    Case(
        "refuses in other words",
        site.share(site.IN_WORDS),
        answers={"access_code": "XXXX"},
        raises=CredentialsRefused,
        says="验证失败",
    ),
    Case("expired", site.share(site.EXPIRED), raises=LinkExpired, says="分享已过期", thorough=BROWSER),
    Case("unknown", site.share("ffffffff"), raises=NoSuchStudy, says="分享不存在"),
    Case("the study is gone", site.share(site.NO_STUDY), raises=NoSuchStudy, says="检查不存在"),
)
NOT_OURS = ("https://work.sugh.net:8002/pc/auth-viewer", "https://work.sugh.net:8002/help?clinicalShareToken=1")


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(Sugh, case, world, tmp_path, via)
        assert world.unexpected == []


async def test_a_refused_code_is_not_tried_again(tmp_path):
    with World(SITE) as world:
        await check(Sugh, CASES[3], world, tmp_path)
        assert len([item for item in world.seen if "shareCode=0000" in item.query]) == 1


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "sugh"


def test_another_host_is_recognised_by_its_path():
    found = find(parse_url("https://film.hospital.test/pc/auth-viewer?clinicalShareToken=1"))
    assert found is not None
    assert (found.provider.name, found.listed) == ("sugh", False)


@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", first_of(CASES), ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(SITE, SHAPES[shape])) as world:
        await check_listing(Sugh, case, world, tmp_path)
