"""Planted faults are found and named; sound series are not accused; nothing crashes or hangs."""

import asyncio
import contextlib
import io
import os
import random
import shutil
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openjpeg
import psutil
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames

from fixtures.dicom import IMPLICIT, JPEG_2000, JPEG_LS, NATIVE, SyntheticStudy, chest_ct, retagged, truncated
from scraper.core.errors import UnreadableFile
from scraper.core.messages import catalogue, describe_problem
from scraper.core.model import Origin
from scraper.core.reasons import Reason
from scraper.core.settings import Language
from scraper.verify import Checked, Inspector, check_folder, check_instance, check_series, check_study, find, unreadable

SHARED = Path(__file__).parents[2] / "shared" / "dicom"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/dicom next to the repository")
MUTATIONS = int(os.environ.get("CLOUDFILM_MUTATIONS", "300"))  # 2000 for the long form

STUDY = chest_ct(slices=12, size=64, localizers=2, thin=6, dose_report=True)
AXIAL = STUDY.series[1]
SLICE = AXIAL.instances[5]


def save(folder: Path, study_: SyntheticStudy) -> Path:
    for number, item in enumerate(study_.instances):
        (folder / f"{number:03}.dcm").write_bytes(item.data)
    return folder


def check_all(folder: Path) -> list[Checked]:
    return [check_instance(candidate.path, Origin.ORIGINAL) for candidate in find(folder) if not candidate.left_out]


def found_in(folder: Path, expected: dict[str, int | None] | None = None, uid: str = "") -> dict[str, bool]:
    """Code -> fatal, over instances and between them."""
    checked = check_all(folder)
    problems = [problem for item in checked for problem in item.problems]
    problems += check_study(checked, expected or {}, uid)
    for problem in problems:
        for language in Language:
            assert "{" not in describe_problem(problem, language)
        assert f"problem.{problem.code}" in catalogue()
    return {problem.code: problem.fatal for problem in problems}


def of(data: bytes, tmp_path: Path, origin: Origin = Origin.ORIGINAL) -> dict[str, bool]:
    path = tmp_path / "one.dcm"
    path.write_bytes(data)
    return {problem.code: problem.fatal for problem in check_instance(path, origin).problems}


# ---- sound things


@pytest.mark.parametrize("syntax", [NATIVE, IMPLICIT, JPEG_2000, JPEG_LS])
@pytest.mark.parametrize("charset", ["GB18030", "ISO_IR 192"])
def test_a_sound_study_is_not_accused(tmp_path, syntax, charset):
    sound = chest_ct(slices=8, size=64, thin=5, syntax=syntax, charset=charset)
    expected = {item.uid: len(item.instances) for item in sound.series}
    assert found_in(save(tmp_path, sound), expected, sound.study_instance_uid) == {}


SOUND = (
    "ct-philips-study",
    "ct-3slice",
    "mr-orientation-mix",
    "mr-axial-128",
    "mr-multiecho-ge",
    "mr-fmri-ge",
    "mr-uih-dwi",
    "ct-enhanced",
    "us-cine",
    "dx",
    "dicomdir",
    "sr-seg",
    "synthetic-ct-80",
    "synthetic-charset",
    "synthetic-ko-pr-pdf",
    "synthetic-pet-24",
    "synthetic-xa-cine",
)


@needs_shared
@pytest.mark.parametrize("case", SOUND)
def test_no_false_alarm_over_sound_cases(case):
    assert [code for code, fatal in found_in(SHARED / case).items() if fatal] == []


# what these single files lack is true of them: no UIDs, no pixels, or one UID for several encodings of one image
LACKING = {
    "charset-pydicom": {"object-incomplete", "missing-identity", "conflicting-instances"},
    "mr-enhanced": {"conflicting-instances"},
    "sc-rgb": {"missing-identity", "conflicting-instances"},
    "small-singles": {"conflicting-instances"},
    "ts-ct": {"conflicting-instances"},
    "ts-color": {"missing-identity"},
}


@needs_shared
@pytest.mark.parametrize("case", LACKING)
def test_single_files_are_told_only_what_is_true(case):
    assert {code for code, fatal in found_in(SHARED / case).items() if fatal} <= LACKING[case]


