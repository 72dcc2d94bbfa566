"""What other people and programs ask for, opened again by other programs."""

import csv
import hashlib
import io
import json
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pydicom
import pytest
from PIL import Image

import scraper
from fixtures.dicom import JPEG_2000, chest_ct, retagged
from scraper.core.errors import NoDicomHere, UsageError
from scraper.core.settings import ExportUnit
from scraper.dicom import anonymous_header
from scraper.export import ExportOptions, Target, export
from scraper.export.companions import MANIFEST, READ_ME
from scraper.export.contact_sheet import MARK, chosen, draw_sheet, title_of
from scraper.export.pictures import frames
from scraper.testing import first_of

DOCS = Path(__file__).parents[1] / "docs"
SHARED = Path(__file__).parents[2] / "shared" / "dicom"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/dicom next to the repository")
STUDY = chest_ct(slices=6, size=64, thin=5, thin_syntax=JPEG_2000)


def ran(command, **options):
    return subprocess.run(command, **options)  # as its caller says


@pytest.fixture
def folder(tmp_path):
    where = tmp_path / "study"
    for series in STUDY.series:
        for instance in series.instances:
            path = where / series.uid[-6:] / f"{instance.instance_number}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(instance.data)
    (where / "study.json").write_text('{"patient": "测试^甲"}')
    return where


def all_bytes() -> set[bytes]:
    return {instance.data for instance in STUDY.instances}


async def test_a_zip_holds_every_file_byte_for_byte(folder, tmp_path):
    made = await export(folder, Target.ZIP, tmp_path / "out" / "study.zip")
    with zipfile.ZipFile(made.path) as archive:
        assert archive.testzip() is None
        images = [name for name in archive.namelist() if name.endswith(".dcm")]
        assert {archive.read(name) for name in images} == all_bytes()
        assert {name.count("/") for name in images} == {3}  # patient, study, series
        assert {name.split("/")[2][:3] for name in images} == {f"{series.number:03}" for series in STUDY.series}
        assert set(archive.namelist()) - set(images) == {READ_ME, MANIFEST}
    assert (made.files, made.problems) == (len(STUDY.instances), ())


async def test_a_cd_has_a_dicomdir_that_names_every_file(folder, tmp_path):
    made = await export(folder, Target.DICOMDIR, tmp_path / "cd")
    records = pydicom.dcmread(made.path / "DICOMDIR").DirectoryRecordSequence
    named = [tuple(record.ReferencedFileID) for record in records if "ReferencedFileID" in record]
    assert {made.path.joinpath(*parts).read_bytes() for parts in named} == all_bytes()
    assert [record.StudyInstanceUID for record in records if record.DirectoryRecordType == "STUDY"] == [
        STUDY.study_instance_uid
    ]
    assert all(len(part) <= 8 and part == part.upper() for parts in named for part in parts)
    if shutil.which("dcmdump"):
        shown = ran(["dcmdump", "+U8", "-q", made.path / "DICOMDIR"], capture_output=True, text=True, check=True)
        assert "测试^甲" in shown.stdout
        assert shown.stdout.count("(0004,1430) CS [IMAGE]") == len(STUDY.images)


