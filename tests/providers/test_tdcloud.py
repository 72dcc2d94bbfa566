"""唐都医院 云影像: a verification code that a person types, then 海纳医信's viewer in a new tab."""

import pytest

from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.sites.tdcloud.site import CODE, DIALOG, DISABLED, TWO_STEPS, TdcloudSite
from fixtures.world import World
from providers.tdcloud import Tdcloud
from scraper.contract import CaptchaRequired, CredentialsRefused, LinkExpired
from scraper.core.errors import NeedsBrowser
from scraper.core.link import parse_url
from scraper.core.model import Origin, Via
from scraper.testing import Case, check, first_of, rows

SITE = TdcloudSite()
SERIES = {series.uid: len(series.images) for series in SITE.study.series if series.images}
BROWSER, REBUILT = (Via.BROWSER,), Origin.REBUILT
KNOWN = {"captcha": CODE}
CASES = (
    Case("the control submits the code", SITE.link(), KNOWN, SERIES, REBUILT, left_out=1, ways=BROWSER),
    Case(
        "a button submits the code", SITE.link(TWO_STEPS), KNOWN, SERIES, REBUILT, left_out=1, ways=(), thorough=BROWSER
    ),
    Case("a dialog of the control's", SITE.link(DIALOG), KNOWN, SERIES, REBUILT, left_out=1, ways=(), thorough=BROWSER),
    Case("nobody reads the dialog's", SITE.link(DIALOG), raises=CaptchaRequired, ways=(), thorough=BROWSER),
    Case(
        "a wrong code, in the dialog",
        SITE.link(DIALOG),
        {"captcha": "0000"},
        raises=CredentialsRefused,
        says="验证码错误",
        ways=(),
        thorough=BROWSER,
    ),
    Case("nobody reads the code", SITE.link(), raises=CaptchaRequired, ways=(), thorough=BROWSER),
    Case(
        "a wrong code",
        SITE.link(),
        {"captcha": "0000"},
        raises=CredentialsRefused,
        says="验证码错误",
        ways=(),
        thorough=BROWSER,
    ),
    Case(
        "a wrong code, by the button",
        SITE.link(TWO_STEPS),
        {"captcha": "0000"},
        raises=CredentialsRefused,
        says="验证码错误",
        ways=(),
        thorough=BROWSER,
    ),
    Case(
        "a control of no use before", SITE.link(DISABLED), KNOWN, SERIES, REBUILT, left_out=1, ways=(), thorough=BROWSER
    ),
    Case(
        "a wrong code, and a control of no use",
        SITE.link(DISABLED),
        {"captcha": "0000"},
        raises=CredentialsRefused,
        says="验证码错误",
        ways=(),
        thorough=BROWSER,
    ),
    Case("expired", SITE.link("00"), KNOWN, raises=LinkExpired, says="已过期", ways=(), thorough=BROWSER),
)
NOT_OURS = ("https://tdcloudjp.fmmu.edu.cn/", "https://tdcloudjp.fmmu.edu.cn/zfp/ImageViewer/StudyView?id=1001")


@pytest.fixture
def world():
    SITE.raw_only, SITE.tries, SITE.node, SITE.left = False, 0, "N1", None
    with World(SITE) as up:
        yield up


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, world, tmp_path):
    await check(Tdcloud, case, world, tmp_path, via)
    assert not world.unexpected
    assert SITE.tries <= 1


@pytest.mark.thorough
async def test_raw_pixels_where_no_jpeg_2000_is_served(world, tmp_path):
    SITE.raw_only = True
    await check(Tdcloud, CASES[0], world, tmp_path, Via.BROWSER)


@pytest.mark.thorough
async def test_a_cookie_that_lapses_on_the_way_is_renewed(world, tmp_path):
    SITE.left = 4
    await check(Tdcloud, CASES[0], world, tmp_path, Via.BROWSER)
    assert SITE.left is None
    assert SITE.tries == 1


async def test_a_browser_is_needed(world, tmp_path):
    await check(Tdcloud, Case("forbidden", SITE.link(), KNOWN, raises=NeedsBrowser), world, tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize("shape", first_of(SHAPES))
async def test_the_same_by_another_hand(shape, tmp_path):
    SITE.raw_only, SITE.tries, SITE.node = False, 0, None
    with World(Reshaped(SITE, SHAPES[shape])) as world:
        await check(Tdcloud, CASES[0], world, tmp_path, Via.BROWSER)


@pytest.mark.parametrize("link", NOT_OURS)
def test_not_ours(link):
    assert Tdcloud.owns(parse_url(link)) is None
    assert Tdcloud.recognises(parse_url(link)) is None
