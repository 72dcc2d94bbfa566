"""Payloads become Part 10 files, or are named for what they are."""

import gzip
import hashlib
import io
import random
from dataclasses import replace
from pathlib import Path

import jpeg_ls
import numpy as np
import openjpeg
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import generate_frames

from fixtures.dicom import IMPLICIT, JPEG_2000, NATIVE, chest_ct, truncated
from scraper.core.errors import CorruptInstance
from scraper.core.model import Header, PixelParts
from scraper.core.reasons import Reason
from scraper.dicom import check_frame, codecs, ensure_part10, header, normalise, order, rebuild
from scraper.testing import first_of

SHARED = Path(__file__).parents[2] / "shared" / "dicom"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/dicom next to the repository")
STUDY = chest_ct(slices=6, size=64, localizers=0, dose_report=True)
SLICE = STUDY.images[2]


def tags_of(data: bytes) -> dict:
    """What a site that speaks DICOM JSON would say of an instance."""
    tags = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True).to_json_dict()
    return {tag: value for tag, value in tags.items() if tag != "7FE00010"}


def as_text(data: bytes) -> dict:
    """What a site says that knows no VR: text, several values joined by a backslash, no sequences."""
    ds = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    listed = [e for e in (*ds.file_meta, *ds) if e.VR not in {"SQ", "OB"}]
    return {f"{e.tag:08X}": "\\".join(map(str, e.value)) if e.VM > 1 else str(e.value) for e in listed}


def read(data: bytes) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(data))


def j2k(pixels: np.ndarray, **options: object) -> bytes:
    return bytes(openjpeg.encode(pixels, **{"photometric_interpretation": 2, **options}))


def boxed(stream: bytes) -> bytes:
    front = b"\x00\x00\x00\x0cjP  \r\n\x87\n" + b"\x00\x00\x00\x14ftypjp2 \x00\x00\x00\x00jp2 "
    return front + (len(stream) + 8).to_bytes(4, "big") + b"jp2c" + stream


# ---- normalise


def test_a_part10_file_stays_byte_for_byte(tmp_path):
    path = tmp_path / "one.dcm"
    path.write_bytes(SLICE.data)
    found = normalise(path)
    assert path.read_bytes() == SLICE.data
    assert (found.sop_instance_uid, found.modality, found.patient_name) == (SLICE.sop_instance_uid, "CT", "测试^甲")
    assert (found.rows, found.columns, found.instance_number) == (64, 64, 3)
    assert found == header(path)


@pytest.mark.parametrize("syntax", [NATIVE, IMPLICIT, JPEG_2000])
def test_a_bare_data_set_gets_its_file_meta(tmp_path, syntax):
    original = chest_ct(slices=2, size=64, localizers=0, dose_report=False, syntax=syntax).images[0]
    whole = read(original.data)
    body = original.data[132 + 12 + whole.file_meta.FileMetaInformationGroupLength :]
    path = tmp_path / "bare"
    path.write_bytes(body)
    assert normalise(path).transfer_syntax_uid == syntax
    assert path.read_bytes().endswith(body)
    assert np.array_equal(pydicom.dcmread(path).pixel_array, whole.pixel_array)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("lost", [128, 132])
def test_a_lost_preamble_is_put_back(tmp_path, lost):
    path = tmp_path / "one"
    path.write_bytes(SLICE.data[lost:])
    normalise(path)
    assert path.read_bytes()[128:] == SLICE.data[128:]


@pytest.mark.parametrize(
    "data, what",
    [
        (b"", Reason.EMPTY),
        (b"<!doctype html><title>login</title>", Reason.HTML_PAGE),
        (b'{"code": 401}', "JSON"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"\0" * 90, Reason.JPEG),
        (SLICE.data[:2000], Reason.DICOM_CUT_OFF),
        (truncated(SLICE), Reason.DICOM_CUT_OFF),
        (SLICE.data[:150], Reason.DICOM_CUT_OFF),
        (b"\x00" * 400, Reason.UNKNOWN_KIND),
    ],
)
@pytest.mark.parametrize("look", [normalise, ensure_part10])
def test_what_is_no_instance_is_named(tmp_path, look, data, what):
    path = tmp_path / "one"
    path.write_bytes(data)
    with pytest.raises(CorruptInstance) as caught:
        look(path)
    assert caught.value.values["what"] == what
    assert path.read_bytes() == data