@needs_shared
@pytest.mark.parametrize(
    "name, code",
    [
        ("MR_truncated.dcm", "truncated"),
        ("rtplan_truncated.dcm", "truncated"),
        ("emri_small_jpeg_2k_lossless_too_short.dcm", "pixels-unterminated"),
        ("no_meta.dcm", "unreadable"),
        ("meta_missing_tsyntax.dcm", "unreadable"),
        ("no_meta_group_length.dcm", "missing-identity"),
        ("UN_sequence.dcm", "missing-identity"),
        ("badVR.dcm", "pixel-length"),
        ("MR_small_padded.dcm", "pixel-length"),
        ("JPEG2000-embedded-sequence-delimiter.dcm", "codestream-size"),
        ("ExplVR_LitEndNoMeta.dcm", "no-file-meta"),
        ("ExplVR_BigEndNoMeta.dcm", "no-file-meta"),
    ],
)
def test_malformed_files_are_named(name, code):
    assert code in {problem.code for problem in check_instance(SHARED / "malformed" / name, Origin.ORIGINAL).problems}


@needs_shared
@pytest.mark.parametrize(
    "name, real",
    [
        ("declared_gb18030_utf8_bytes.dcm", "ISO_IR 192"),
        ("declared_latin1_gbk_bytes.dcm", "GB18030"),
        ("declared_latin1_utf8_bytes.dcm", "ISO_IR 192"),
        ("undeclared_gbk_bytes.dcm", "GB18030"),
    ],
)
def test_mislabelled_text_is_told_with_what_it_is(name, real):
    problems = check_instance(SHARED / "synthetic-charset" / name, Origin.ORIGINAL).problems
    assert [(problem.code, problem.values["real"], problem.fatal) for problem in problems] == [
        ("character-set", real, False)
    ]


# ---- planted faults: one instance


def compressed() -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(chest_ct(slices=6, size=64, syntax=JPEG_2000).series[1].instances[2].data))


def written(ds: pydicom.FileDataset) -> bytes:
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=False)
    return out.getvalue()


def with_stream(change: Callable[[bytes], bytes]) -> bytes:
    ds = compressed()
    ds.PixelData = encapsulate([change(next(generate_frames(ds.PixelData, number_of_frames=1)))])
    return written(ds)


def with_pixels(pixels: bytes, **changed: object) -> bytes:
    ds = pydicom.dcmread(io.BytesIO(SLICE.data))
    ds.PixelData = pixels
    for keyword, value in changed.items():
        setattr(ds, keyword, value)
    return written(ds)


def j2k(pixels: np.ndarray, **options: object) -> bytes:
    return bytes(openjpeg.encode(pixels, **{"photometric_interpretation": 2, "bits_stored": 12, **options}))


def boxed(stream: bytes) -> bytes:
    front = b"\x00\x00\x00\x0cjP  \r\n\x87\n" + b"\x00\x00\x00\x14ftypjp2 \x00\x00\x00\x00jp2 "
    return front + (len(stream) + 8).to_bytes(4, "big") + b"jp2c" + stream


def without(*keywords: str) -> bytes:
    ds = pydicom.dcmread(io.BytesIO(SLICE.data))
    for keyword in keywords:
        delattr(ds, keyword)
    return written(ds)


def meta_uid_changed() -> bytes:
    uid = SLICE.sop_instance_uid.encode()
    return SLICE.data.replace(uid, uid[:-1] + (b"1" if uid[-1:] != b"1" else b"2"), 1)


def syntax_changed(data: bytes, syntax: str) -> bytes:
    """The file under another Transfer Syntax UID, its data set untouched."""
    at = data.index(b"\x02\x00\x10\x00UI") + 6
    (old,) = struct.unpack_from("<H", data, at)
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    (group,) = struct.unpack_from("<I", data, 140)
    front = data[:140] + struct.pack("<I", group - old + len(uid)) + data[144:at]
    return front + struct.pack("<H", len(uid)) + uid + data[at + 2 + old :]