@pytest.mark.skipif(shutil.which("dcmmkdir") is None, reason="dcmtk is not installed")
async def test_dcmtk_makes_the_same_directory_of_the_cd(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    native = chest_ct(slices=6, size=64, thin=5)  # dcmtk's general profile takes no compressed images
    for number, instance in enumerate(native.instances):
        (folder / f"{number}.dcm").write_bytes(instance.data)
    made = await export(folder, Target.DICOMDIR, tmp_path / "cd")
    files = [
        str(path.relative_to(made.path)) for path in made.path.rglob("*") if path.is_file() and path.name != "DICOMDIR"
    ]
    output = ran(
        ["dcmmkdir", "+D", tmp_path / "again", "-Pgp", "+I", *files],
        cwd=made.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert output.returncode == 0, output.stderr
    ours, theirs = (
        pydicom.dcmread(path).DirectoryRecordSequence for path in (made.path / "DICOMDIR", tmp_path / "again")
    )
    assert sorted(item.DirectoryRecordType for item in ours) == sorted(their.DirectoryRecordType for their in theirs)


@pytest.mark.parametrize("target", first_of([Target.PNG, Target.JPG]))
async def test_pictures_use_the_file_s_own_window_and_say_what_they_are_not_for(folder, tmp_path, target):
    made = await export(folder, target, tmp_path / "pictures")
    pictures = sorted(path for path in made.path.rglob(f"*.{target}") if path.stem != "sheet")
    assert len(pictures) == made.files == len(STUDY.images)
    assert len(list(made.path.rglob(f"sheet.{target}"))) == 3
    assert [(problem.code, problem.fatal) for problem in made.problems] == [
        ("export-skipped", False)
    ]  # the dose report has no pixels
    with Image.open(pictures[-1]) as picture:
        assert MARK in str(picture.info.get("Comment", picture.info.get("comment")))


def test_a_contact_sheet_says_whose_it_is_and_numbers_its_pictures(folder, tmp_path):
    paths = [f"{number}.png" for number in range(1, 201)]
    rows = chosen(paths)
    assert (len(rows), rows[0], rows[-1]) == (64, (1, "1.png"), (200, "200.png"))
    assert all(path == f"{number}.png" for number, path in rows)
    assert chosen(["a.png"]) == [(1, "a.png")]
    header = anonymous_header(next(folder.rglob("*.dcm")))
    header = replace(header, patient_name="Zhang^San", patient_id="P1", study_date="20260108", series_number=2)
    title = title_of(replace(header, series_description="5mm", study_description="", modality="CT"), 200)
    assert title == ["Zhang San   P1   2026-01-08", "2   CT   5mm   1–200"]
    Image.new("L", (100, 100), 60).save(tmp_path / "grey.png")
    draw_sheet([(number, str(tmp_path / "grey.png")) for number in (1, 7, 200)], title, str(tmp_path / "sheet.png"))
    with Image.open(tmp_path / "sheet.png") as picture:
        sheet = np.asarray(picture.convert("RGB")).astype(int)
    head = sheet.shape[0] - 160
    assert (sheet[:head].min(axis=2) > 200).sum() > 100  # the names
    for place in range(3):  # yellow numbers
        corner = sheet[head : head + 24, place * 160 : place * 160 + 40]
        assert ((corner[..., 0] > 200) & (corner[..., 2] < 80)).sum() > 5
    assert not ((sheet[head:, 480:, 0] > 200).any())


def test_a_window_is_applied_as_the_standard_says(tmp_path):
    instance = STUDY.series[1].instances[0]
    path = tmp_path / "one.dcm"
    path.write_bytes(instance.data)
    shown = np.asarray(next(frames(path)), float)
    hounsfield = instance.pixels.astype(float) - 1024
    expected = np.clip((hounsfield - (40 - 0.5)) / (400 - 1) + 0.5, 0, 1) * 255
    assert np.abs(shown - expected).max() <= 1
    path.write_bytes(retagged(instance, PhotometricInterpretation="MONOCHROME1"))
    assert np.abs(np.asarray(next(frames(path)), float) - (255 - expected)).max() <= 1
    path.write_bytes(retagged(instance, PixelSpacing=[2, 1]))
    assert next(frames(path)).size == (64, 128)


@needs_shared
@pytest.mark.parametrize(
    "case", first_of(["us-cine", "sc-rgb", "ts-color", "mr-enhanced", "dx", "synthetic-xa-cine"], 2)
)
async def test_every_kind_of_picture_can_be_shown(case, tmp_path):
    made = await export(SHARED / case, Target.PNG, tmp_path / "pictures")
    skipped = [name for problem in made.problems for name in problem.instances]
    assert made.files
    assert len(skipped) <= 2


async def test_nifti_has_every_slice_and_no_name(folder, tmp_path):
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    pytest.importorskip("dcm2niix", reason="dcm2niix is not installed")
    made = await export(folder, Target.NIFTI, tmp_path / "nifti")
    volumes = sorted(made.path.rglob("*.nii.gz"))
    sizes = {sitk.ReadImage(str(path)).GetSize() for path in volumes}
    assert {(64, 64, 6), (32, 32, 5)} <= sizes
    for path in made.path.rglob("*.json"):
        assert not any(name.encode() in path.read_bytes() for name in ("测试^甲", "测试甲", STUDY.patient_id))


async def test_deidentified_files_name_no_one_and_keep_their_pixels(folder, tmp_path):
    made = await export(folder, Target.ZIP, tmp_path / "study.zip", deidentify=True)
    assert {problem.code for problem in made.problems} == {"reports-left-out"}
    old = {STUDY.study_instance_uid, *(instance.sop_instance_uid for instance in STUDY.instances)}
    pixels = {instance.pixels.tobytes() for instance in STUDY.images}
    studies, seen = set(), 0
    with zipfile.ZipFile(made.path) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            assert "测试".encode() not in data
            if not name.endswith(".dcm"):
                continue
            assert "测试".encode("gb18030") not in data
            assert STUDY.patient_id.encode() not in data
            assert STUDY.accession_number.encode() not in data
            assert not any(uid.encode() in data for uid in old)
            path = tmp_path / "one.dcm"
            path.write_bytes(data)
            ds = pydicom.dcmread(path)
            assert (ds.PatientIdentityRemoved, ds.file_meta.MediaStorageSOPInstanceUID) == ("YES", ds.SOPInstanceUID)
            assert ds.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
            assert ds.pixel_array.tobytes() in pixels
            assert ds.get("ImagePositionPatient") is not None
            studies.add(ds.StudyInstanceUID)
            seen += 1
    assert seen == made.files == len(STUDY.images)
    assert len(studies) == 1


async def test_two_exports_do_not_share_their_new_uids(folder, tmp_path):
    uids = []
    for number in (1, 2):
        made = await export(folder, Target.ZIP, tmp_path / f"{number}.zip", deidentify=True)
        with zipfile.ZipFile(made.path) as archive, archive.open(min(archive.namelist())) as file:
            (tmp_path / "one.dcm").write_bytes(file.read())
        uids.append(pydicom.dcmread(tmp_path / "one.dcm").StudyInstanceUID)
    assert uids[0] != uids[1]


async def test_burnt_in_names_are_warned_about(tmp_path):
    instance = STUDY.images[0]
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "us.dcm").write_bytes(retagged(instance, Modality="US"))
    made = await export(tmp_path / "study", Target.ZIP, tmp_path / "out.zip", deidentify=True)
    assert [problem.code for problem in made.problems] == ["pixels-may-identify"]


async def test_nothing_is_overwritten_and_nothing_half_made_stays(folder, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError):
        await export(folder, Target.PNG, tmp_path / "there")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoDicomHere):
        await export(tmp_path / "empty", Target.ZIP, tmp_path / "out.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "study", "there"]


# ---- what stands beside the images, parts, discs, tables


async def test_the_manifest_names_every_file_with_its_checksum_and_what_made_it(folder, tmp_path):
    made = await export(folder, Target.ZIP, tmp_path / "study.zip")
    with zipfile.ZipFile(made.path) as archive:
        manifest = json.loads(archive.read(MANIFEST))
        page = archive.read(READ_ME).decode()
        found = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
    assert {row["name"]: row["sha256"] for row in manifest["files"]} == {
        name: digest for name, digest in found.items() if name.endswith(".dcm")
    }
    jsonschema.validate(manifest, json.loads((DOCS / "manifest.schema.json").read_text(encoding="utf-8")))
    assert manifest["made"]["cloudfilm"] == scraper.__version__
    assert manifest["made"]["options"] == {
        "to": "zip",
        "deidentify": False,
        "retain": [],
        "each": None,
        "max_size": None,
    }
    assert "请先阅读" in page
    assert "Read me" in page


@pytest.mark.parametrize("target", first_of([Target.DICOMDIR, Target.PNG, Target.TABLE]), ids=str)
async def test_every_folder_has_its_manifest_and_page(target, folder, tmp_path):
    made = await export(folder, target, tmp_path / "out")
    named = {row["name"] for row in json.loads((made.path / MANIFEST).read_text(encoding="utf-8"))["files"]}
    there = {path.relative_to(made.path).as_posix() for path in made.path.rglob("*") if path.is_file()}
    assert there - named == {MANIFEST, READ_ME}


async def test_parts_are_no_larger_than_asked_and_hold_everything_together(tmp_path):
    study = chest_ct(slices=24, thin=0, size=192, dose_report=False)
    (tmp_path / "in").mkdir()
    for number, instance in enumerate(study.instances):
        (tmp_path / "in" / f"{number}.dcm").write_bytes(instance.data)
    made = await export(tmp_path / "in", Target.ZIP, tmp_path / "out.zip", ExportOptions(most_bytes=1_500_000))
    assert len(made.parts) > 1
    assert [part.name for part in made.parts] == [f"out.part{n}.zip" for n in range(1, len(made.parts) + 1)]
    assert all(part.stat().st_size <= 1_500_000 for part in made.parts)
    held = []
    for number, part in enumerate(made.parts, start=1):
        with zipfile.ZipFile(part) as archive:
            held += [archive.read(name) for name in archive.namelist() if name.endswith(".dcm")]
            manifest = json.loads(archive.read(MANIFEST))
            assert (manifest["part"], manifest["parts"]) == (number, len(made.parts))
    assert sorted(held) == sorted(instance.data for instance in study.instances)
    with pytest.raises(UsageError):
        await export(tmp_path / "in", Target.ZIP, tmp_path / "out.zip", ExportOptions(most_bytes=1_500_000))


@pytest.mark.parametrize(("each", "count"), first_of([(ExportUnit.STUDY, 3), (ExportUnit.PATIENT, 2)]), ids=str)
async def test_one_export_a_study_or_a_patient(each, count, tmp_path):
    (tmp_path / "in").mkdir()
    for place, (patient, uid) in enumerate((("A", "1.2.1"), ("A", "1.2.2"), ("B", "1.2.3"))):
        data = retagged(STUDY.images[place], PatientID=patient, PatientName=f"患者{patient}", StudyInstanceUID=uid)
        (tmp_path / "in" / f"{place}.dcm").write_bytes(data)
    made = await export(tmp_path / "in", Target.ZIP, tmp_path / "out", ExportOptions(each=each))
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert (len(names), made.files) == (count, 3)
    assert all(name.startswith(("A_患者A", "B_患者B")) and name.endswith(".zip") for name in names)


async def test_a_disc_image_holds_the_cd_as_other_programs_read_it(folder, tmp_path):
    from pycdlib import PyCdlib

    made = await export(folder, Target.ISO, tmp_path / "study.iso")
    disc = PyCdlib()
    disc.open(str(made.path))
    names, data = set(), []
    for parent, _, files in disc.walk(iso_path="/"):
        for name in files:
            out = io.BytesIO()
            disc.get_file_from_iso_fp(out, iso_path=f"{parent.rstrip('/')}/{name}")
            names.add(name.partition(";")[0])
            if name.startswith("IM"):
                data.append(out.getvalue())
            elif name.startswith("DICOMDIR"):
                assert len(pydicom.dcmread(io.BytesIO(out.getvalue())).DirectoryRecordSequence) > 5
    joliet = {name for _, _, files in disc.walk(joliet_path="/") for name in files}
    disc.close()
    assert set(data) == all_bytes()
    assert {"README.HTM", "MANIFEST.JSN"} <= names
    assert READ_ME in joliet


async def test_the_tables_have_a_row_an_instance_and_a_row_a_series(folder, tmp_path):
    made = await export(folder, Target.TABLE, tmp_path / "out")
    tables = {}
    for name in ("instances", "series"):
        with (made.path / f"{name}.csv").open(encoding="utf-8-sig", newline="") as out:
            tables[name] = list(csv.DictReader(out))
    assert {row["sha256"] for row in tables["instances"]} == {hashlib.sha256(data).hexdigest() for data in all_bytes()}
    assert [int(row["instances"]) for row in tables["series"]] == [len(series.instances) for series in STUDY.series]
    parquet = pytest.importorskip("pyarrow.parquet")
    for name, rows in tables.items():
        assert parquet.read_table(made.path / f"{name}.parquet").column("Modality").to_pylist() == [
            row["Modality"] for row in rows
        ]
    first = next(row for row in tables["series"] if row["SeriesInstanceUID"] == STUDY.series[1].uid)
    ds = pydicom.dcmread(io.BytesIO(STUDY.series[1].instances[0].data))
    assert (first["Rows"], first["KVP"], first["Modality"]) == (str(ds.Rows), str(ds.get("KVP", "")), "CT")
    assert first["SliceThickness"] == str(ds.SliceThickness)
    assert first["PixelSpacing"] == "\\".join(map(str, ds.PixelSpacing))
    row = next(row for row in tables["instances"] if row["SOPInstanceUID"] == str(ds.SOPInstanceUID))
    assert row["ImagePositionPatient"] == "\\".join(map(str, ds.ImagePositionPatient))
    text = (made.path / "series.csv").read_text(encoding="utf-8-sig")
    assert "测试" not in text


async def test_nifti_keeps_chinese_in_names_and_sidecars(tmp_path):
    pytest.importorskip("dcm2niix", reason="dcm2niix is not installed")
    (tmp_path / "in").mkdir()
    for number, instance in enumerate(STUDY.series[1].instances):
        ds = pydicom.dcmread(io.BytesIO(instance.data))
        ds.SpecificCharacterSet = "GB18030"
        ds.SeriesDescription, ds.InstitutionName = "5mm 纵隔窗", "示例市测试医院"
        ds.save_as(tmp_path / "in" / f"{number}.dcm")
    made = await export(tmp_path / "in", Target.NIFTI, tmp_path / "out")
    (volume,) = made.path.rglob("*.nii.gz")
    assert volume.name == f"{STUDY.series[1].number}_5mm_纵隔窗.nii.gz"
    sidecar = json.loads(volume.with_name(volume.name.replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
    assert sidecar["SeriesDescription"] == "5mm 纵隔窗"
    assert sidecar.get("InstitutionName", "示例市测试医院") == "示例市测试医院"
