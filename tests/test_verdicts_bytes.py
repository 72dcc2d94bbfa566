"""What bytes are worth: packed or loose, with odd names, odd endings, odd headers, and pictures that show nothing."""

import asyncio
import io
import re
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from threading import Thread

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate

from fixtures.dicom import JPEG_2000, JPEG_LS, NATIVE, SyntheticInstance, SyntheticStudy, chest_ct, retagged
from fixtures.sites.neusoft.site import NeusoftSite
from fixtures.world import World
from providers.neusoft import Neusoft
from scraper.core.model import Instance, OnDemand, Origin, PixelParts, Result, Status
from scraper.core.reasons import Reason
from scraper.core.sniff import Kind
from scraper.dicom import charset, codecs, normalise, pseudonymised, rebuild
from scraper.dicom.codestream import JPEG_EXTENDED, JPEG_LOSSLESS, JPEG_LOSSLESS_SV1
from scraper.dicom.directory import read_directory
from scraper.dicom.jpeg_scans import with_longer_scans
from scraper.export import Target, export
from scraper.export.pictures import frames
from scraper.protocols import zip_archive
from scraper.protocols.zip_names import entry_name
from scraper.testing import Case, run
from scraper.verify import Checked, check_folder, check_instance, check_series
from tests.aurora import Site, serving
from tests.test_assemble import tags_of
from tests.test_collect_copies import FULL, collected
from tests.test_fetch import grab, site_of

pytestmark = pytest.mark.usefixtures("plugged_in")
STUDY = chest_ct(slices=10, size=64, localizers=0, dose_report=False)
AXIAL = STUDY.series[0].instances


def of(data: bytes, folder: Path, name: str = "one.dcm") -> dict[str, bool]:
    path = folder / name
    path.write_bytes(data)
    return {problem.code: problem.fatal for problem in check_instance(path, Origin.ORIGINAL).problems}


def bare_of(data: bytes) -> bytes:
    return data[144 + int.from_bytes(data[140:144], "little") :]


def codes(result: Result) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for study in result.studies:
        for problem in (*study.problems, *(item for row in study.series for item in row.problems)):
            found.setdefault(problem.code, []).extend(problem.instances)
    return found


# ---- A7: a constant image between two that are not was lost


def blank(one: SyntheticInstance, value: int = 24) -> bytes:
    ds = pydicom.dcmread(io.BytesIO(one.data))
    ds.PixelData = np.full((ds.Rows, ds.Columns), value, np.uint16).tobytes()
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def with_blanks(folder: Path, *places: int, origin: Origin = Origin.ORIGINAL, **changed: object) -> list[Checked]:
    checked = []
    for place, item in enumerate(AXIAL):
        data = blank(item) if place in places else item.data
        if changed:
            data = retagged(SyntheticInstance(item.sop_instance_uid, item.sop_class_uid, place, data), **changed)
        path = folder / f"{place}.dcm"
        path.write_bytes(data)
        checked.append(check_instance(path, origin))
    return checked


def fatal(checked: list[Checked]) -> dict[str, set[str]]:
    problems = [*check_series(checked, len(checked)), *(entry for item in checked for entry in item.problems)]
    return {problem.code: set(problem.instances) for problem in problems if problem.fatal}


@pytest.mark.parametrize("places", [(4,), (1,), (8,), (4, 5, 6), (2, 7)])
def test_verdicts_a7_a_constant_image_between_others_is_lost(tmp_path, places):
    lost = {AXIAL[place].sop_instance_uid for place in places}
    assert fatal(with_blanks(tmp_path, *places)) == {"constant-between": lost}


@pytest.mark.parametrize("places", [(0,), (9,), (0, 1, 2), (0, 9), tuple(range(10))])
def test_verdicts_a7_at_the_end_of_a_stack_it_is_a_warning(tmp_path, places):
    checked = with_blanks(tmp_path, *places)
    assert fatal(checked) == {}
    assert sum(problem.code == "constant-frame" for item in checked for problem in item.problems) == len(places)


