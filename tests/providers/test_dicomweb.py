"""dicomweb: a real OHIF in front of a real Orthanc, directly and through the browser; whatever it has comes bit for bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID

from fixtures import ohif, orthanc
from fixtures.dicom import IMPLICIT, JPEG_2000, JPEG_LS, chest_ct
from fixtures.faults import Fault
from fixtures.ohif import ADDRESS, OhifSite
from fixtures.orthanc import ROOT, Orthanc
from fixtures.sites.dicomweb import other
from fixtures.sites.dicomweb import site as emulated
from fixtures.world import World
from providers.dicomweb.provider import DicomWeb
from scraper.core.errors import (
    CredentialsRefused,
    CredentialsRequired,
    DownloadNotPermitted,
    ExitCode,
    LinkExpired,
    NoSuchStudy,
)
from scraper.core.link import parse_url
from scraper.core.model import Origin, Via
from scraper.registry.catalogue import find
from scraper.testing import Case, check, first_of, rows, run

BOTH, BROWSER = first_of((Via.DIRECT, Via.BROWSER)), (Via.BROWSER,)
TOKEN = "eyJhbGciOi-invented"
REAL = Path(__file__).parents[3] / "shared" / "dicom" / "mr-axial-128"

STUDY = chest_ct(slices=12, thin=6, size=128, seed=41, syntax=JPEG_LS, thin_syntax=JPEG_2000)
OTHER = chest_ct(slices=3, size=64, seed=42, syntax=IMPLICIT, charset="ISO_IR 192")


def counts(study):
    return {series.uid: len(series.instances) for series in study.series}


def viewer(uid):
    return f"{ADDRESS.origin}/viewer?StudyInstanceUIDs={uid}"


def service(uid):
    return f"{ADDRESS.origin}{ROOT}/studies/{uid}"


CASES = (
    Case("by the viewer's link", viewer(STUDY.study_instance_uid), series=counts(STUDY), thorough=BROWSER),
    Case("by the service's address", service(STUDY.study_instance_uid), series=counts(STUDY)),
    Case("its neighbour", viewer(OTHER.study_instance_uid), series=counts(OTHER)),
    Case("a study that is not there", service("1.2.3.4"), raises=NoSuchStudy),
)
NOT_OURS = (f"{ADDRESS.origin}/", f"{ADDRESS.origin}/viewer", f"{ADDRESS.origin}/studies/abc")


@pytest.fixture(scope="module")
def archive() -> Iterator[Orthanc]:
    if orthanc.MISSING:
        pytest.skip(orthanc.MISSING)
    with Orthanc() as running:
        yield running


@pytest.fixture(scope="module")
def world(archive) -> Iterator[World]:
    with World(OhifSite(archive, STUDY, OTHER)) as running:
        yield running


def skip_without_ohif(case):
    if "/viewer" in case.link and ohif.MISSING:
        pytest.skip(ohif.MISSING)


@pytest.mark.parametrize(("case", "via"), rows(CASES), ids=str)
async def test_case(case, via, tmp_path, world):
    skip_without_ohif(case)
    await check(DicomWeb, case, world, tmp_path, via)
    assert world.unexpected == []


@pytest.mark.parametrize("url", NOT_OURS)
def test_not_ours(url):
    owner = find(parse_url(url))
    assert owner is None or owner.provider.name != "dicomweb"


@pytest.mark.parametrize("via", BOTH, ids=str)
@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real studies is not there")
async def test_a_real_series_is_saved_bit_for_bit(via, tmp_path, archive):
    files = [path.read_bytes() for path in sorted(REAL.rglob("*")) if path.is_file()]
    headers = [pydicom.dcmread(BytesIO(data), stop_before_pixels=True) for data in files]
    case = Case(
        "a real series",
        viewer(headers[0].StudyInstanceUID),
        series=dict(Counter(str(header.SeriesInstanceUID) for header in headers)),
    )
    skip_without_ohif(case)
    held = {str(header.SOPInstanceUID): data for header, data in zip(headers, files, strict=True)}
    with World(OhifSite(archive, extra=held)) as world:
        await check(DicomWeb, case, world, tmp_path, via)


@pytest.mark.parametrize(
    ("answers", "raises"),
    [({}, CredentialsRequired), ({"token": "stale"}, CredentialsRefused), ({"token": TOKEN}, None)],
    ids=["none", "wrong", "right"],
)
async def test_a_service_that_wants_a_token(answers, raises, tmp_path, archive):
    case = Case("token", service(OTHER.study_instance_uid), answers=answers, raises=raises)
    with World(OhifSite(archive, OTHER, token=TOKEN)) as world:
        await check(DicomWeb, case, world, tmp_path)


async def test_a_link_that_carries_its_token(tmp_path, archive):
    case = Case("in the link", f"{service(OTHER.study_instance_uid)}?token={TOKEN}", series=counts(OTHER))
    with World(OhifSite(archive, OTHER, token=TOKEN)) as world:
        await check(DicomWeb, case, world, tmp_path)


# ---- what a real archive can't be made to do


FILES = emulated.FILES.study_instance_uid
EMULATED = (
    Case("the token in the link", emulated.viewer(FILES), series=counts(emulated.FILES), thorough=BROWSER),
    Case("the token given", emulated.service(FILES), answers={"token": emulated.TOKEN}, series=counts(emulated.FILES)),
    Case(
        "a fresh token for an old link",
        emulated.viewer(FILES, emulated.STALE),
        answers={"token": emulated.TOKEN},
        series=counts(emulated.FILES),
    ),
    Case("lists as plain JSON", emulated.viewer(emulated.PLAIN_JSON.study_instance_uid)),
    *(
        Case(
            f"frames only, {UID(syntax).name}",
            emulated.viewer(study.study_instance_uid),
            origin="rebuilt",
            left_out=int(syntax != JPEG_LS),  # a dose report has no frames
            thorough=BROWSER,
        )
        for syntax, study in emulated.FRAMES.items()
    ),
    Case("no token", emulated.service(FILES), raises=CredentialsRequired),
    Case("a token that lapsed", emulated.viewer(FILES, emulated.STALE), raises=LinkExpired),
    Case("a wrong token", emulated.service(FILES), answers={"token": "x"}, raises=CredentialsRefused),
    Case("no right", emulated.viewer(emulated.FORBIDDEN.study_instance_uid), raises=DownloadNotPermitted),
    Case("taken away", emulated.viewer(emulated.GONE.study_instance_uid), raises=LinkExpired),
    Case("never there", emulated.viewer(emulated.STRANGER_UID), raises=NoSuchStudy),
)


@pytest.mark.parametrize(("case", "via"), rows(EMULATED), ids=str)
async def test_emulated(case, via, tmp_path):
    with World(emulated.DicomWebSite()) as world:
        await check(DicomWeb, case, world, tmp_path, via)
        assert world.unexpected == []


OTHERS = (
    Case("of several studies", other.link(other.FILES, other.FRAMES), origin="mixed", left_out=1),
    Case("of one study", other.link(other.FILES), series=counts(other.FILES)),
    Case("the service at the top of its host", other.service(other.FILES), series=counts(other.FILES)),
    Case("a cookie of the viewer's page", other.by_cookie(other.FILES), series=counts(other.FILES)),
    Case("no cookie", other.by_cookie(other.FILES, "x"), raises=CredentialsRequired),
    Case("a token that is not known", other.link(other.FILES, token="x"), raises=LinkExpired),
    Case("a study that is not there", other.service(emulated.GONE), raises=NoSuchStudy),
)


@pytest.mark.parametrize("case", OTHERS, ids=str)
async def test_a_service_of_other_manners(case, tmp_path):
    with World(other.OtherService()) as world:
        if case.origin != "mixed":
            await check(DicomWeb, case, world, tmp_path)
        else:
            result = await run(DicomWeb, case, world, tmp_path)
            assert result.exit_code == ExitCode.COMPLETE, result
            saved = {series.uid: series.saved for study in result.studies for series in study.series if series.saved}
            images = {series.uid: len(series.images) for series in other.FRAMES.series if series.images}
            assert saved == counts(other.FILES) | images
        assert world.unexpected == []


@pytest.mark.parametrize(
    "series", [(), (str(emulated.FILES.series[-1].number),)], ids=["among files", "asked for alone"]
)
async def test_an_object_without_pixels_that_is_lost_is_missing(series, tmp_path):
    [lost] = emulated.FILES.series[-1].instances
    with World(emulated.DicomWebSite()) as world:
        world.faults.plan(f"/instances/{lost.sop_instance_uid}[?]$", Fault.GONE, times=100)
        result = await run(DicomWeb, Case("lost", emulated.viewer(FILES)), world, tmp_path, series=series)
    assert result.exit_code == ExitCode.INCOMPLETE
    assert result.counts.failed == 1
    assert not [item for study in result.studies for item in study.series if item.origin is Origin.REBUILT]
