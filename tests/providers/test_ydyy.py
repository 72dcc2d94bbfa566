"""东软 M-Viewer on a phone: five kinds of link, a check of the ID card, a firewall that only a browser passes."""

import pytest

from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.sites.ydyy.site import ID_LAST4, YdyySite
from fixtures.world import World
from providers.ydyy.provider import Ydyy
from scraper.contract import CredentialsRefused, CredentialsRequired, LinkExpired, NoSuchStudy, UnusableLink
from scraper.core.errors import SiteChanged, UnsafeRedirect
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.core.reasons import Reason
from scraper.testing import Case, check, check_listing, first_of, rows

SITE = YdyySite()
SERIES = {series.uid: len(series.instances) for series in SITE.study.series}
BROWSER = (Via.BROWSER,)
KNOWN = {"id_last4": ID_LAST4}
CASES = (
    Case("checked", SITE.link(), KNOWN, SERIES, thorough=BROWSER),
    Case("a small x", SITE.link(), {"id_last4": ID_LAST4.lower()}, SERIES),
    Case("redirected to the check", SITE.link("redirect"), KNOWN, SERIES),
    Case("a short link to the check", SITE.short_link(), KNOWN, SERIES, thorough=BROWSER),
    Case("a short link past it", SITE.short_link("info"), series=SERIES),
    Case("info", SITE.link("info"), series=SERIES),
    Case("2D", SITE.plain_link(), series=SERIES, thorough=BROWSER),
    Case("behind the firewall", SITE.walled_link(), series=SERIES, ways=(), thorough=BROWSER),
    Case("a short link behind the firewall", SITE.walled_short_link(), series=SERIES, ways=(), thorough=BROWSER),
    Case("the firewall turns the direct client away", SITE.walled_link(), raises=SiteChanged),
    Case("asks for the ID card", SITE.link(), raises=CredentialsRequired, thorough=BROWSER),
    Case(
        "a wrong answer",
        SITE.link(),
        {"id_last4": "0000"},
        raises=CredentialsRefused,
        says="身份证后四位不正确",
        thorough=BROWSER,
    ),
    Case("a link without its signature", SITE.link(leave_out="sign"), KNOWN, raises=UnusableLink),
    Case("a short link that has expired", SITE.short_link("old"), raises=LinkExpired, thorough=BROWSER),
    Case("a short link into the hospital", SITE.short_link("inside"), raises=UnsafeRedirect),
    Case("nothing stored", SITE.plain_link("BUSS2"), raises=NoSuchStudy),
    Case("no such number", SITE.plain_link("BUSS9"), raises=NoSuchStudy, thorough=BROWSER),
)
NOT_OURS = (
    "https://pacs.ydyy.cn:8860/M-Viewer/",
    "https://pacs.ydyy.cn:8860/M-Viewer/#/profile/C1?sign=x",
    "https://x.test/short/abc",
)


@pytest.fixture
def world():
    SITE.refuses = SITE.other_hand = SITE.hides_a_series = False
    with World(SITE) as up:
        yield up


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, world, tmp_path):
    await check(Ydyy, case, world, tmp_path, via)
    assert not world.unexpected


async def test_a_wrong_answer_is_sent_once(world, tmp_path):
    await check(Ydyy, next(case for case in CASES if case.name == "a wrong answer"), world, tmp_path)
    assert len(world.requests(path="checkIdNum")) == 1


@pytest.mark.thorough
async def test_a_firewall_that_refuses_is_taken_at_its_word(world, tmp_path):
    SITE.refuses = True
    case = Case("refused", SITE.walled_link(), raises=UnusableLink, says="手机浏览器")
    await check(Ydyy, case, world, tmp_path, Via.BROWSER)


async def test_a_firewall_is_called_one(world, tmp_path):
    result = await check(Ydyy, Case("walled", SITE.walled_link(), raises=SiteChanged), world, tmp_path)
    assert result.error.values["what"] == Reason.FIREWALL


@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", first_of([case for case in CASES if Via.DIRECT in case.ways]), ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    SITE.refuses, SITE.other_hand, SITE.hides_a_series = False, True, False
    with World(Reshaped(SITE, SHAPES[shape])) as world:
        await check_listing(Ydyy, case, world, tmp_path)


async def test_a_series_that_the_study_counts_and_does_not_list_is_missing(world, tmp_path):
    SITE.hides_a_series = True
    await check(Ydyy, Case("hidden", SITE.plain_link(), series=SERIES, lacks="missing-series"), world, tmp_path)


@pytest.mark.parametrize("link", NOT_OURS)
def test_not_ours(link):
    assert Ydyy.owns(parse_url(link)) is None
    assert Ydyy.recognises(parse_url(link)) is None