@pytest.mark.parametrize("changed", [{}, {"ImagePositionPatient": None}], ids=["positions", "numbers"])
@pytest.mark.parametrize(
    ("places", "code"),
    [((0,), ""), ((0, 1, 9), ""), ((0, 4), "constant-between"), (tuple(range(6)), "constant-frame")],
    ids=str,
)
def test_verdicts_a7_rebuilt_ones_count_at_the_ends_of_a_stack_that_shows_something(tmp_path, places, code, changed):
    found = fatal(with_blanks(tmp_path, *places, origin=Origin.REBUILT, **changed))
    assert "".join(found) == code


def test_verdicts_a7_without_positions_the_numbers_tell(tmp_path):
    checked = with_blanks(tmp_path, 4, ImagePositionPatient=None)
    assert fatal(checked) == {"constant-between": {AXIAL[4].sop_instance_uid}}


@pytest.mark.parametrize("syntax", [NATIVE, JPEG_2000])
def test_verdicts_a7_a_frame_between_others(tmp_path, syntax):
    ds = pydicom.dcmread(io.BytesIO(AXIAL[3].data))
    pixels = [item.pixels for item in AXIAL[:5]]
    pixels[2] = np.full_like(pixels[2], 7)
    ds.NumberOfFrames = 5
    if syntax == NATIVE:
        ds.PixelData = np.stack(pixels).tobytes()
    else:
        from fixtures.dicom import j2k

        ds.PixelData = encapsulate([j2k(pixel, 12) for pixel in pixels])
        ds.file_meta.TransferSyntaxUID = syntax
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    path = tmp_path / "one.dcm"
    path.write_bytes(out.getvalue())
    found = {problem.code: problem for problem in check_series([check_instance(path, Origin.ORIGINAL)], 1)}
    assert found["constant-frame-between"].fatal
    assert found["constant-frame-between"].values["frames"] == "3"


class Blanking(Site):
    """Gives a constant picture in place of some images, so many times."""

    def __init__(self, site: Site, blanks: dict[str, int]) -> None:
        super().__init__(site.study_uid, site.series)
        self.blanks = blanks

    async def _image(self, writer: asyncio.StreamWriter, data: bytes) -> bool:
        uid = str(pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True).SOPInstanceUID)
        if self.blanks.get(uid):
            self.blanks[uid] -= 1
            data = blank(next(item for item in AXIAL if item.sop_instance_uid == uid))
        return await self._plain(writer, 200, data)


async def test_verdicts_a7_a_lost_image_is_asked_for_again(tmp_path):
    lost, edge = AXIAL[4].sop_instance_uid, AXIAL[9].sop_instance_uid
    site = Blanking(site_of(STUDY), {lost: 1, edge: 99})
    async with serving(site):
        result = await grab(site, tmp_path)
    assert result.status is Status.COMPLETE, codes(result)
    assert result.counts.saved == 10
    assert (site.requests[f"/image/{lost}"], site.requests[f"/image/{edge}"]) == (2, 1)
    saved = {path.read_bytes() for path in tmp_path.rglob("*.dcm")}
    assert AXIAL[4].data in saved


async def test_verdicts_a7_one_that_stays_lost_is_named_and_mended_by_the_next_run(tmp_path):
    lost = AXIAL[4].sop_instance_uid
    site = Blanking(site_of(STUDY), {lost: 99})
    async with serving(site):
        result = await grab(site, tmp_path)
        assert (result.exit_code, result.counts.saved) == (7, 10)
        assert codes(result)["constant-between"] == [lost]
        site.blanks.clear()
        again = await grab(site, tmp_path)
    assert again.status is Status.COMPLETE
    assert AXIAL[4].data in {path.read_bytes() for path in tmp_path.rglob("*.dcm")}


