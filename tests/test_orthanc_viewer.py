"""Orthanc's own service behind a viewer that shows pictures only: originals where the visitor may read them, else exit 8."""

import pytest

from fixtures import orthanc
from fixtures.dicom import chest_ct
from fixtures.orthanc_viewer import OrthancViewerSite
from fixtures.world import World
from providers.universal import Universal
from scraper.capture.request.orthanc import service_of
from scraper.core.errors import NotOriginalDicom
from scraper.core.model import Via
from scraper.session.browser import find_browser
from scraper.session.browser.traffic import Exchange
from scraper.testing import Case, check

NAME = "0123abcd-0123abcd-0123abcd-0123abcd-0123abcd"
needed = pytest.mark.skipif(
    find_browser() is None or bool(orthanc.MISSING), reason=f"no browser, or: {orthanc.MISSING}"
)


@pytest.mark.parametrize(
    ("url", "root", "resource"),
    [
        (f"https://a.test/series/{NAME}", "https://a.test", ("series", NAME)),
        (f"https://a.test/pacs/web-viewer/series/{NAME}", "https://a.test/pacs", ("series", NAME)),
        (f"https://a.test/web-viewer/instances/jpeg95-{NAME}_0", "https://a.test", ("instances", NAME)),
        (f"https://a.test/osimis-viewer/images/{NAME}/0/high-quality", "https://a.test", ("images", NAME)),
    ],
)
def test_the_service_is_known_by_its_calls(url, root, resource):
    service = service_of([Exchange(url, "xhr", body=b"{}", size=2)])
    assert (service.url, service.resources) == (root, (resource,))


@pytest.mark.parametrize("url", ["https://a.test/series/12", f"https://a.test/users/{NAME}", "https://a.test/studies"])
def test_other_calls_are_no_orthanc(url):
    assert service_of([Exchange(url, "xhr", body=b"{}", size=2)]) is None


@needed
@pytest.mark.parametrize("gives_files", [True, pytest.param(False, marks=pytest.mark.thorough)])
async def test_a_viewer_of_pictures_on_a_real_orthanc(gives_files, tmp_path):
    study = chest_ct(slices=4, thin=3, size=256, seed=51, dose_report=False)
    with orthanc.Orthanc() as archive:
        site = OrthancViewerSite(archive, study, gives_files=gives_files)
        wanted = {series.uid: len(series.instances) for series in study.series}
        case = Case("orthanc", site.link(1), ways=(Via.BROWSER,), series=wanted)
        if not gives_files:
            case = Case("orthanc", site.link(1), ways=(Via.BROWSER,), raises=NotOriginalDicom)
        with World(site) as world:
            await check(Universal, case, world, tmp_path, Via.BROWSER)
