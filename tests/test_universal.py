import pytest

from fixtures import ohif, orthanc
from fixtures.dicom import chest_ct
from fixtures.sites.generic_viewer.site import HOST, PASSWORD, GenericViewer
from fixtures.world import World
from providers.universal import Universal
from scraper.errors import CredentialsRefused, CredentialsRequired, LinkExpired, NotOriginalDicom
from scraper.model import Via
from scraper.session.browser import find_browser
from scraper.testing import Case, check

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")

SITE = GenericViewer()
ALL = {one.uid: len(one.instances) for one in SITE.study.series}
WAYS = (Via.BROWSER,)


def case(kind: str, **more) -> Case:
    return Case(kind, f"https://{HOST}/v/{kind}", ways=WAYS, **({"series": ALL} | more))


CASES = (
    case("post"),
    case("signed"),
    case("fields"),
    case("wado"),
    case("socket"),
    case("ranges"),
    case("base64"),
    case("gzip"),
    case("frame"),
    case("popup"),
    case("login", answers={"password": PASSWORD}),
    case("login", series={}, raises=CredentialsRequired),
    case("login", series={}, answers={"password": "wrong"}, raises=CredentialsRefused),
    case("package"),
    case("dicomweb", origin="rebuilt"),
    case("priors"),
    case("pictures", series={}, raises=NotOriginalDicom),
    case("expired", series={}, raises=LinkExpired),
)


@pytest.fixture(scope="module")
def world():
    with World(SITE) as running:
        yield running


@pytest.mark.parametrize(
    "row", CASES, ids=lambda row: row.name + (f"-{row.raises.__name__}" if row.raises else "")
)
async def test_every_way_to_the_images(row, world, tmp_path):
    await check(Universal, row, world, tmp_path, Via.BROWSER)
    assert world.unexpected == []


@pytest.mark.skipif(bool(ohif.MISSING or orthanc.MISSING), reason=ohif.MISSING or orthanc.MISSING)
async def test_ohif_on_orthanc(tmp_path):
    """A real viewer on a real archive: DICOMweb is recognised, and everything is asked for, the dose report too."""
    study = chest_ct(slices=20, size=128, seed=43)
    with orthanc.Orthanc() as archive:
        site = ohif.OhifSite(archive, study, token="t0k3n")
        with World(site) as world:
            link = f"{ohif.ADDRESS.origin}/viewer?StudyInstanceUIDs={study.study_instance_uid}&token=t0k3n"
            wanted = {one.uid: len(one.instances) for one in study.series}
            await check(Universal, Case("ohif", link, ways=WAYS, series=wanted), world, tmp_path, Via.BROWSER)
