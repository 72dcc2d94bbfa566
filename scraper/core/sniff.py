"""Classify a payload by its first bytes; names, extensions and Content-Type are ignored.

Source: PS3.10 7.1 (Part 10), PS3.5 7.1 (bare data sets), and each format's own specification for its magic bytes.
"""

from __future__ import annotations

import re
import struct
from enum import StrEnum
from typing import Final

from scraper.core.reasons import Reason

HEAD: Final = 4096  # bytes that are enough to tell


class Kind(StrEnum):
    """The kind of some bytes."""

    PART10 = "part10"  # 128 bytes of preamble, then DICM
    META_FIRST = "meta-first"  # group 0002 (or DICM) with the preamble missing
    IMPLICIT = "implicit"  # a data set without file meta, Implicit VR Little Endian
    EXPLICIT = "explicit"  # the same, Explicit VR Little Endian
    BIG_ENDIAN = "big-endian"  # the same, Explicit VR Big Endian
    ZIP = "zip"
    GZIP = "gzip"
    ZLIB = "zlib"
    ZSTD = "zstd"
    RAR = "rar"
    SEVEN_ZIP = "7z"
    JP2 = "jp2"
    J2K = "j2k"
    JPEG = "jpeg"
    JPEG_LS = "jpeg-ls"
    PNG = "png"
    GIF = "gif"
    BMP = "bmp"
    TIFF = "tiff"
    WEBP = "webp"
    VIDEO = "video"
    PDF = "pdf"
    HTML = "html"
    JSON = "json"
    XML = "xml"
    TEXT = "text"
    EMPTY = "empty"
    UNKNOWN = "unknown"


NAMES: Final = {
    Kind.PART10: Reason.DICOM_FILE,
    Kind.META_FIRST: Reason.DICOM_WITHOUT_PREAMBLE,
    Kind.IMPLICIT: Reason.BARE_DATA_SET,
    Kind.EXPLICIT: Reason.BARE_DATA_SET,
    Kind.BIG_ENDIAN: Reason.BARE_DATA_SET,
    Kind.ZIP: Reason.ZIP,
    Kind.GZIP: Reason.GZIP,
    Kind.ZLIB: Reason.ZLIB,
    Kind.ZSTD: Reason.ZSTD,
    Kind.RAR: Reason.RAR,
    Kind.SEVEN_ZIP: Reason.SEVEN_ZIP,
    Kind.JP2: Reason.JPEG_2000,
    Kind.J2K: Reason.JPEG_2000_CODESTREAM,
    Kind.JPEG: Reason.JPEG,
    Kind.JPEG_LS: Reason.JPEG_LS,
    Kind.PNG: Reason.PNG,
    Kind.GIF: Reason.GIF,
    Kind.BMP: Reason.BMP,
    Kind.TIFF: Reason.TIFF,
    Kind.WEBP: Reason.WEBP,
    Kind.VIDEO: Reason.VIDEO,
    Kind.PDF: Reason.PDF,
    Kind.HTML: Reason.HTML_PAGE,
    Kind.JSON: "JSON",
    Kind.XML: "XML",
    Kind.TEXT: Reason.PLAIN_TEXT,
    Kind.EMPTY: Reason.EMPTY,
    Kind.UNKNOWN: Reason.UNKNOWN_KIND,
}
"""The kinds in words, for ``CorruptInstance(what=…)``."""

BARE_DATA_SETS: Final = (Kind.IMPLICIT, Kind.EXPLICIT, Kind.BIG_ENDIAN)

_MAGIC: Final = (
    (b"PK\x03\x04", Kind.ZIP),
    (b"PK\x05\x06", Kind.ZIP),
    (b"\x1f\x8b", Kind.GZIP),
    (b"\x28\xb5\x2f\xfd", Kind.ZSTD),
    (b"Rar!\x1a\x07", Kind.RAR),
    (b"7z\xbc\xaf\x27\x1c", Kind.SEVEN_ZIP),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", Kind.JP2),
    (b"\xff\x4f\xff\x51", Kind.J2K),
    (b"\x89PNG\r\n\x1a\n", Kind.PNG),
    (b"GIF87a", Kind.GIF),
    (b"GIF89a", Kind.GIF),
    (b"II*\x00", Kind.TIFF),
    (b"MM\x00*", Kind.TIFF),
    (b"%PDF-", Kind.PDF),
    (b"\x00\x00\x01\xba", Kind.VIDEO),
    (b"\x00\x00\x01\xb3", Kind.VIDEO),
)

