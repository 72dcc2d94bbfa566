"""A QR code as modules: which are fixed, where the data lie, and how doubtful data are corrected.

Every function takes or gives square arrays of modules, row first, upper left first, without a quiet zone.

Source: ISO/IEC 18004: 6.3 (function patterns), annex E (alignment patterns), 7.7.3 (placement), 7.8.2 (masks),
    7.9 and annex C (format information), table 9 (error correction).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from scraper.source.qr.repair import reed_solomon

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSIONS = range(1, 41)
_RESERVED_CHECKS = 5  # check symbols of a block that are never spent, so that noise is not mended into words
_LEVELS = "MLHQ"  # by the two bits of the format information
_CHECKS = {  # check symbols of a block, version by version
    "L": "7 10 15 20 26 18 20 24 30 18 20 24 26 30 22 24 28 30 28 28 28 28 30 30 26 28" + " 30" * 14,
    "M": "10 16 26 18 24 16 18 22 22 26 30 22 22 24 24 28 28 26 26 26 26" + " 28" * 19,
    "Q": "13 22 18 26 18 24 18 22 20 24 28 26 24 20 30 24 28 28 26 30 28 30 30 30 30 28" + " 30" * 14,
    "H": "17 28 22 16 22 28 26 26 24 28 24 28 22 24 24 30 28 28 26 28 30 24" + " 30" * 18,
}
_BLOCKS = {
    "L": "1 1 1 1 1 2 2 2 2 4 4 4 4 4 6 6 6 6 7 8 8 9 9 10 12 12 12 13 14 15 16 17 18 19 19 20 21 22 24 25",
    "M": "1 1 1 2 2 4 4 4 5 5 5 8 9 9 10 10 11 13 14 16 17 17 18 20 21 23 25 26 28 29 31 33 35 37 38 40 43 45 47 49",
    "Q": "1 1 2 2 4 4 6 6 8 8 8 10 12 16 12 17 16 18 21 20 23 23 25 27 29 34 34 35 38 40 43 45 48 51 53 56 59 62 65 68",
    "H": "1 1 2 4 4 4 5 6 8 8 11 11 16 16 18 16 19 21 25 25 25 34 30 32 35 37 40 42 45 48 51 54 57 60 63 66 70 74 77 81",
}


def size_of(version: int) -> int:
    """Number of modules along an edge."""
    return 17 + 4 * version


@cache
def alignment(version: int) -> tuple[tuple[int, int], ...]:
    """Middles (row, column) of the alignment patterns."""
    if version == 1:
        return ()
    count = version // 7 + 2
    size = size_of(version)
    step = 26 if version == 32 else -(-(version * 4 + 4) // (count * 2 - 2)) * 2
    lines = [6, *sorted(size - 7 - step * k for k in range(count - 1))]
    corners = {(6, 6), (6, size - 7), (size - 7, 6)}
    return tuple((row, column) for row in lines for column in lines if (row, column) not in corners)


@cache
def fixed(version: int) -> NDArray[np.int8]:
    """The fixed modules of a version: 1 dark, 0 light, -1 data, -2 format and version information."""
    import numpy as np

    size = size_of(version)
    out = np.full((size, size), -1, np.int8)
    out[8, :9] = out[:9, 8] = out[8, -8:] = out[-8:, 8] = -2
    if version >= 7:
        out[:6, -11:-8] = out[-11:-8, :6] = -2
    out[6, 8:-8] = out[8:-8, 6] = np.arange(1, size - 15) % 2
    away = np.arange(-4, 5)
    ring = np.maximum(np.abs(away)[:, None], np.abs(away)[None])
    pattern = ((ring != 2) & (ring != 4)).astype(np.int8)
    out[:8, :8], out[:8, -8:], out[-8:, :8] = pattern[1:, 1:], pattern[1:, :-1], pattern[:-1, 1:]
    for row, column in alignment(version):
        out[row - 2 : row + 3, column - 2 : column + 3] = ring[2:7, 2:7] != 1
    out[-8, 8] = 1
    return out


def corner_region(size: int, hidden: int) -> tuple[slice, slice]:
    """Rows and columns of the finder pattern with its separator: 0 upper left, 1 upper right, 2 lower left."""
    near, far = slice(0, 8), slice(size - 8, size)
    return far if hidden == 2 else near, far if hidden == 1 else near


@cache
def _order(version: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the data modules in bit order: two columns at a time, up and down."""
    import numpy as np

    is_free = fixed(version) == -1
    size = size_of(version)
    places = []
    rows = range(size - 1, -1, -1)
    for right in [*range(size - 1, 6, -2), *range(5, 0, -2)]:
        places += [(row, column) for row in rows for column in (right, right - 1) if is_free[row, column]]
        rows = rows[::-1]
    both = np.array(places, np.intp)
    return both[:, 0], both[:, 1]


