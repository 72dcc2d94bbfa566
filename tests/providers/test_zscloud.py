"""zscloud: both ways to a study's hierarchy, closed shares, and keys that the site has changed."""

import pytest

from fixtures.faults import Fault
from fixtures.sites.zscloud.site import LOST, NEXT_TOKEN_KEY, ZscloudSite, share
from fixtures.world import World
from providers.zscloud.provider import Zscloud
from scraper.core.errors import LinkExpired, NoSuchStudy, ShareCancelled, SiteChanged
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.core.reasons import Reason
from scraper.registry.catalogue import find
from scraper.testing import Case, check, first_of, rows, run

SITE = ZscloudSite()
SERIES = {item.uid: len(item.instances) for item in SITE.study.series}
BOTH_STUDIES = SERIES | {item.uid: len(item.instances) for item in SITE.second.series}
BOTH = first_of((Via.DIRECT, Via.BROWSER))
BROWSER = (Via.BROWSER,)
CASES = (
    Case("by the study's UID", share("AbC123xyz"), series=SERIES, thorough=BROWSER),
    Case("by the accession number", share("Accession"), series=SERIES, thorough=BROWSER),
    Case("by the accession number, with appended tags", share("AppendTag"), series=SERIES),
    Case("by a UID that must be asked for", share("NoUid0001"), series=SERIES),
    Case("two studies", share("TwoStudys"), series=BOTH_STUDIES),
    Case("expired", share("Expired01"), raises=LinkExpired, says="分享链接已过期", thorough=BROWSER),
    Case("cancelled", share("Cancel001"), raises=ShareCancelled, says="取消分享"),
    Case("unknown", share("Unknown01"), raises=NoSuchStudy, says="分享码不存在"),
    Case("the keys of an older generation", share("OldKeys01"), raises=SiteChanged),
)
NOT_OURS = (
    "https://zscloud.zs-hospital.sh.cn/film/#/shared",
    "https://zscloud.zs-hospital.sh.cn/help?code=AbC123xyz",
    "https://www.zs-hospital.sh.cn/#/shared?code=AbC123xyz",
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(Zscloud, case, world, tmp_path, via)
        assert world.unexpected == []


@pytest.mark.parametrize("via", BOTH)
async def test_the_keys_are_named_where_they_changed(via, tmp_path):
    with World(SITE) as world:
        result = await run(Zscloud, Case("", share("OldKeys01")), world, tmp_path, via)
    assert isinstance(result.error, SiteChanged)
    assert result.error.reason is Reason.KEYS_CHANGED_2026_03


@pytest.mark.parametrize("code", first_of(["AbC123xyz", "Accession"]))
@pytest.mark.thorough
async def test_after_the_next_release_the_page_still_knows(code, tmp_path):
    with World(ZscloudSite(NEXT_TOKEN_KEY)) as world:
        await check(Zscloud, Case("", share(code), series=SERIES), world, tmp_path, Via.BROWSER)


SEEN = (
    Case("the page as it was seen in 2026-08", share("AbC123xyz"), series=SERIES, ways=(), thorough=BROWSER),
    Case(
        "closed, as it was seen",
        share("Expired01"),
        raises=LinkExpired,
        says="分享链接已过期",
        ways=(),
        thorough=BROWSER,
    ),
)


@pytest.mark.parametrize(("case", "via"), rows(SEEN), ids=str)
async def test_the_pages_of_2026_08(case, via, tmp_path):
    with World(ZscloudSite(seen=True)) as world:
        await check(Zscloud, case, world, tmp_path, via)
        assert world.unexpected == []


@pytest.mark.thorough
async def test_after_the_next_release_the_viewer_in_its_new_tab_still_knows(tmp_path):
    with World(ZscloudSite(NEXT_TOKEN_KEY, seen=True)) as world:
        await check(Zscloud, Case("", share("AbC123xyz"), series=SERIES), world, tmp_path, Via.BROWSER)
        assert len(world.requests(path="Viewer/Index")) == 2  # it mounts at the second time


async def test_a_lapsed_viewer_token_is_fetched_anew(tmp_path):
    with World(SITE) as world:
        world.faults.plan("CommandType=GetImage", Fault.LAPSED)
        await check(Zscloud, Case("", share("AbC123xyz"), series=SERIES), world, tmp_path)
        assert len(world.requests(path="GetCredentialsToken")) == 2


@pytest.mark.parametrize("code", LOST)
async def test_a_study_that_is_named_and_not_there_is_missing_and_the_rest_is_kept(code, tmp_path):
    with World(SITE) as world:
        result = await run(Zscloud, Case("", share(code)), world, tmp_path)
    assert (result.exit_code, result.counts.saved) == (7, sum(SERIES.values()))
    fatal = [
        item.code
        for study in result.studies
        for item in (*study.problems, *(problem for series in study.series for problem in series.problems))
        if item.fatal
    ]
    assert fatal == ["fetch-failed"]


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "zscloud"


def test_another_host_is_recognised_by_its_path():
    found = find(parse_url("https://film.hospital.test/film/#/shared?code=AbC123xyz"))
    assert found is not None
    assert (found.provider.name, found.listed) == ("zscloud", False)
