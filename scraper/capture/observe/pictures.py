"""Count what a viewer received that is not DICOM: pictures, also as base64 in JSON, and unrecognised bodies.

If nothing else was received, they distinguish a site that only serves pictures from a page that shows nothing at all.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from scraper.core.sniff import HEAD, Kind, sniff
from scraper.session.browser.traffic import WEBSOCKET_IN, Exchange

REAL_BYTES: Final = 20_000  # a picture of more bytes is no icon, whatever its size
REAL_SIDE: Final = 200  # pixels
SMALL_SIDE: Final = 65  # pixels; icons are smaller
OPAQUE_BYTES: Final = 4096
MAX_VALUES: Final = 20_000  # of one JSON document that are looked at
SHORTEST: Final = 300  # characters of a picture in base64
_SCAN: Final = 2**16  # bytes of a JPEG before its frame header
_PICTURES: Final = (Kind.JPEG, Kind.PNG, Kind.GIF, Kind.BMP, Kind.WEBP)
_BARE: Final = (Kind.J2K, Kind.JP2, Kind.JPEG_LS, Kind.TIFF)
_DATA_URL: Final = re.compile(r"data:image/[\w.+-]+;base64,")
_PROGRAMS: Final = (b"\0asm", b"wOFF", b"wOF2", b"OTTO", b"\0\1\0\0")
_FETCHED: Final = ("xhr", "fetch", WEBSOCKET_IN)
_FRAME_HEADERS: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


@dataclass(slots=True)
class Pictures:
    """How much of each came.

    Attributes:
        real: pictures of the size of a film's image.
        small: pictures larger than an icon.
        opaque: bodies of no known kind that the page itself asked for.
    """

    real: int = 0
    small: int = 0
    opaque: int = 0

    def note(self, exchange: Exchange) -> None:
        """Count what one answer is; what it packs as base64 is noted by ``note_values``."""
        head = exchange.read(HEAD)
        kind = sniff(head)
        if kind in _PICTURES:
            self._add(exchange.size, side(exchange.read(_SCAN)))
        elif kind in _BARE:
            self._add(exchange.size, REAL_SIDE)
        elif kind is Kind.UNKNOWN and exchange.kind in _FETCHED:
            self.opaque += exchange.size >= OPAQUE_BYTES and not head.startswith(_PROGRAMS)

    def note_values(self, value: Any) -> None:
        """Count the pictures that a JSON value holds as base64."""
        for text in _texts(value):
            packed = _DATA_URL.sub("", text, count=1) if text.startswith("data:image/") else text
            if len(packed) < SHORTEST:
                continue
            try:
                head = base64.b64decode(packed[: _SCAN // 3 * 4])
            except (binascii.Error, ValueError):
                continue
            if sniff(head[:HEAD]) in (*_PICTURES, *_BARE):
                self._add(len(packed) * 3 // 4, side(head) or REAL_SIDE)

    def _add(self, size: int, shorter_side: int) -> None:
        self.real += size >= REAL_BYTES or shorter_side >= REAL_SIDE
        self.small += shorter_side >= SMALL_SIDE


def _texts(value: Any) -> Iterator[str]:
    waiting, left = [value], MAX_VALUES
    while waiting and left:
        inner, left = waiting.pop(), left - 1
        if isinstance(inner, str):
            yield inner
        elif isinstance(inner, Mapping):
            waiting += inner.values()
        elif isinstance(inner, list):
            waiting += inner


def side(data: bytes) -> int:
    """The shorter side of a picture in pixels, by its header; 0 where that does not say.

    Source: the headers of PNG (IHDR), GIF (logical screen), BMP (BITMAPINFOHEADER), JPEG (SOFn, T.81 B.2.2) and WebP (VP8X,
    VP8L, VP8).
    """
    try:
        if data.startswith(b"\x89PNG"):
            return int(min(struct.unpack(">II", data[16:24])))
        if data.startswith(b"GIF8"):
            return int(min(struct.unpack("<HH", data[6:10])))
        if data.startswith(b"BM"):
            return int(min(abs(number) for number in struct.unpack("<ii", data[18:26])))
        if data[8:12] == b"WEBP":
            return _webp(data)
        return _jpeg(data)
    except (struct.error, ValueError, IndexError):
        return 0


def _webp(data: bytes) -> int:
    if data[12:16] == b"VP8X":
        return 1 + min(int.from_bytes(data[24:27], "little"), int.from_bytes(data[27:30], "little"))
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + min(bits & 0x3FFF, bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", data[26:30])
    return int(min(width & 0x3FFF, height & 0x3FFF))


def _jpeg(data: bytes) -> int:
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _FRAME_HEADERS:
            return int(min(struct.unpack(">HH", data[at + 5 : at + 9])))
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0
