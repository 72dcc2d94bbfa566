"""pacs: archives of other people, dcmtk's dcmqrscp and pynetdicom's qrscp, which tell no SOP Class UID."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, XRayRadiationDoseSRStorage

from fixtures import archives
from fixtures.archives import DcmQrScp, ForeignArchive, QrScp, free_port
from fixtures.dicom import JPEG_2000, JPEG_LS, SyntheticStudy, chest_ct, retagged
from fixtures.pacs import Archive, Habits
from scraper.core.errors import ExitCode, NotRegistered, UnknownCalledTitle
from scraper.core.messages import describe, words_of
from scraper.core.model import Result, Status
from scraper.core.reasons import Reason
from scraper.core.settings import Language
from scraper.session.dimse.association import MOST_CONTEXTS, STORAGE_CLASSES
from scraper.session.dimse.status import describe_status
from scraper.session.dimse.storage_classes import turns
from scraper.testing import first_of
from tests.providers.test_pacs import LATER, PLAIN, SAME_PATIENT, grabbed

IN_TWO_SYNTAXES = chest_ct(slices=4, thin=3, size=64, seed=141, syntax=JPEG_LS, thin_syntax=JPEG_2000)
IN_ONE_SYNTAX = chest_ct(slices=8, size=64, seed=144, syntax=JPEG_LS)
KINDS = (DcmQrScp, QrScp)
BOTH_KINDS = pytest.mark.parametrize("kind", KINDS)
BOTH_WAYS = pytest.mark.parametrize("way", ["get", "move"])


def skip_if_missing(kind: type[ForeignArchive]) -> None:
    missing = archives.DCMTK_MISSING if kind is DcmQrScp else archives.QRSCP_MISSING
    if missing:
        pytest.skip(missing)


def assert_whole(result: Result, output: Path, *studies: SyntheticStudy) -> None:
    """Every instance is there with every value and pixel; a foreign archive may write it in another plain syntax.

    A compressed one is as it is stored.
    """
    assert result.error is None, result.error
    assert result.status is Status.COMPLETE, result.studies
    held = {instance.sop_instance_uid: instance.data for study in studies for instance in study.instances}
    saved = {str(ds.SOPInstanceUID): ds for ds in map(dcmread, output.rglob("*.dcm"))}
    assert saved.keys() == held.keys()
    for uid, data in held.items():
        original = dcmread(BytesIO(data))
        assert saved[uid] == original
        if original.file_meta.TransferSyntaxUID.is_compressed:
            assert saved[uid].file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID


def study(of: object) -> str:
    return f"StudyInstanceUID={of.study_instance_uid}"


@pytest.fixture(scope="module")
def listen() -> int:
    return free_port()


@pytest.fixture(scope="module", params=first_of(KINDS))
def foreign(request, listen) -> Iterator[ForeignArchive]:
    skip_if_missing(request.param)
    with request.param(PLAIN, LATER, stations={"CLOUDFILM": listen}) as running:
        yield running


@BOTH_WAYS
async def test_verdicts_18_a_foreign_archive_sends_what_it_stores(foreign, listen, way, tmp_path):
    result = await grabbed(foreign.link(f"{study(PLAIN)}&get={way}&listen={listen}"), tmp_path)
    assert_whole(result, tmp_path, PLAIN)


@BOTH_WAYS
@pytest.mark.thorough
async def test_verdicts_18_several_studies_of_a_patient(foreign, listen, way, tmp_path):
    result = await grabbed(foreign.link(f"PatientID={SAME_PATIENT}&get={way}&listen={listen}"), tmp_path)
    assert_whole(result, tmp_path, PLAIN, LATER)
    assert len(result.studies) == 2


async def test_verdicts_18_a_wrong_title_is_named(foreign, tmp_path):
    result = await grabbed(foreign.link(study(PLAIN), called="WRONG"), tmp_path)
    if isinstance(foreign, DcmQrScp):
        assert type(result.error) is UnknownCalledTitle
        assert "WRONG" in describe(result.error, Language.EN)
        assert "CLOUDFILM" in describe(result.error, Language.EN)  # it answers so to strangers, too
    else:  # qrscp goes by any title
        assert_whole(result, tmp_path, PLAIN)


async def test_verdicts_18_a_station_that_it_does_not_know(foreign, tmp_path):
    result = await grabbed(foreign.link(f"{study(PLAIN)}&get=move&calling=NOBODY&listen={free_port()}"), tmp_path)
    assert type(result.error) is (UnknownCalledTitle if isinstance(foreign, DcmQrScp) else NotRegistered)
    assert "NOBODY" in describe(result.error, Language.ZH)


@BOTH_WAYS
@pytest.mark.thorough
async def test_verdicts_18_qrscp_sends_compressed_series(way, listen, tmp_path):
    skip_if_missing(QrScp)
    with QrScp(IN_TWO_SYNTAXES, stations={"CLOUDFILM": listen}) as archive:
        query = f"{study(IN_TWO_SYNTAXES)}&get={way}&listen={listen}"
        assert_whole(await grabbed(archive.link(query), tmp_path), tmp_path, IN_TWO_SYNTAXES)


@pytest.mark.parametrize(
    ("options", "way"),
    first_of([(["+xt"], "get"), (["-xt"], "move"), (["-xt"], "get")]),
    ids=["it takes JPEG-LS", "it sends JPEG-LS", "it sends JPEG-LS by C-MOVE alone"],
)
@pytest.mark.thorough
async def test_verdicts_18_dcmqrscp_sends_compressed_series_among_plain_ones(options, way, listen, tmp_path):
    skip_if_missing(DcmQrScp)
    with DcmQrScp(IN_ONE_SYNTAX, PLAIN, stations={"CLOUDFILM": listen}, options=options) as archive:
        for wanted in (IN_ONE_SYNTAX, PLAIN):
            output = tmp_path / wanted.study_instance_uid
            result = await grabbed(archive.link(f"{study(wanted)}&get={way}&listen={listen}"), output)
            assert_whole(result, output, wanted)


@pytest.mark.thorough
async def test_verdicts_18_what_an_archive_can_not_send_is_missing_for_its_own_reason(listen, tmp_path):
    skip_if_missing(DcmQrScp)
    with DcmQrScp(IN_ONE_SYNTAX, stations={"CLOUDFILM": listen}) as archive:  # no compression is agreed on
        result = await grabbed(archive.link(f"{study(IN_ONE_SYNTAX)}&listen={listen}"), tmp_path)
    assert result.exit_code == ExitCode.INCOMPLETE
    assert result.counts.saved == 1  # the dose report
    reasons = {
        problem.values["why"]
        for series in result.studies[0].series
        for problem in series.problems
        if problem.code == "fetch-failed"
    }
    assert reasons == {describe_status("C-GET", 0xA702)}


# ---- a small archive that tells little, or takes little


@pytest.mark.parametrize(
    "withheld", first_of([(("SOPClassUID",),), (("SOPClassUID", "Modality", "AvailableTransferSyntaxUID"),)]), ids=str
)
async def test_verdicts_18_an_archive_that_tells_no_class(withheld, tmp_path):
    with Archive(PLAIN, LATER, habits=Habits(withholds=withheld)) as archive:
        assert_whole(await grabbed(archive.link(study(PLAIN)), tmp_path), tmp_path, PLAIN)


@pytest.mark.thorough
async def test_verdicts_18_a_modality_that_does_not_fit_the_class(tmp_path):
    odd = LATER
    for instance in LATER.instances:
        odd = odd.with_data(instance.sop_instance_uid, retagged(instance, Modality="ECG"))
    with Archive(odd, habits=Habits(withholds=("SOPClassUID",))) as archive:
        result = await grabbed(archive.link(study(odd)), tmp_path)
    assert result.counts.saved == len(odd.instances)


async def test_verdicts_18_a_class_that_it_refuses_is_missing_and_the_rest_comes(tmp_path):
    habits = Habits(refuses=(str(XRayRadiationDoseSRStorage),))
    with Archive(IN_ONE_SYNTAX, habits=habits) as archive:
        result = await grabbed(archive.link(study(IN_ONE_SYNTAX)), tmp_path)
    assert (result.exit_code, result.counts.failed) == (ExitCode.INCOMPLETE, 1)
    [series] = [series for series in result.studies[0].series if series.saved == 0]
    [why] = [problem.values["why"] for problem in series.problems if problem.code == "fetch-failed"]
    assert why == Reason.NO_CONTEXT.of(operation="C-GET")


async def test_verdicts_18_an_archive_that_refuses_every_class_is_named_so(tmp_path):
    with Archive(LATER, habits=Habits(refuses=(str(CTImageStorage),))) as archive:
        result = await grabbed(archive.link(f"{study(LATER)}&listen={free_port()}"), tmp_path)
    assert type(result.error) is NotRegistered  # C-MOVE is what is left, and it does not know this computer
    assert result.error.reason is Reason.C_GET_NO_STORAGE_CLASS
    assert result.status is Status.FAILED


def test_verdicts_18_no_association_proposes_more_contexts_than_there_is_room_for():
    for classes, modality in ((["1.2.3"], "CT"), ([""], "MR"), (["", "1.2.3"], ""), ([""], "XX")):
        made = turns(classes, modality, ["1.2.840.10008.1.2.4.80"], STORAGE_CLASSES, MOST_CONTEXTS)
        assert all(0 < len(turn) <= MOST_CONTEXTS for turn in made)
        proposed = {uid for turn in made for uid, _ in turn}
        assert proposed >= set(STORAGE_CLASSES) if "" in classes else proposed == set(classes)


@pytest.mark.parametrize(
    "why",
    [
        describe_status("C-GET", 0xA702),
        describe_status("C-MOVE", 0xA801),
        Reason.C_GET_NO_STORAGE_CLASS.of(then=describe_status("C-MOVE", 0xA801)),
        Reason.NO_CONTEXT.of(operation="C-GET"),
        Reason.NOTHING_ARRIVES_BECAUSE.of(port=11112, why=describe_status("C-MOVE", 0xB000)),
    ],
)
def test_verdicts_18_why_an_archive_sends_nothing_is_said_in_chinese_too(why):
    translated = str(words_of(why, Language.ZH))
    assert not any(word in translated for word in (" it ", "send", "accept", "know", "arrives"))
