"""imageservice: every prefix and spelling, films of several examinations, a service that wants its page, links that are over."""

import pytest

from fixtures.sites.imageservice import site
from fixtures.sites.reshaped import SHAPES, Reshaped
from fixtures.world import World
from providers.imageservice import Imageservice
from providers.universal import Universal
from scraper.core.errors import LinkExpired, NeedsBrowser, NoSuchStudy, PageBehindLink
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, check_listing, first_of, rows

SITE, GUARDED = site.ImageServiceSite(), site.ImageServiceSite(guarded=True, lower_head=True, prefix="/vna/image")
SERIES = {series.uid: len(series.instances) for series in SITE.study.series}
BOTH_STUDIES = SERIES | {series.uid: len(series.instances) for series in SITE.earlier.series}
BOTH, BROWSER = (Via.DIRECT, Via.BROWSER), (Via.BROWSER,)
NOBODY = "1.2.826.0.1.3680043.8.498.5050"
CASES = (
    Case("a list's address", SITE.list_link(), series=SERIES),
    Case("in a hospital's own network", SITE.list_link(address=site.INTERNAL), series=SERIES),
    Case("an unknown study", SITE.list_link(study=NOBODY), raises=NoSuchStudy),
    Case("a film of two examinations", SITE.film(), series=BOTH_STUDIES, ways=BROWSER),
    Case("a hospital's own film", SITE.film(address=site.HOSPITAL), series=BOTH_STUDIES, ways=(), thorough=BROWSER),
    Case("an expired film", SITE.film(site.EXPIRED), raises=LinkExpired, says="分享已过期", ways=(), thorough=BROWSER),
    Case("an unknown film", SITE.film("none404"), raises=NoSuchStudy, says="分享不存在", ways=(), thorough=BROWSER),
    Case("a film without a browser", SITE.film(), raises=NeedsBrowser),
)
WANTS_PAGE = (
    Case(
        "a film whose images want its page",
        GUARDED.film(site.ONLY_PAGE),
        series=BOTH_STUDIES,
        ways=(),
        thorough=BROWSER,
    ),
    Case("a list that wants its page", GUARDED.list_link(), raises=PageBehindLink),
)
NOT_OURS = (
    "https://uicloud.com/film/#/login",
    "https://uicloud.com/help/#/7d5fA3",
    "https://film.union.test/imageServer/Home/ImageService?CommandType=GetImage&OBJECTUID=1.2.3",
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(Imageservice, case, world, tmp_path, via)
        assert world.unexpected == []


@pytest.mark.parametrize(("case", "via"), rows(WANTS_PAGE), ids=str)
async def test_a_service_that_wants_its_page(case, via, tmp_path):
    with World(GUARDED) as world:
        await check(Imageservice, case, world, tmp_path, via)
        assert world.unexpected == []


@pytest.mark.parametrize("prefix", site.PREFIXES)
async def test_any_prefix(prefix, tmp_path):
    place = site.ImageServiceSite(prefix=prefix, lower_head=not prefix)
    with World(place) as world:
        await check(
            Imageservice, Case("", place.list_link().replace("StudyUID", "studyuid"), series=SERIES), world, tmp_path
        )


@pytest.mark.thorough
async def test_a_viewer_on_any_host_is_read_by_its_calls(tmp_path):
    with World(SITE) as world:
        await check(Universal, Case("", SITE.viewer(), series=SERIES), world, tmp_path, Via.BROWSER)
        assert len(world.requests(path="/thumbnail")) == 0


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "imageservice"


@pytest.mark.parametrize("url", [SITE.film(address=site.HOSPITAL), SITE.list_link()])
def test_any_host_is_recognised(url):
    found = find(parse_url(url))
    assert found is not None
    assert (found.provider.name, found.listed) == ("imageservice", False)


@pytest.mark.parametrize("shape", first_of(SHAPES))
async def test_the_same_by_another_hand(shape, tmp_path):
    with World(Reshaped(SITE, SHAPES[shape])) as world:
        await check_listing(Imageservice, CASES[0], world, tmp_path)


async def test_a_service_that_says_why_it_lists_nothing(tmp_path):
    with World(Reshaped(SITE, lambda _: {"code": "500", "message": "检查不存在"})) as world:
        case = Case("", SITE.list_link(), raises=NoSuchStudy, says="检查不存在")
        await check(Imageservice, case, world, tmp_path)
