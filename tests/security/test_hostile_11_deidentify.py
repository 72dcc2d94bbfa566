"""Row 11 and row 13: files made so that who the patient is survives ``--deidentify``, or so that they take over its reader."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from fixtures.dicom import chest_ct
from scraper.core.settings import BurnedIn
from scraper.export import ExportOptions, Target, export
from scraper.export import deidentify as identity
from scraper.export.deidentify import Deidentification, FileTreatment, deidentify_file
from scraper.export.persons import shifted_date
from scraper.testing import first_of
from tests.security.memory import MOST, peak_of_all_processes

SECRET = "Huangpu Lu 7, 3rd floor"  # what nothing in the file names as the patient's
NAME = "OUYANG^XIAOMING"


def slice_of(**values) -> pydicom.FileDataset:
    ds = pydicom.dcmread(BytesIO(chest_ct(slices=1, size=16, dose_report=False).images[0].data))
    ds.PatientName, ds.PatientID = NAME, "H-20031977"
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def document(ds):
    ds.EncapsulatedDocument = b"%PDF-1.4 " + SECRET.encode() + b" "
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"


def behind_the_data_set(ds):
    ds.add(DataElement(0xFFFCFFFC, "OB", SECRET.encode() + b" "))


def behind_the_pixels(ds):
    ds.PixelData += SECRET.encode() + b" "


def in_a_date(ds):
    ds.add(
        DataElement(0x0040A13A, "DT", "20240101" + SECRET)
    )  # Referenced DateTime, which no row of the profile removes


def unknown_bytes(ds):
    ds.add(DataElement(0x0040F0F1, "UN", SECRET.encode() + b" "))


def private(ds):
    ds.private_block(0x0099, "HOSPITAL", create=True).add_new(1, "LO", SECRET)


def deep(ds):
    inner = Dataset()
    inner.add(DataElement(0x0040F0F1, "OB", SECRET.encode() + b" "))
    for _ in range(20):
        outer = Dataset()
        outer.ReferencedImageSequence = Sequence([inner])
        inner = outer
    ds.ReferencedImageSequence = Sequence([inner])


def waveform(ds):
    item = Dataset()
    item.add(DataElement(0x54001010, "OW", SECRET.encode() + b" "))
    ds.WaveformSequence = Sequence([item])


def overlay(ds):
    ds.add(DataElement(0x60003000, "OW", SECRET.encode() + b" "))


def icon(ds):
    item = Dataset()
    item.BitsAllocated = 8
    item.Rows, item.Columns, item.PixelData = 1, len(SECRET) + 1, SECRET.encode() + b" "
    ds.IconImageSequence = Sequence([item])


def preamble(ds):
    ds.preamble = SECRET.encode().ljust(128)


def file_meta(ds):
    ds.file_meta.PrivateInformationCreatorUID, ds.file_meta.PrivateInformation = "1.2.3", SECRET.encode() + b" "


HIDDEN = (
    document,
    behind_the_data_set,
    behind_the_pixels,
    in_a_date,
    unknown_bytes,
    private,
    deep,
    waveform,
    overlay,
    icon,
    preamble,
    file_meta,
)
DISGUISED = {  # the name in another guise, in an attribute that the profile lets stand
    "in small letters": "Ouyang Xiaoming",
    "as one word": "xOUYANGxXIAOMINGx",
    "the number": "see H-20031977",
}


async def written(ds, folder: Path, **chosen) -> tuple[bytes, set[str], int]:
    """(every byte of the copy, the problems' codes, how many files)."""
    source, out = folder / "study", folder / "out"
    source.mkdir(parents=True, exist_ok=True)
    ds.save_as(source / "a.dcm", enforce_file_format=True)
    made = await export(source, Target.DICOMDIR, out, ExportOptions(Deidentification(**chosen)))
    data = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file()) if out.exists() else b""
    return data, {problem.code for problem in made.problems}, made.files


@pytest.mark.parametrize("hide", first_of(HIDDEN, 4), ids=lambda hide: hide.__name__)
async def test_hostile_11_what_a_file_holds_beside_its_image_is_in_no_copy(hide, tmp_path):
    ds = slice_of()
    hide(ds)
    data, _, _ = await written(ds, tmp_path)
    assert SECRET.encode() not in data
    assert b"OUYANG" not in data


@pytest.mark.parametrize("how", first_of(DISGUISED, 3))
async def test_hostile_11_the_name_in_another_guise_is_in_no_copy(how, tmp_path):
    data, _, _ = await written(slice_of(ProtocolName=DISGUISED[how], SequenceName=DISGUISED[how][:16]), tmp_path)
    for word in (b"ouyang", b"xiaoming", b"20031977"):
        assert word not in data.lower()


