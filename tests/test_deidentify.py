"""De-identified copies: nobody is named in any byte, people stay apart, intervals stay true; PS3.15's table, row by row."""

from __future__ import annotations

import csv
import gzip
import json
import stat
import sys
import zipfile
from datetime import date
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from fixtures.dicom import chest_ct, retagged
from scraper.core.errors import UsageError
from scraper.core.settings import BurnedIn, Retain
from scraper.export import ExportOptions, Target, export
from scraper.export.deidentify import Deidentification
from scraper.export.persons import Persons, key_of, pseudonyms_of, shifted_date
from scraper.export.profile import OF_BIRTH, Action, cleaned, retained, table
from scraper.testing import first_of
from tests.test_cli import cloudfilm

KEY = bytes(range(32))
STUDY = chest_ct(slices=2, thin=1, size=32, seed=91, dose_report=False)
IMAGE = STUDY.images[0]
SECRET = "ZQ7PLANTED"
DATE = "20250314"


def files(folder: Path, **datasets: bytes) -> Path:
    folder.mkdir(parents=True)
    for name, data in datasets.items():
        (folder / f"{name}.dcm").write_bytes(data)
    return folder


async def copies(folder: Path, output: Path, **chosen) -> list[Dataset]:
    made = await export(folder, Target.ZIP, output, ExportOptions(Deidentification(key=KEY, **chosen)))
    with zipfile.ZipFile(made.path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".dcm")]
        return [dcmread(BytesIO(archive.read(name))) for name in names]


def planted(tag: int) -> object:  # noqa: C901, PLR0911, PLR0912  # an arm a VR
    """A value that tells, by the attribute's VR."""
    match dictionary_VR(tag):
        case "DA":
            return DATE
        case "DT":
            return DATE + "101112"
        case "TM":
            return "101112"
        case "UI":
            return "1.2.999.777.666"
        case "AS":
            return "077Y"
        case "DS" | "IS":
            return "987654"
        case "US" | "SS":
            return 31337
        case "UL" | "SL" | "FD" | "FL":
            return 987654
        case "OB" | "UN" | "OW" | "OB or OW":
            return SECRET.encode()
        case "UR":
            return f"http://{SECRET}.test"
        case "SQ":
            item = Dataset()
            item.PatientName, item.StudyDate, item.PatientComments = SECRET, DATE, SECRET
            return [item]
        case "CS" | "AE" | "SH":
            return SECRET
        case _:
            return SECRET


def tells(element: DataElement, tag: int) -> bool:
    if element.VR == "SQ":
        return SECRET in str(element) or DATE in str(element)
    value = element.value
    return value not in (None, "", 0, b"") and str(value) == str(DataElement(tag, element.VR, planted(tag)).value)


ROWS = sorted(
    tag
    for tag in table()
    if keyword_for_tag(tag) not in ("", "SOPClassUID")
    and tag >> 16 not in (0x0000, 0x0002, 0x5000, 0x6000, 0x7FE0, 0xFFFA)
)


@pytest.mark.parametrize("is_inside", [False, True], ids=["in the data set", "in an item"])
async def test_every_row_of_the_standards_table(is_inside, tmp_path):
    """PS3.15 E.1-1 with one attribute a file costs minutes; one file with all of them shows the same."""
    ds = dcmread(BytesIO(IMAGE.data))
    where = ds
    if is_inside:
        where = Dataset()
        ds.RequestAttributesSequence = Sequence()
        ds.ReferencedImageSequence = Sequence([where])
    for tag in ROWS:
        if keyword_for_tag(tag) in ("ReferencedImageSequence", "SOPInstanceUID") or dictionary_VR(tag) == "OW":
            continue
        where.add(DataElement(tag, dictionary_VR(tag).replace(" or OW", ""), planted(tag)))
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    (copy,) = await copies(files(tmp_path / "in", one=buffer.getvalue()), tmp_path / "out.zip")
    found = copy if not is_inside else next(iter(copy.get("ReferencedImageSequence") or [Dataset()]))
    guilty = [keyword_for_tag(tag) for tag in ROWS if Tag(tag) in found and tells(found[tag], tag)]
    assert guilty == []
    assert len(ROWS) > 500
    assert sum(action is Action.REMOVE for action in table().values()) > 350
    removed = [keyword_for_tag(tag) for tag in ROWS if table()[tag] is Action.REMOVE and tag in found]
    assert {dictionary_VR(Tag(tag)) for tag in removed} <= {"DA", "DT"}  # dates are shifted, the rest is gone


