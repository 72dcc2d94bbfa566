"""Hospital portals: a person's answers submitted once, pages in GBK, lists, tickets, packages, and what is not given out."""

import stat

import pytest

from fixtures.sites.hospital_portal.site import (
    ACCOUNT,
    DETAIL,
    FIRST,
    LOCKED_ACCOUNT,
    LOGIN,
    OLD,
    ONLY_JPG,
    OTHER,
    PASSWORD,
    ROOT,
    HospitalPortal,
)
from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.world import World
from providers.hospital_portal.page import PortalPage
from providers.hospital_portal.provider import HospitalPortal as Portal
from scraper.contract import CaptchaRequired, CredentialsRefused, CredentialsRequired, DownloadNotPermitted, NoSuchStudy
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.testing import Case, check, first_of, rows, run

BROWSER = (Via.BROWSER,)
SITE = HospitalPortal()
CHEST = {series.uid: len(series.instances) for series in SITE.study.series}
HEAD = {series.uid: len(series.instances) for series in SITE.other.series}
KNOWN = {"account": ACCOUNT, "password": PASSWORD, "captcha": FIRST}
NO_CAPTCHA, WRONG = {**KNOWN, "captcha": ""}, {**KNOWN, "captcha": "XXXX"}
WRONG_PASSWORD = {**KNOWN, "password": "x"}
TRIES = "账号或密码错误，还可尝试4次"
BESIDE = 4  # of one zip: DICOMDIR, a preview, a viewer, an autorun file
CASES = (
    Case("every examination", ROOT, KNOWN, CHEST | HEAD, left_out=2 * BESIDE + 2, thorough=BROWSER),
    Case("by the login page", LOGIN, KNOWN, CHEST | HEAD, left_out=2 * BESIDE + 2),
    Case("one examination", DETAIL, KNOWN, CHEST, left_out=BESIDE, thorough=BROWSER),
    Case("another maker's", OTHER, KNOWN, CHEST, left_out=BESIDE, thorough=BROWSER),
    Case("only pictures", ONLY_JPG, KNOWN, raises=DownloadNotPermitted, thorough=BROWSER),
    Case("archived", OLD, KNOWN, raises=NoSuchStudy, says="超过保存期限"),
    Case("asks for the account", ROOT, raises=CredentialsRequired, thorough=BROWSER),
    Case("asks for the captcha", ROOT, NO_CAPTCHA, raises=CaptchaRequired, thorough=BROWSER),
    Case("a wrong captcha", ROOT, WRONG, raises=CredentialsRefused, says="验证码错误", thorough=BROWSER),
    Case("a wrong password", ROOT, WRONG_PASSWORD, raises=CredentialsRefused, says=TRIES, thorough=BROWSER),
    Case(
        "a wrong password, in a dialog", OTHER, WRONG_PASSWORD, raises=CredentialsRefused, says=TRIES, thorough=BROWSER
    ),
    Case("a locked account", ROOT, {**KNOWN, "account": LOCKED_ACCOUNT}, raises=CredentialsRefused, says="账号已锁定"),
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    site = HospitalPortal()
    with World(site) as world:
        await check(Portal, case, world, tmp_path, via)
        assert not world.unexpected
        assert site.posts <= 1
        shown_again = via is Via.BROWSER and case.says  # a browser shows the refusal's own picture
        assert site.pictures <= 1 + bool(shown_again)


async def test_the_captcha_is_answered_by_a_second_run(tmp_path):
    site = HospitalPortal()
    unanswered = Case("", DETAIL, NO_CAPTCHA)
    with World(site) as world:
        first = await run(Portal, unanswered, world, tmp_path)
        assert isinstance(first.error, CaptchaRequired)
        (picture,) = (tmp_path / ".cloudfilm" / "captcha").glob("*.png")
        assert str(picture) == first.error.values["picture"]
        assert stat.S_IMODE(picture.stat().st_mode) == 0o600
        second = await run(Portal, Case("", DETAIL, KNOWN), world, tmp_path)
        assert second.exit_code == 0, second
        assert (site.pictures, site.posts) == (1, 1)
        assert not picture.exists()


async def test_a_session_that_lapses_midway_keeps_what_arrived_and_asks(tmp_path):
    site = HospitalPortal()
    site.lapse_after = 1
    with World(site) as world:
        result = await run(Portal, Case("", ROOT, KNOWN), world, tmp_path)
        assert isinstance(result.error, CaptchaRequired)
        assert result.counts.saved == sum(CHEST.values())
        assert site.posts == 1


def test_known_by_its_login_page_alone():
    assert Portal.recognises(parse_url(LOGIN))
    assert Portal.recognises(parse_url(OTHER))
    assert Portal.recognises(parse_url(ROOT)) is None
    assert Portal.owns(parse_url(LOGIN)) is None


@pytest.mark.parametrize(
    ("shown", "date"),
    [
        ("2026-01-12", "20260112"),
        ("2026/1/2 8:05", "20260102"),
        ("2026年1月12日", "20260112"),
        ("20260112", "20260112"),
        ("20260112080500", "20260112"),
        ("202601120", ""),
        ("未检查", ""),
    ],
)
def test_a_day_however_a_list_writes_it(shown, date):
    head = "<tr><th>检查时间<th>类型<th>部位<th>操作"
    row = f"<tr><td>{shown}<td>CT<td>胸部<td><a href=detail.jsp?id=1>查看</a>"
    (examination,) = PortalPage(f"<table>{head}{row}</table>", "http://film.hospital.test/list.jsp").examinations
    assert examination.date == date


@pytest.mark.parametrize("case", first_of(CASES), ids=str)
async def test_the_same_by_another_hand(case, tmp_path):
    reshaped = Reshaped(HospitalPortal(), SHAPES["texts"], markup=True)
    with World(reshaped) as world:
        await check(Portal, case, world, tmp_path)
    assert reshaped.count
