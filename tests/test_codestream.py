"""Headers of compressed pictures, and what bytes are."""

import io
import json
import zlib
from pathlib import Path

import jpeg_ls
import numpy as np
import openjpeg
import pytest
from PIL import Image

from scraper.core.errors import CorruptInstance, NotAnImage
from scraper.core.sniff import Kind, describe, sniff
from scraper.dicom import codestream
from scraper.protocols import j2k_json

SHARED = Path(__file__).parents[2] / "shared" / "dicom"
RAMP = (np.add.outer(np.arange(48), np.arange(64)) * 20).astype(np.uint16)
COLOUR = np.stack([RAMP[:40, :50] % 256, RAMP[:40, 5:55] % 256, RAMP[3:43, :50] % 256], axis=-1).astype(np.uint8)


def picture(kind: str, mode: str = "L", **options: object) -> bytes:
    out = io.BytesIO()
    samples = COLOUR if mode == "RGB" else (RAMP if mode == "I;16" else (RAMP % 256).astype(np.uint8))
    Image.fromarray(samples).save(out, kind, **options)
    return out.getvalue()


def j2k(pixels: np.ndarray = RAMP, **options: object) -> bytes:
    return bytes(openjpeg.encode(pixels, **{"photometric_interpretation": 1 if pixels.ndim == 3 else 2, **options}))


def boxed(stream: bytes) -> bytes:
    signature = b"\x00\x00\x00\x0cjP  \r\n\x87\n" + b"\x00\x00\x00\x14ftypjp2 \x00\x00\x00\x00jp2 "
    return signature + (len(stream) + 8).to_bytes(4, "big") + b"jp2c" + stream


def segmented() -> bytes:
    """A JPEG with what the lossless process of ISO 10918-1 writes, up to its scan."""
    frame = b"\xff\xc3\x00\x0b\x10\x00\x30\x00\x40\x01\x01\x11\x00"
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x01\x00\x00"
    return b"\xff\xd8" + frame + scan + b"\x00" * 9 + b"\xff\xd9"


CASES = (
    ("lossless J2K", j2k(bits_stored=16), (48, 64, 1, 16, True, codestream.J2K_LOSSLESS, "")),
    ("lossy J2K", j2k(compression_ratios=[8]), (48, 64, 1, 12, False, codestream.J2K, "")),
    ("colour J2K", j2k(COLOUR, use_mct=True), (40, 50, 3, 8, True, codestream.J2K_LOSSLESS, "YBR_RCT")),
    ("colour J2K, planes apart", j2k(COLOUR, use_mct=False), (40, 50, 3, 8, True, codestream.J2K_LOSSLESS, "")),
    ("JP2", boxed(j2k()), (48, 64, 1, 12, True, codestream.J2K_LOSSLESS, "")),
    ("JPEG-LS", bytes(jpeg_ls.encode_array(RAMP)), (48, 64, 1, 12, True, codestream.JPEG_LS, "")),
    (
        "JPEG-LS, nearly",
        bytes(jpeg_ls.encode_array(RAMP, lossy_error=3)),
        (48, 64, 1, 12, False, codestream.JPEG_LS_NEAR, ""),
    ),
    ("grey JPEG", picture("JPEG"), (48, 64, 1, 8, False, codestream.JPEG_BASELINE, "")),
    ("colour JPEG 4:2:0", picture("JPEG", "RGB"), (40, 50, 3, 8, False, codestream.JPEG_BASELINE, "YBR_FULL_422")),
    ("colour JPEG 4:4:4", picture("JPEG", "RGB", subsampling=0), (40, 50, 3, 8, False, codestream.JPEG_BASELINE, "")),
    ("progressive JPEG", picture("JPEG", progressive=True), (48, 64, 1, 8, False, codestream.JPEG_PROGRESSIVE, "")),
    ("lossless JPEG", segmented(), (48, 64, 1, 16, True, codestream.JPEG_LOSSLESS_SV1, "")),
    ("PNG of 16 bits", picture("PNG", "I;16"), (48, 64, 1, 16, True, "", "")),
)


