"""JPEG 2000 read down to its packets, without decoding: do their headers and lengths account for every byte of the tiles?

The bytes of a code-block carry no redundancy: a decoder makes other pixels of flipped ones and raises nothing. So decoding
finds no damage that the packets do not show, misses some that they do, and takes twenty to thirty times as long. What is
coded in rarer ways is left to the decoder.

Sources: ISO/IEC 15444-1 annex A (markers), B.5-B.9 (tiles, subbands, code-blocks), B.10 (packet headers), B.12 (progressions),
E.1 (bit-planes of a subband).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import Final

_SOC, _CAP, _SIZ, _COD, _QCD, _SOT, _SOD, _EOC = 0xFF4F, 0xFF50, 0xFF51, 0xFF52, 0xFF5C, 0xFF90, 0xFF93, 0xFFD9
_PASSED_OVER: Final = frozenset((0xFF55, 0xFF57, 0xFF58, 0xFF63, 0xFF64))  # TLM, PLM, PLT, CRG, COM
_SOP, _EPH = b"\xff\x91", b"\xff\x92"
_PLAIN_STYLES: Final = 0x02 | 0x08  # contexts reset, vertically causal: neither changes how lengths are written
_NEVER_IN_A_PACKET: Final = re.compile(rb"\xff[\x93-\xff]")  # B.10.1, C.2.2; SOP and EPH stand between
_MOST_BLOCKS: Final = 1 << 14  # of one subband: 64 megapixels
_MOST_PACKETS: Final = 1 << 16
_PADDING: Final = 16  # bytes behind the last packet that some encoders may leave there; more of them are data
_DETAIL: Final = 64  # bytes of the subbands above the lowest, from which on a picture can't be of one value


class Verdict(Enum):
    """What the packets show."""

    WHOLE = "whole"  # every byte is accounted for, and the picture is not of one value
    DAMAGED = "damaged"
    UNKNOWN = "unknown"  # coded in a way that is not read here, or perhaps of one value: decode it


class Unusual(Exception):
    """Coded in a way that this module does not read."""


class Damaged(Exception):
    """The packets do not fit their tile."""


@dataclass(frozen=True, slots=True)
class _Coding:
    """SIZ, COD and QCD."""

    size: tuple[int, int, int, int]  # Xsiz, Ysiz, XOsiz, YOsiz
    tile: tuple[int, int, int, int]  # XTsiz, YTsiz, XTOsiz, YTOsiz
    components: int
    progression: int
    layers: int
    levels: int
    block: tuple[int, int]  # exponents of its width and height
    precincts: tuple[int, ...]
    has_eph: bool
    exponents: tuple[int, ...]  # of each subband, lowest first
    guard_bits: int

    @property
    def across(self) -> int:
        """How many tiles stand beside each other."""
        return -(-(self.size[0] - self.tile[2]) // self.tile[0])

    @property
    def down(self) -> int:
        """How many tiles stand below each other."""
        return -(-(self.size[1] - self.tile[3]) // self.tile[1])


def verdict(data: bytes) -> Verdict:
    """Read the packets of a codestream, from SOC on."""
    try:
        coding, at = _main_header(data)
        tiles = _tiles(data, at)
        if len(tiles) != coding.across * coding.down or max(tiles) >= len(tiles):
            return Verdict.UNKNOWN
        detail = sum(_detail(coding, number, body) for number, body in tiles.items())
    except (Damaged, IndexError):
        return Verdict.DAMAGED
    except (
        Unusual,
        struct.error,
        ValueError,
        ArithmeticError,
    ):  # a header that makes no sense is the decoder's to judge
        return Verdict.UNKNOWN
    return Verdict.WHOLE if detail >= _DETAIL else Verdict.UNKNOWN


def _main_header(data: bytes) -> tuple[_Coding, int]:
    """The coding, and where the first tile-part starts."""
    found: dict[int, bytes] = {}
    at = 2
    if struct.unpack_from(">H", data)[0] != _SOC:
        raise Unusual
    while True:
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == _SOT:
            break
        if marker in (_SIZ, _COD, _QCD) and marker not in found:
            found[marker] = data[at + 4 : at + 2 + length]
        elif marker not in _PASSED_OVER:
            raise Unusual
        at += 2 + length
    if len(found) < 3:
        raise Unusual
    return _coding(found[_SIZ], found[_COD], found[_QCD]), at


def _coding(siz: bytes, cod: bytes, qcd: bytes) -> _Coding:
    _, *sizes, components = struct.unpack_from(">HIIIIIIIIH", siz)
    if any(siz[at] != 1 for row in range(components) for at in (37 + 3 * row, 38 + 3 * row)):
        raise Unusual  # subsampled components
    scod, progression, layers, _, levels, wide, high, style, _ = struct.unpack_from(">BBHBBBBBB", cod)
    if style & ~_PLAIN_STYLES or levels > 32 or wide > 8 or high > 8 or progression > 4:
        raise Unusual
    precincts = tuple(cod[10 : 11 + levels]) if scod & 1 else (0xFF,) * (levels + 1)
    bands = 3 * levels + 1
    kind = qcd[0] & 31
    if kind == 0:
        exponents = tuple(value >> 3 for value in qcd[1 : 1 + bands])
    elif kind == 2:
        exponents = tuple(value >> 11 for value in struct.unpack_from(f">{bands}H", qcd, 1))
    else:
        raise Unusual
    if len(exponents) < bands or len(precincts) < levels + 1 or not layers:
        raise Damaged
    return _Coding(
        size=(sizes[0], sizes[1], sizes[2], sizes[3]),
        tile=(sizes[4], sizes[5], sizes[6], sizes[7]),
        components=components,
        progression=progression,
        layers=layers,
        levels=levels,
        block=(wide + 2, high + 2),
        precincts=precincts,
        has_eph=bool(scod & 4),
        exponents=exponents,
        guard_bits=qcd[0] >> 5,
    )


def _tiles(data: bytes, at: int) -> dict[int, bytes]:
    """The packets of each tile, its tile-parts joined."""
    found: dict[int, list[bytes]] = {}
    while struct.unpack_from(">H", data, at)[0] == _SOT:
        _, tile, length = struct.unpack_from(">HHI", data, at + 2)
        end = at + length if length else data.rindex(b"\xff\xd9")
        if end > len(data) - 2:
            raise Damaged
        inner = at + 12
        while (marker := struct.unpack_from(">H", data, inner)[0]) != _SOD:
            if marker not in _PASSED_OVER:
                raise Unusual
            inner += 2 + struct.unpack_from(">H", data, inner + 2)[0]
        found.setdefault(tile, []).append(data[inner + 2 : end])
        at = end
    if struct.unpack_from(">H", data, at)[0] != _EOC:
        raise Damaged
    return {tile: b"".join(parts) for tile, parts in found.items()}


# ---- a tile


class _TagTree:
    """Values of a grid of leaves, read as far as asked (B.10.2)."""

    def __init__(self, wide: int, high: int) -> None:
        self._levels: list[tuple[int, list[list[int]]]] = []  # its width, and for each node: known at least, value
        while True:
            self._levels.append((wide, [[0, 1 << 30] for _ in range(wide * high)]))
            if wide * high <= 1:
                break
            wide, high = -(-wide // 2), -(-high // 2)

    def is_below(self, x: int, y: int, threshold: int, bits: _Bits) -> bool:
        """Whether the leaf's value is below the threshold."""
        low = 0
        node = [0, 0]
        for level in range(len(self._levels) - 1, -1, -1):
            wide, nodes = self._levels[level]
            node = nodes[(y >> level) * wide + (x >> level)]
            low = max(low, node[0])
            while low < threshold and low < node[1]:
                if bits.bit():
                    node[1] = low
                else:
                    low += 1
            node[0] = low
        return node[1] < threshold