async def test_hostile_11_a_name_in_another_character_set_is_in_no_copy(tmp_path):
    ds = slice_of()
    for element in [element for element in ds if not str(element.value).isascii()]:
        del ds[element.tag]  # in characters that Latin-1 lacks
    ds.SpecificCharacterSet, ds.PatientName = "ISO_IR 100", "M\xfcllerstra\xdfe^Ren\xe9e"
    ds.SequenceName = "M\xfcllerstra\xdfe"
    data, _, _ = await written(ds, tmp_path)
    assert "M\xfcllerstra\xdfe".encode("latin-1").lower() not in data.lower()


async def test_hostile_11_attributes_of_a_wrong_kind_end_no_export(tmp_path):
    ds = slice_of()
    ds.add(DataElement(0x00100010, "OB", b"OUYANG^XIAOMING "))
    ds.add(DataElement(0x00100030, "LO", "born in Huangpu"))
    ds.add(DataElement(0x00080020, "UT", "20240101" + SECRET))
    ds.add(DataElement(0x00101010, "SH", "47 " + NAME[:12]))
    ds.add(DataElement(0x00400275, "LO", NAME))
    data, _, _ = await written(ds, tmp_path)
    assert b"OUYANG" not in data
    assert SECRET.encode() not in data


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("20240102", "20240101"),
        ("20240102030405.123456+0800", "20240101030405.123456+0800"),
        ("20240102 OUYANG", ""),
        ("2024010203045", ""),
        ("20240102+08001", ""),
        ("20240102\n", "20240101"),
        ("20240102\u0663\u0664", ""),
        ("00010101", ""),
    ],
)
def test_hostile_11_a_date_keeps_nothing_but_a_time(text, moved):
    assert shifted_date(text, -1) == moved


@pytest.mark.thorough
async def test_hostile_13_a_file_that_is_made_to_take_memory_is_left_out_and_the_rest_is_there(tmp_path):
    source = tmp_path / "study"
    source.mkdir()
    for number in range(3):
        ds = slice_of()
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        ds.save_as(source / f"{number}.dcm", enforce_file_format=True)
    ds = slice_of(Rows=30_000, Columns=30_000, BitsAllocated=16, Modality="US", BurnedInAnnotation="YES")
    item = Dataset()
    item.RegionLocationMinX0, item.RegionLocationMinY0, item.RegionLocationMaxX1, item.RegionLocationMaxY1 = 0, 0, 9, 9
    ds.SequenceOfUltrasoundRegions = Sequence([item])
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3.9"
    ds.PixelData = np.zeros(1 << 20, np.uint8).tobytes()
    ds.save_as(source / "9.dcm", enforce_file_format=True)
    with peak_of_all_processes() as peak:
        chosen = ExportOptions(Deidentification(burned_in=BurnedIn.BLANK))
        made = await export(source, Target.ZIP, tmp_path / "out.zip", chosen)
    assert peak.size < MOST
    assert made.files == 3
    assert any("1.2.3.9" in str(problem) or problem.code == "identity-not-removed" for problem in made.problems)


async def test_hostile_13_no_file_is_taken_apart_in_the_program_itself(tmp_path, monkeypatch):
    """The codecs, which are C, ran in the program; now the work knows no process but a child's."""
    monkeypatch.setattr(identity, "read_file", None)  # who calls it here fails
    _, codes, files = await written(slice_of(), tmp_path)
    assert (files, codes - {"directory-completed"}) == (1, set())


def test_hostile_13_what_takes_the_child_down_leaves_no_half_copy(tmp_path):
    ds = slice_of()
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    data = bytearray((tmp_path / "a.dcm").read_bytes())
    for at in range(140, len(data), 97):  # every element in turn becomes nonsense
        broken = bytes(data[:at] + b"\xff\xff" + data[at + 2 :])
        (tmp_path / "b.dcm").write_bytes(broken)
        treatment = FileTreatment(b"k" * 32, frozenset(), BurnedIn.KEEP, "P1", -7)
        code = deidentify_file(tmp_path / "b.dcm", tmp_path / "c.dcm", treatment)
        copy = tmp_path / "c.dcm"
        assert copy.exists() == (code not in identity.LEFT_OUT)
        if copy.exists():
            assert b"OUYANG" not in copy.read_bytes()
            copy.unlink()