async def test_people_stay_apart_and_intervals_stay_true(tmp_path):
    people = {"a1": ("100", "20250101"), "a2": ("100", "20250215"), "b1": ("200", "20250101")}
    instances = {
        name: retagged(
            STUDY.images[place], PatientID=patient, PatientName=f"患者^{patient}", StudyDate=day, SeriesDate=day
        )
        for place, (name, (patient, day)) in enumerate(people.items())
    }
    found = await copies(files(tmp_path / "in", **instances), tmp_path / "out.zip")
    by_person: dict[str, list[date]] = {}
    for ds in found:
        assert ds.PatientID == str(ds.PatientName)
        by_person.setdefault(ds.PatientID, []).append(date.fromisoformat(ds.StudyDate))
        assert ds.StudyDate == ds.SeriesDate
        assert ds.LongitudinalTemporalInformationModified == "MODIFIED"
    assert sorted(map(len, by_person.values())) == [1, 2]
    first, second = sorted(next(days for days in by_person.values() if len(days) == 2))
    assert (second - first).days == 45
    assert not {f"{day:%Y%m%d}" for days in by_person.values() for day in days} & {"20250101", "20250215"}


async def test_the_same_key_gives_the_same_people_uids_and_dates_again(tmp_path):
    folder = files(tmp_path / "in", one=IMAGE.data)
    first, second = [(await copies(folder, tmp_path / f"{number}.zip"))[0] for number in (1, 2)]
    for keyword in ("PatientID", "StudyInstanceUID", "SOPInstanceUID", "StudyDate"):
        assert first[keyword] == second[keyword]
    made = await export(folder, Target.ZIP, tmp_path / "3.zip", deidentify=True)
    with zipfile.ZipFile(made.path) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dcm"))
        other = dcmread(BytesIO(archive.read(name)))
    assert other.PatientID != first.PatientID
    assert other.SOPInstanceUID != first.SOPInstanceUID


@pytest.mark.parametrize("option", first_of(Retain, 2), ids=str)
async def test_each_option_retains_what_it_names_and_says_so(option, tmp_path):
    values = {
        "PatientSex": "F",
        "PatientAge": "061Y",
        "StationName": "CT-EAST",
        "DeviceSerialNumber": "61234567",
        "DeviceUID": "1.2.999.4",
        "TreatmentMachineName": "LINAC 20231",
        "Allergies": f"{STUDY.patient_id} iodine",
        "InstitutionName": "Example Hospital",
        "SeriesDescription": f"5mm {STUDY.patient_id} lung 13800138000",
        "PatientComments": "call her",
    }
    folder = files(tmp_path / "in", one=retagged(IMAGE, **values))
    plain = (await copies(folder, tmp_path / "plain.zip"))[0]
    (ds,) = await copies(folder, tmp_path / "out.zip", retain=frozenset((option,)))
    unchanged = {name for name in values if ds.get(name) == values[name]}
    expected = {
        Retain.PATIENT_CHARACTERISTICS: {"PatientSex", "PatientAge"},
        Retain.DEVICE_IDENTITY: {"StationName", "DeviceSerialNumber", "DeviceUID", "TreatmentMachineName"},
        Retain.INSTITUTION_IDENTITY: {"InstitutionName"},
        Retain.UIDS: {"DeviceUID"},
    }
    assert unchanged == expected.get(option, set())
    assert not {name for name in values if plain.get(name) == values[name]}
    codes = {item.CodeValue for item in ds.DeidentificationMethodCodeSequence}
    assert len(codes) == (2 if option is Retain.LONGITUDINAL_FULL_DATES else 3)
    if option is Retain.CLEAN_DESCRIPTORS:
        assert ds.SeriesDescription.split() == ["5mm", "lung"]
    assert ds.get("Allergies", "") == ("iodine" if option is Retain.PATIENT_CHARACTERISTICS else "")
    if option is Retain.LONGITUDINAL_FULL_DATES:
        assert ds.StudyDate == dcmread(BytesIO(IMAGE.data)).StudyDate
    assert (ds.SOPInstanceUID == IMAGE.sop_instance_uid) == (option is Retain.UIDS)