class _Bits:
    """The bits of a packet header: after a byte of ones comes a bit that is stuffed in (B.10.1)."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self.at = data, at
        self._byte = self._left = 0

    def bit(self) -> int:
        """Return the next one."""
        if not self._left:
            self._left = 7 if self._byte == 0xFF else 8
            self._byte = self._data[self.at]
            self.at += 1
            if self._left == 7 and self._byte & 0x80:
                raise Damaged
        self._left -= 1
        return self._byte >> self._left & 1

    def number(self, count: int) -> int:
        """Return ``count`` bits as a number."""
        value = 0
        for _ in range(count):
            value = value << 1 | self.bit()
        return value

    def end(self) -> int:
        """Where the header ends."""
        return self.at + (self._byte == 0xFF)

    def passes(self) -> int:
        """Return the number of coding passes (B.10.6, table B.4)."""
        if not self.bit():
            return 1
        if not self.bit():
            return 2
        if (few := self.number(2)) < 3:
            return 3 + few
        if (more := self.number(5)) < 31:
            return 6 + more
        return 37 + self.number(7)


class _Band:
    """A subband's code-blocks and what their packets said so far."""

    def __init__(self, wide: int, high: int, planes: int, *, is_detail: bool) -> None:
        self.wide, self.high, self.planes, self.is_detail = wide, high, planes, is_detail
        self._inclusion, self._zero_planes = _TagTree(wide, high), _TagTree(wide, high)
        self._lengths = [3] * (wide * high)  # Lblock of B.10.7.1
        self._passes_left = [-1] * (wide * high)  # -1: not yet included

    def lengths(self, layer: int, bits: _Bits) -> int:
        """The bytes of its code-blocks in one packet."""
        total = 0
        for number, (y, x) in enumerate(product(range(self.high), range(self.wide))):
            left = self._passes_left[number]
            if not (self._inclusion.is_below(x, y, layer + 1, bits) if left < 0 else bits.bit()):
                continue
            if left < 0:
                empty = 0
                while not self._zero_planes.is_below(x, y, empty + 1, bits):
                    empty += 1
                    if empty > self.planes:
                        raise Damaged
                left = max(0, 3 * (self.planes - empty) - 2)
            passes = bits.passes()
            if passes > left:
                raise Damaged
            self._passes_left[number] = left - passes
            while bits.bit():
                self._lengths[number] += 1
            if self._lengths[number] > 32:
                raise Damaged
            total += bits.number(self._lengths[number] + passes.bit_length() - 1)
        return total