async def test_verdicts_a7_a_constant_frame_that_comes_a_second_time_is_what_the_site_has(tmp_path):
    asked = []

    async def ask() -> PixelParts:
        asked.append(1)
        return PixelParts(tags_of(FULL.data), (bytes(FULL.pixels.nbytes),))

    result = await collected(tmp_path, Instance(FULL.sop_instance_uid, OnDemand(ask, Origin.REBUILT)))
    assert len(asked) == 3  # once more at the end, as nothing beside it shows anything
    assert [pydicom.dcmread(saved.path).pixel_array.any() for saved, _ in result.saved] == [False]
    assert not result.failed


# ---- C22: encapsulated pixels whose file ends without the item that closes them


def unterminated(data: bytes, lost: int = 8) -> bytes:
    assert data[-8:] == b"\xfe\xff\xdd\xe0" + bytes(4)
    return data[:-lost]


@pytest.mark.parametrize("syntax", [JPEG_2000, JPEG_LS])
@pytest.mark.parametrize("lost", [8, 4, 1])
def test_verdicts_c22_pixels_that_are_whole_are_kept(tmp_path, syntax, lost):
    item = chest_ct(slices=3, size=64, localizers=0, syntax=syntax).series[0].instances[1]
    data = unterminated(item.data, lost)
    assert of(data, tmp_path) == {"pixels-unterminated": False}
    path = tmp_path / "one.dcm"
    assert normalise(path).sop_instance_uid == item.sop_instance_uid
    assert path.read_bytes() == data
    assert next(frames(path)).size == (64, 64)


@pytest.mark.parametrize("lost", [9, 10, 200])
def test_verdicts_c22_pixels_that_are_cut_are_not(tmp_path, lost):
    item = chest_ct(slices=3, size=64, localizers=0, syntax=JPEG_2000).series[0].instances[1]
    assert of(unterminated(item.data, lost), tmp_path)["truncated"]


def test_verdicts_c22_frames_that_are_not_there_are_missed(tmp_path):
    from fixtures.dicom import j2k

    ds = pydicom.dcmread(io.BytesIO(AXIAL[3].data))
    ds.NumberOfFrames = 3
    ds.PixelData = encapsulate([j2k(item.pixels, 12) for item in AXIAL[:2]])
    ds.file_meta.TransferSyntaxUID = JPEG_2000
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    assert of(unterminated(out.getvalue()), tmp_path)["frames-missing"]


@pytest.mark.thorough
async def test_verdicts_c22_it_is_fetched_once_and_exported(tmp_path):
    study = chest_ct(slices=5, size=64, localizers=0, dose_report=False, syntax=JPEG_2000)
    odd = study.images[2].sop_instance_uid
    images = {image.sop_instance_uid: image.data for image in study.images}
    images[odd] = unterminated(images[odd])
    site = Site(str(study.study_instance_uid), {study.series[0].uid: images})
    async with serving(site):
        result = await grab(site, tmp_path / "got")
        again = await grab(site, tmp_path / "got")
    assert (result.status, again.status) == (Status.COMPLETE, Status.COMPLETE)
    assert codes(result) == {"pixels-unterminated": [odd]}
    assert (site.requests[f"/image/{odd}"], again.counts.reused) == (1, 5)
    (folder,) = (path.parent for path in (tmp_path / "got").rglob("study.json"))
    for target, count in ((Target.PNG, 5), (Target.ZIP, 5), (Target.DICOMDIR, 5)):
        made = await export(folder, target, tmp_path / target.value)
        assert (made.files, int(made.exit_code)) == (count, 0)
    made = await export(folder, Target.PNG, tmp_path / "plain", deidentify=True)
    assert made.files == 5


# ---- C24, C23, C26: packages


