"""zy91: the page's check, passed by its own form; the saved page as a source; and what the site refuses."""

import re

import pytest

from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.sites.zy91 import site
from fixtures.world import World
from providers.zy91 import Zy91
from scraper.core.errors import (
    CaptchaRequired,
    CredentialsRefused,
    CredentialsRequired,
    LinkExpired,
    NoLink,
    NoSuchStudy,
)
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, check_listing, first_of, rows, run

IN_PAGE = (Via.BROWSER,)
GIVEN = {"id_last6": site.ID_LAST6, "captcha": site.CAPTCHA}
SITE = site.Zy91Site()
SERIES = {
    series.uid: len([instance for instance in series.instances if instance.sop_instance_uid in SITE.originals])
    for series in SITE.study.series
}
CASES = (
    Case("passes the check in the page", site.OPEN, answers=GIVEN, series=SERIES, left_out=2, ways=IN_PAGE),
    Case("a link in lower case", site.LOWER_CASE, answers=GIVEN, series=SERIES, left_out=2, ways=(), thorough=IN_PAGE),
    Case("does not skip the check", site.OPEN, raises=CaptchaRequired),
    Case("asks for the ID in the page", site.OPEN, raises=CredentialsRequired, ways=(), thorough=IN_PAGE),
    Case(
        "a wrong captcha",
        site.OPEN,
        answers={**GIVEN, "captcha": "0000"},
        raises=CredentialsRefused,
        says="错误",
        ways=(),
        thorough=IN_PAGE,
    ),
    Case("an expired link", site.EXPIRED, raises=LinkExpired, thorough=IN_PAGE),
    Case(
        "an altered link", site.ALTERED, answers=GIVEN, raises=LinkExpired, says="签名无效", ways=(), thorough=IN_PAGE
    ),
    Case("a report without images", site.NO_IMAGES, answers=GIVEN, raises=NoSuchStudy, ways=(), thorough=IN_PAGE),
)
NOT_OURS = (
    "https://yyx.zy91.com:6443/PC/",
    "https://yyx.zy91.com:6443/PC/#/share_report?tel=&pid=P1&rid=R1&Signature=x",
    "https://zy91.com/PC/#/share_report?sid=1",
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(Zy91, case, world, tmp_path, via)
        assert world.unexpected == []


@pytest.mark.parametrize("captcha", [site.CAPTCHA, "0000"], ids=["right", "wrong"])
@pytest.mark.thorough
async def test_a_check_in_other_words(tmp_path, captcha):
    emulated, answers = site.Zy91Site(other_form=True), {**GIVEN, "captcha": captcha}
    right = Case("right", site.OPEN, answers=answers, series=SERIES, left_out=2)
    wrong = Case("wrong", site.OPEN, answers=answers, raises=CredentialsRefused, says="错误")
    with World(emulated) as world:
        await check(Zy91, right if captcha == site.CAPTCHA else wrong, world, tmp_path, Via.BROWSER)
    assert emulated.tries == 1


@pytest.mark.thorough
async def test_a_page_that_calls_nothing_itself_is_gone_on_from(tmp_path):
    with World(site.Zy91Site(by_frame=True)) as world:
        await check(Zy91, CASES[0], world, tmp_path, Via.BROWSER)


@pytest.mark.thorough
@pytest.mark.parametrize("shape", first_of(SHAPES))
async def test_the_same_by_another_hand(tmp_path, shape):
    with World(Reshaped(SITE, SHAPES[shape])) as world:
        await check(Zy91, CASES[0], world, tmp_path, Via.BROWSER)


@pytest.mark.thorough
async def test_a_page_that_asks_for_nothing_is_read_at_once(tmp_path):
    with World(site.Zy91Site(checked=False)) as world:
        await check(Zy91, Case("open", site.OPEN, series=SERIES, left_out=2), world, tmp_path, Via.BROWSER)


@pytest.mark.parametrize(
    "stray", first_of([b"", b"\xff\xfe<!-- stray -->", b"\xb2\xe2"]), ids=["clean", "stray", "gbk"]
)
async def test_a_saved_viewer_page_is_a_source(tmp_path, stray):
    saved = tmp_path / "viewer.html"
    saved.write_bytes(SITE.viewer_page().encode().replace(b"<script>", stray + b"<script>", 1))
    with World(SITE) as world:
        await check(Zy91, Case("saved", str(saved), series=SERIES, left_out=2), world, tmp_path / "out")
        assert not world.requests(path="/api/OAuth/")


async def test_a_saved_page_of_the_literals_alone_names_each_images_series(tmp_path):
    page = SITE.viewer_page()
    saved = tmp_path / "part.htm"
    saved.write_text(
        "".join(line for line in page.splitlines(keepends=True) if line.startswith(("var imgInfo", "var serInfo")))
    )
    with World(SITE) as world:
        await check(Zy91, Case("saved", str(saved), series=SERIES, left_out=2), world, tmp_path / "out")


async def test_lines_of_images_alone_keep_their_series_apart(tmp_path):
    lines = [line for line in SITE.viewer_page().splitlines() if line.startswith("var imgInfo")]
    saved = tmp_path / "lines.html"
    saved.write_text("\n".join(re.sub(r"imgInfo\d+", "imgInfo", line, count=1) for line in lines))
    with World(SITE) as world:
        await check_listing(Zy91, Case("saved", str(saved), series=SERIES, left_out=2), world, tmp_path / "out")


async def test_another_saved_page_is_no_source(tmp_path):
    saved = tmp_path / "news.html"
    saved.write_text("<p>nothing here</p>")
    with World() as world:
        result = await run(Zy91, Case("news", str(saved)), world, tmp_path / "out")
    assert isinstance(result.error, NoLink)


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "zy91"
