"""The generic protocol pages (zip_package, wado_uri, ws_frames) as other authors may have built them."""

import pytest

from fixtures.sites.generic_package import site as packages
from fixtures.sites.generic_socket import site as sockets
from fixtures.sites.generic_wado import site as wado
from fixtures.world import World
from providers.universal import Universal
from scraper.errors import CorruptInstance, DownloadNotPermitted, LinkExpired, NotOriginalDicom, SiteBusy
from scraper.model import Via
from scraper.session.browser import find_browser
from scraper.testing import Case, check, run

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")

WAYS = (Via.BROWSER,)
PACKAGES = packages.GenericPackage()
FILM = f"https://{packages.HOST}/film/"
IN_PACKAGE = {one.uid: len(one.instances) for one in PACKAGES.study.series}


@pytest.fixture(scope="module")
def portal():
    with World(PACKAGES) as running:
        yield running


@pytest.mark.parametrize(
    "case",
    [
        *(Case(kind, FILM + kind, ways=WAYS, series=IN_PACKAGE)
          for kind in ("icon", "menu", "blob", "link", "tab", "lapsed", "counted")),
        Case("quota", FILM + "quota", ways=WAYS, raises=DownloadNotPermitted, says=packages.QUOTA),
        Case("failed", FILM + "failed", ways=WAYS, raises=SiteBusy, says=packages.FAILED),
        Case("cut", FILM + "cut", ways=WAYS, raises=CorruptInstance),
    ],
    ids=str,
)  # fmt: skip
async def test_a_package_is_asked_for_and_comes_home(case, portal, tmp_path):
    await check(Universal, case, portal, tmp_path, Via.BROWSER)
    assert portal.unexpected == []


@pytest.mark.parametrize(
    "kind, saved, code",
    [("badcrc", len(PACKAGES.originals) - 1, "package-broken"),
     ("short", len(PACKAGES.originals) - 4, "missing-instances")],
    ids=["badcrc", "short"],
)  # fmt: skip
async def test_what_a_package_lacks_is_told(kind, saved, code, portal, tmp_path):
    result = await run(Universal, Case(kind, FILM + kind, ways=WAYS), portal, tmp_path, Via.BROWSER)
    said = {one.code for row in result.studies[0].series for one in row.problems if one.fatal}
    assert (result.exit_code, result.counts.saved) == (7, saved)
    assert code in said


SOCKETS = sockets.GenericSocket()
VIEW = f"https://{sockets.HOST}/view/"
ON_SOCKET = {one.uid: len(one.instances) for one in SOCKETS.study.series}


@pytest.fixture(scope="module")
def stream():
    with World(SOCKETS) as running:
        yield running


@pytest.mark.parametrize(
    "case",
    [
        *(Case(kind, VIEW + kind, ways=WAYS, series=ON_SOCKET) for kind in ("header16", "zstd", "sio", "signalr", "split")),
        *(Case(kind, VIEW + kind, ways=WAYS, series=ON_SOCKET, origin="rebuilt")
          for kind in ("tagsraw", "gzraw", "dicomjson", "idraw", "sioraw")),
        Case("pictures", VIEW + "pictures", ways=WAYS, raises=NotOriginalDicom),
        Case("spent", VIEW + "spent", ways=WAYS, raises=LinkExpired),
    ],
    ids=str,
)  # fmt: skip
async def test_messages_become_files(case, stream, tmp_path):
    await check(Universal, case, stream, tmp_path, Via.BROWSER)
    assert stream.unexpected == []


@pytest.mark.thorough
async def test_an_image_that_is_never_answered_is_missing(stream, tmp_path):
    result = await run(Universal, Case("short", VIEW + "short", ways=WAYS), stream, tmp_path, Via.BROWSER)
    assert (result.exit_code, result.counts.saved) == (7, len(SOCKETS.originals) - 1)


LISTS = wado.GenericWado()
IN_LISTS = {one.uid: len(one.instances) for one in LISTS.study.series}


@pytest.fixture(scope="module")
def archive():
    with World(LISTS) as running:
        yield running


@pytest.mark.parametrize("kind", ["local", "bare", "escaped", "pictures", "weasis", "uids"])
async def test_every_list_of_wado_uri_objects_is_read(kind, archive, tmp_path):
    case = Case(kind, f"{wado.LINK}/viewer/{kind}/index.html", ways=WAYS, series=IN_LISTS)
    await check(Universal, case, archive, tmp_path, Via.BROWSER)
    assert archive.unexpected == []
