"""The universal capture over viewers of no product, and over real ones: OHIF and dwv in front of Orthanc."""

import pytest

from fixtures import dwv, ohif, orthanc
from fixtures.dicom import chest_ct
from fixtures.sites.generic_viewer.site import CAPTCHA, HOST, LAST4, PASSWORD, REPORT, GenericViewer
from fixtures.world import World
from providers.universal import Universal
from scraper.core.errors import CaptchaRequired, CredentialsRefused, CredentialsRequired, LinkExpired, NotOriginalDicom
from scraper.core.model import Result, Via
from scraper.core.settings import ConnectTo, Settings
from scraper.core.timings import DriveTimings, Timings
from scraper.session.browser import find_browser
from scraper.testing import Case, check, first_of, in_pipeline, rows, run

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")

SITE = GenericViewer(slices=8, thin=5)
ALL = {series.uid: len(series.instances) for series in SITE.study.series}
EARLIER = {series.uid: len(series.instances) for series in SITE.prior.series}
WAYS = (Via.BROWSER,)
SILENT = (
    "package",
    "pictures",
)  # kinds whose pages ask for nothing until something is pressed: all that is waited for is in vain
HASTY = Timings(drive=DriveTimings(patience_s=2.0, step_s=0.1))


def case(kind: str, **more) -> Case:
    return Case(kind, f"https://{HOST}/v/{kind}", **({"series": ALL, "ways": WAYS} | more))


def rarely(kind: str, **more) -> Case:
    """A row of ``make thorough``."""
    return case(kind, ways=(), thorough=WAYS, **more)


CASES = (
    case("post"),
    rarely("counter"),
    rarely("guarded"),
    rarely("signed"),
    rarely("fields"),
    rarely("xml"),
    rarely("script"),
    rarely("attribute"),
    rarely("folded"),
    rarely("wado"),
    case("socket"),
    rarely("events"),
    rarely("worker"),
    rarely("alike"),
    rarely("ranges"),
    rarely("base64"),
    rarely("gzip"),
    rarely("blocks"),
    rarely("cards"),
    rarely("drawn"),
    rarely("dropdown"),
    rarely("onward"),
    rarely("pulled"),
    rarely("frame"),
    rarely("popup"),
    rarely("login", answers={"password": PASSWORD}),
    rarely("login", series={}, raises=CredentialsRequired),
    case("login", series={}, answers={"password": "wrong"}, raises=CredentialsRefused),
    case("boxes", answers={"phone_last4": LAST4}),
    rarely("boxes", series={}, raises=CredentialsRequired),
    rarely("boxes", series={}, answers={"phone_last4": "0000"}, raises=CredentialsRefused),
    rarely("phone"),
    rarely("notice"),
    case("package"),
    rarely("dicomweb", origin="rebuilt"),
    rarely("priors", series=ALL | dict.fromkeys(EARLIER, 1)),
    rarely("others", series=ALL | EARLIER),
    rarely("strangers", lacks="further-study"),
    case("pictures", series={}, raises=NotOriginalDicom),
    rarely("expired", series={}, raises=LinkExpired),
)


@pytest.fixture(scope="module")
def world():
    with World(SITE) as running:
        yield running


def named(value: Case | Via) -> str:
    return f"{value}-{value.raises.__name__}" if isinstance(value, Case) and value.raises else str(value)


JUDGED = {
    "signed": "judged-by-manifest",
    "post": "judged-by-manifest",
    "xml": "judged-by-manifest",
    "dicomweb": "judged-by-service",
    "package": "judged-by-package",
    "socket": "judged-by-manifest",
    "events": "judged-by-manifest",
    "worker": "judged-by-manifest",
    "counter": "judged-by-manifest",
}


def judged_by(result: Result) -> list[list[str]]:
    """What each series of the first study is judged by."""
    problems = [row.problems for row in result.studies[0].series]
    return [[problem.code for problem in found if problem.code.startswith("judged-")] for found in problems]


@pytest.mark.parametrize("row, via", rows(CASES), ids=named)
async def test_every_way_to_the_images(row, via, world, tmp_path):
    result = await check(Universal, row, world, tmp_path, via, timings=HASTY if row.name in SILENT else Timings())
    assert world.unexpected == []
    if row.name in JUDGED:
        assert judged_by(result) == [[JUDGED[row.name]]] * len(ALL)


@pytest.mark.parametrize(
    "kind, code, uids", first_of([("counted", "missing-instances", set(ALL)), ("report", "missing-series", {REPORT})])
)
async def test_what_a_list_names_and_did_not_come_is_missing(kind, code, uids, world, tmp_path):
    result = await run(Universal, case(kind), world, tmp_path, Via.BROWSER)
    short = {
        row.uid
        for row in result.studies[0].series
        for problem in row.problems
        if problem.code == code and problem.fatal
    }
    assert (result.exit_code, short) == (7, uids)
    assert result.counts.saved == len(SITE.study.by_uid)