def packed(*entries: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return out.getvalue()


class Hospital(NeusoftSite):
    """Gives this zip."""

    def __init__(self, archive: bytes) -> None:
        super().__init__(STUDY)
        self._packed = archive


async def fetched(archive: bytes, folder: Path) -> Result:
    site = Hospital(archive)
    with World(site) as world:
        return await run(Neusoft, Case("package", site.link()), world, folder)


async def test_verdicts_c24_a_bare_data_set_in_a_package_is_what_it_is_loose(tmp_path):
    bare = bare_of(AXIAL[5].data)
    rows = [(f"a/{place}", item.data) for place, item in enumerate(AXIAL) if place != 5]
    result = await fetched(packed(*rows, ("a/5", bare), ("a/readme.txt", b"text")), tmp_path / "got")
    assert (result.status, result.counts.saved) == (Status.COMPLETE, 10)
    loose = tmp_path / "loose"
    loose.write_bytes(bare)
    normalise(loose)
    assert loose.read_bytes() in {path.read_bytes() for path in (tmp_path / "got").rglob("*.dcm")}


async def test_verdicts_c24_a_bare_data_set_that_is_cut_is_missed(tmp_path):
    bare = bare_of(AXIAL[5].data)
    rows = [(f"a/{place}", item.data) for place, item in enumerate(AXIAL) if place != 5]
    result = await fetched(packed(*rows, ("a/5", bare[: len(bare) // 2])), tmp_path)
    assert (result.exit_code, result.counts.saved, result.counts.expected) == (7, 9, 10)


def test_verdicts_c24_what_only_begins_like_a_data_set_is_left_out(tmp_path):
    noise = struct.pack("<HHI", 8, 5, 10) + bytes(range(200))
    (tmp_path / "x.zip").write_bytes(packed(("viewer.dat", noise), ("1", AXIAL[0].data)))
    found = {member.name: member for member in zip_archive.unpack(tmp_path / "x.zip", tmp_path / "out")}
    assert (found["viewer.dat"].path, found["viewer.dat"].is_broken) == (None, False)
    assert found["1"].path.read_bytes() == AXIAL[0].data


async def test_verdicts_c24_verify_looks_into_a_zip_inside_a_zip(tmp_path):
    inner = packed(*((f"{place}.dcm", item.data) for place, item in enumerate(AXIAL[:5])))
    middle = packed(("inner.zip", inner), *((f"{place}", bare_of(item.data)) for place, item in enumerate(AXIAL[5:])))
    (tmp_path / "all.zip").write_bytes(packed(("data/middle.zip", middle), ("note.txt", b"text")))
    report = await check_folder(tmp_path / "all.zip", {STUDY.series[0].uid: 10}, processes=1)
    assert len(report.checked) == 10
    assert [problem for problem in report.problems if problem.fatal] == []
    assert "data/middle.zip/inner.zip/3.dcm" in report.names.values()
    assert report.left_out == {Reason.PLAIN_TEXT: 1}


async def test_verdicts_c24_depth_and_damage_inside_are_bounded_and_named(tmp_path):
    deep = packed(("0.dcm", AXIAL[0].data))
    for level in range(5):
        deep = packed((f"{level}.zip", deep))
    broken = bytearray(packed(("1.dcm", AXIAL[1].data)))
    broken[len(broken) // 2] ^= 0xFF
    (tmp_path / "x.zip").write_bytes(
        packed(("deep.zip", deep), ("broken.zip", bytes(broken)), ("2.dcm", AXIAL[2].data))
    )
    report = await check_folder(tmp_path / "x.zip", processes=1)
    named = {
        name
        for checked in report.checked
        for problem in checked.problems
        for name in problem.instances
        if problem.fatal
    }
    assert any(name.startswith("deep.zip/") for name in named)
    assert any(name.startswith("broken.zip") for name in named)
    assert not any(name.startswith("2.dcm") for name in named)


async def disc_of(study: SyntheticStudy, folder: Path) -> Path:
    for place, item in enumerate(study.instances):
        (folder / "files").mkdir(parents=True, exist_ok=True)
        (folder / "files" / f"{place}.dcm").write_bytes(item.data)
    return (await export(folder / "files", Target.DICOMDIR, folder / "disc")).path


def zipped(disc: Path, *without: Path) -> bytes:
    return packed(
        *(
            (f"CD/{path.relative_to(disc).as_posix()}", path.read_bytes())
            for path in sorted(disc.rglob("*"))
            if path.is_file() and path not in without
        )
    )


async def test_verdicts_c23_a_package_s_directory_is_a_list_of_what_must_be_there(tmp_path):
    disc = await disc_of(STUDY, tmp_path)
    listed = [disc / record.file for record in read_directory(disc / "DICOMDIR")]
    whole = await fetched(zipped(disc), tmp_path / "whole")
    assert (whole.status, whole.counts.expected, whole.counts.saved) == (Status.COMPLETE, 10, 10)
    short = await fetched(zipped(disc, listed[-1]), tmp_path / "short")
    assert (short.exit_code, short.counts.expected, short.counts.saved) == (7, 10, 9)
    assert codes(short)["dicomdir-missing"] == [f"CD/{listed[-1].relative_to(disc).as_posix()}"]


async def test_verdicts_c23_another_patient_s_record_in_a_package_is_named(tmp_path):
    other = chest_ct(slices=2, size=32, seed=9, localizers=0, dose_report=False, patient_name="王^五")
    both = tmp_path / "both"
    both.mkdir()
    for place, item in enumerate((*STUDY.instances, *other.instances)):
        (both / f"{place}.dcm").write_bytes(item.data)
    disc = (await export(both, Target.DICOMDIR, tmp_path / "disc")).path
    theirs = [
        disc / listed_file.file
        for listed_file in read_directory(disc / "DICOMDIR")
        if listed_file.patient_id == other.patient_id
    ]
    result = await fetched(zipped(disc, *theirs), tmp_path / "got")
    assert result.exit_code == 7
    assert len(codes(result)["dicomdir-other-patient"]) == 2


GBK_TRAIL = "俓誠.dcm"
NAMES = ("检查/胸部平扫_1.dcm", f"检查/{GBK_TRAIL}", "末尾诚誠", "模", "plain.dcm")


def raw_zip(*entries: tuple[bytes, int, bytes, bytes]) -> bytes:
    """A zip of (name's bytes, flags, extra field, content), as any program may write it."""
    out, directory = io.BytesIO(), io.BytesIO()
    for name, flags, extra, data in entries:
        at, crc = out.tell(), zlib.crc32(data)
        common = struct.pack("<HHHHHIIIHH", 20, flags, 0, 0, 33, crc, len(data), len(data), len(name), len(extra))
        out.write(b"PK\x03\x04" + common + name + extra + data)
        directory.write(
            b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, at) + name + extra
        )
    start, listed = out.tell(), directory.getvalue()
    count = len(entries)
    return out.getvalue() + listed + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, len(listed), start, 0)


def unicode_path(raw: bytes, name: str) -> bytes:
    body = struct.pack("<BI", 1, zlib.crc32(raw)) + name.encode()
    return struct.pack("<HH", 0x7075, len(body)) + body


WRITERS = {
    "GBK": lambda name: (name.encode("gbk"), 0, b""),
    "UTF-8 with its flag": lambda name: (name.encode(), 0x800, b""),
    "UTF-8 without its flag": lambda name: (name.encode(), 0, b""),
    "Info-ZIP": lambda name: (name.encode("ascii", "replace"), 0, unicode_path(name.encode("ascii", "replace"), name)),
    "Info-ZIP over GBK": lambda name: (name.encode("gbk"), 0, unicode_path(name.encode("gbk"), name)),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("separator", ["/", "\\"], ids=["here", "Windows"])
def test_verdicts_c26_names_are_read_as_they_were_meant(tmp_path, writer, separator, monkeypatch):
    archive = tmp_path / "x.zip"
    archive.write_bytes(
        raw_zip(
            *((*WRITERS[writer](name), item.data) for name, item in zip(NAMES, AXIAL, strict=False)),
            (b"folder/", 0, b"", b""),
        )
    )
    monkeypatch.setattr(zipfile.os, "sep", separator)
    members = list(zip_archive.unpack(archive, tmp_path / "out"))
    monkeypatch.undo()
    assert [member.name for member in members] == list(NAMES)
    assert [member.path.read_bytes() for member in members] == [item.data for item in AXIAL[: len(NAMES)]]


def test_verdicts_c26_a_unicode_field_of_another_name_is_not_believed():
    raw = "甲.dcm".encode("gbk")
    info = zipfile.ZipInfo(raw.decode("cp437"))
    info.extra = unicode_path(b"old", "乙.dcm")
    assert entry_name(info) == "甲.dcm"


@pytest.mark.skipif(shutil.which("zip") is None, reason="Info-ZIP is not installed")
def test_verdicts_c26_what_info_zip_writes(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    gbk = b"\xbc\xec\xb2\xe9" + "誠".encode("gbk") + b".dcm"  # a GBK file system's name
    (Path(bytes(folder).decode()) / gbk.decode("utf-8", "surrogateescape")).write_bytes(AXIAL[0].data)
    (folder / "胸部.dcm").write_bytes(AXIAL[1].data)
    command = ["zip", "-q", "-r", tmp_path / "x.zip", "."]
    subprocess.run(command, cwd=folder, check=True, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"})
    members = list(zip_archive.unpack(tmp_path / "x.zip", tmp_path / "out"))
    assert {member.path.read_bytes() for member in members} == {AXIAL[0].data, AXIAL[1].data}
    assert "胸部.dcm" in {member.name for member in members}


# ---- C25: text that other readers would part


@pytest.mark.parametrize("name", ["王^誠", "俓^氏", "許功蓋"])
@pytest.mark.parametrize("declared", ["GB18030", "GBK"])
def test_verdicts_c25_text_with_a_second_byte_5c_is_written_as_utf8(name, declared):
    tags = tags_of(retagged(AXIAL[2], PatientName=name, SeriesDescription="俓誠 5mm"))
    tags["00080005"] = {"vr": "CS", "Value": [declared]}
    made = rebuild(PixelParts(tags, (AXIAL[2].pixels.tobytes(),))).data
    ds = pydicom.dcmread(io.BytesIO(made))
    assert (ds.SpecificCharacterSet, str(ds.PatientName), ds.SeriesDescription) == ("ISO_IR 192", name, "俓誠 5mm")
    raw = pydicom.dcmread(io.BytesIO(made)).get_item("SeriesDescription").value
    assert raw == "俓誠 5mm".encode()


def test_verdicts_c25_other_chinese_text_stays_in_the_declared_set():
    assert charset.fitting(["张三", "胸部CT平扫"], ["GB18030"]) == "GB18030"
    assert charset.fitting(["a\\b", "plain"], ["GB18030"]) == "GB18030"


# ---- C27: a decoder that refuses, and pixels that are damaged


def jpeg(extended: int, selection: bytes, *, is_damaged: bool = False, share: float = 1.0) -> bytes:
    """An image as JPEG, its frame header that of baseline or extended, its scan header with this spectral selection.

    Args:
        extended: the frame header's marker.
        selection: Ss, Se, Ah and Al.
        is_damaged: its Huffman tables are gone.
        share: of the scan's bytes that are left before its end marker.
    """
    out = io.BytesIO()
    Image.fromarray((AXIAL[4].pixels >> 4).astype(np.uint8)).save(out, "JPEG", quality=90)
    data = bytearray(out.getvalue())
    data[data.find(b"\xff\xc0") + 1] = extended
    scan = data.find(b"\xff\xda")
    data[scan + 7 : scan + 10] = selection
    left = scan + 10 + int((len(data) - scan - 12) * share)
    stream = bytes(data[:left]) + b"\xff\xd9"
    if is_damaged:
        stream = stream.replace(b"\xff\xc4", b"\xff\xfe")  # its Huffman tables are gone
    ds = pydicom.dcmread(io.BytesIO(AXIAL[4].data))
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.LossyImageCompression = 8, 8, 7, "01"
    ds.file_meta.TransferSyntaxUID = JPEG_EXTENDED
    ds.PixelData = encapsulate([stream])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    made = io.BytesIO()
    ds.save_as(made, enforce_file_format=True)
    return made.getvalue()


@pytest.mark.parametrize("selection", [b"\x00\x00\x00", b"\x01\x3f\x00", b"\x00\x3e\x00"])
@pytest.mark.parametrize("frame", [0xC0, 0xC1])
async def test_verdicts_c27_a_wrong_spectral_selection_is_no_damage(tmp_path, frame, selection):
    data = jpeg(frame, selection)
    assert of(data, tmp_path)["decoder-refuses"] is False
    assert not any(of(data, tmp_path).values())
    assert next(frames(tmp_path / "one.dcm")).size == (64, 64)
    assert (tmp_path / "one.dcm").read_bytes() == data


def test_verdicts_c27_damage_is_still_damage(tmp_path):
    assert "decoder-refuses" not in of(jpeg(0xC1, b"\x00\x3f\x00"), tmp_path)
    assert of(jpeg(0xC1, b"\x00\x00\x00", is_damaged=True), tmp_path)["does-not-decode"]
    assert of(jpeg(0xC1, b"\x00\x3f\x00", is_damaged=True), tmp_path)["does-not-decode"]


@pytest.mark.parametrize("share", [0.2, 0.6, 0.97])
def test_verdicts_c27_a_scan_that_ends_early_is_damage(tmp_path, share):
    assert of(jpeg(0xC0, b"\x00\x3f\x00", share=share), tmp_path)["does-not-decode"]


TEXTURE = np.add.outer(np.arange(64), np.arange(64)) * 16 + np.random.default_rng(27).integers(0, 48, (64, 64))
KINDS = {  # Transfer Syntax UID, a stream of one image
    "12 bits, lossy": (JPEG_EXTENDED, {"level": 90, "bitspersample": 12}),
    "lossless, process 14": (JPEG_LOSSLESS, {"lossless": True, "predictor": 6, "bitspersample": 16}),
    "lossless, first order": (JPEG_LOSSLESS_SV1, {"lossless": True, "predictor": 1, "bitspersample": 12}),
}


def deep_jpeg(syntax: str, options: dict[str, object], *, lost: int = 0) -> bytes:
    """An image of more than 8 bits as JPEG.

    Args:
        syntax: Transfer Syntax UID.
        options: of the encoder.
        lost: bytes of the scan that are cut off before the end marker.
    """
    import imagecodecs

    stream = imagecodecs.jpeg8_encode(TEXTURE.astype(np.uint16), **options)
    cut = stream[: len(stream) - 2 - lost].removesuffix(b"\xff") + b"\xff\xd9"
    ds = pydicom.dcmread(io.BytesIO(AXIAL[4].data))
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, 0
    if "level" in options:
        ds.LossyImageCompression = "01"
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate([cut if lost else stream])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    made = io.BytesIO()
    ds.save_as(made, enforce_file_format=True)
    return made.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_verdicts_c27_a_deep_scan_that_ends_early_is_damage(tmp_path, kind):
    assert not any(of(deep_jpeg(*KINDS[kind]), tmp_path).values())
    for lost in (1, 2, 7, 30, 200, 900):
        assert of(deep_jpeg(*KINDS[kind], lost=lost), tmp_path).get("does-not-decode"), lost


def test_verdicts_c27_bytes_behind_whole_segments_change_nothing_and_behind_cut_ones_they_do():
    """Restart markers as well: each interval is looked at by itself."""
    data = coloured_with_restarts()
    segments = re.split(rb"(\xff[\xd0-\xd7])", data)
    assert len(segments) > 6
    decoded = codecs.decode(data, Kind.JPEG)
    assert np.array_equal(codecs.decode(with_longer_scans(data), Kind.JPEG), decoded)
    segments[4] = segments[4][:-3]
    cut = b"".join(segments)
    assert not np.array_equal(codecs.decode(with_longer_scans(cut), Kind.JPEG), codecs.decode(cut, Kind.JPEG))


def coloured_with_restarts() -> bytes:
    out = io.BytesIO()
    picture = np.stack([TEXTURE % 251, TEXTURE.T % 239, TEXTURE % 13], axis=-1).astype(np.uint8)
    Image.fromarray(picture).save(out, "JPEG", quality=90, restart_marker_blocks=2)
    return out.getvalue()


# ---- C28: encoding happens elsewhere, also where several threads want it


def test_verdicts_c28_threads_encode_at_once_in_another_process(monkeypatch):
    import imagecodecs

    from scraper.authoring.redact import Names, Texts

    def here(*_: object, **__: object) -> None:
        raise AssertionError("in our own process")

    item = chest_ct(slices=3, size=64, localizers=0, syntax=JPEG_2000).series[0].instances[1]
    for name in ("jpeg2k_decode", "jpeg2k_encode"):
        monkeypatch.setattr(imagecodecs, name, here)
    made: list[bytes] = []
    texts = Texts(Names())
    threads = [Thread(target=lambda: made.append(pseudonymised(item.data, texts))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.undo()
    assert len(made) == 4
    for data in made:
        assert not np.array_equal(pydicom.dcmread(io.BytesIO(data)).pixel_array, item.pixels)


def test_verdicts_c28_the_codec_process_outlives_what_it_dies_of():
    from scraper.dicom.codec_process import CodecProcess

    process = CodecProcess()
    try:
        assert process.ask("no such work", {}, b"") is None
        out = io.BytesIO()
        Image.new("L", (8, 8), 7).save(out, "PNG")
        assert process.ask("png", {"bits": 8}, out.getvalue()) == bytes([7]) * 64
        assert process.ask("png", {"bits": 8}, out.getvalue()[:40]) is None
        assert process.ask("png", {"bits": 8}, out.getvalue()) == bytes([7]) * 64
    finally:
        process.close()


@pytest.mark.skipif(sys.platform == "win32", reason="looks at this system's processes")
def test_verdicts_c28_no_module_that_runs_here_calls_a_codec():
    """Codecs are called in the modules that worker processes run, and nowhere else."""
    import ast

    import scraper

    home = Path(scraper.__file__).parent
    apart = {
        "dicom/codecs.py",
        "dicom/frames.py",
        "dicom/encode.py",
        "dicom/pixels_png.py",
        "export/contact_sheet.py",  # of export/pictures.py alone
        "export/pictures.py",
        "viewer/frames.py",
    }
    reading_codes = ("source/", "ui/doctor.py", "cli/authoring.py")  # photos of papers: a worker of their own
    codecs = {"imagecodecs", "simplejpeg", "pydicom.pixels", "PIL"}
    found = set()
    for path in home.rglob("*.py"):
        name, text = path.relative_to(home).as_posix(), path.read_text(encoding="utf-8")
        if not any(codec in text for codec in codecs):  # to take all modules apart costs seconds
            continue
        for node in ast.walk(ast.parse(text)):
            modules = [item.name for item in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(module == codec or module.startswith(codec + ".") for module in modules for codec in codecs):
                found.add(name)
    assert {name for name in found if not name.startswith(reading_codes)} <= apart
