"""yzhcloud: viewer links, landing pages, pictures among the images, and what the site no longer gives out."""

import pytest

from fixtures.faults import Fault
from fixtures.sites.yzhcloud import site
from fixtures.world import World
from providers.yzhcloud import Yzhcloud
from scraper.core.errors import LinkExpired, NoSuchStudy, NotOriginalDicom
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, rows, run

BROWSER = (Via.BROWSER,)
SITE = site.YzhcloudSite()
SERIES = {series.uid: len(series.instances) for series in SITE.study.series}
CASES = (
    Case("opens a viewer link", SITE.link, series=SERIES, left_out=1, thorough=BROWSER),
    Case("opens a landing page", site.LANDING, series=SERIES, left_out=1, thorough=BROWSER),
    Case("follows an absolute button", site.LANDING_ABSOLUTE, series=SERIES, left_out=1),
    Case("a landing page without the button", site.LANDING_EXPIRED, raises=LinkExpired, says="二维码已失效"),
    Case("a study that is not there", site.viewer_link("1.2.3.4"), raises=NoSuchStudy),
    Case("a study of pictures", site.viewer_link(site.PICTURES_ONLY), raises=NotOriginalDicom),
)
NOT_OURS = (
    "https://m.yzhcloud.com/help",
    "https://m.yzhcloud.com/w_viewer_2/?org_id=719",
    "https://www.yzhcloud.com/pocketfilm/index.php?a=list&token=1",
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    with World(SITE) as world:
        await check(Yzhcloud, case, world, tmp_path, via)
        assert world.unexpected == []


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "yzhcloud"


def test_another_host_is_recognised_by_its_paths():
    found = find(parse_url("https://film.hospital.test:8443/w_viewer_2/?study_instance_uid=1.2.3&org_id=1"))
    assert found is not None
    assert (found.provider.name, found.listed) == ("yzhcloud", False)


async def test_the_patients_name_is_the_mobile_pages(tmp_path):
    case = Case("opens a landing page", site.LANDING, left_out=1)
    with World(SITE) as world:
        result = await check(Yzhcloud, case, world, tmp_path)
    assert result.studies[0].study.patient_name == "测试甲"


async def test_a_refusal_without_a_word_is_no_study_that_is_not_there(tmp_path):
    with World(SITE) as world:
        world.faults.plan("ajax_get", Fault.FORBIDDEN, times=9)
        result = await run(Yzhcloud, CASES[0], world, tmp_path)
    assert result.exit_code == 9
