"""mtywcloud: image paths of both kinds, a hospital's own copy, and links that are over."""

import pytest

from fixtures.sites.mtywcloud import site
from fixtures.sites.reshaped import Reshaped
from fixtures.world import World
from providers.mtywcloud import Mtywcloud
from scraper.core.errors import LinkExpired, NoSuchStudy, StudyGone
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, rows, run

SITE = site.MtywcloudSite()
SERIES = {series.uid: len(series.instances) for series in SITE.study.series}
BROWSER = (Via.BROWSER,)
OWN_COPY = site.share(site.BY_URL, address=site.ELSEWHERE, app="SXiCCWebClient")
CASES = (
    Case("paths that are addresses", site.share(site.BY_URL), series=SERIES, thorough=BROWSER),
    Case("paths of a Windows drive", site.share(site.BY_DRIVE), series=SERIES, thorough=BROWSER),
    Case("a hospital's own copy", OWN_COPY, series=SERIES),
    Case(
        "expired",
        site.share(site.BY_URL, token=site.OLD_TOKEN),
        raises=LinkExpired,
        says="链接已过期",
        thorough=BROWSER,
    ),
    Case("a token that is none", site.share(site.BY_URL, token="x"), raises=StudyGone, says="Token无效"),
    Case("unknown", site.share(site.UNKNOWN), raises=NoSuchStudy, says="检查不存在", thorough=BROWSER),
)
NOT_OURS = (
    "https://ss.mtywcloud.com/ICCWebClient/Image/Viewer?OrganizationID=ORG1",
    "https://ss.mtywcloud.com/help?DicomDirPath=x",
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(Mtywcloud, case, world, tmp_path, via)
        assert world.unexpected == []


@pytest.mark.parametrize("status", [204, 200])
async def test_an_image_that_the_store_lacks_is_missing(status, tmp_path):
    place = site.MtywcloudSite(absent=status)
    lost = place.study.series[-1].instances[-1].sop_instance_uid
    with World(place) as world:
        result = await run(Mtywcloud, Case("", site.share(site.BY_URL)), world, tmp_path)
    problems = [problem for study in result.studies for item in (study, *study.series) for problem in item.problems]
    assert [item.instances for item in problems if item.code == "fetch-failed"] == [(lost,)]
    assert [item for item in problems if item.code == "left-out"] == []
    assert (result.exit_code, result.counts.expected - result.counts.saved) == (7, 1)


async def test_documents_of_a_study_are_named_and_not_missing(tmp_path):
    with World(site.MtywcloudSite(documents=True)) as world:
        case = Case("", site.share(site.BY_URL), series=SERIES, left_out=len(site.DOCUMENTS))
        result = await check(Mtywcloud, case, world, tmp_path)
    assert result.exit_code == 0


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "mtywcloud"


def test_a_hospitals_own_copy_is_recognised():
    found = find(parse_url(OWN_COPY))
    assert found is not None
    assert (found.provider.name, found.listed) == ("mtywcloud", False)


def _named_otherwise(value):
    """Documents known by their description, their SOP Class or the name of their file, and not by a modality."""
    names = {
        "KO": {"SeriesDescription": "KOS"},
        "ECG": {"SeriesDescription": "心电图"},
        "SM": {"SeriesDescription": "病理切片"},
    }
    for study in value.get("Data") or ():
        for series in study["SeriesList"]:
            if modality := series.pop("Modality", ""):
                series.update(names.get(modality, {}))
                if modality == "DOC":
                    series["ImageList"][0]["SOPClassUID"] = "1.2.840.10008.5.1.4.1.1.104.1"
    return value


async def test_documents_by_what_the_list_calls_them(tmp_path):
    with World(Reshaped(site.MtywcloudSite(documents=True), _named_otherwise)) as world:
        case = Case("", site.share(site.BY_URL), series=SERIES, left_out=len(site.DOCUMENTS))
        await check(Mtywcloud, case, world, tmp_path)


async def test_images_that_are_counted_and_not_listed_are_missing(tmp_path):
    def counts_more(value):
        for study in value.get("Data") or ():
            study["SeriesList"][0]["ImageCount"] += 2
        return value

    with World(Reshaped(SITE, counts_more)) as world:
        case = Case("", site.share(site.BY_URL), series=SERIES, lacks="missing-instances")
        await check(Mtywcloud, case, world, tmp_path)
