"""What images say of their own number and kind: parts, phases, tiles, vectors, tables, names; and unusual ones that are sound."""

import io
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from fixtures.dicom import chest_ct, retagged
from scraper.core.model import Origin
from scraper.dicom import charset
from scraper.dicom.frames import decoded
from scraper.verify import find
from scraper.verify.instance import Checked, check_instance
from scraper.verify.series import check_study

AXIAL = chest_ct(slices=12, size=32, localizers=0, dose_report=False).series[0]
SLICE = AXIAL.instances[3]
ROOT = "1.2.840.10008.5.1.4.1.1."
PET, ENHANCED, SLIDE, NUCLEAR, DOSE = (ROOT + tail for tail in ("128", "2.1", "77.1.6", "20", "481.2"))
PIXELS = np.arange(1024, dtype="<u2").reshape(32, 32)


def written(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    out = io.BytesIO()
    if syntax != ExplicitVRLittleEndian:
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(out, enforce_file_format=False)
    return out.getvalue()


def image(sop_class: str, frames: int = 1, **values: object) -> Dataset:
    """An image of so many frames, of any kind."""
    ds = pydicom.dcmread(io.BytesIO(SLICE.data))
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.NumberOfFrames = frames
    ds.PixelData = b"".join((PIXELS + frame).tobytes() for frame in range(frames))
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def checked(folder: Path, *files: bytes, origin: Origin = Origin.ORIGINAL) -> list[Checked]:
    found = []
    for number, data in enumerate(files):
        path = folder / f"{number}.dcm"
        path.write_bytes(data)
        found.append(check_instance(path, origin))
    return found


def codes(folder: Path, *files: bytes, origin: Origin = Origin.ORIGINAL) -> dict[str, bool]:
    """Code → whether it is fatal, of the files and of what they make together."""
    found = checked(folder, *files, origin=origin)
    problems = [*check_study(found, {}), *(problem for item in found for problem in item.problems)]
    return {problem.code: problem.fatal for problem in problems}


def item(**values: object) -> list[Dataset]:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return [ds]


def slide(tiles: int, constant: int = -1) -> bytes:
    ds = image(
        SLIDE, tiles, DimensionOrganizationType="TILED_FULL", TotalPixelMatrixColumns=96, TotalPixelMatrixRows=70
    )
    if constant >= 0:
        ds.PixelData = ds.PixelData[: 2048 * constant] + bytes(2048) + ds.PixelData[2048 * (constant + 1) :]
    return written(ds)


def in_fragments(offsets: list[int]) -> bytes:
    """A film of three frames in two fragments each, under an offset table with these values."""
    simplejpeg = pytest.importorskip("simplejpeg")
    frames = [
        simplejpeg.encode_jpeg((PIXELS[..., None] % 200 + frame).astype(np.uint8), colorspace="GRAY")
        for frame in range(3)
    ]
    raw = bytearray(encapsulate(frames, fragments_per_frame=2))
    struct.pack_into("<3I", raw, 8, *(offsets or struct.unpack_from("<3I", raw, 8)))
    ds = image(ROOT + "3.1", 3, BitsAllocated=8, BitsStored=8, HighBit=7, LossyImageCompression="01")
    ds.PixelData = bytes(raw)
    return written(ds, JPEGBaseline8Bit)


def unknown_sequence() -> bytes:
    """A private UN of undefined length whose item is in Explicit VR, against PS3.5 6.2.2."""
    inside = b"\x08\x00\x50\x00SH\x02\x00AB" + b"\x08\x00\x60\x00CS\x02\x00CT"
    creator = b"\x09\x00\x10\x00LO\x04\x00ACME"
    element = b"\x09\x00\x01\x10UN\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0" + struct.pack("<I", len(inside)) + inside
    at = SLICE.data.index(b"\x10\x00\x10\x00PN")
    return SLICE.data[:at] + creator + element + b"\xfe\xff\xdd\xe0\0\0\0\0" + SLICE.data[at:]


VECTOR = {"FrameIncrementPointer": 0x00540010, "EnergyWindowVector": [1, 1, 2]}
SINGLE = {
    "a slide with every tile": (slide(9), {}),
    "a slide without its last tile": (slide(8), {"frames-missing": True}),
    "a slide with a blank tile in its middle": (slide(9, constant=4), {"constant-frame": False}),
    "an energy window for each frame": (written(image(NUCLEAR, 3, **VECTOR)), {}),
    "an energy window too few": (written(image(NUCLEAR, 4, **VECTOR)), {"frames-undescribed": False}),
    "a dose grid with fewer offsets": (
        written(image(DOSE, 4, GridFrameOffsetVector=["0", "3"])),
        {"frames-undescribed": False},
    ),
    "a palette without a table": (
        written(image(ROOT + "7", PhotometricInterpretation="PALETTE COLOR")),
        {"object-incomplete": True},
    ),
    "no pixel spacing at all": (retagged(SLICE, PixelSpacing=["0", "0"]), {"missing-geometry": False}),
    "an enhanced image without functional groups": (written(image(ENHANCED, 3)), {"missing-geometry": False}),
    "a grey image that is called RGB": (retagged(SLICE, PhotometricInterpretation="RGB"), {"pixels-unclear": False}),
    "an image without a sign": (retagged(SLICE, PixelRepresentation=None), {"pixels-unclear": False}),
    "Number of Frames 0": (retagged(SLICE, NumberOfFrames=0), {}),
    "an unknown sequence in Explicit VR": (unknown_sequence(), {}),
    "a right offset table": (in_fragments([]), {}),
    "a wrong offset table": (in_fragments([0, 100, 200]), {"offset-table-wrong": False}),
    "eight bits of a CT": (
        written(image(ROOT + "2", BitsStored=8, HighBit=7, BitsAllocated=8, PixelData=bytes(range(256)) * 4)),
        {"few-grey-levels": False},
    ),
}


@pytest.mark.parametrize("name", SINGLE)
def test_an_image_is_judged_by_what_its_kind_says(name, tmp_path):
    data, expected = SINGLE[name]
    assert codes(tmp_path, data) == expected


def part(number: int, total: int | None = 3) -> bytes:
    uid = f"{SLICE.sop_instance_uid[:50]}.{number}"
    more = {} if total is None else {"InConcatenationTotalNumber": total}
    groups = [
        item(PlanePositionSequence=item(ImagePositionPatient=["0", "0", str(place)]))[0]
        for place in range(2 * number, 2 * number + 2)
    ]
    shared = item(
        PlaneOrientationSequence=item(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"]),
        PixelMeasuresSequence=item(PixelSpacing=["1", "1"]),
    )
    ds = image(ENHANCED, 2, SOPInstanceUID=uid, ConcatenationUID="1.2.3.9", InConcatenationNumber=number, **more)
    ds.file_meta.MediaStorageSOPInstanceUID = uid
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = shared, groups
    return written(ds)


def test_a_part_of_a_concatenation_is_missed(tmp_path):
    assert codes(tmp_path, part(1), part(2), part(3)) == {}
    assert codes(tmp_path, part(1), part(2)) == {"concatenation-incomplete": True}
    assert codes(tmp_path, part(1, None), part(3, None)) == {"concatenation-incomplete": True}


def series(count: int, **values: object) -> list[bytes]:
    """So many slices of the study; a value that is a function is called with the slice's index."""
    made = []
    for index in range(count):
        own = {keyword: value(index) if callable(value) else value for keyword, value in values.items()}
        made.append(retagged(AXIAL.instances[index % 12], InstanceNumber=index + 1, **own))
    return made


def without(files: list[bytes], *indices: int) -> list[bytes]:
    return [data for index, data in enumerate(files) if index not in indices]


def test_the_last_slices_of_a_pet_series_are_missed(tmp_path):
    kind = {"SOPClassUID": PET, "NumberOfSlices": 12, "SeriesType": ["WHOLE BODY", "IMAGE"]}
    files = [written(pydicom.dcmread(io.BytesIO(data))) for data in series(12, **kind)]
    assert "missing-instances" not in codes(tmp_path, *files)
    assert codes(tmp_path, *files[:10])["missing-instances"]


def test_one_plane_of_a_radial_stack_is_missed(tmp_path):
    def plane(index: int) -> list[str]:
        angle = np.pi * index / 12
        return [f"{value:.6f}" for value in (np.cos(angle), np.sin(angle), 0, 0, 0, -1)]

    files = series(12, ImageOrientationPatient=plane)
    assert codes(tmp_path, *files) == {}
    assert codes(tmp_path, *without(files, 5))["instance-number-gap"] is True


def test_a_plane_within_a_localizer_is_missed(tmp_path):
    planes = (["1", "0", "0", "0", "1", "0"], ["1", "0", "0", "0", "0", "-1"], ["0", "1", "0", "0", "0", "-1"])
    files = series(
        12,
        ImageOrientationPatient=lambda index: planes[index // 4],
        ImagePositionPatient=lambda index: [str(index % 4 * 20)] * 3,
    )
    assert codes(tmp_path, *files) == {}
    assert codes(tmp_path, *without(files, 6))["missing-slices"]


def test_the_last_image_of_the_last_phase_is_missed(tmp_path):
    def there(index: int) -> list[str]:
        return ["0", "0", str(index % 6 * 5)]

    def uid(index: int) -> str:
        return f"{SLICE.sop_instance_uid[:50]}.{index}"

    files = series(18, ImagePositionPatient=there, SOPInstanceUID=uid)
    assert "stack-incomplete" not in codes(tmp_path, *files)
    assert codes(tmp_path, *files[:17])["stack-incomplete"] is True
    two = series(18, ImagePositionPatient=there, SOPInstanceUID=uid, AcquisitionNumber=lambda index: index // 6)
    assert codes(tmp_path, *two[:17])["stack-incomplete"] is False, "the last of three acquisitions is shorter"
    assert codes(tmp_path, *files[:15])["stack-incomplete"] is False, "an acquisition that was broken off"


def test_another_name_within_a_series_is_another_patient_where_no_id_says_otherwise(tmp_path):
    def named(name: str, patient_id: str) -> list[bytes]:
        changed = {"PatientName": lambda index: name if index == 5 else "王^芳"}
        return series(12, **changed, PatientID=lambda index: patient_id if index == 5 else "P1")

    assert "several-names" not in codes(tmp_path, *named("Wang^Fang=王 芳", ""))
    assert codes(tmp_path, *named("李^四", ""))["several-names"] is True
    assert codes(tmp_path, *named("李^四", "P1"))["several-names"] is False
    assert codes(tmp_path, *named("Wang^Fang", ""))["several-names"] is False, "perhaps a transcription"


def test_a_slice_aside_of_the_others_is_told(tmp_path):
    files = series(12)
    assert codes(tmp_path, *files) == {}
    ds = pydicom.dcmread(io.BytesIO(files[6]))
    files[6] = retagged(AXIAL.instances[6], InstanceNumber=7, ImagePositionPatient=["40", *ds.ImagePositionPatient[1:]])
    assert codes(tmp_path, *files) == {"shifted-slices": False}


def test_one_picture_at_two_places_is_told(tmp_path):
    files = series(12)
    ds = pydicom.dcmread(io.BytesIO(files[6]))
    files[7] = retagged(AXIAL.instances[7], InstanceNumber=8, PixelData=ds.PixelData)
    assert codes(tmp_path, *files) == {"same-pixels": False}


def test_a_black_frame_of_a_film_was_lost_only_where_we_made_the_file(tmp_path):
    ds = image(NUCLEAR, 5)
    ds.PixelData = ds.PixelData[:4096] + bytes(2048) + ds.PixelData[6144:]
    assert codes(tmp_path, written(ds)) == {"constant-frame": False}
    assert codes(tmp_path, written(ds), origin=Origin.REBUILT)["constant-frame-between"]


@pytest.mark.parametrize(
    "declared, raw, real",
    [
        (["", "ISO 2022 IR 58"], "张三丰".encode("gbk"), "GB18030"),
        (["ISO 2022 IR 6", "ISO 2022 IR 58"], "张三丰".encode(), "ISO_IR 192"),
        (["ISO 2022 IR 58"], "张三丰".encode("gbk"), "GB18030"),
        (["ISO 2022 IR 100", "ISO 2022 IR 58"], "张三丰".encode("gbk"), "GB18030"),
        (["ISO 2022 IR 100", "ISO 2022 IR 58"], "Müller".encode("latin-1"), ""),
        (["", "ISO 2022 IR 149"], "김희중".encode("euc-kr"), ""),
        (["", "ISO 2022 IR 58"], b"\x1b$)A" + "张三".encode("gb2312"), ""),
    ],
)
def test_text_without_escapes_under_a_set_that_has_them(declared, raw, real):
    assert charset.suspect([raw], declared) == real
    if real:
        assert charset.decode(raw, declared, real) == "张三丰"


def test_a_file_that_bears_an_instance_s_name_and_is_nothing_was_to_be_one(tmp_path):
    names = {"IM1": b"", "IM0002": bytes(5000), "1.2.840.113619.2.55.3": b"<html></html>", "VERSION": b"", "7": b"{}"}
    for name, data in names.items():
        (tmp_path / name).write_bytes(data)
    assert {candidate.name for candidate in find(tmp_path) if not candidate.left_out} == {
        "IM1",
        "IM0002",
        "1.2.840.113619.2.55.3",
    }


def test_native_frames_with_shared_chroma_are_each_their_own():
    values = np.random.default_rng(3).integers(0, 255, 3 * 32 * 32 * 2, np.uint8)
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422", "PlanarConfiguration": 0}
    ds = image(ROOT + "3.1", 3, BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=values.tobytes(), **colour)
    frames = [frame[..., 0] for frame in decoded(pydicom.dcmread(io.BytesIO(written(ds))))]
    single = [pydicom.dcmread(io.BytesIO(written(one))) for one in apart(ds, values)]
    assert len(frames) == 3
    assert all(np.array_equal(frame, next(decoded(one))[..., 0]) for frame, one in zip(frames, single, strict=True))


def apart(ds: Dataset, values: np.ndarray) -> list[Dataset]:
    """Each frame as an image of its own."""
    made = []
    for frame in values.reshape(3, -1):
        one = pydicom.dcmread(io.BytesIO(written(ds)))
        one.NumberOfFrames, one.PixelData = 1, frame.tobytes()
        made.append(one)
    return made
