"""Read headers of compressed pictures: size, bits, components, and whether the coding is lossy.

Nothing is decoded. Sources: ISO 15444-1 annex A (J2K) and annex I (JP2), ISO 15444-15 A.5 (HTJ2K), ISO 10918-1 annex B (JPEG),
ISO 14495-1 annex C (JPEG-LS), PS3.5 annex G (RLE), ISO 15948 chapter 11 (PNG); the Transfer Syntaxes are those of PS3.5 annex A.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from scraper.core.errors import CorruptInstance
from scraper.core.reasons import Reason
from scraper.core.sniff import Kind, sniff

Buffer = bytes | memoryview

RLE_LOSSLESS: Final = "1.2.840.10008.1.2.5"
JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED: Final = "1.2.840.10008.1.2.4.51"
JPEG_SPECTRAL: Final = "1.2.840.10008.1.2.4.53"
JPEG_PROGRESSIVE: Final = "1.2.840.10008.1.2.4.55"
JPEG_LOSSLESS: Final = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1: Final = "1.2.840.10008.1.2.4.70"
JPEG_LS: Final = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR: Final = "1.2.840.10008.1.2.4.81"
J2K_LOSSLESS: Final = "1.2.840.10008.1.2.4.90"
J2K: Final = "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS: Final = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL: Final = "1.2.840.10008.1.2.4.202"
HTJ2K: Final = "1.2.840.10008.1.2.4.203"


@dataclass(frozen=True, slots=True)
class Codestream:
    """The header of one picture. ``bits`` is the precision of its first component.

    ``is_whole``: its structure runs to its own end mark. ``transfer_syntax_uid`` is empty for PNG, which DICOM does not carry.
    ``colour``: the meaning of three components, as a Photometric Interpretation; empty where the stream does not tell.
    """

    kind: Kind
    rows: int
    columns: int
    components: int
    bits: int
    is_signed: bool
    is_lossless: bool
    transfer_syntax_uid: str
    is_whole: bool
    colour: str = ""


def _u16(data: Buffer, at: int) -> int:
    if at + 2 > len(data):
        raise CorruptInstance(what=Reason.PICTURE_HEADER_CUT_OFF)
    return (data[at] << 8) | data[at + 1]


def _u32(data: Buffer, at: int) -> int:
    return (_u16(data, at) << 16) | _u16(data, at + 2)


def unwrap(data: bytes) -> bytes:
    """The codestream of a JP2 file (box ``jp2c``); other data unchanged (PS3.5 A.4.4: no boxes in DICOM).

    Raises:
        CorruptInstance: a JP2 file without a codestream.
    """
    if sniff(data[:64]) is not Kind.JP2:
        return data
    at = 0
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if length == 1:
            if at + 16 > len(data):
                break
            (length,) = struct.unpack_from(">Q", data, start)
            start = at + 16
        end = len(data) if length == 0 else at + length
        if name == b"jp2c":
            return data[start:end]
        if end <= at:
            break
        at = end
    raise CorruptInstance(what=Reason.JP2_WITHOUT_CODESTREAM)


def _j2k_tiles(data: Buffer, at: int) -> bool:
    """Whether the tile-parts follow each other up to EOC (ISO 15444-1 A.4.2, A.4.4)."""
    while at + 12 <= len(data) and _u16(data, at) == 0xFF90:
        length = _u32(data, at + 6)
        if length == 0:  # to the end of the codestream
            tail = bytes(data[-3:])
            return tail.endswith(b"\xff\xd9") or tail[:2] == b"\xff\xd9"
        if length < 14:
            return False
        at += length
    return at + 2 <= len(data) and _u16(data, at) == 0xFFD9


def _read_j2k(data: Buffer) -> Codestream:
    at = 2
    rows = columns = components = bits = 0
    signed = high_throughput = multiple = reversible = rpcl = False
    while True:
        marker = _u16(data, at)
        if marker == 0xFF90:
            break
        length = _u16(data, at + 2)
        if length < 2 or marker < 0xFF00:
            raise CorruptInstance(what=Reason.CODESTREAM_HEADER_BROKEN)
        if marker == 0xFF51:
            columns = _u32(data, at + 6) - _u32(data, at + 14)
            rows = _u32(data, at + 10) - _u32(data, at + 18)
            components = _u16(data, at + 38)
            depth = _u16(data, at + 40) >> 8
            bits, signed = (depth & 0x7F) + 1, bool(depth & 0x80)
        elif marker == 0xFF50:
            high_throughput = bool(_u32(data, at + 4) & (1 << 17))  # Pcap15
        elif marker == 0xFF52:
            rpcl = _u16(data, at + 4) & 0xFF == 2
            multiple = (_u16(data, at + 8) >> 8) == 1
            reversible = (_u16(data, at + 12) & 0xFF) == 1
        at += 2 + length
    if rows <= 0 or columns <= 0 or not components:
        raise CorruptInstance(what=Reason.CODESTREAM_WITHOUT_SIZE)
    if high_throughput:
        syntax = (HTJ2K_LOSSLESS_RPCL if rpcl else HTJ2K_LOSSLESS) if reversible else HTJ2K
    else:
        syntax = J2K_LOSSLESS if reversible else J2K
    colour = ("YBR_RCT" if reversible else "YBR_ICT") if components == 3 and multiple else ""
    whole = _j2k_tiles(data, at)
    return Codestream(Kind.J2K, rows, columns, components, bits, signed, reversible, syntax, whole, colour)


def _segments(data: Buffer) -> Iterator[tuple[int, int, int]]:
    """(marker, start of its content, length of it) up to and with the first SOS."""
    at = 2
    while True:
        marker = _u16(data, at)
        if marker == 0xFFFF:
            at += 1
            continue
        length = _u16(data, at + 2)
        if marker < 0xFF01 or length < 2:
            raise CorruptInstance(what=Reason.JPEG_HEADER_BROKEN)
        yield marker & 0xFF, at + 4, length - 2
        if marker == 0xFFDA:
            return
        at += 2 + length


def _jpeg_colour(data: Buffer, frame: int, components: int, adobe: int | None, *, lossy: bool) -> str:
    """The meaning of three components (ISO 10918-5 for JFIF, Adobe's APP14 where present)."""
    if components != 3:
        return ""
    ids = bytes(data[frame + 6 + 3 * n] for n in range(3))
    sampling = {data[frame + 7 + 3 * n] for n in range(3)}
    if len(sampling) > 1:
        return "YBR_FULL_422"
    if adobe == 0 or ids == b"RGB":
        return "RGB"
    return "" if adobe is None or not lossy else "YBR_FULL"


def _ends(data: Buffer) -> bool:
    """Whether data ends with EOI and padding (zeros, or the fill byte FF of ISO 10918-1 B.1.1.2)."""
    return bytes(data[-256:]).rstrip(b"\x00\xff").endswith(b"\xff\xd9")


def _read_jpeg(data: Buffer) -> Codestream:
    process = start = 0
    frame = -1
    adobe: int | None = None
    for marker, at, length in _segments(data):
        if marker == 0xEE and length >= 12 and bytes(data[at : at + 5]) == b"Adobe":
            adobe = data[at + 11]
        elif (0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}) or marker == 0xF7:
            process, frame = marker, at
        start = at
    if frame < 0:
        raise CorruptInstance(what=Reason.JPEG_WITHOUT_FRAME_HEADER)
    bits, rows, columns, components = (data[frame], _u16(data, frame + 1), _u16(data, frame + 3), data[frame + 5])
    _u16(data, frame + 4 + 3 * components)  # the component list is there
    _u16(data, start)
    scanned = data[start]
    _u16(data, start + 1 + 2 * scanned + 1)
    select = data[start + 1 + 2 * scanned]  # Ss: the predictor of a lossless scan, NEAR of JPEG-LS
    if not rows or not columns or not components:
        raise CorruptInstance(what=Reason.JPEG_WITHOUT_SIZE)
    kind, lossless = Kind.JPEG, False
    if process == 0xF7:
        kind, lossless = Kind.JPEG_LS, select == 0
        syntax = JPEG_LS if lossless else JPEG_LS_NEAR
    elif process in {0xC3, 0xCB}:
        lossless = True
        syntax = JPEG_LOSSLESS_SV1 if select == 1 else JPEG_LOSSLESS
    elif process in {0xC2, 0xCA}:
        syntax = JPEG_PROGRESSIVE
    else:
        syntax = JPEG_BASELINE if process == 0xC0 else JPEG_EXTENDED
    colour = "" if kind is Kind.JPEG_LS else _jpeg_colour(data, frame, components, adobe, lossy=not lossless)
    return Codestream(kind, rows, columns, components, bits, False, lossless, syntax, _ends(data), colour)  # noqa: FBT003 - JPEG is unsigned