_DIRECTORY: Final = re.compile(rb"1\.2\.840\.10008\.1\.3\.10(?![0-9.])")  # Media Storage Directory Storage

VRS: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
"""The Value Representations of PS3.5 6.2."""


def _jpeg(head: bytes) -> Kind:
    """JPEG-LS where the first frame header is SOF55 (ISO 14495-1 C.1.1), else JPEG."""
    at = 2
    while at + 4 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xF7:
            return Kind.JPEG_LS
        if 0xC0 <= marker <= 0xCF or marker == 0xDA:
            break
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return Kind.JPEG


def _data_set(head: bytes) -> Kind | None:
    """Whether bytes start a data set: a low even group, mostly 0008 (PS3.5 7.1: elements are in ascending order)."""
    if len(head) < 8:
        return None
    group, _ = struct.unpack_from("<HH", head)
    if group in {0x0002, 0x0004, 0x0008, 0x0010, 0x0018, 0x0020}:
        if head[4:6] in VRS:
            return Kind.META_FIRST if group == 0x0002 else Kind.EXPLICIT
        (length,) = struct.unpack_from("<I", head, 4)
        if group != 0x0002 and length < 0x10000:
            return Kind.IMPLICIT
    big = int.from_bytes(head[:2], "big")
    if big in {0x0008, 0x0010} and head[4:6] in VRS:
        return Kind.BIG_ENDIAN
    return None


def _text(head: bytes) -> Kind | None:
    """HTML, XML, JSON or other text."""
    stripped = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not stripped:
        return Kind.TEXT
    lowered = stripped[:512].lower()
    if lowered.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script")) or b"<html" in lowered:
        return Kind.HTML
    is_text = _is_text(stripped[:512])
    if is_text and re.match(rb"<[?!a-z]", lowered):
        return Kind.XML
    if is_text and re.match(rb"[{\[]\s*[\"{}\[\]0-9tfn-]", lowered):
        return Kind.JSON
    return Kind.TEXT if is_text else None


def _is_text(data: bytes) -> bool:
    """Whether bytes are UTF-8 without control characters; the last character may be cut."""
    if any(byte < 0x20 and byte not in b"\t\r\n\f" for byte in data) or b"\x7f" in data:
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as err:
        return err.start > len(data) - 4
    return True


def sniff(head: bytes) -> Kind:  # noqa: PLR0911 - one return a family of formats
    """Classify a payload; ``head`` is its first ``HEAD`` bytes (or all of it, where shorter)."""
    if not head:
        return Kind.EMPTY
    if head[128:132] == b"DICM":
        return Kind.PART10
    if head[:4] == b"DICM":
        return Kind.META_FIRST
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:3] == b"\xff\xd8\xff":
        return _jpeg(head)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Kind.WEBP
    if head[4:8] == b"ftyp":
        return Kind.VIDEO
    data_set = _data_set(head)
    if data_set is not None:
        return data_set
    if head[:2] == b"BM" and head[6:10] == b"\x00\x00\x00\x00":
        return Kind.BMP
    if (
        head[0] == 0x78
        and len(head) > 2
        and int.from_bytes(head[:2], "big") % 31 == 0
        and head[1] in {0x01, 0x5E, 0x9C, 0xDA}
    ):
        return Kind.ZLIB
    return _text(head[:HEAD]) or Kind.UNKNOWN


def is_tar(head: bytes) -> bool:
    """Whether bytes begin as a tar. Source: POSIX.1-2017, pax, ustar: the magic stands at offset 257 of the first header."""
    return head[257:262] == b"ustar"


def is_media_directory(head: bytes, name: str = "") -> bool:
    """Whether a Part 10 file is a DICOMDIR, by its Media Storage SOP Class UID or its name (PS3.10 8.6).

    Args:
        head: its first bytes.
        name: its path; discs add a version to the name (ISO 9660).
    """
    base = re.split(r"[\\/]", name)[-1].upper().partition(";")[0].rstrip(".")
    return base == "DICOMDIR" or _DIRECTORY.search(head, 132, 532) is not None


def describe(head: bytes) -> str:
    """The payload's kind in words."""
    return NAMES[sniff(head)]
