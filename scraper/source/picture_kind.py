"""The kind of a picture or a document, by its first bytes and never by its name."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

from scraper.core.errors import NoSuchFile, UnreadableFile

MAX_BYTES = 256 * 2**20  # no photo or scan within the pixel limit needs more
SNIFFED = 4096
_HEADER_WITHIN = 1024  # bytes of junk before a PDF's header, as Acrobat allows


class Kind(StrEnum):
    """The kind of a file, by its first bytes; the value is Pillow's name for it."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    BMP = "BMP"
    GIF = "GIF"
    TIFF = "TIFF"
    HEIF = "HEIF"
    AVIF = "AVIF"
    JPEG2000 = "JPEG2000"
    PDF = "PDF"
    DICOM = "DICOM"
    OFFICE = "ZIP"
    JXL = "JPEG XL"
    SVG = "SVG"
    OTHER = ""

    @property
    def is_simple(self) -> bool:
        """Whether it decodes in one pass whose cost the header's size bounds: it has a first look without NumPy."""
        return self in {Kind.JPEG, Kind.PNG, Kind.BMP, Kind.GIF, Kind.WEBP}


ANIMATIONS = frozenset((Kind.GIF, Kind.WEBP, Kind.PNG, Kind.AVIF, Kind.HEIF))
"""Kinds that may hold more than one frame of the same picture."""


def kind_of(path: Path) -> Kind:
    """The kind of the file, by its magic bytes.

    Raises:
        NoSuchFile: there is no such file.
        UnreadableFile: a folder, no permission, or larger than ``MAX_BYTES``.
    """
    try:
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise UnreadableFile(f"> {MAX_BYTES >> 20} MB", path=path)
        with path.open("rb") as file:
            head = file.read(SNIFFED)
    except FileNotFoundError as err:
        raise NoSuchFile(path=path) from err
    except (OSError, ValueError) as err:
        raise UnreadableFile(path=path) from err
    return kind_of_bytes(head)


def is_picture_or_document(head: bytes) -> bool:
    """Whether bytes that begin like this are of a kind that is read here, and no text that happens to begin so."""
    kind = kind_of_bytes(head[:SNIFFED])
    return kind in {Kind.PDF, Kind.SVG} or (kind is not Kind.OTHER and b"\0" in head[:SNIFFED])


def kind_of_bytes(head: bytes) -> Kind:
    """The kind of a file that begins like this."""
    starts = {
        b"\xff\xd8\xff": Kind.JPEG,
        b"\x89PNG\r\n\x1a\n": Kind.PNG,
        b"BM": Kind.BMP,
        b"GIF8": Kind.GIF,
        b"II*\0": Kind.TIFF,
        b"MM\0*": Kind.TIFF,
        b"II+\0": Kind.TIFF,
        b"MM\0+": Kind.TIFF,
    }
    for start, kind in starts.items():
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Kind.WEBP
    if head[4:8] == b"ftyp":
        return Kind.AVIF if head[8:12] in {b"avif", b"avis"} else Kind.HEIF
    return _of_document(head)


def _of_document(head: bytes) -> Kind:
    if head.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")):
        return Kind.JPEG2000
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")):
        return Kind.JXL
    if head[128:132] == b"DICM":
        return Kind.DICOM
    if b"%PDF-" in head[: _HEADER_WITHIN + 5]:
        return Kind.PDF
    if head.startswith(b"PK\x03\x04"):
        return Kind.OFFICE
    return (
        Kind.SVG
        if re.match(rb"\s*+(?:\xef\xbb\xbf\s*+)?<(?:\?xml|svg|!DOCTYPE svg)", head) and b"<svg" in head
        else Kind.OTHER
    )