def leaves_of(made: Path) -> dict[str, bytes]:
    """Name → bytes of everything in a folder or a zip, also packed."""
    if made.is_file() and not zipfile.is_zipfile(made):
        return {made.name: made.read_bytes()}
    if made.is_dir():
        return {path.relative_to(made).as_posix(): path.read_bytes() for path in made.rglob("*") if path.is_file()}
    with zipfile.ZipFile(made) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


WORDS = ("王小明", "Wang^Xiaoming", "110101194001011234", "13800138000", "ACC-77001", "李医生", "20240229", "19400101")


@pytest.mark.parametrize(
    "target", first_of([Target.ZIP, Target.NIFTI, Target.TABLE, Target.DICOMDIR, Target.ISO, Target.PNG], 3), ids=str
)
async def test_nothing_planted_is_found_in_any_byte(target, tmp_path):
    """Names, numbers, dates and UIDs planted in tags, items, private tags, comments, file names and folders."""
    item = Dataset()
    item.PatientName, item.PatientID, item.ReferencedSOPInstanceUID = (
        "王小明",
        "110101194001011234",
        IMAGE.sop_instance_uid,
    )
    data = {}
    for place, instance in enumerate(STUDY.images):
        ds = dcmread(BytesIO(instance.data))
        ds.SpecificCharacterSet = "GB18030"
        ds.PatientName, ds.PatientID, ds.PatientBirthDate = "王小明=Wang^Xiaoming", "110101194001011234", "19400101"
        ds.AccessionNumber, ds.StudyDate, ds.ReferringPhysicianName = "ACC-77001", "20240229", "李医生"
        ds.AcquisitionDateTime = "20240229101112"
        ds.PatientTelephoneNumbers, ds.PatientComments = "13800138000", "王小明 13800138000"
        ds.SeriesDescription = "王小明 胸部"
        ds.ImageComments = "110101194001011234"
        ds.AcquisitionContextSequence = Sequence([item])
        ds.DerivationDescription = "for 王小明"
        block = ds.private_block(0x0029, "ACME 王小明", create=True)
        block.add_new(0x10, "LO", "110101194001011234")
        block.add_new(0x11, "OB", "王小明".encode("gb18030"))
        buffer = BytesIO()
        ds.save_as(buffer, enforce_file_format=True)
        data[f"王小明_{place}"] = buffer.getvalue()
    folder = files(tmp_path / "20240229_CT_王小明", **data)
    (folder / "study.json").write_text(json.dumps({"patient": "王小明"}, ensure_ascii=False), encoding="utf-8")
    made = await export(folder, target, tmp_path / "out", ExportOptions(Deidentification(key=KEY)))
    assert made.files
    needles = [word.encode(code) for word in WORDS for code in ("utf-8", "gb18030", "utf-16-le")]
    needles += [
        uid.encode() for uid in (STUDY.study_instance_uid, IMAGE.sop_instance_uid, *(s.uid for s in STUDY.series))
    ]
    for name, content in leaves_of(made.path).items():
        unpacked = gzip.decompress(content) if name.endswith(".gz") else content
        for needle in needles:
            assert needle not in name.encode()
            assert needle not in unpacked, (name, needle)