LOSSY = with_stream(lambda _: j2k(SLICE.pixels, compression_ratios=[9]))
HALF = np.ascontiguousarray(SLICE.pixels[::2, ::2])
FAULTS = {
    "an error page": (b"<html>login</html>", "unreadable"),
    "nothing": (b"", "unreadable"),
    "cut in the pixels": (truncated(SLICE), "truncated"),
    "cut in the tags": (SLICE.data[:700], "truncated"),
    "a reduced image under a full-size header": (with_pixels(HALF.tobytes()), "pixel-length"),
    "a reduced codestream under a full-size header": (with_stream(lambda _: j2k(HALF)), "codestream-size"),
    "twice the pixels": (with_pixels(SLICE.pixels.tobytes() * 2), "pixel-length"),
    "a cut codestream": (with_stream(lambda stream: stream[: len(stream) // 2]), "truncated-frame"),
    "a spoilt codestream": (with_stream(lambda stream: stream[:2] + b"\0" * 60 + stream[62:]), "does-not-decode"),
    "a JP2 file": (with_stream(boxed), "jp2-boxes"),
    "a lossy stream called lossless": (LOSSY, "transfer-syntax-disagrees"),
    "a stream under a native syntax": (syntax_changed(with_stream(bytes), NATIVE), "transfer-syntax-disagrees"),
    "another codec's syntax": (syntax_changed(with_stream(bytes), JPEG_LS), "transfer-syntax-disagrees"),
    "native pixels under a codec's syntax": (syntax_changed(SLICE.data, JPEG_2000), "transfer-syntax-disagrees"),
    "lossy and silent": (syntax_changed(LOSSY, "1.2.840.10008.1.2.4.91"), "lossy-undeclared"),
    "a syntax that no one reads": (syntax_changed(with_stream(bytes), "1.2.840.10008.1.2.4.102"), "no-decoder"),
    "a constant frame": (with_pixels(np.full((64, 64), 24, np.uint16).tobytes()), "constant-frame"),
    "frames missing": (with_pixels(SLICE.pixels.tobytes() * 2, NumberOfFrames=3), "frames-missing"),
    "no UIDs": (without("StudyInstanceUID", "SeriesInstanceUID"), "missing-identity"),
    "UIDs disagree": (meta_uid_changed(), "meta-disagrees"),
    "a UID of letters": (retagged(SLICE, StudyInstanceUID="1.2.abc"), "malformed-uid"),
    "no geometry": (without("ImagePositionPatient"), "missing-geometry"),
    "no plane": (retagged(SLICE, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "orientation-senseless"),
    "no Rows": (without("Rows"), "pixel-description"),
    "more bits than room": (retagged(SLICE, BitsStored=20), "bits-disagree"),
    "no pixels": (without("PixelData"), "object-incomplete"),
    "GBK under Latin-1": (
        retagged(SLICE, SpecificCharacterSet="GB18030").replace(b"GB18030 ", b"ISO_IR 6"),
        "character-set",
    ),
}
WARNINGS_ONLY = {
    "jp2-boxes",
    "lossy-undeclared",
    "no-decoder",
    "constant-frame",
    "meta-disagrees",
    "malformed-uid",
    "missing-geometry",
    "orientation-senseless",
    "character-set",
}


@needs_shared
def test_rle_is_read_as_others_read_it_and_a_broken_run_is_named(tmp_path):
    from scraper.dicom import structure
    from scraper.verify.decoding import decode, describe

    for name in ("small-singles/MR_small_RLE.dcm", "sc-rgb/SC_rgb_rle_16bit.dcm", "sc-rgb/SC_rgb_rle.dcm"):
        ds = pydicom.dcmread(SHARED / name)
        frame = next(generate_frames(ds.PixelData, number_of_frames=1))
        assert np.array_equal(
            decode(frame, None, describe(ds)).squeeze(), ds.pixel_array.view(f"u{ds.BitsAllocated // 8}")
        )
        assert structure.part10((SHARED / name).read_bytes()).fault is None
    ds = pydicom.dcmread(SHARED / "small-singles/MR_small_RLE.dcm")
    ds.PixelData = encapsulate(
        [frame_[:64] + b"\x83" * (len(frame_) - 64) for frame_ in generate_frames(ds.PixelData, number_of_frames=1)]
    )
    assert of(written(ds), tmp_path) == {"does-not-decode": True}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_and_named(name, tmp_path):
    data, code = FAULTS[name]
    found = of(data, tmp_path)
    assert code in found
    expected_fatal = code not in WARNINGS_ONLY and name != "a lossy stream called lossless"
    assert found[code] is expected_fatal
    if not expected_fatal:
        assert not any(found.values())


def test_a_constant_rebuilt_picture_is_a_fault(tmp_path):
    data, code = FAULTS["a constant frame"]
    (tmp_path / "one.dcm").write_bytes(data)
    for origin, is_fault in ((Origin.REBUILT, True), (Origin.ORIGINAL, False)):
        found = check_series([check_instance(tmp_path / "one.dcm", origin)], 1)
        assert (code in {problem.code for problem in found if problem.fatal}) is is_fault


@needs_shared
@pytest.mark.parametrize("name", ["kos", "pr", "pdf", "sr"])
def test_objects_that_are_no_images_are_checked_for_what_they_are(name, tmp_path):
    damaged = {
        "kos": (SHARED / "synthetic-ko-pr-pdf", "1.2.840.10008.5.1.4.1.1.88.59", "ContentSequence"),
        "pr": (SHARED / "synthetic-ko-pr-pdf", "1.2.840.10008.5.1.4.1.1.11.1", "PresentationCreationDate"),
        "pdf": (SHARED / "synthetic-ko-pr-pdf", "1.2.840.10008.5.1.4.1.1.104.1", "EncapsulatedDocument"),
        "sr": (SHARED / "sr-seg", "1.2.840.10008.5.1.4.1.1.66.4", "SegmentSequence"),
    }
    folder, sop_class, keyword = damaged[name]
    path = next(p for p in sorted(folder.iterdir()) if pydicom.dcmread(p, force=True).get("SOPClassUID") == sop_class)
    assert of(path.read_bytes(), tmp_path) == {}
    ds = pydicom.dcmread(path)
    if name == "pdf":
        ds.EncapsulatedDocument = bytes(ds.EncapsulatedDocument)[: len(ds.EncapsulatedDocument) // 2]
    else:
        delattr(ds, keyword)
    assert of(written(ds), tmp_path) == {"object-incomplete": True}


# ---- planted faults: between instances


def changed(uid: str, **values: object) -> SyntheticStudy:
    return STUDY.with_data(uid, retagged(STUDY.by_uid[uid], **values))


OTHER = chest_ct(slices=3, size=64, seed=9)
UIDS = [item.sop_instance_uid for item in AXIAL.instances]
FIRST = [item.sop_instance_uid for item in STUDY.series[0].instances]
EXPECTED = {item.uid: len(item.instances) for item in STUDY.series}
SERIES_FAULTS = {
    "a slice lost, count known": (
        STUDY.without(UIDS[4]),
        EXPECTED,
        {"missing-instances": True, "missing-slices": True},
    ),
    "a slice lost, count unknown": (STUDY.without(UIDS[4]), {}, {"missing-slices": True}),
    "three lost in a row": (STUDY.without(*UIDS[3:6]), {}, {"missing-slices": True}),
    "the last lost, count known": (STUDY.without(UIDS[-1]), EXPECTED, {"missing-instances": True}),
    "a series lost": (STUDY.without(*FIRST), EXPECTED, {"missing-instances": True}),
    "a number changed": (changed(UIDS[4], InstanceNumber=300), {}, {}),
    "a slice moved": (changed(UIDS[4], ImagePositionPatient=[-180, -180, -121.5]), {}, {"uneven-spacing": False}),
    "a slice turned": (
        changed(UIDS[4], ImageOrientationPatient=[1, 0, 0, 0, 0, -1]),
        {},
        {"mixed-orientations": False, "uneven-spacing": False},
    ),
    "another patient": (changed(UIDS[4], PatientID="SOMEONE ELSE"), {}, {"several-patients": True}),
    "another study": (
        changed(UIDS[4], StudyInstanceUID="1.2.3.4"),
        {},
        {"several-studies": True, "series-across-studies": True},
    ),
    "another series": (
        changed(UIDS[4], SeriesInstanceUID=STUDY.series[2].uid),
        {},
        {"missing-slices": True, "mixed-orientations": False, "mixed-sizes": False, "mixed-spacings": False},
    ),
    "another size": (changed(UIDS[4], Rows=32, PixelData=SLICE.pixels[:32].tobytes()), {}, {"mixed-sizes": False}),
    "one UID, two contents": (
        changed(UIDS[4], SOPInstanceUID=UIDS[5]),
        {},
        {"conflicting-instances": True, "missing-slices": True},
    ),
}


@pytest.mark.parametrize("name", SERIES_FAULTS)
def test_a_planted_fault_between_instances_is_found(name, tmp_path):
    broken, expected, codes = SERIES_FAULTS[name]
    found = found_in(save(tmp_path, broken), expected, STUDY.study_instance_uid)
    found.pop("meta-disagrees", None)  # pydicom's copy of the UID in the file meta stays behind
    if name == "a number changed":
        assert not any(found.values())
    elif name == "a slice turned":
        assert {"mixed-orientations"} <= set(found)
    else:
        assert {code: found.get(code) for code in codes} == codes
        assert set(found) - set(codes) <= {"instance-number-gap", "missing-slices", "repeated-positions"}


def test_a_copy_is_told_and_harmless(tmp_path):
    folder = save(tmp_path, STUDY)
    shutil.copy(folder / "005.dcm", folder / "copy.dcm")
    assert found_in(folder, EXPECTED) == {"duplicate-instances": False}


def test_files_of_another_study_are_told_or_refused(tmp_path):
    folder = save(tmp_path, STUDY)
    (folder / "other.dcm").write_bytes(OTHER.images[0].data)
    assert found_in(folder) == {"several-studies": False}
    assert found_in(folder, uid=STUDY.study_instance_uid) == {"several-studies": True}


@needs_shared
@pytest.mark.parametrize("name", ["ct-enhanced", "mr-enhanced/IM-0001-0170-0001.dcm"])
def test_an_enhanced_image_that_describes_too_few_frames_is_found(name, tmp_path):
    path = SHARED / name
    path = next(path.iterdir()) if path.is_dir() else path
    assert not any(of(path.read_bytes(), tmp_path).values())
    ds = pydicom.dcmread(path)
    del ds.PerFrameFunctionalGroupsSequence[-1]
    assert of(written(ds), tmp_path)["frames-undescribed"]
    ds = pydicom.dcmread(path)
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // ds.NumberOfFrames * (ds.NumberOfFrames - 1)]
    assert of(written(ds), tmp_path)["frames-missing"]


@pytest.mark.parametrize("remaining", [(0, 1, 3), (0, 2, 3), (0, 1, 2, 4, 5), (0, 3, 4, 5)])
def test_a_gap_is_seen_in_the_smallest_stacks(remaining, tmp_path):
    for index in remaining:
        (tmp_path / f"{index}.dcm").write_bytes(AXIAL.instances[index].data)
    assert found_in(tmp_path) == {"missing-slices": True}


def test_two_slabs_that_are_numbered_through_are_only_told(tmp_path):
    for number, index in enumerate((0, 1, 2, 3, 7, 8, 9, 10), start=1):
        (tmp_path / f"{index}.dcm").write_bytes(retagged(AXIAL.instances[index], InstanceNumber=number))
    assert found_in(tmp_path) == {"uneven-spacing": False}


def stacked(depth: int, places: int) -> list[bytes]:
    """``depth`` echoes at each of ``places`` positions."""
    made = []
    for place in range(places):
        for echo in range(depth):
            base = AXIAL.instances[place]
            uid = f"{base.sop_instance_uid[:40]}.{place}.{echo}"
            made.append(
                retagged(base, SOPInstanceUID=uid, EchoNumbers=echo + 1, InstanceNumber=place * depth + echo + 1)
            )
    return made


def test_several_stacks_are_told_as_such(tmp_path):
    made = stacked(3, 8)
    for number, data in enumerate(made):
        (tmp_path / f"{number}.dcm").write_bytes(data)
    found = found_in(tmp_path)
    assert found == {"several-stacks": False}
    (tmp_path / "10.dcm").unlink()
    found = found_in(tmp_path)
    assert found["stack-incomplete"]


def test_one_lossy_image_among_originals_is_told(tmp_path):
    folder = save(tmp_path, STUDY)
    lossy = syntax_changed(LOSSY, "1.2.840.10008.1.2.4.91")
    ds = pydicom.dcmread(io.BytesIO(lossy))
    ds.LossyImageCompression, ds.SOPInstanceUID = "01", UIDS[2]
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.PatientID = (STUDY.study_instance_uid, AXIAL.uid, STUDY.patient_id)
    ds.ImagePositionPatient, ds.InstanceNumber = AXIAL.instances[2].tags.ImagePositionPatient, 3
    ds.FrameOfReferenceUID = AXIAL.instances[2].tags.FrameOfReferenceUID
    next(path for path in folder.iterdir() if path.read_bytes() == AXIAL.instances[2].data).write_bytes(written(ds))
    assert found_in(folder) == {"mixed-compression": False}


@needs_shared
def test_an_image_that_a_key_object_is_about_is_missed(tmp_path):
    for path in (SHARED / "synthetic-ko-pr-pdf").iterdir():
        shutil.copy(path, tmp_path)
    assert found_in(tmp_path) == {}
    image = next(path for path in tmp_path.iterdir() if pydicom.dcmread(path).Modality == "CT")
    image.unlink()
    assert found_in(tmp_path) == {"references-absent": False}


@needs_shared
def test_a_tilted_gantry_is_no_gap_and_a_lost_tilted_slice_is_one(tmp_path):
    checked = check_all(SHARED / "ct-philips-study" / "S3010")
    assert [problem.code for problem in check_series(checked, len(checked))] == []
    ordered = sorted(checked, key=lambda item: item.header.position[2])
    assert "missing-slices" in {problem.code for problem in check_series([*ordered[:20], *ordered[21:]], None)}


# ---- any folder, any zip, any bytes


async def test_a_folder_and_its_zip_say_the_same(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    save(folder, STUDY.without(UIDS[4]))
    (folder / "report.pdf").write_bytes(b"%PDF-1.7\n%%EOF")
    (folder / "study.json").write_text("{}")
    packed = tmp_path / "study.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"../../{path.name}")
    entry, two = (await check_folder(folder, EXPECTED, processes=2), await check_folder(packed, EXPECTED, processes=2))
    assert entry.left_out == {Reason.PDF: 1}
    assert [item.sha256 for item in entry.checked] == [item.sha256 for item in two.checked][: len(entry.checked)]
    assert [problem.code for problem in entry.problems] == [problem.code for problem in two.problems]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study", "study.zip"]


async def test_what_is_neither_folder_nor_zip_is_refused(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(UnreadableFile):
        await check_folder(tmp_path / "x.zip")


def _waiting(pid: int) -> bool:
    """Are there bytes in the process's standard input that it has not read yet."""
    import fcntl
    import termios

    with open(f"/proc/{pid}/fd/0", "rb", buffering=0) as pipe:  # noqa: PTH123  # no path of a file
        count = bytearray(4)
        fcntl.ioctl(pipe, termios.FIONREAD, count)
    return any(count)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into the process through /proc")
@pytest.mark.usefixtures("started_children")
async def test_a_worker_that_dies_or_hangs_is_a_problem_and_no_end(tmp_path):
    def workers() -> set[psutil.Process]:
        found = set()
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):  # of an earlier test, and just gone
                found |= {child} if "scraper.verify" in " ".join(child.cmdline()) else set()
        return found - remaining

    remaining: set[psutil.Process] = set()
    remaining = workers()  # what the other tests fork from
    good = tmp_path / "good.dcm"
    good.write_bytes(SLICE.data)
    os.mkfifo(tmp_path / "hangs.dcm")
    async with Inspector(1, timeout_s=20) as inspector:
        assert (await inspector.inspect(good, Origin.ORIGINAL)).problems == ()
        (worker,) = workers()
        worker.suspend()
        checking = asyncio.create_task(inspector.inspect(good, Origin.ORIGINAL))
        while not _waiting(worker.pid):  # noqa: ASYNC110 - until the question is in its pipe; nothing here can wake us
            await asyncio.sleep(0)
        worker.kill()
        assert [problem.code for problem in (await checking).problems] == ["check-crashed"]
        assert (await inspector.inspect(good, Origin.ORIGINAL)).problems == ()
        assert await inspector.apart(os._exit, 3) is None
        assert await inspector.apart(os.path.basename, "a/b") == "b"
    async with Inspector(1, timeout_s=0.5) as inspector:
        late = await inspector.inspect(tmp_path / "hangs.dcm", Origin.ORIGINAL)
        assert [problem.code for problem in late.problems] == ["check-timed-out"]
        assert unreadable(late).code == "not-checked-in-time"  # and no object that is none
        assert await inspector.apart(time.sleep, 60) is None
    assert not workers()


def nested(depth: int, *, defined: bool) -> bytes:
    meta = SLICE.data[: SLICE.data.index(b"\x08\x00\x05\x00")]
    if not defined:
        return meta + b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * depth
    inner = b""
    for _ in range(depth):
        inner = (
            b"\x08\x00\x15\x11SQ\x00\x00"
            + struct.pack("<I", len(inner) + 8)
            + b"\xfe\xff\x00\xe0"
            + struct.pack("<I", len(inner))
            + inner
        )
    return meta + inner


@pytest.mark.parametrize("defined", [True, False])
def test_deep_nesting_is_named(defined, tmp_path):
    assert of(nested(3000, defined=defined), tmp_path) == {"unreadable": True}


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Truncated, bits flipped, blocks zeroed, doubled or swapped, lengths made absurd."""
    broken = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(broken))
        match rng.randrange(6):
            case 0:
                del broken[max(200, at) :]
            case 1:
                broken[at] ^= 1 << rng.randrange(8)
            case 2:
                broken[at : at + rng.randrange(64)] = bytes(rng.randrange(64))
            case 3:
                broken[at:at] = broken[at : at + rng.randrange(256)]
            case 4:
                broken[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0"])
            case _:
                early = rng.randrange(128, min(1500, len(broken)))
                broken[early] = rng.randrange(256)
    return bytes(broken)


async def test_mutations_crash_nothing_and_hang_nothing(tmp_path):
    """2,000 of them with CLOUDFILM_MUTATIONS=2000; the seed is fixed."""
    rng = random.Random(20261123)  # noqa: S311 - seeded on purpose
    sources = [
        chest_ct(slices=2, size=64, syntax=syntax).images[2].data for syntax in (NATIVE, IMPLICIT, JPEG_2000, JPEG_LS)
    ]
    sources.append(STUDY.series[-1].instances[0].data)
    if SHARED.is_dir():
        more = (
            "mr-enhanced/emri_small_jpeg_ls_lossless.dcm",
            "small-singles/MR_small_RLE.dcm",
            "small-singles/JPGExtended.dcm",
            "sr-seg/reportsi.dcm",
        )
        sources += [(SHARED / name).read_bytes() for name in more]
    async with Inspector(2, timeout_s=30) as inspector:
        free = asyncio.Semaphore(4)

        async def item(number: int, data: bytes) -> Checked:
            async with free:
                path = tmp_path / f"{number}.dcm"
                path.write_bytes(data)
                checked = await inspector.inspect(path, Origin.ORIGINAL)
                path.unlink()
                return checked

        tasks = [item(number, mutated(rng.choice(sources), rng)) for number in range(MUTATIONS)]
        results = await asyncio.gather(*tasks)
    assert len(results) == MUTATIONS
    codes = [problem.code for checked in results for problem in checked.problems]
    assert "check-timed-out" not in codes
    assert codes.count("check-crashed") <= MUTATIONS // 100
    assert {"truncated", "unreadable"} <= set(codes)
    problems = check_study(results, {})
    assert all(f"problem.{problem.code}" in catalogue() for problem in problems)