async def test_a_captcha_is_shown_to_a_person_and_answered_once(world, tmp_path):
    world.seen.clear()
    shown: list[bytes] = []

    def person(question, host, picture):
        assert (question.name, host) == ("captcha", HOST)
        shown.append(picture.read_bytes())
        return CAPTCHA

    rows = tuple(ConnectTo.parse(item) for item in world.connect_to)
    settings = Settings(output=tmp_path, provider="universal", insecure=True, connect_to=rows, timeout_s=30.0)
    link = f"https://{HOST}/v/captcha"
    result = await in_pipeline(settings, lambda pipeline: pipeline.grab(link), person)
    assert result.counts.saved == len(SITE.study.by_uid)
    assert [data[:4] for data in shown] == [b"\x89PNG"]
    assert [item.method for item in world.seen if item.path == "/login"] == ["POST"]


@pytest.mark.thorough
async def test_a_captcha_that_nobody_answers(world, tmp_path):
    await check(Universal, case("captcha", series={}, raises=CaptchaRequired), world, tmp_path, Via.BROWSER)


async def test_one_image_alone_of_another_patients_study_is_asked_for(world, tmp_path):
    world.seen.clear()
    await check(Universal, case("strangers", lacks="further-study"), world, tmp_path, Via.BROWSER)
    assert len([item for item in world.seen if any(uid in item.path for uid in SITE.stranger.by_uid)]) == 1


@pytest.mark.thorough
async def test_every_examination_that_the_link_is_for_is_brought(world, tmp_path):
    """Two on one list are; the earlier one under its own heading is not touched."""
    world.seen.clear()
    both = ALL | {series.uid: len(series.instances) for series in SITE.second.series}
    result = await check(Universal, case("two", series=both), world, tmp_path, Via.BROWSER)
    assert len({study.output for study in result.studies}) == 2
    assert not [
        item for item in world.seen if "exam-2" in item.path or any(uid in item.path for uid in SITE.prior.by_uid)
    ]


async def test_other_peoples_examinations_are_not_touched(world, tmp_path):
    world.seen.clear()
    await check(Universal, case("worklist"), world, tmp_path, Via.BROWSER)
    assert not [item for item in world.seen if "exam-1" in item.path or "exam-2" in item.path]


@pytest.mark.skipif(bool(ohif.MISSING or orthanc.MISSING), reason=ohif.MISSING or orthanc.MISSING)
@pytest.mark.thorough
async def test_ohif_on_orthanc(tmp_path):
    """A real viewer on a real archive: DICOMweb is recognised, and everything is asked for, dose report and second study too."""
    study = chest_ct(slices=20, size=128, seed=43)
    second = chest_ct(slices=3, size=64, localizers=0, dose_report=False, seed=44)
    with orthanc.Orthanc() as archive:
        site = ohif.OhifSite(archive, study, second, token="t0k3n")
        with World(site) as world:
            uids = f"{study.study_instance_uid},{second.study_instance_uid}"
            link = f"{ohif.ADDRESS.origin}/viewer?StudyInstanceUIDs={uids}&token=t0k3n"
            wanted = {series.uid: len(series.instances) for series in (*study.series, *second.series)}
            await check(Universal, Case("ohif", link, ways=WAYS, series=wanted), world, tmp_path, Via.BROWSER)


@pytest.mark.skipif(bool(dwv.MISSING or orthanc.MISSING), reason=dwv.MISSING or orthanc.MISSING)
@pytest.mark.parametrize(
    "protocol, by", [("wadors", "judged-by-service"), ("wadouri", "judged-by-manifest")], ids=["wadors", "wadouri"]
)
@pytest.mark.thorough
async def test_dwv_on_orthanc(protocol, by, tmp_path):
    """Another real viewer, whose workers decode what its page asks for; it shows one series, and all come."""
    study = chest_ct(slices=12, thin=7, size=96, dose_report=False, seed=44)
    with orthanc.Orthanc(options=dwv.WADO) as archive, World(dwv.DwvSite(archive, study)) as world:
        link = f"{dwv.ADDRESS.origin}/{protocol}?study={study.study_instance_uid}"
        wanted = {series.uid: len(series.instances) for series in study.series}
        row = Case(protocol, link, ways=WAYS, series=wanted)
        result = await check(Universal, row, world, tmp_path, Via.BROWSER)
        assert len(world.requests(path="/dwv/dwv.min.js")) == 1
    codes = {problem.code for row in result.studies[0].series for problem in row.problems}
    assert by in codes