@pytest.mark.thorough
@pytest.mark.parametrize("target", [Target.TABLE, Target.ZIP], ids=str)
async def test_a_hundred_people_leave_no_trace_in_table_and_manifest(target, tmp_path):
    """Each of a hundred has a name, numbers, dates and UIDs of their own, also in private tags, names of files and folders."""
    needles: list[bytes] = []
    for number in range(100):
        name = f"甲乙丙丁{'子丑寅卯辰巳午未申酉'[number // 10]}{'天地玄黄宇宙洪荒日月'[number % 10]}"
        surname = f"PLANT{number:03}Q"
        identity, day = f"9{number:03}0119400{number:03}X", date.fromordinal(date(2001, 3, 1).toordinal() + 37 * number)
        ds = dcmread(BytesIO(STUDY.images[number % len(STUDY.images)].data))
        ds.SpecificCharacterSet = "GB18030"
        root = f"1.2.826.0.1.3680043.8.498.{7_000_000_000 + number}"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = f"{root}.1", f"{root}.2", f"{root}.3"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.PatientName, ds.PatientID, ds.AccessionNumber = f"{name}={surname}^A", identity, f"ACC-{identity}"
        ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = ds.PatientBirthDate = f"{day:%Y%m%d}"
        ds.StudyDescription, ds.ImageComments = f"{name} 胸部", f"{surname} {identity}"
        block = ds.private_block(0x0029, f"ACME {surname}", create=True)
        block.add_new(0x10, "OB", f"{name} {identity} ".encode("gb18030"))
        buffer = BytesIO()
        ds.save_as(buffer, enforce_file_format=True)
        files(tmp_path / "studies" / f"{day:%Y%m%d}_CT_{name}", **{f"{surname}_{identity}": buffer.getvalue()})
        needles += [word.encode(code) for word in (name, identity) for code in ("utf-8", "gb18030", "utf-16-le")]
        needles += [surname.encode(), root.encode()]  # a shifted date may be another person's true one
    made = await export(tmp_path / "studies", target, tmp_path / "out", ExportOptions(Deidentification(key=KEY)))
    found = leaves_of(made.path)
    assert any(name.endswith((".csv", ".dcm")) for name in found)
    assert any("manifest" in name for name in found)
    if target is Target.TABLE:
        rows = list(csv.DictReader(found["instances.csv"].decode("utf-8-sig").splitlines()))
        assert len({row["PatientID"] for row in rows}) == len(rows) == 100
    for name, content in found.items():
        assert not [needle for needle in needles if needle in name.encode() or needle in content], name


async def test_a_file_that_still_tells_is_not_taken_along(tmp_path):
    data = bytearray(IMAGE.data)
    name = STUDY.patient_id.encode()
    at = data.rfind(b"\xe0\x7f\x10\x00") + 64
    data[at : at + len(name)] = name  # in the pixels themselves
    folder = files(tmp_path / "in", one=bytes(data), two=STUDY.images[1].data)
    made = await export(folder, Target.ZIP, tmp_path / "out.zip", ExportOptions(Deidentification(key=KEY)))
    assert {problem.code for problem in made.problems} == {"identity-not-removed"}
    assert made.exit_code == 7


def ultrasound(**more) -> bytes:
    ds = dcmread(BytesIO(IMAGE.data))
    ds.Modality = "US"
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 4, 8
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = ds.Columns - 2, ds.Rows - 3
    ds.SequenceOfUltrasoundRegions = Sequence([region])
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


async def test_images_that_may_show_text_are_left_out_or_blanked_as_the_user_wants(tmp_path):
    folder = files(tmp_path / "in", us=ultrasound(), sc=retagged(STUDY.images[1], Modality="SC"))
    unchanged = await export(folder, Target.ZIP, tmp_path / "1.zip", ExportOptions(Deidentification(key=KEY)))
    assert [(problem.code, len(problem.instances)) for problem in unchanged.problems] == [("pixels-may-identify", 2)]
    chosen = Deidentification(key=KEY, burned_in=BurnedIn.LEAVE_OUT)
    left_out = await export(folder, Target.ZIP, tmp_path / "2.zip", ExportOptions(chosen))
    assert [(problem.code, len(problem.instances)) for problem in left_out.problems] == [("pixels-left-out", 2)]
    (ds,) = await copies(folder, tmp_path / "3.zip", burned_in=BurnedIn.BLANK)
    pixels, original = ds.pixel_array, dcmread(BytesIO(IMAGE.data)).pixel_array
    assert original[:8].any()
    assert np.array_equal(pixels[8:-3, 4:-2], original[8:-3, 4:-2])
    pixels[8:-3, 4:-2] = 0
    assert not pixels.any()
    assert "113101" in {item.CodeValue for item in ds.DeidentificationMethodCodeSequence}


