"""What we write and keep, read by programs that no one here wrote: dcmtk, gdcm, dciodvfy, SimpleITK."""

import io
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import openjpeg
import pydicom
import pytest
from pydicom.encaps import generate_frames

from fixtures.dicom import IMPLICIT, JPEG_2000, JPEG_LS, NATIVE, chest_ct
from scraper.core.errors import CorruptInstance
from scraper.core.model import Origin, PixelParts
from scraper.core.reasons import Reason
from scraper.dicom import normalise, order, rebuild
from scraper.verify import check_instance
from scraper.verify.geometry import Plane, stacks

SHARED = Path(__file__).parents[2] / "shared" / "dicom"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/dicom next to the repository")
needs_dcmtk = pytest.mark.skipif(shutil.which("dcmftest") is None, reason="dcmtk is not installed")
needs_gdcm = pytest.mark.skipif(shutil.which("gdcminfo") is None, reason="gdcm-tools is not installed")
needs_dciodvfy = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")

STUDY = chest_ct(slices=5, size=64, localizers=0, dose_report=False)


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, errors="replace", timeout=60, check=False
    )


def tags_of(ds: pydicom.Dataset) -> dict:
    return {tag: value for tag, value in ds.to_json_dict().items() if tag != "7FE00010"}


def taken_apart() -> dict[str, tuple[bytes, PixelParts]]:
    """Name -> the original file, and what a site would serve of it."""
    made = {}
    for name, syntax in (("native", NATIVE), ("J2K", JPEG_2000), ("JPEG-LS", JPEG_LS)):
        data = chest_ct(slices=5, size=64, localizers=0, dose_report=False, syntax=syntax).images[2].data
        ds = pydicom.dcmread(io.BytesIO(data))
        frames = (ds.PixelData,) if syntax == NATIVE else tuple(generate_frames(ds.PixelData, number_of_frames=1))
        made[name] = (data, PixelParts(tags_of(ds), frames))
    original = STUDY.images[2]
    ds = pydicom.dcmread(io.BytesIO(original.data))
    lossy = bytes(
        openjpeg.encode(original.pixels, photometric_interpretation=2, bits_stored=12, compression_ratios=[8])
    )
    made["lossy J2K"] = (original.data, PixelParts(tags_of(ds), (lossy,)))
    three = {**tags_of(ds), "NumberOfFrames": "3"}
    made["multi-frame"] = (
        original.data,
        PixelParts(three, tuple(image.pixels.tobytes() for image in STUDY.images[:3])),
    )
    made["utf-8"] = (
        original.data,
        PixelParts({**tags_of(ds), "00080005": "", "00100010": "欧阳^珺"}, (original.pixels.tobytes(),)),
    )
    return made


@pytest.fixture(params=["native", "J2K", "JPEG-LS", "lossy J2K", "multi-frame", "utf-8"])
def rebuilt(request, tmp_path):
    """(the original's path, the rebuilt file's path)"""
    data, parts = taken_apart()[request.param]
    was, now = tmp_path / "was.dcm", tmp_path / "now.dcm"
    was.write_bytes(data)
    now.write_bytes(rebuild(parts).data)
    return was, now


@needs_dcmtk
def test_dcmtk_reads_what_we_rebuild(rebuilt):
    _, now = rebuilt
    assert "yes:" in run("dcmftest", now).stdout
    dumped = run("dcmdump", "-q", now)
    assert (dumped.returncode, dumped.stderr) == (0, "")
    name = str(pydicom.dcmread(now).PatientName)
    in_utf8 = run("dcmdump", "+U8", "-q", "+P", "0010,0010", now)
    assert name in in_utf8.stdout or "cannot convert" in in_utf8.stderr


@needs_gdcm
def test_gdcm_reads_what_we_rebuild(rebuilt):
    _, now = rebuilt
    output = run("gdcminfo", now)
    assert output.returncode == 0
    ds = pydicom.dcmread(now)
    assert str(ds.file_meta.TransferSyntaxUID) in output.stdout
    assert f"({ds.Columns},{ds.Rows},{ds.get('NumberOfFrames', 1)})" in output.stdout
    raw = now.with_name("raw.dcm")
    assert run("gdcmconv", "--raw", now, raw).returncode == 0
    assert np.array_equal(pydicom.dcmread(raw).pixel_array, ds.pixel_array)


def faults(path: Path) -> set[str]:
    """What dciodvfy calls an error, without values and places."""
    output = run("dciodvfy", path)
    lines = [line for line in (output.stderr + output.stdout).splitlines() if line.startswith("Error")]
    return {re.sub(r"\s+", " ", re.sub(r"<0x[0-9a-f]+>|'[^']*'|\d+", "", line)).strip() for line in lines}


@needs_dciodvfy
def test_dciodvfy_finds_no_fault_that_the_source_had_not(rebuilt):
    was, now = rebuilt
    output = faults(now) - faults(was)
    assert {
        line for line in output if "Number of Frames" not in line
    } == set()  # a CT of three frames is ours to test with


@needs_dcmtk
@needs_gdcm
@pytest.mark.parametrize("syntax", [NATIVE, IMPLICIT, JPEG_2000])
def test_a_settled_data_set_opens_everywhere(tmp_path, syntax):
    whole = chest_ct(slices=5, size=64, localizers=0, dose_report=False, syntax=syntax).images[1]
    path = tmp_path / "bare.dcm"
    path.write_bytes(
        whole.data[144 + pydicom.dcmread(io.BytesIO(whole.data)).file_meta.FileMetaInformationGroupLength :]
    )
    normalise(path)
    assert "yes:" in run("dcmftest", path).stdout
    assert run("gdcminfo", path).returncode == 0
    assert run("dcmdump", "-q", path).stderr == ""