def _bands(coding: _Coding, tile: int, level: int) -> list[_Band] | None:
    """The subbands of a resolution of a tile; None where it has no samples (B.5, B.6, B.7)."""
    down, across = divmod(tile, coding.across)
    wide, high, left, top = coding.size
    low_x = max(coding.tile[2] + across * coding.tile[0], left)
    low_y = max(coding.tile[3] + down * coding.tile[1], top)
    high_x = min(coding.tile[2] + (across + 1) * coding.tile[0], wide)
    high_y = min(coding.tile[3] + (down + 1) * coding.tile[1], high)
    scale = coding.levels - level
    sides = [-(-edge // (1 << scale)) for edge in (low_x, high_x, low_y, high_y)]
    if sides[0] >= sides[1] or sides[2] >= sides[3]:
        return None
    precinct = coding.precincts[level] & 15, coding.precincts[level] >> 4
    if _cells(sides[0], sides[1], precinct[0]) != 1 or _cells(sides[2], sides[3], precinct[1]) != 1:
        raise Unusual
    made = []
    for number, (x, y) in enumerate(((1, 0), (0, 1), (1, 1)) if level else ((0, 0),)):
        depth = coding.levels - level + bool(level)
        half = 1 << depth >> 1
        edges = [
            -(-(edge - half * shift) // (1 << depth))
            for edge, shift in ((low_x, x), (high_x, x), (low_y, y), (high_y, y))
        ]
        block = [min(size, inside - bool(level)) for size, inside in zip(coding.block, precinct, strict=True)]
        columns, rows = _cells(edges[0], edges[1], block[0]), _cells(edges[2], edges[3], block[1])
        if columns * rows > _MOST_BLOCKS:
            raise Unusual
        index = 3 * (level - 1) + 1 + number if level else 0
        planes = coding.guard_bits + coding.exponents[index] - 1
        is_empty = not columns or not rows
        made.append(_Band(0 if is_empty else columns, 0 if is_empty else rows, planes, is_detail=level > 0))
    return made


def _cells(low: int, high: int, exponent: int) -> int:
    """How many cells of a grid of this power of two a range touches."""
    return -(-high // (1 << exponent)) - low // (1 << exponent) if high > low else 0


def _packets(coding: _Coding) -> Iterator[tuple[int, int, int]]:
    """Layer, resolution and component of each packet in turn, where a resolution has one precinct (B.12.1)."""
    layers, levels, components = range(coding.layers), range(coding.levels + 1), range(coding.components)
    if coding.layers * (coding.levels + 1) * coding.components > _MOST_PACKETS:
        raise Unusual
    match coding.progression:
        case 0:
            yield from product(layers, levels, components)
        case 1:
            yield from ((layer, level, component) for level, layer, component in product(levels, layers, components))
        case 2:
            yield from ((layer, level, component) for level, component, layer in product(levels, components, layers))
        case _:
            yield from ((layer, level, component) for component, level, layer in product(components, levels, layers))


def _detail(coding: _Coding, tile: int, body: bytes) -> int:
    """Bytes of the subbands above the lowest in a tile's packets, all of which fit.

    Raises:
        Damaged, Unusual, IndexError.
    """
    if _NEVER_IN_A_PACKET.search(body):
        raise Damaged
    levels = range(coding.levels + 1)
    held = [[_bands(coding, tile, level) for level in levels] for _ in range(coding.components)]
    at = detail = 0
    for layer, level, component in _packets(coding):
        bands = held[component][level]
        if bands is None:
            continue  # of so small a tile there is no such resolution
        if body[at : at + 2] == _SOP:
            at += 6
        bits = _Bits(body, at)
        lengths = 0
        if bits.bit():
            for band in bands:
                length = band.lengths(layer, bits)
                lengths += length
                detail += length * band.is_detail
        at = bits.end()
        if coding.has_eph:
            if body[at : at + 2] != _EPH:
                raise Damaged
            at += 2
        at += lengths
        if at > len(body):
            raise Damaged
    if at != len(body):
        is_padding = len(body) - at < _PADDING or not body[at:].strip(b"\0\xff")
        raise Unusual if is_padding else Damaged
    return detail