def test_the_command_writes_the_key_table_apart(tmp_path):
    folder = files(tmp_path / "患者_in", one=IMAGE.data)
    words = ("export", folder, "--to", "zip", "--key", tmp_path / "secret", "--key-table", tmp_path / "who.csv")
    done = cloudfilm(*words, "--retain", "patient-characteristics", "--lang", "zh")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "deidentified.zip").exists(), done.stdout
    with (tmp_path / "who.csv").open(encoding="utf-8-sig", newline="") as out:
        (row,) = csv.DictReader(out)
    assert row["patient_id"] == STUDY.patient_id
    assert row["pseudonym"].startswith("P")
    if sys.platform != "win32":
        assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("secret", "who.csv")} == {0o600}
    assert STUDY.patient_id not in done.stdout + done.stderr
    again = cloudfilm(*words)
    assert again.returncode == 2  # nothing is overwritten


def test_a_column_of_pseudonyms(tmp_path):
    (tmp_path / "list.csv").write_text("patient_id,pseudonym\n100,ALPHA\n200,BETA\n", encoding="utf-8-sig")
    persons = Persons(KEY, pseudonyms_of(tmp_path / "list.csv"))
    assert persons.of("100", "x").pseudonym == "ALPHA"
    assert persons.of("300", "x").pseudonym not in ("ALPHA", "BETA")
    (tmp_path / "list.csv").write_text("patient_id,pseudonym\n100,SAME\n200,SAME\n")
    with pytest.raises(UsageError):
        pseudonyms_of(tmp_path / "list.csv")


def test_a_key_is_made_once(tmp_path):
    assert key_of(tmp_path / "key") == key_of(tmp_path / "key")


@pytest.mark.parametrize(
    ("text", "days", "expected"),
    [
        ("20240301", -1, "20240229"),
        ("20240301101112.5+0800", -366, "20230301101112.5+0800"),
        ("2024", -1, ""),
        ("99999999", -1, ""),
        ("00010101", -1, ""),
    ],
)
def test_a_shifted_date(text, days, expected):
    assert shifted_date(text, days) == expected


def columns_of_the_standard() -> dict[str, dict[int, str]]:
    """Option → attribute → action K or C, of PS3.15 E.1-1.

    Source: the package dicom-standard 0.1.0 (MIT) for the edition of 2020; the rows added until 2023 as another public
    implementation lists them, which names no edition.
    """
    columns: dict[str, dict[int, str]] = {}
    with Path(__file__).with_name("confidentiality_options.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            columns.setdefault(row["option"], {})[tag_for_keyword(row["keyword"])] = row["action"]
    return columns


ASSUMED = {  # in no column that was at hand: the attributes are younger
    Retain.PATIENT_CHARACTERISTICS: {"EthnicGroupCodeSequence"},
    Retain.DEVICE_IDENTITY: {"StationAETitle"},
}


@pytest.mark.parametrize(
    "option", [Retain.PATIENT_CHARACTERISTICS, Retain.DEVICE_IDENTITY, Retain.INSTITUTION_IDENTITY]
)
def test_an_option_retains_its_column_of_the_standards_table(option):
    column = columns_of_the_standard()[option]
    assert {keyword_for_tag(tag) for tag in retained(option) ^ frozenset(column)} == ASSUMED.get(option, set())
    assert retained(option) & cleaned() == {tag for tag, action in column.items() if action == "C"}


def test_descriptions_are_retained_only_where_the_standard_cleans_them():
    column = columns_of_the_standard()[Retain.CLEAN_DESCRIPTORS]
    assert retained(Retain.CLEAN_DESCRIPTORS) < {tag for tag, action in column.items() if action == "C"}
    assert retained(Retain.CLEAN_DESCRIPTORS) < cleaned()


@pytest.mark.parametrize("option", Retain)
def test_an_option_retains_only_what_the_profile_would_take_out(option):
    assert retained(option) <= table().keys()
    assert not retained(option) & OF_BIRTH


async def test_a_calibration_date_moves_with_the_study(tmp_path):
    folder = files(tmp_path / "in", one=retagged(IMAGE, DateOfLastCalibration=dcmread(BytesIO(IMAGE.data)).StudyDate))
    (ds,) = await copies(folder, tmp_path / "out.zip", retain=frozenset((Retain.DEVICE_IDENTITY,)))
    assert ds.DateOfLastCalibration == ds.StudyDate != dcmread(BytesIO(IMAGE.data)).StudyDate