def test_admitted_and_settled_are_the_same_bytes(tmp_path):
    normalised, ensured = tmp_path / "normalised", tmp_path / "ensured"
    for path in (normalised, ensured):
        path.write_bytes(SLICE.data[128:])
    normalise(normalised)
    ensure_part10(ensured)
    assert ensured.read_bytes() == normalised.read_bytes()
    assert header(ensured).sop_instance_uid == SLICE.sop_instance_uid


def test_a_file_cut_in_its_pixels_still_has_a_header(tmp_path):
    path = tmp_path / "one"
    path.write_bytes(truncated(SLICE, 0.9))
    assert header(path).sop_instance_uid == SLICE.sop_instance_uid


def nested(depth: int) -> bytes:
    item = b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    meta = SLICE.data[: 132 + 12 + read(SLICE.data).file_meta.FileMetaInformationGroupLength]
    return meta + item * depth


@pytest.mark.parametrize("depth", [60, 5_000, 200_000])
def test_deep_nesting_is_refused_without_recursion(tmp_path, depth):
    path = tmp_path / "deep"
    path.write_bytes(nested(depth))
    for look in (normalise, ensure_part10, header):
        with pytest.raises(CorruptInstance) as caught:
            look(path)
        assert caught.value.values["what"] == Reason.DICOM_NESTED_TOO_DEEP


@needs_shared
@pytest.mark.parametrize(
    "name, patient",
    [
        ("gb18030.dcm", "Wang^XiaoDong=王^小东"),
        ("gbk.dcm", "Wang^XiaoDong=王^小东"),
        ("utf8.dcm", "Wang^XiaoDong=王^小东"),
        ("gb18030_4byte.dcm", "Zhang^San=张^𠮷"),
        ("iso2022_gb2312.dcm", None),
        ("declared_gb18030_utf8_bytes.dcm", None),
        ("declared_latin1_gbk_bytes.dcm", None),
        ("undeclared_gbk_bytes.dcm", None),
    ],
)
def test_chinese_names_are_read_whatever_is_declared(name, patient):
    found = header(SHARED / "synthetic-charset" / name)
    assert found.patient_name == (patient or found.patient_name)
    assert any("\u4e00" <= sign <= "\u9fff" for sign in found.patient_name)
    assert "\x1b" not in found.patient_name
    assert "\ufffd" not in found.patient_name + found.study_description


# ---- rebuild: pixels


@pytest.mark.parametrize("tagged", [tags_of, as_text], ids=["json", "text"])
def test_raw_pixels_are_kept_exactly(tagged):
    rebuilt = rebuild(PixelParts(tagged(SLICE.data), (SLICE.pixels.tobytes(),)))
    ds = read(rebuilt.data)
    assert rebuilt.problems == ()
    assert ds.SOPInstanceUID == SLICE.sop_instance_uid
    assert ds.file_meta.TransferSyntaxUID == NATIVE
    assert np.array_equal(ds.pixel_array, SLICE.pixels)
    was = read(SLICE.data)
    for keyword in (
        "ImagePositionPatient",
        "PixelSpacing",
        "RescaleIntercept",
        "BitsStored",
        "HighBit",
        "PatientName",
        "ImageType",
    ):
        assert ds[keyword].value == was[keyword].value
        assert ds[keyword].VR == was[keyword].VR


@pytest.mark.parametrize("tagged", [tags_of, as_text], ids=["json", "text"])
@pytest.mark.parametrize("wrap", [bytes, boxed, gzip.compress], ids=["codestream", "JP2", "gzip"])
def test_a_lossless_codestream_goes_in_without_boxes(wrap, tagged):
    stream = j2k(SLICE.pixels, bits_stored=12)
    rebuilt = rebuild(PixelParts(tagged(SLICE.data), (wrap(stream),)))
    ds = read(rebuilt.data)
    frame = next(generate_frames(ds.PixelData, number_of_frames=1))
    assert frame.startswith(b"\xff\x4f\xff\x51")
    assert frame.rstrip(b"\0") == stream.rstrip(b"\0")
    assert ds.file_meta.TransferSyntaxUID == JPEG_2000
    assert ds.SOPInstanceUID == SLICE.sop_instance_uid
    assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit) == (16, 12, 11)
    assert np.array_equal(ds.pixel_array, SLICE.pixels)
    assert "LossyImageCompression" not in ds
    assert rebuilt.problems == ()