@cache
def _masks(size: int) -> list[NDArray[np.bool_]]:
    import numpy as np

    i, j = np.mgrid[0:size, 0:size]
    return [
        (i + j) % 2 == 0,
        i % 2 == 0,
        j % 3 == 0,
        (i + j) % 3 == 0,
        (i // 2 + j // 3) % 2 == 0,
        (i * j) % 2 + (i * j) % 3 == 0,
        ((i * j) % 2 + (i * j) % 3) % 2 == 0,
        ((i + j) % 2 + (i * j) % 3) % 2 == 0,
    ]


@cache
def _formats() -> NDArray[np.float64]:
    """(32, 15): the format information of each level and mask, highest bit first, as +1 and -1."""
    import numpy as np

    words = []
    for data in range(32):
        rest = data << 10
        for bit in range(14, 9, -1):
            rest ^= (0x537 << (bit - 10)) if rest >> bit & 1 else 0
        word = (data << 10 | rest) ^ 0x5412
        words.append([1.0 if word >> bit & 1 else -1.0 for bit in range(14, -1, -1)])
    return np.array(words)


def _format_places(size: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Positions of both copies' bits, highest bit first."""
    first = [(8, c) for c in (0, 1, 2, 3, 4, 5, 7, 8)] + [(r, 8) for r in (7, 5, 4, 3, 2, 1, 0)]
    second = [(size - 1 - k, 8) for k in range(7)] + [(8, size - 8 + k) for k in range(8)]
    return first, second


def formats(darkness: NDArray[np.float32]) -> list[tuple[str, int, float]]:
    """Level, mask and agreement (-1…1) of the format information, the likeliest first."""
    import numpy as np

    both = [[darkness[place] for place in copy] for copy in _format_places(len(darkness))]
    bits = np.clip(np.array(both, float), -1, 1).mean(0)
    scores = _formats() @ bits / max(float(np.abs(bits).sum()), 1e-6)
    best = np.argsort(-scores)
    return [(_LEVELS[k >> 3], int(k & 7), float(scores[k])) for k in best]


def corrected(darkness: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """The code's dark modules after error correction, or None where it is damaged beyond repair.

    Args:
        darkness: (n, n), above zero where a module looks dark, the further the surer; 0 is unknown.
    """
    size = len(darkness)
    for level, mask, score in formats(darkness)[:2]:
        if score < 0.4:
            return None
        found = _mended(darkness, (size - 17) // 4, level, mask)
        if found is not None:
            return found
    return None


def _mended(darkness: NDArray[np.float32], version: int, level: str, mask: int) -> NDArray[np.bool_] | None:
    import numpy as np

    rows, columns = _order(version)
    flips = _masks(len(darkness))[mask][rows, columns]
    soft = np.where(flips, -darkness[rows, columns], darkness[rows, columns])
    count = len(soft) // 8
    parts = soft[: count * 8].reshape(count, 8)
    symbols = np.packbits(parts > 0, axis=1)[:, 0]
    sure = np.sort(np.abs(parts), axis=1)[:, :2] @ np.array([1.0, 0.25])
    blocks, checks = _layout(version, level, count)
    out = symbols.copy()
    for block in blocks:
        found = _most_likely(symbols[block].tolist(), checks, np.argsort(sure[block]).tolist())
        if found is None:
            return None
        out[block] = found
    bits = np.unpackbits(out[:, None], axis=1).ravel().astype(bool)
    rest = np.zeros(len(soft) - len(bits), bool)
    whole = fixed(version) == 1
    whole[rows, columns] = np.concatenate([bits, rest]) ^ flips
    return _with_information(whole, version, level, mask)


def _most_likely(block: list[int], checks: int, doubtful: list[int]) -> list[int] | None:
    """Decode with all symbols trusted, then with ever fewer of the doubtful ones."""
    step = max(2, checks // 6 // 2 * 2)
    for erased in range(0, checks - _RESERVED_CHECKS + 1, step):
        found = reed_solomon.repaired(block, checks, doubtful[:erased])
        if found is not None:
            return found
    return None


@cache
def _layout(version: int, level: str, count: int) -> tuple[list[list[int]], int]:
    """For each block the positions of its symbols, data then checks; and the number of checks."""
    checks = int(_CHECKS[level].split()[version - 1])
    number = int(_BLOCKS[level].split()[version - 1])
    short = count // number - checks  # data symbols of a short block; the long ones come last and have one more
    longer = count % number
    lengths = [short + (k >= number - longer) for k in range(number)]
    blocks: list[list[int]] = [[] for _ in range(number)]
    place = 0
    for symbol in range(short + 1):
        for k, length in enumerate(lengths):
            if symbol < length:
                blocks[k].append(place)
                place += 1
    for _ in range(checks):
        for block in blocks:
            block.append(place)
            place += 1
    return blocks, checks


def _with_information(whole: NDArray[np.bool_], version: int, level: str, mask: int) -> NDArray[np.bool_]:
    """Add format and version information."""
    word = _formats()[_LEVELS.index(level) << 3 | mask] > 0
    for copy in _format_places(len(whole)):
        for place, bit in zip(copy, word, strict=True):
            whole[place] = bit
    whole[-8, 8] = True
    if version >= 7:
        rest = version << 12
        for bit in range(17, 11, -1):
            rest ^= (0x1F25 << (bit - 12)) if rest >> bit & 1 else 0
        number = version << 12 | rest
        for bit in range(18):
            dark = bool(number >> bit & 1)
            whole[bit // 3, len(whole) - 11 + bit % 3] = whole[len(whole) - 11 + bit % 3, bit // 3] = dark
    return whole