def _read_png(data: Buffer) -> Codestream:
    _u32(data, 25)
    columns, rows, bits, colour = struct.unpack_from(">IIBB", data, 16)
    components = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(colour, 0)
    if bytes(data[12:16]) != b"IHDR" or not rows or not columns or not components:
        raise CorruptInstance(what=Reason.PNG_HEADER_BROKEN)
    whole = b"IEND\xaeB`\x82" in bytes(data[-64:])
    return Codestream(
        kind=Kind.PNG,
        rows=rows,
        columns=columns,
        components=components,
        bits=bits,
        is_signed=False,
        is_lossless=True,
        transfer_syntax_uid="",
        is_whole=whole,
        colour="RGB" if components == 3 else "",
    )


def read(data: Buffer) -> Codestream:
    """Read the header of a J2K, JP2, JPEG, JPEG-LS or PNG picture.

    Raises:
        CorruptInstance: another format, or truncated within its header.
    """
    kind = sniff(bytes(data[:4096]))
    if kind is Kind.JP2:
        return replace(_read_j2k(unwrap(bytes(data))), kind=Kind.JP2)
    if kind is Kind.J2K:
        return _read_j2k(data)
    if kind is Kind.JPEG or kind is Kind.JPEG_LS:
        return _read_jpeg(data)
    if kind is Kind.PNG:
        return _read_png(data)
    raise CorruptInstance(what=Reason.NO_DICOM_PICTURE)


def rle_segments(data: Buffer) -> int | None:
    """Number of segments of an RLE frame; None where its 64-byte header is invalid (PS3.5 G.5)."""
    if len(data) < 66:
        return None
    header = struct.unpack_from("<16I", data)
    count, offsets = header[0], header[1:]
    if not 1 <= count <= 15 or offsets[0] != 64 or any(offsets[count:]):
        return None
    used = (*offsets[:count], len(data))
    return count if all(low < high for low, high in pairwise(used)) else None
