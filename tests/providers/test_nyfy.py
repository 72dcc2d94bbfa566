"""nyfy: a viewer that is driven, its messages read, frames taken from the store under either name, tags rebuilt."""

import pydicom
import pytest
from starlette.websockets import WebSocket

from fixtures.sites.nyfy.site import BARE, LOCKED, NO_SLIDER, OLD, PASSWORD, NyfySite
from fixtures.sites.reshaped import SHAPES
from fixtures.world import World
from providers.nyfy.provider import Nyfy
from scraper.contract import CredentialsRefused, CredentialsRequired, LinkExpired, Origin
from scraper.core.link import parse_url
from scraper.core.model import Via
from scraper.testing import Case, check, first_of, rows, run

SITE = NyfySite()
SERIES = {item.uid: len(item.images) for item in SITE.study.series if item.images}
REBUILT = Origin.REBUILT
BROWSER = (Via.BROWSER,)
CASES = (
    Case("a share", SITE.link(), series=SERIES, origin=REBUILT, ways=BROWSER),
    Case("with a password", SITE.link(LOCKED), {"password": PASSWORD}, SERIES, REBUILT, ways=(), thorough=BROWSER),
    Case("a viewer without a slider", SITE.link(NO_SLIDER), series=SERIES, origin=REBUILT, ways=(), thorough=BROWSER),
    Case("asks for the password", SITE.link(LOCKED), raises=CredentialsRequired, ways=(), thorough=BROWSER),
    Case(
        "a wrong password",
        SITE.link(LOCKED),
        {"password": "1"},
        raises=CredentialsRefused,
        says="密码错误",
        ways=(),
        thorough=BROWSER,
    ),
    Case("expired", SITE.link(OLD), raises=LinkExpired, says="已过期", ways=(), thorough=BROWSER),
)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path):
    site = NyfySite()
    with World(site) as world:
        await check(Nyfy, case, world, tmp_path, via)
        assert not world.unexpected
        assert site.tries <= 1


@pytest.mark.thorough
async def test_what_the_viewer_does_not_say_is_not_invented(tmp_path):
    site = NyfySite()
    with World(site) as world:
        result = await run(Nyfy, Case("", site.link(BARE)), world, tmp_path, Via.BROWSER)
    (study,) = result.studies
    codes = {
        item.code for item in (*study.problems, *(problem for series in study.series for problem in series.problems))
    }
    assert result.counts.saved == sum(SERIES.values())
    assert "rescale-unknown" in codes
    for path in tmp_path.rglob("*.dcm"):
        tags = pydicom.dcmread(path, stop_before_pixels=True)
        assert "RescaleSlope" not in tags
        assert (tags.SpecificCharacterSet, str(tags.PatientName)) == ("ISO_IR 192", "张三")
        assert tags.StudyInstanceUID == site.study.study_instance_uid


@pytest.mark.parametrize("link", ["http://zhyl.nyfy.com.cn:50647/", "http://zhyl.nyfy.com.cn:50647/viewImage/#/help"])
def test_not_ours(link):
    assert Nyfy.owns(parse_url(link)) is None


@pytest.mark.thorough
@pytest.mark.parametrize("shape", first_of(SHAPES))
async def test_the_same_by_another_hand(shape, tmp_path):
    class OtherHand(NyfySite):
        async def _tree(self, socket: WebSocket, kind: str, data: dict[str, object]) -> None:
            await super()._tree(socket, kind, SHAPES[shape](data))

    with World(OtherHand()) as world:
        await check(Nyfy, CASES[0], world, tmp_path, Via.BROWSER)
