"""shdc: viewer links, report codes, the 安全码, and what the site refuses."""

import pytest

from fixtures.sites.shdc import site
from fixtures.world import World
from providers.shdc import Shdc
from scraper.core.errors import CredentialsRefused, CredentialsRequired, LinkExpired, StudyGone, UnusableLink
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, rows

BROWSER = (Via.BROWSER,)
PAGE = (Via.BROWSER,)  # how a 安全码 is sent, only the page knows
CODE = {"access_code": site.SECURITY_CODE}
CASES = (
    Case("opens a viewer link", site.VIEWER, thorough=BROWSER),
    Case("opens a report's code", site.REPORT, thorough=BROWSER),
    Case("opens a report that wants the 安全码", site.REPORT_WITH_CODE, answers=CODE, ways=(), thorough=PAGE),
    Case("asks for the 安全码", site.REPORT_WITH_CODE, raises=CredentialsRequired, thorough=BROWSER),
    Case(
        "a wrong 安全码",
        site.REPORT_WITH_CODE,
        answers={"access_code": "wrong"},
        raises=CredentialsRefused,
        says="安全码错误",
        ways=(),
        thorough=PAGE,
    ),
    Case("an expired viewer link", site.EXPIRED, raises=LinkExpired, says="重新分享", thorough=BROWSER),
    Case("an expired report", site.REPORT_EXPIRED, raises=LinkExpired, says="重新分享", thorough=BROWSER),
    Case("the address of a session of one's own", site.OWN_SESSION, raises=UnusableLink),
    Case("a changed token", site.TAMPERED, raises=StudyGone, says="无权访问"),
)
NOT_OURS = (
    "https://ylyyx.shdc.org.cn/help",
    "https://shdc.org.cn/#/home?sid=1&token=2",
    "https://ylyyx.shdc.org.cn/code.html",
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(site.ShdcSite()) as world:
        await check(Shdc, case, world, tmp_path, via)
        assert world.unexpected == []


async def test_a_site_that_says_little(tmp_path):
    with World(site.ShdcSite(is_sparse=True)) as world:
        result = await check(Shdc, CASES[0], world, tmp_path)
    assert result.studies[0].output.name.startswith("20260112_CT_测试甲")


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "shdc"