@pytest.mark.parametrize("name, data, expected", CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_picture_says_what_it_is(name, data, expected):
    found = codestream.read(data)
    read = (
        found.rows,
        found.columns,
        found.components,
        found.bits,
        found.is_lossless,
        found.transfer_syntax_uid,
        found.colour,
    )
    assert read == expected
    assert found.is_whole


@pytest.mark.parametrize("name, data, expected", CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_picture_cut_anywhere_is_not_whole_or_is_refused(name, data, expected):
    for keep in range(4, len(data) - 2, max(1, len(data) // 60)):
        try:
            assert not codestream.read(data[:keep]).is_whole
        except CorruptInstance as err:
            assert err.values["what"]  # noqa: PT017 - either outcome is right


def test_boxes_come_off():
    stream = j2k()
    assert codestream.unwrap(boxed(stream)) == stream
    assert codestream.unwrap(stream) == stream
    with pytest.raises(CorruptInstance):
        codestream.unwrap(boxed(stream)[:34])


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/dicom next to the repository")
@pytest.mark.parametrize("syntax", ["50", "51", "53", "55", "57", "70", "80", "81", "90", "91"])
def test_real_streams_show_their_transfer_syntax(syntax):
    from pydicom import dcmread
    from pydicom.encaps import generate_frames

    path = next((SHARED / "ts-ct").glob(f"CTImage*1.2.840.10008.1.2.4.{syntax}.dcm"))
    frame = next(generate_frames(dcmread(path).PixelData, number_of_frames=1))
    found = codestream.read(frame)
    # a progressive or spectral JPEG has the same frame header; a 12-bit one may be called extended by either process
    # and .91 may hold a reversible stream
    same = {"53": {"1.2.840.10008.1.2.4.55"}, "91": {codestream.J2K, codestream.J2K_LOSSLESS}}.get(
        syntax, {f"1.2.840.10008.1.2.4.{syntax}"}
    )
    assert found.transfer_syntax_uid in same
    assert (found.rows, found.columns, found.is_whole) == (512, 512, True)


@pytest.mark.parametrize(
    "data, kind",
    [
        (b"", Kind.EMPTY),
        (b"\0" * 128 + b"DICM" + b"\x02\x00", Kind.PART10),
        (b"DICM\x02\x00\x00\x00UL\x04\x00", Kind.META_FIRST),
        (b"\x02\x00\x00\x00UL\x04\x00\x01\x00\x00\x00", Kind.META_FIRST),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 192", Kind.EXPLICIT),
        (b"\x08\x00\x05\x00\x0a\x00\x00\x00ISO_IR 192", Kind.IMPLICIT),
        (b"\x00\x08\x00\x05CS\x00\x0aISO_IR 192", Kind.BIG_ENDIAN),
        (b"PK\x03\x04\x14\x00", Kind.ZIP),
        (b"\x1f\x8b\x08\x00", Kind.GZIP),
        (zlib.compress(b"x" * 99), Kind.ZLIB),
        (b"\x28\xb5\x2f\xfd\x00", Kind.ZSTD),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", Kind.JPEG),
        (b"\xff\xd8\xff\xf7\x00\x0b\x10", Kind.JPEG_LS),
        (b"%PDF-1.7\n", Kind.PDF),
        ("\ufeff<!DOCTYPE html><p>会话已过期".encode(), Kind.HTML),
        (b'  {"code": 401}', Kind.JSON),
        (b"<?xml version='1.0'?><Error/>", Kind.XML),
        ("请重新登录".encode(), Kind.TEXT),
        (bytes(range(256)), Kind.UNKNOWN),
    ],
)
def test_bytes_are_told_by_their_first(data, kind):
    assert sniff(data) is kind
    assert describe(data)


def test_a_list_of_tags_becomes_tags():
    listed = [
        {"tag": "0008,0018", "name": "SOP Instance UID", "value": "1.2.3"},
        {"tag": "(0028,0030)", "value": "0.5\\0.5"},
    ]
    assert j2k_json.tags(json.dumps(listed).encode()) == {"00080018": "1.2.3", "00280030": "0.5\\0.5"}


def test_an_empty_list_is_no_image():
    with pytest.raises(NotAnImage):
        j2k_json.tags(b"[]")


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'[{"tag": "x"}]', b"[3]", b"\xff", b"[" * 100_000])
def test_what_is_no_list_of_tags_is_refused(body):
    with pytest.raises(CorruptInstance):
        j2k_json.tags(body)
