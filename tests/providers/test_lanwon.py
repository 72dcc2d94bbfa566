"""lanwon: both versions of the viewer, below a path of its own, the patient's code, report links, links that are over."""

import pytest

from fixtures.sites.lanwon import site
from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.world import World
from providers.lanwon import Lanwon
from scraper.core.errors import (
    CredentialsRefused,
    CredentialsRequired,
    LinkExpired,
    NeedsBrowser,
    NoSuchStudy,
    UnusableLink,
)
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, check_listing, first_of, rows

SITE, OLDER = site.LanwonSite(), site.LanwonSite(older=True)
SERIES = {series.uid: len(series.instances) for series in SITE.study.series} | {SITE.cine_series: 1}
LOGIN = f"{site.ADDRESS.origin}/quickLogin"
CODE, WRONG = {"access_code": site.CODE}, {"access_code": "ZZ99"}
BROWSER = (Via.BROWSER,)


def opens(name, link, *, ways=(Via.DIRECT,), thorough=(), answers=None, left_out=1):
    return Case(name, link, answers or {}, SERIES, left_out=left_out, ways=ways, thorough=thorough)


CASES = (
    opens("the viewer", SITE.viewer_link(), thorough=BROWSER),
    opens("below a path of its own", SITE.viewer_link(base=site.BASE, address=site.PREFIXED, page="Mobile/mobile")),
    opens("the phone's later address", SITE.phone_link(), thorough=BROWSER),
    opens("the patient's code", LOGIN, answers=CODE, ways=BROWSER, left_out=2),  # a video, and the report
    opens("a report's link", SITE.report_link(), ways=(), thorough=BROWSER),
    Case("a wrong code", LOGIN, WRONG, raises=CredentialsRefused, says="分享码错误", ways=(), thorough=BROWSER),
    Case("no code", LOGIN, raises=CredentialsRequired, thorough=BROWSER),
    Case("the code without a browser", LOGIN, CODE, raises=NeedsBrowser),
    Case(
        "a report after its 30 minutes",
        SITE.report_link(site.STALE),
        raises=LinkExpired,
        says="已失效",
        ways=(),
        thorough=BROWSER,
    ),
    Case("an unknown report", SITE.report_link("x"), raises=NoSuchStudy, says="报告不存在", ways=(), thorough=BROWSER),
    Case("unknown", SITE.viewer_link(study=site.NOBODY), raises=NoSuchStudy, says="检查不存在", thorough=BROWSER),
    Case("no study in the link", SITE.viewer_link(study="0f31"), raises=UnusableLink),
)
BEFORE = (
    opens("the earlier version", OLDER.viewer_link(), thorough=BROWSER),
    Case("unknown there", OLDER.viewer_link(study=site.NOBODY), raises=NoSuchStudy, says="检查不存在"),
)
NOT_OURS = (
    "https://film.lanwon.test/clinicWebPacsViewPc/index.html",
    "https://film.lanwon.test/html/report.html?reportId=1",
    "https://film.lanwon.test/viewer/mobile.html?studyId=",
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(Lanwon, case, world, tmp_path, via)
        assert world.unexpected == []


@pytest.mark.parametrize(("case", "via"), rows(BEFORE), ids=str)
async def test_the_earlier_version(case, via, tmp_path):
    with World(OLDER) as world:
        await check(Lanwon, case, world, tmp_path, via)
        assert world.unexpected == []


async def test_a_refused_code_is_not_tried_again(tmp_path):
    with World(SITE) as world:
        await check(Lanwon, CASES[5], world, tmp_path, Via.BROWSER)
        assert len(world.requests(site.ADDRESS.host, "/api/shareCodeVerify")) == 1


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "lanwon"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_any_host_is_recognised(case):
    found = find(parse_url(case.link.replace(".test", ".hospital.cn")))
    assert found is not None
    assert (found.provider.name, found.listed) == ("lanwon", False)


@pytest.mark.parametrize("shape", first_of(SHAPES))
@pytest.mark.parametrize("case", first_of((CASES[0], CASES[10])), ids=str)
async def test_the_same_by_another_hand(case, shape, tmp_path):
    with World(Reshaped(SITE, SHAPES[shape])) as world:
        await check_listing(Lanwon, case, world, tmp_path)


async def test_keys_in_other_capitals(tmp_path):
    def lower(value):
        if isinstance(value, dict):
            return {name.lower(): lower(item) for name, item in value.items()}
        return [lower(item) for item in value] if isinstance(value, list) else value

    with World(Reshaped(SITE, lower)) as world:
        await check(Lanwon, CASES[0], world, tmp_path)


async def test_the_phones_later_address_below_a_path(tmp_path):
    link = f"{site.PREFIXED.origin}{site.BASE}/viewer/mobile.html?studyId={SITE.study.study_instance_uid}"
    with World(SITE) as world:
        await check(Lanwon, opens("", link), world, tmp_path)
