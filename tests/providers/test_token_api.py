"""token-api: the token in the header only, broken downloads that go on, the rate limit, and every refusal of the table."""

import pytest

from fixtures.sites.token_api import site
from fixtures.world import World
from providers.token_api import TokenApi
from scraper.core.errors import (
    CorruptInstance,
    CredentialsRefused,
    CredentialsRequired,
    NoSuchStudy,
    NotOriginalDicom,
    UnusableLink,
)
from scraper.core.link import parse_url
from scraper.core.model import Counts, Status
from scraper.core.reasons import Reason
from scraper.registry.catalogue import find
from scraper.testing import Case, check, run

SITE = site.TokenApiSite()
SERIES = {series.uid: len(series.instances) for series in SITE.study.series}
GIVEN = {"token": site.TOKEN}
CASES = (
    Case("brings the zip", site.OPEN, answers=GIVEN, series=SERIES),
    Case("asks for DICOM where the link names no format", site.BARE, answers=GIVEN, series=SERIES),
    Case("at any prefix", site.DEEP, answers=GIVEN, series=SERIES),
    Case("moves the link's token into the header", site.WITH_TOKEN, series=SERIES),
    Case("a single object", site.SINGLE, answers=GIVEN),
    Case("leaves the token behind at another host", site.REDIRECTED, answers=GIVEN, series=SERIES),
    Case("asks for the token", site.OPEN, raises=CredentialsRequired),
    Case("a wrong token", site.OPEN, answers={"token": "x"}, raises=CredentialsRefused, says="令牌无效"),
    Case("a lapsed token", site.OPEN, answers={"token": site.LAPSED}, raises=CredentialsRefused, says="令牌已过期"),
    Case(
        "another study's token",
        site.OPEN,
        answers={"token": site.OF_ANOTHER},
        raises=CredentialsRefused,
        says="无权访问",
    ),
    Case("an unknown study", site.UNKNOWN, answers=GIVEN, raises=NoSuchStudy, says="保存期限"),
    Case("pictures instead of originals", site.AS_JPG, answers=GIVEN, raises=NotOriginalDicom, says="不支持的格式"),
    Case("no study named", site.NO_STUDY, answers=GIVEN, raises=UnusableLink, says="缺少 studyId"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_case(case, tmp_path):
    with World(site.TokenApiSite()) as world:
        await check(TokenApi, case, world, tmp_path)
        assert world.unexpected == []


async def test_a_broken_download_goes_on(tmp_path):
    emulated = site.TokenApiSite(breaks=2)
    with World(emulated) as world:
        await check(TokenApi, CASES[0], world, tmp_path)
    assert emulated.ranges == ["", f"bytes={site.PIECE}-", f"bytes={2 * site.PIECE}-"]


async def test_a_damaged_zip_is_fetched_once_more(tmp_path):
    emulated = site.TokenApiSite(damages=1)
    with World(emulated) as world:
        result = await check(TokenApi, CASES[0], world, tmp_path)
    assert emulated.ranges == ["", ""]
    assert result.counts.expected == result.counts.saved == sum(SERIES.values())


async def test_of_a_zip_that_stays_damaged_what_is_sound_is_kept_and_the_rest_named(tmp_path):
    with World(site.TokenApiSite(damages=9)) as world:
        result = await run(TokenApi, CASES[0], world, tmp_path)
        assert result.status is Status.INCOMPLETE
        assert result.counts == Counts(sum(SERIES.values()), sum(SERIES.values()) - 1, 0, 1)
        problems = [problem for study in result.studies for problem in study.problems if problem.code == "fetch-failed"]
        assert [len(problem.instances) for problem in problems] == [1]
    with World(site.TokenApiSite()) as world:
        again = await check(TokenApi, CASES[0], world, tmp_path)
    assert again.counts.expected == sum(SERIES.values())


async def test_a_page_in_place_of_the_zip_is_called_one(tmp_path):
    with World(site.TokenApiSite()) as world:
        row = Case("closed", site.CLOSED, answers=GIVEN, raises=CorruptInstance)
        result = await check(TokenApi, row, world, tmp_path)
    assert result.error.values["what"] == Reason.HTML_PAGE


async def test_too_many_requests_are_waited_out(tmp_path):
    with World(site.TokenApiSite(busy=2)) as world:
        await check(TokenApi, CASES[0], world, tmp_path)


async def test_a_refused_token_is_not_tried_again_and_shows_nowhere(tmp_path):
    with World(site.TokenApiSite()) as world:
        result = await run(TokenApi, Case("wrong", site.OPEN, answers={"token": "secret-1"}), world, tmp_path)
        assert len(world.seen) == 1
    assert "secret-1" not in f"{result!r} {result.error}"


@pytest.mark.parametrize(
    "url", ["https://api.hospital.test/v1/studies", "https://api.hospital.test/v2/studies/download?studyId=1"]
)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "token-api"
