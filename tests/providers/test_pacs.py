"""pacs: a real Orthanc by C-GET and C-MOVE, and a small archive that breaks off, refuses, loses and pushes."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from fixtures import orthanc
from fixtures.dicom import IMPLICIT, JPEG_2000, JPEG_LS, chest_ct, retagged
from fixtures.orthanc import Orthanc
from fixtures.pacs import Archive, Habits
from scraper.core import link
from scraper.core.errors import (
    ExitCode,
    MalformedArchiveLink,
    NoLink,
    NoSuchStudy,
    NotRegistered,
    QueryTooWide,
    SiteUnreachable,
    TooManyStudies,
    UnknownCalledTitle,
    UnusableLink,
)
from scraper.core.messages import describe
from scraper.core.model import Result, Status
from scraper.core.settings import BrowserUse, ConnectTo, Language, Settings
from scraper.pipeline.run import Run
from scraper.registry.catalogue import find
from scraper.source import resolve
from scraper.testing import Silent, first_of, nobody
from tests.test_cli import cloudfilm

COMPRESSED = chest_ct(slices=12, thin=6, size=128, seed=141, syntax=JPEG_LS, thin_syntax=JPEG_2000)
PLAIN = chest_ct(slices=10, size=64, seed=142, syntax=IMPLICIT, charset="ISO_IR 192", dose_report=False)
SAME_PATIENT = PLAIN.patient_id
LATER = chest_ct(slices=3, size=64, seed=143, localizers=0, dose_report=False)
for instance in LATER.instances:
    LATER = LATER.with_data(instance.sop_instance_uid, retagged(instance, PatientID=SAME_PATIENT))
UID = f"StudyInstanceUID={PLAIN.study_instance_uid}"
BOTH_WAYS = pytest.mark.parametrize("way", ["get", "move"])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


async def grabbed(address: str, output: Path, *, listing: bool = False, **options: object) -> Result:
    settings = Settings(output=output, timeout_s=15.0, **options)
    async with Run(settings, Silent(), nobody) as run:
        return await (run.survey(address) if listing else run.grab(address))


def data_set(part10: bytes) -> tuple[str, bytes]:
    """Transfer Syntax, and the bytes behind the file meta (PS3.10 7.1)."""
    meta = pydicom.dcmread(BytesIO(part10), stop_before_pixels=True).file_meta
    return str(meta.TransferSyntaxUID), part10[132 + 12 + meta.FileMetaInformationGroupLength :]


def assert_whole(result: Result, output: Path, *studies: object) -> None:
    """Every instance of the studies is on the disk, its data set bit for bit what the archive holds."""
    assert result.error is None, result.error
    assert result.status is Status.COMPLETE, result.studies
    held = {instance.sop_instance_uid: instance.data for study in studies for instance in study.instances}
    saved = {}
    for path in output.rglob("*.dcm"):
        saved[str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)] = data_set(path.read_bytes())
    assert saved == {uid: data_set(data) for uid, data in held.items()}


# ---- a real archive


@pytest.fixture(scope="module")
def listen() -> int:
    return free_port()


@pytest.fixture(scope="module")
def real(listen: int) -> Iterator[Orthanc]:
    if orthanc.MISSING:
        pytest.skip(orthanc.MISSING)
    titles = {"CLOUDFILM": ("127.0.0.1", listen), "OTHER": ("127.0.0.1", 1)}
    with Orthanc(titles, {"DefaultEncoding": "Utf8"}) as running:  # of its answers
        running.upload(instance.data for study in (COMPRESSED, PLAIN, LATER) for instance in study.instances)
        yield running


def at(real: Orthanc, query: str, called: str = orthanc.AE_TITLE) -> str:
    return f"pacs://{called}@127.0.0.1:{real.dicom_port}?{query}"


@BOTH_WAYS
@pytest.mark.parametrize("study", first_of([COMPRESSED, PLAIN]), ids=["compressed", "plain"])
async def test_orthanc_sends_what_it_stores(real, listen, way, study, tmp_path):
    query = f"StudyInstanceUID={study.study_instance_uid}&get={way}&listen={listen}"
    result = await grabbed(at(real, query), tmp_path)
    assert_whole(result, tmp_path, study)
    assert {series.expected for series in result.studies[0].series} == {
        len(series.instances) for series in study.series
    }


async def test_every_study_of_a_patient_comes(real, tmp_path):
    result = await grabbed(at(real, f"PatientID={SAME_PATIENT}"), tmp_path)
    assert_whole(result, tmp_path, PLAIN, LATER)
    assert len(result.studies) == 2


@pytest.mark.parametrize(
    "query",
    first_of(
        [
            f"AccessionNumber={LATER.accession_number}",
            f"PatientID={SAME_PATIENT}&StudyDate={LATER.date}",
            f"PatientID={SAME_PATIENT}&StudyDate={LATER.date}-&Modality=CT",
        ]
    ),
)
async def test_one_of_a_patients_studies(real, query, tmp_path):
    assert_whole(await grabbed(at(real, query), tmp_path), tmp_path, LATER)


async def test_a_study_is_listed(real, tmp_path):
    address = at(real, f"StudyInstanceUID={COMPRESSED.study_instance_uid}")
    result = await grabbed(address, tmp_path, listing=True)
    assert [(series.number, series.expected) for series in result.studies[0].series] == [
        (series.number, len(series.instances)) for series in COMPRESSED.series
    ]
    assert result.studies[0].study.description == COMPRESSED.description
    assert not list(tmp_path.iterdir())
    assert COMPRESSED.study_instance_uid not in f"{result.link} {result.source}"


@pytest.mark.parametrize(
    ("query", "called", "error"),
    first_of(
        [
            ("StudyInstanceUID=1.2.3", "ORTHANC", NoSuchStudy),
            (UID, "Orthank", UnknownCalledTitle),
            (UID + "&calling=NOBODY", "ORTHANC", NotRegistered),
            (UID + "&get=move&calling=OTHER&listen={listen}", "ORTHANC", NotRegistered),  # it sends elsewhere
        ],
        3,
    ),
)
async def test_orthanc_refuses(real, listen, query, called, error, tmp_path):
    result = await grabbed(at(real, query.format(listen=listen), called), tmp_path)
    assert type(result.error) is error


# ---- an archive on a bad day


async def test_an_association_that_breaks_off_goes_on(tmp_path):
    with Archive(PLAIN, habits=Habits(aborts=[3, 0, 4, 2])) as archive:
        assert_whole(await grabbed(archive.link(UID), tmp_path), tmp_path, PLAIN)
        assert archive.habits.aborts == []


async def test_what_is_there_is_not_asked_for_again(tmp_path):
    with Archive(PLAIN) as archive:
        await grabbed(archive.link(UID), tmp_path)
        removed = sorted(tmp_path.rglob("*.dcm"))[5:8]
        for path in removed:
            path.unlink()
        archive.asked.clear()
        result = await grabbed(archive.link(UID), tmp_path)
        assert_whole(result, tmp_path, PLAIN)
        assert result.counts.reused == len(PLAIN.instances) - 3
        assert sum(count for operation, _, count in archive.asked if operation == "C-GET") == 3


async def test_move_follows_where_get_is_not_offered(tmp_path):
    listen = free_port()
    with Archive(PLAIN, habits=Habits(gets=False), moves_to={"STATION": ("127.0.0.1", listen)}) as archive:
        result = await grabbed(archive.link(f"{UID}&calling=STATION&listen={listen}"), tmp_path)
        assert_whole(result, tmp_path, PLAIN)


async def test_a_computer_that_the_archive_can_not_send_to(tmp_path):
    with Archive(PLAIN, habits=Habits(gets=False)) as archive:
        result = await grabbed(archive.link(f"{UID}&listen={free_port()}"), tmp_path)
    assert type(result.error) is NotRegistered
    assert result.exit_code == ExitCode.CREDENTIALS
    assert "CLOUDFILM" in describe(result.error, Language.ZH)


async def test_an_archive_that_takes_one_at_a_time(tmp_path):
    with Archive(PLAIN, habits=Habits(lists=False)) as archive:
        assert_whole(await grabbed(archive.link(UID), tmp_path), tmp_path, PLAIN)


async def test_what_is_listed_and_not_sent_is_missing(tmp_path):
    lost = PLAIN.series[1].instances[4].sop_instance_uid
    with Archive(PLAIN, habits=Habits(lost=frozenset([lost]))) as archive:
        result = await grabbed(archive.link(UID), tmp_path)
    assert (result.exit_code, result.counts.failed) == (ExitCode.INCOMPLETE, 1)
    assert result.counts.saved == len(PLAIN.instances) - 1


async def test_what_is_counted_and_not_listed_is_missing(tmp_path):
    with Archive(LATER, habits=Habits(counts=2)) as archive:
        result = await grabbed(archive.link(f"AccessionNumber={LATER.accession_number}"), tmp_path)
    assert (result.exit_code, result.counts.expected) == (ExitCode.INCOMPLETE, len(LATER.instances) + 2)


async def test_what_was_not_asked_for_is_turned_away(tmp_path):
    stranger = COMPRESSED.series[0].instances[0].data
    with Archive(PLAIN, LATER, habits=Habits(matches=False, stranger=stranger)) as archive:
        result = await grabbed(archive.link(UID), tmp_path)
    assert_whole(result, tmp_path, PLAIN)


async def test_an_archive_with_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr("providers.pacs.MOST_STUDIES", 1)
    with Archive(PLAIN, LATER) as archive:
        result = await grabbed(archive.link(f"PatientID={SAME_PATIENT}"), tmp_path)
        assert type(result.error) is TooManyStudies
        assert {operation for operation, *_ in archive.asked} == {"C-FIND"}


async def test_silence(tmp_path):
    with Archive(PLAIN, habits=Habits(silent=True)) as archive:
        settings = Settings(output=tmp_path, timeout_s=1.0)
        async with Run(settings, Silent(), nobody) as run:
            result = await run.grab(archive.link(UID))
    assert type(result.error) is SiteUnreachable


async def test_nobody_there(tmp_path):
    result = await grabbed(f"pacs://ARCHIVE@127.0.0.1:{free_port()}?{UID}", tmp_path)
    assert type(result.error) is SiteUnreachable
    assert result.exit_code == ExitCode.SITE


@pytest.mark.thorough
async def test_no_archive_behind_the_port(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as dumb:
        settings = Settings(output=tmp_path, timeout_s=1.0)
        async with Run(settings, Silent(), nobody) as run:
            result = await run.grab(f"pacs://ARCHIVE@127.0.0.1:{dumb.getsockname()[1]}?{UID}")
    assert type(result.error) is SiteUnreachable


async def test_callers_that_it_does_not_know(tmp_path):
    with Archive(PLAIN, habits=Habits(callers=("STATION",))) as archive:
        refused = await grabbed(archive.link(UID), tmp_path)
        taken = await grabbed(archive.link(UID + "&calling=STATION"), tmp_path)
    assert type(refused.error) is NotRegistered
    assert_whole(taken, tmp_path, PLAIN)


@pytest.mark.thorough
async def test_by_another_address(tmp_path):
    with Archive(PLAIN) as archive:
        rows = (ConnectTo.parse(f"pacs.hospital.test:104:127.0.0.1:{archive.port}"),)
        result = await grabbed(f"pacs://ARCHIVE@pacs.hospital.test?{UID}", tmp_path, connect_to=rows)
    assert_whole(result, tmp_path, PLAIN)


async def test_no_browser_opens_it(tmp_path):
    with Archive(LATER) as archive:
        address = archive.link(f"AccessionNumber={LATER.accession_number}")
        assert_whole(await grabbed(address, tmp_path, browser=BrowserUse.ALWAYS), tmp_path, LATER)


LEVELS = {
    "of every library": (),
    "of the network library": ("pynetdicom",),
    "of its modules": ("pynetdicom", "pynetdicom.association", "pynetdicom.events", "pynetdicom.service_class"),
    "of the file library": ("pydicom",),
}


@pytest.mark.parametrize("names", first_of([(names,) for names in LEVELS.values()]), ids=LEVELS)
async def test_no_name_of_a_patient_in_any_log(names, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    for name in names:
        caplog.set_level(logging.DEBUG, logger=name)
    with Archive(PLAIN) as archive:
        assert_whole(await grabbed(archive.link(f"PatientID={SAME_PATIENT}"), tmp_path), tmp_path, PLAIN)
    shown = caplog.text + "".join(capfd.readouterr())
    assert PLAIN.patient_name not in shown
    assert SAME_PATIENT not in shown


@pytest.mark.thorough
def test_a_batch_of_addresses(tmp_path):
    links = tmp_path / "links.txt"
    with Archive(PLAIN, LATER, COMPRESSED) as archive:
        wanted = (UID, f"AccessionNumber={LATER.accession_number}", f"PatientID={SAME_PATIENT}&StudyDate=19990101")
        links.write_text("\n".join(map(archive.link, wanted)))
        done = cloudfilm("batch", links, "-o", tmp_path / "out", "--json")
    ended = [(load["exit_code"], load["instances"]["saved"]) for load in map(json.loads, done.stdout.splitlines())]
    assert sorted(ended) == [(0, len(LATER.instances)), (0, len(PLAIN.instances)), (6, 0)], done.stderr
    ledger_bytes = (tmp_path / "out" / ".cloudfilm" / "batch.sqlite3").read_bytes()
    for secret in (SAME_PATIENT, LATER.accession_number):
        assert secret.encode() not in ledger_bytes
        assert secret not in done.stderr


# ---- the address


@pytest.mark.parametrize(
    ("query", "error"),
    first_of(
        [
            ("", QueryTooWide),
            ("PatientID=*", MalformedArchiveLink),
            ("StudyDate=20260101", QueryTooWide),
            ("Modality=CT", QueryTooWide),
            ("PatientID=", QueryTooWide),
            ("PatientID=T00?", MalformedArchiveLink),
            ("PatientID=1%5C2", MalformedArchiveLink),
            ("PatientID=1&StudyDate=yesterday", MalformedArchiveLink),
            ("PatientName=x", MalformedArchiveLink),
            ("PatientID=1&get=push", MalformedArchiveLink),
            ("PatientID=1&listen=70000", MalformedArchiveLink),
        ],
        2,
    ),
)
async def test_a_query_that_is_not_asked(query, error, tmp_path):
    with Archive(PLAIN) as archive:
        result = await grabbed(archive.link(query), tmp_path)
        assert archive.asked == []
    assert type(result.error) is error
    assert result.exit_code == ExitCode.UNUSABLE_LINK


@pytest.mark.parametrize(
    "address", ["pacs://host:104?x", "pacs://@host", "pacs://A:b@host", "pacs://SEVENTEEN-LETTERS@host", "pacs://A@:1"]
)
def test_an_address_of_no_archive(address):
    with pytest.raises(MalformedArchiveLink):
        link.parse(address)


def test_only_a_person_names_an_archive():
    with pytest.raises(UnusableLink):
        link.parse_url(f"pacs://A@pacs.hospital.test?{UID}")
    with pytest.raises(NoLink):
        link.parse(f"look here: pacs://A@pacs.hospital.test?{UID}")
    found = resolve.read(f"pacs://Main%20PACS@PACS.hospital.test:11112?{UID}", Settings(), str)
    assert (found.ae_title, found.host, found.port) == ("Main PACS", "pacs.hospital.test", 11112)
    assert found.redacted == "pacs://Main%20PACS@pacs.hospital.test:11112/?StudyInstanceUID=…"
    assert find(found).provider.name == "pacs"


@pytest.mark.parametrize("name", ["universal", "dicomweb"])
def test_no_other_recipe_opens_it(name):
    with pytest.raises(UnusableLink):
        find(link.parse(f"pacs://A@pacs.hospital.test?{UID}"), name)
