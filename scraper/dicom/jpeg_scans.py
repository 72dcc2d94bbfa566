"""Scans of JPEG streams: repair their headers, and find out whether their entropy-coded data ends early.

Some writers give a spectral selection that the process does not have.

A sequential scan (baseline, extended) always has the coefficients 0 to 63 at full precision. Strict decoders reject a stream
that declares otherwise although its data is complete; lenient ones do not check.

Source: ISO 10918-1 B.2.3 (scan header) and table B.3 (values for sequential DCT).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

_SEQUENTIAL: Final = (0xC0, 0xC1)
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END, _TABLES = 0xDA, 0xD9, 0xC4
_FIRST_ARITHMETIC: Final = 0xC9
_MORE: Final = bytes.fromhex(
    "aad54c69b294e31aa655d4699c2bca71"
)  # the first bit is no zero, as a decoder takes; no byte is FF
_WHOLE: Final = b"\x00\x3f\x00"  # Ss, Se, Ah and Al


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start of its content, length of it), entropy-coded data skipped."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF or data[at + 1] in (0x00, 0xFF) or 0xD0 <= data[at + 1] <= 0xD7:
            at += 1
            continue
        marker = data[at + 1]
        if marker == _END:
            return
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield marker, at + 4, length - 2
        at += 2 + length


def with_whole_selection(data: bytes) -> bytes | None:
    """A copy with the selection of a sequential process; None where it has that already, or is another process."""
    mended = bytearray(data)
    is_sequential = False
    for marker, at, length in _segments(data):
        if marker in _FRAMES:
            is_sequential = marker in _SEQUENTIAL
        elif marker == _SCAN and length >= 4:
            end = at + 1 + 2 * data[at]
            if end + 3 <= at + length:
                mended[end : end + 3] = _WHOLE
    return bytes(mended) if is_sequential and mended != data else None


def has_huffman_tables(data: bytes) -> bool:
    """Whether a stream of a Huffman process contains its tables (B.2.4.2); True for the arithmetic ones, which have none."""
    arithmetic = {marker for marker in _FRAMES if marker >= _FIRST_ARITHMETIC}
    return any(marker == _TABLES or marker in arithmetic for marker, _, _ in _segments(data))


def with_longer_scans(data: bytes) -> bytes | None:
    """A copy with more bytes behind each entropy-coded segment; None where the coding is arithmetic.

    A decoder that has read all samples of a segment passes over what follows it up to the next marker (B.1.1.5, and libjpeg's
    ``next_marker``); one that lacks data takes zeros where there is none, and these bytes where there are some. So the pixels of
    both streams are equal just where no segment ends early. An arithmetic coder leaves zeros at a segment's end out (D.1.8).
    """
    pieces, last = list[bytes](), 0
    for marker, at, length in _segments(data):
        if marker in _FRAMES and marker >= _FIRST_ARITHMETIC:
            return None
        for end in _segment_ends(data, at + length) if marker == _SCAN else ():
            pieces += (data[last:end], _MORE)
            last = end
    return b"".join(pieces) + data[last:]


def _segment_ends(data: bytes, start: int) -> Iterator[int]:
    """Where the entropy-coded segments of one scan end: before each RST marker, and before the marker behind the scan."""
    at = start
    while 0 <= (at := data.find(b"\xff", at)) < len(data) - 1:
        if data[at + 1] == 0x00:
            at += 2
            continue
        yield at
        if not 0xD0 <= data[at + 1] <= 0xD7:
            return
        at += 2
    yield len(data)