def test_signed_pixels_in_an_unsigned_stream_keep_their_sign():
    signed = chest_ct(slices=2, size=64, localizers=0, dose_report=False, signed=True).images[0]
    rebuilt = rebuild(PixelParts(tags_of(signed.data), (j2k(signed.pixels.view(np.uint16), bits_stored=16),)))
    ds = read(rebuilt.data)
    assert ds.PixelRepresentation == 1
    assert [problem.code for problem in rebuilt.problems] == ["sign-disagrees"]
    assert not any(problem.fatal for problem in rebuilt.problems)


def test_jpeg_ls_and_png_of_16_bits():
    by_jls = read(rebuild(PixelParts(tags_of(SLICE.data), (bytes(jpeg_ls.encode_array(SLICE.pixels)),))).data)
    assert by_jls.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.80"
    assert np.array_equal(by_jls.pixel_array, SLICE.pixels)
    out = io.BytesIO()
    Image.fromarray(SLICE.pixels).save(out, "PNG")
    by_png = read(rebuild(PixelParts(tags_of(SLICE.data), (out.getvalue(),))).data)
    assert by_png.file_meta.TransferSyntaxUID == NATIVE
    assert np.array_equal(by_png.pixel_array, SLICE.pixels)


def test_lossy_pixels_where_the_site_claims_originals_make_a_derived_image():
    stream = j2k(SLICE.pixels, compression_ratios=[6])
    first, second = (rebuild(PixelParts(tags_of(SLICE.data), (stream,))) for _ in range(2))
    ds = read(first.data)
    assert first == second
    assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.91"
    assert ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID != SLICE.sop_instance_uid
    assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == SLICE.sop_instance_uid
    assert ds.ImageType[0] == "DERIVED"
    assert (ds.LossyImageCompression, ds.LossyImageCompressionMethod) == ("01", "ISO_15444_1")
    assert [(problem.code, problem.fatal) for problem in first.problems] == [("lossy-not-original", True)]


def test_one_image_type_is_a_word_and_not_its_letters():
    tags = {**tags_of(SLICE.data), "00080008": "ORIGINAL"}
    ds = read(rebuild(PixelParts(tags, (j2k(SLICE.pixels, compression_ratios=[6]),))).data)
    assert ds.ImageType == "DERIVED"


def test_lossy_pixels_that_the_site_calls_lossy_keep_their_uid():
    tags = {**tags_of(SLICE.data), "LossyImageCompression": "01"}
    rebuilt = rebuild(PixelParts(tags, (j2k(SLICE.pixels, compression_ratios=[6]),)))
    assert read(rebuilt.data).SOPInstanceUID == SLICE.sop_instance_uid
    assert rebuilt.problems == ()


COLOUR = np.random.default_rng(3).integers(0, 255, (40, 50, 3)).astype(np.uint8)
COLOUR[:, :, 1] = np.arange(50)
COLOUR_TAGS = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
    "SOPInstanceUID": "1.2.3.4",
    "StudyInstanceUID": "1.2.3",
    "SeriesInstanceUID": "1.2.3.1",
    "Modality": "OT",
    "Rows": 40,
    "Columns": "50",
    "SamplesPerPixel": 3,
    "BitsAllocated": 8,
    "BitsStored": 8,
    "PhotometricInterpretation": "RGB",
    "PixelRepresentation": 0,
}


@pytest.mark.parametrize("planar", [0, 1])
def test_raw_colour_by_pixel_and_by_plane(planar):
    raw = COLOUR.tobytes() if not planar else np.ascontiguousarray(COLOUR.transpose(2, 0, 1)).tobytes()
    ds = read(rebuild(PixelParts({**COLOUR_TAGS, "PlanarConfiguration": planar}, (raw,))).data)
    assert np.array_equal(ds.pixel_array, COLOUR)