@needs_shared
@needs_dcmtk
@pytest.mark.parametrize(
    "case",
    sorted(path.name for path in SHARED.iterdir() if path.is_dir() and path.name not in {"LICENSES", "malformed"})
    if SHARED.is_dir()
    else [],
)
def test_what_we_pass_dcmtk_reads_too(case):
    paths = [path for path in sorted((SHARED / case).rglob("*")) if path.is_file()][:40]
    readable = [
        path
        for path in paths
        if not any(p.code in {"unreadable", "no-file-meta"} for p in check_instance(path, Origin.ORIGINAL).problems)
    ]
    assert readable
    answer = run("dcmftest", *readable).stdout
    assert answer.count("yes:") == len(readable)
    assert "no:" not in answer


@needs_shared
@needs_dcmtk
@pytest.mark.parametrize(
    "case", ["ts-ct", "mr-axial-128", "us-cine", "synthetic-charset", "mr-enhanced", "synthetic-xa-cine"]
)
def test_real_images_rebuilt_are_read_by_dcmtk_and_no_worse(case, tmp_path):
    rebuilt = 0
    for path in sorted((SHARED / case).iterdir())[:6]:
        ds = pydicom.dcmread(path)
        syntax = ds.file_meta.TransferSyntaxUID
        if path.name.startswith(("declared", "undeclared", "iso2022")) or syntax.is_little_endian is False:
            continue
        count = int(ds.get("NumberOfFrames", 1))
        frames = (
            tuple(generate_frames(ds.PixelData, number_of_frames=count)) if syntax.is_encapsulated else (ds.PixelData,)
        )
        try:
            data = rebuild(PixelParts(tags_of(ds), frames)).data
        except CorruptInstance as err:
            assert err.values["what"] == Reason.CONSTANT_PICTURE  # noqa: PT017 - most are not
            continue
        now = tmp_path / "now.dcm"
        now.write_bytes(data)
        assert "yes:" in run("dcmftest", now).stdout
        assert run("dcmdump", "-q", now).returncode == 0
        if shutil.which("dciodvfy"):
            assert faults(now) - faults(path) == set(), path.name
        rebuilt += 1
    assert rebuilt, "every file was passed over"


# ---- SimpleITK: the engine of 3D Slicer


def series_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def written(folder: Path, **options: object) -> list[Path]:
    made = chest_ct(size=64, dose_report=False, **options)
    for item in made.series[-1].instances:
        (folder / f"{item.instance_number:03}.dcm").write_bytes(item.data)
    return series_of(folder)


@pytest.mark.parametrize(
    "case",
    [
        "axial",
        "oblique J2K",
        "JPEG-LS",
        "ct-philips-study/S3010",
        "ct-3slice",
        "mr-axial-128",
        "synthetic-ct-80",
        "synthetic-pet-24",
    ],
)
def test_simpleitk_sees_the_voxels_and_the_geometry_that_we_see(case, tmp_path):
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    if case == "axial":
        paths = written(tmp_path, slices=9)
    elif case == "oblique J2K":
        paths = written(tmp_path, slices=3, thin=8, thin_syntax=JPEG_2000)
    elif case == "JPEG-LS":
        paths = written(tmp_path, slices=7, syntax=JPEG_LS)
    elif not SHARED.is_dir():
        pytest.skip("no ../shared/dicom next to the repository")
    else:
        paths = series_of(SHARED / case)
    checked = [check_instance(path, Origin.ORIGINAL) for path in paths]
    ordered = [checked[index] for index in order([item.header for item in checked])]
    stack = stacks([Plane(item.name, item.header.position, item.header.orientation) for item in ordered])[0]
    assert [names[0] for names in stack.places] == [item.name for item in ordered]

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(item.path) for item in ordered])
    volume = reader.Execute()
    assert volume.GetSize()[2] == len(ordered)
    between_rows, between_columns = ordered[0].facts.spacing
    row, column = stack.orientation[:3], stack.orientation[3:]
    line = np.subtract(ordered[-1].header.position, ordered[0].header.position)
    along = (
        stack.step_mm * np.linalg.norm(line) / abs(np.dot(line, np.cross(row, column)))
    )  # a tilted gantry shifts slices
    assert volume.GetSpacing() == pytest.approx((between_columns, between_rows, along), rel=2e-3)
    direction = np.array(volume.GetDirection()).reshape(3, 3)
    assert direction[:, 0] == pytest.approx(row, abs=1e-3)
    assert direction[:, 1] == pytest.approx(column, abs=1e-3)
    assert direction[:, 2] == pytest.approx(np.cross(row, column), abs=1e-3)
    assert volume.GetOrigin() == pytest.approx(ordered[0].header.position, abs=1e-3)
    voxels = sitk.GetArrayViewFromImage(volume)
    for index in (0, len(ordered) // 2, len(ordered) - 1):
        ds = pydicom.dcmread(ordered[index].path)
        values = ds.pixel_array * float(ds.get("RescaleSlope", 1)) + float(ds.get("RescaleIntercept", 0))
        assert np.allclose(voxels[index], values, rtol=1e-4, atol=0.01)
