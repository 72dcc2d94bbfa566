"""The generic protocol pages (zip_package, wado_uri, ws_frames) as other authors may have built them."""

import pytest

from fixtures.sites.generic_arc import site as arc
from fixtures.sites.generic_package import site as packages
from fixtures.sites.generic_socket import site as sockets
from fixtures.sites.generic_wado import site as wado
from fixtures.sites.generic_wire import site as wire
from fixtures.world import World
from providers.universal import Universal
from scraper.core.errors import CorruptInstance, DownloadNotPermitted, LinkExpired, NotOriginalDicom, SiteBusy
from scraper.core.model import Via
from scraper.session.browser import find_browser
from scraper.testing import Case, check, rows, run

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")

PACKAGES, SOCKETS, LISTS = packages.GenericPackage(), sockets.GenericSocket(), wado.GenericWado()
ARC, WIRE = arc.GenericArc(), wire.GenericWire()
FILM, VIEW = f"https://{packages.HOST}/film/", f"https://{sockets.HOST}/view/"


def opens(name: str, site, link: str, origin: str = "original") -> Case:
    """A page that gives all of its site's study."""
    series = {series.uid: len(series.instances) for series in site.study.series}
    return case(name, link, series=series, origin=origin)


def case(name: str, link: str, **more) -> Case:
    ways = (Via.BROWSER,)
    in_every_run = name in ("list weasis", "arc rendered")  # of packages: tests/test_universal.py
    return Case(name, link, **more, **({"ways": ways} if in_every_run else {"ways": (), "thorough": ways}))


CASES = (
    *(
        opens(f"package {kind}", PACKAGES, FILM + kind)
        for kind in ("icon", "menu", "blob", "link", "tab", "lapsed", "counted")
    ),
    case("package quota", FILM + "quota", raises=DownloadNotPermitted, says=packages.QUOTA),
    case("package failed", FILM + "failed", raises=SiteBusy, says=packages.FAILED),
    case("package cut", FILM + "cut", raises=CorruptInstance),
    *(opens(f"socket {kind}", SOCKETS, VIEW + kind) for kind in ("header16", "zstd", "sio", "signalr", "split")),
    *(
        opens(f"socket {kind}", SOCKETS, VIEW + kind, "rebuilt")
        for kind in ("tagsraw", "gzraw", "dicomjson", "idraw", "sioraw")
    ),
    case("socket pictures", VIEW + "pictures", raises=NotOriginalDicom),
    case("socket spent", VIEW + "spent", raises=LinkExpired),
    *(
        opens(f"list {kind}", LISTS, f"{wado.LINK}/viewer/{kind}/index.html")
        for kind in ("local", "bare", "escaped", "pictures", "weasis", "uids")
    ),
    opens("arc rendered", ARC, ARC.link("rendered")),
    opens("arc wado", ARC, ARC.link("wado")),
    case("arc gateway", ARC.link("gateway"), series=ARC.shown, origin="original"),
    *(opens(f"wire {kind}", WIRE, WIRE.link(kind)) for kind in wire.TYPES),
    case("arc closed", ARC.link("closed"), raises=NotOriginalDicom),
)


@pytest.fixture(scope="module")
def world():
    with World(PACKAGES, SOCKETS, LISTS, ARC, WIRE) as running:
        yield running


@pytest.mark.parametrize("case, via", rows(CASES), ids=str)
async def test_every_protocol_page(case, via, world, tmp_path):
    await check(Universal, case, world, tmp_path, via)
    assert world.unexpected == []


@pytest.mark.parametrize(
    "kind, saved, code",
    [
        pytest.param("badcrc", len(PACKAGES.originals) - 1, "package-broken", marks=pytest.mark.thorough),
        pytest.param("short", len(PACKAGES.originals) - 4, "missing-instances", marks=pytest.mark.thorough),
    ],
    ids=["badcrc", "short"],
)
async def test_what_a_package_lacks_is_told(kind, saved, code, world, tmp_path):
    result = await run(Universal, Case(kind, FILM + kind), world, tmp_path, Via.BROWSER)
    codes = {problem.code for row in result.studies[0].series for problem in row.problems if problem.fatal}
    assert (result.exit_code, result.counts.saved) == (7, saved)
    assert code in codes


@pytest.mark.thorough
async def test_an_image_that_is_never_answered_is_missing(world, tmp_path):
    result = await run(Universal, Case("short", VIEW + "short"), world, tmp_path, Via.BROWSER)
    assert (result.exit_code, result.counts.saved) == (7, len(SOCKETS.originals) - 1)