@pytest.mark.parametrize("mct, photometric", [(True, "YBR_RCT"), (False, "RGB")])
def test_colour_codestreams_are_called_by_their_transform(mct, photometric):
    stream = bytes(openjpeg.encode(COLOUR, photometric_interpretation=1, use_mct=mct))
    ds = read(rebuild(PixelParts({**COLOUR_TAGS, "PhotometricInterpretation": "YBR_FULL_422"}, (stream,))).data)
    assert ds.PhotometricInterpretation == photometric
    assert np.array_equal(ds.pixel_array, COLOUR)


@pytest.mark.parametrize("joined", [True, False])
def test_multi_frame_pixels_in_one_piece_or_in_several(joined):
    frames = [instance.pixels.tobytes() for instance in STUDY.images[:3]]
    tags = {**tags_of(SLICE.data), "NumberOfFrames": "3"}
    ds = read(rebuild(PixelParts(tags, (b"".join(frames),) if joined else tuple(frames))).data)
    assert np.array_equal(ds.pixel_array, np.stack([instance.pixels for instance in STUDY.images[:3]]))


def test_multi_frame_codestreams_have_an_offset_table():
    frames = tuple(j2k(instance.pixels) for instance in STUDY.images[:3])
    ds = read(rebuild(PixelParts({**tags_of(SLICE.data), "NumberOfFrames": 3}, frames)).data)
    assert len(pydicom.encaps.parse_basic_offsets(ds.PixelData)) == 3
    assert np.array_equal(ds.pixel_array, np.stack([instance.pixels for instance in STUDY.images[:3]]))


def halved() -> np.ndarray:
    return np.ascontiguousarray(SLICE.pixels[::2, ::2])


@pytest.mark.parametrize(
    "name, frames",
    [
        ("no pixels", ()),
        ("one too many", (SLICE.pixels.tobytes(), SLICE.pixels.tobytes())),
        ("empty", (b"",)),
        ("an error page", (b"<html>session expired</html>" + b" " * 9000,)),
        ("JSON", (b'{"code": 500}',)),
        ("a reduced level", (halved().tobytes(),)),
        ("a reduced codestream", (j2k(halved()),)),
        ("cut short", (SLICE.pixels.tobytes()[:-3],)),
        ("a cut codestream", (j2k(SLICE.pixels)[:-200],)),
        ("another image behind it", (SLICE.pixels.tobytes() + STUDY.images[0].pixels.tobytes(),)),
        ("a constant block", (np.full((64, 64), 24, np.uint16).tobytes(),)),
        ("a screen picture", (j2k((SLICE.pixels >> 4).astype(np.uint8)),)),
        ("colour", (bytes(openjpeg.encode(COLOUR, photometric_interpretation=1)),)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_pixels_that_are_not_the_instance_s_are_refused(name, frames):
    with pytest.raises(CorruptInstance) as caught:
        rebuild(PixelParts(tags_of(SLICE.data), frames))
    assert caught.value.values["what"]


def test_the_tiny_constant_picture_is_asked_again():
    tags = {"Rows": "512", "Columns": "512", "BitsAllocated": "16", "BitsStored": "12", "SamplesPerPixel": "1"}
    with pytest.raises(CorruptInstance) as caught:
        check_frame(tags, boxed(j2k(np.full((512, 512), 7, np.uint16), bits_stored=12)))
    assert caught.value.values["what"] == Reason.CONSTANT_PICTURE
    check_frame(tags, j2k(np.random.default_rng(1).integers(0, 4096, (512, 512)).astype(np.uint16)))


def test_padding_behind_raw_pixels_is_cut_and_said():
    rebuilt = rebuild(PixelParts(tags_of(SLICE.data), (SLICE.pixels.tobytes() + b"\0" * 40,)))
    assert [problem.code for problem in rebuilt.problems] == ["padding-cut"]
    assert np.array_equal(read(rebuilt.data).pixel_array, SLICE.pixels)


# ---- rebuild: tags


def build(**changed: object) -> tuple[pydicom.FileDataset, dict]:
    tags = {**as_text(SLICE.data), **changed}
    tags = {name: value for name, value in tags.items() if value is not ...}
    rebuilt = rebuild(PixelParts(tags, (SLICE.pixels.tobytes(),)))
    return read(rebuilt.data), {problem.code: problem for problem in rebuilt.problems}


def test_what_is_missing_is_not_invented():
    removed = ["00200032", "00200037", "00280030", "00281052", "00281053", "00080008", "0020000D"]
    ds, problems = build(**dict.fromkeys(removed, ...))
    for tag in removed:
        assert int(tag, 16) not in ds
    assert problems["missing-identity"].fatal
    assert problems["missing-identity"].values["what"] == "StudyInstanceUID"
    assert not problems["rescale-unknown"].fatal


def test_values_that_dicom_can_t_say_are_left_out_and_named():
    ds, problems = build(
        ContentTime="08:21:80",
        ContentDate="2026-13-01",
        WindowCenter="auto",
        StudyDate="2026-01-02",
        StudyTime="08:01:02.5",
        SliceLocation="-100.00000000000000123",
        ReferencedImageSequence="[]",
        NoSuchKeyword="1",
    )
    assert "ContentTime" not in ds
    assert "WindowCenter" not in ds
    assert (ds.StudyDate, ds.StudyTime) == ("20260102", "080102.5")
    assert len(str(ds.SliceLocation)) <= 16
    assert "NoSuchKeyword" in problems["tags-unusable"].values["what"]
    assert not problems["tags-unusable"].fatal


def test_private_tags_go_by_their_creators():
    ds, problems = build(
        **{
            "00290010": "SIEMENS CSA HEADER",
            "00291008": "IMAGE NUM 4",
            "00290011": "NO SUCH VENDOR",
            "00291101": "a value",
            "00991001": "an orphan",
        }
    )
    assert (ds[0x00291008].VR, ds[0x00291008].value) == ("CS", "IMAGE NUM 4")
    assert (ds[0x00291101].VR, ds[0x00291101].value.rstrip(b"\0")) == ("UN", b"a value")
    assert 0x00991001 not in ds
    assert problems["private-left-out"].values["what"] == "00991001"


@pytest.mark.parametrize(
    "declared, text, written",
    [
        ("GB18030", "王^小东", "GB18030"),
        ("ISO_IR 100", "王^小东", "ISO_IR 192"),
        ("ISO_IR 100", "Müller^Jürgen", "ISO_IR 100"),
        ("ISO 2022 IR 6\\ISO 2022 IR 58", "王^小东", "ISO_IR 192"),
        ("", "王^小东", "ISO_IR 192"),
        (..., "王^小东", "ISO_IR 192"),
        ("GB18030", "张^𠮷", "GB18030"),
        ("nonsense", "王^小东", "ISO_IR 192"),
    ],
)
def test_the_character_set_carries_the_text(declared, text, written):
    ds, problems = build(**{"00080005": declared, "00100010": text, "00081030": "", "0008103E": "", "00080080": ""})
    assert ds.SpecificCharacterSet == written
    assert str(ds.PatientName) == text
    assert problems == {}


def test_ascii_needs_no_character_set():
    ds, _ = build(**{"00080005": ..., "00100010": "A^B", "00081030": "x", "0008103E": "y", "00080080": "z"})
    assert "SpecificCharacterSet" not in ds


@pytest.mark.parametrize(
    "text", ["王小东".encode("gbk").decode("latin-1"), "王小东".encode().decode("latin-1"), "王\ufffd\ufffd"]
)
def test_garbled_text_is_kept_and_said(text):
    ds, problems = build(**{"00081030": text})
    assert ds.StudyDescription == text
    assert problems["text-garbled"].values["what"] == "00081030"


def test_sequences_of_dicom_json_are_kept():
    item = {"00081150": {"vr": "UI", "Value": ["1.2.3"]}, "00080104": {"vr": "LO", "Value": ["平扫"]}}
    ds, _ = build(**{"00081140": {"vr": "SQ", "Value": [item, item]}})
    assert [entry.ReferencedSOPClassUID for entry in ds.ReferencedImageSequence] == ["1.2.3", "1.2.3"]
    assert ds.ReferencedImageSequence[1].CodeMeaning == "平扫"


def test_hostile_sequences_do_not_run_away():
    deep: dict = {"00081150": {"vr": "UI", "Value": ["1.2.3"]}}
    for _ in range(300):
        deep = {"00081140": {"vr": "SQ", "Value": [deep]}}
    ds, problems = build(**deep)
    assert "tags-unusable" in problems
    assert np.array_equal(ds.pixel_array, SLICE.pixels)


@needs_shared
# pydicom complains about some of the files; they are what they are
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "case",
    first_of(
        [
            "ts-ct",
            "mr-axial-128",
            "synthetic-xa-cine",
            "us-cine",
            "mr-enhanced",
            "sc-rgb",
            "synthetic-charset",
            "ts-color",
            "synthetic-pet-24",
        ],
        2,
    ),
)
def test_real_images_survive_being_taken_apart(case):
    codecs.register()
    built = 0
    for path in sorted((SHARED / case).iterdir())[:24]:
        if path.name.startswith(("declared_", "undeclared_", "iso2022")):
            continue  # pydicom can't read their text, to play the site
        ds = pydicom.dcmread(path)
        syntax = ds.file_meta.TransferSyntaxUID
        if (
            ds.BitsAllocated not in {8, 16}
            or syntax in {"1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.53"}
            or "StudyInstanceUID" not in ds
        ):
            continue
        if ds.get("PhotometricInterpretation") == "YBR_FULL_422" and not syntax.is_compressed:
            continue
        count = int(ds.get("NumberOfFrames", 1))
        pixels = ds.PixelData
        frames = tuple(generate_frames(pixels, number_of_frames=count)) if syntax.is_encapsulated else (pixels,)
        try:
            rebuilt = rebuild(PixelParts(tags_of(path.read_bytes()), frames))
        except CorruptInstance as err:
            assert err.values["what"] == Reason.CONSTANT_PICTURE  # noqa: PT017 - most are not
            continue
        again = read(rebuilt.data)
        built += 1
        if syntax not in {"1.2.840.10008.1.2.4.55"}:
            assert np.array_equal(again.pixel_array, ds.pixel_array), path.name
        assert [p.code for p in rebuilt.problems if p.fatal and p.code != "lossy-not-original"] == []
    assert built


# ---- order


def test_order_is_by_position_then_time_then_number():
    axial = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    made = [
        Header(
            f"1.{number}",
            "",
            "",
            "",
            "",
            instance_number=number,
            position=(0.0, 0.0, z),
            orientation=axial,
            order=(echo,),
        )
        for number, (z, echo) in enumerate([(z, echo) for z in (10.0, -5.0, 2.5) for echo in (2.0, 1.0)], start=1)
    ]
    random.Random(1).shuffle(made)  # noqa: S311 - seeded on purpose
    found = [(made[index].position[2], made[index].order[0]) for index in order(made)]
    assert found == [(-5.0, 1.0), (-5.0, 2.0), (2.5, 1.0), (2.5, 2.0), (10.0, 1.0), (10.0, 2.0)]


def test_jitter_does_not_part_a_position():
    made = [
        Header(
            f"1.{n}",
            "",
            "",
            "",
            "",
            instance_number=n,
            position=(0.0, 0.0, 5.0 + n * 1e-4),
            orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        )
        for n in (3, 1, 2)
    ]
    assert [made[index].instance_number for index in order(made)] == [1, 2, 3]


def test_without_positions_the_number_decides_and_comes_last():
    made = [
        Header("1.9", "", "", "", "", instance_number=9),
        Header("1.1", "", "", "", "", instance_number=None),
        Header("1.5", "", "", "", "", instance_number=5),
        Header("1.7", "", "", "", "", instance_number=7, position=(0, 0, 0), orientation=(1, 0, 0, 0, 1, 0)),
    ]
    assert [made[index].sop_instance_uid for index in order(made)] == ["1.7", "1.5", "1.9", "1.1"]


@pytest.mark.parametrize(
    "orientation", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1), (1, 0, 0, 0, 0.966, 0.259)]
)
def test_order_follows_the_normal_of_any_plane(orientation):
    normal = np.cross(orientation[:3], orientation[3:])
    base = Header("", "", "", "", "", orientation=orientation)
    made = [
        replace(base, sop_instance_uid=f"1.{n}", instance_number=9 - n, position=tuple(normal * n * 1.25))
        for n in range(8)
    ]
    random.Random(2).shuffle(made)  # noqa: S311 - seeded on purpose
    assert [made[index].sop_instance_uid for index in order(made)] == [f"1.{n}" for n in range(8)]


def test_rebuilding_is_the_same_every_time():
    parts = PixelParts(tags_of(SLICE.data), (SLICE.pixels.tobytes(),))
    assert len({hashlib.sha256(rebuild(parts).data).hexdigest() for _ in range(3)}) == 1
