"""Reed-Solomon over GF(256) with erasures: a symbol known to be doubtful costs half of an unknown error.

Source: ISO/IEC 18004, 7.5.2 and annex A: field polynomial x^8 + x^4 + x^3 + x^2 + 1, roots a^0, a^1, …
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

_EXP = [1] * 512
_LOG = [0] * 256
for _power in range(1, 255):
    _value = _EXP[_power - 1] << 1
    _EXP[_power] = _value ^ 0x11D if _value > 255 else _value
for _power in range(255):
    _LOG[_EXP[_power]] = _power
    _EXP[_power + 255] = _EXP[_power]


def _times(one: int, other: int) -> int:
    return _EXP[_LOG[one] + _LOG[other]] if one and other else 0


def _over(one: int, other: int) -> int:
    return _EXP[_LOG[one] + 255 - _LOG[other]] if one else 0


@cache
def _table() -> Bytes:
    """(256, 256): the product of any two elements."""
    import numpy as np

    log, exp = np.array(_LOG), np.array(_EXP, np.uint8)
    table: Bytes = exp[log[:, None] + log[None]]
    table[0] = table[:, 0] = 0
    return table


@cache
def _powers(count: int, length: int, step: int) -> Bytes:
    """(count, length): a^(step · row · column)."""
    import numpy as np

    return np.array(_EXP[:255], np.uint8)[step * np.outer(np.arange(count), np.arange(length)) % 255]


def _values(polynomial: list[int], powers: Bytes) -> Bytes:
    """A polynomial's value for each row of powers, lowest power first."""
    import numpy as np

    values: Bytes = np.bitwise_xor.reduce(_table()[powers, np.array(polynomial, np.uint8)], axis=1)
    return values


def _product(one: list[int], other: list[int]) -> list[int]:
    """Product of two polynomials, lowest power first."""
    import numpy as np

    out, factors = np.zeros(len(one) + len(other) - 1, np.uint8), np.array(other, np.uint8)
    for place, factor in enumerate(one):
        out[place : place + len(other)] ^= _table()[factor, factors]
    return [int(value) for value in out]


def _at(polynomial: list[int], x: int) -> int:
    value = 0
    for factor in reversed(polynomial):
        value = _times(value, x) ^ factor
    return value


def _syndromes(block: list[int], checks: int) -> list[int]:
    return [int(value) for value in _values(block[::-1], _powers(checks, len(block), 1))]


def repaired(block: list[int], checks: int, doubtful: list[int]) -> list[int] | None:
    """Return the corrected block, or None where it is damaged beyond repair.

    Args:
        block: data and check symbols in the order they are sent.
        checks: number of check symbols.
        doubtful: positions in ``block`` of unreliable symbols; at most ``checks``.
    """
    syndromes = _syndromes(block, checks)
    if not any(syndromes):
        return block
    size = len(block)
    erased = [1]
    for place in doubtful:
        erased = _product(erased, [1, _EXP[size - 1 - place]])
    locator = _locator(_product(syndromes, erased)[:checks], len(doubtful), checks)
    if locator is None:
        return None
    both = _product(erased, locator)
    values = _values(both, _powers(size, len(both), -1))
    places = [size - 1 - power for power in range(size - 1, -1, -1) if not values[power]]
    if len(places) != len(both) - 1:
        return None
    corrected = list(block)
    evaluator = _product(syndromes, both)[:checks]
    slope = [factor if power % 2 else 0 for power, factor in enumerate(both)][1:]
    for place in places:
        inverse = _EXP[(255 - (size - 1 - place)) % 255]
        below = _at(slope, inverse)
        if not below:
            return None
        # Forney's formula, first root a^0
        corrected[place] ^= _times(_EXP[size - 1 - place], _over(_at(evaluator, inverse), below))
    return None if any(_syndromes(corrected, checks)) else corrected


def _locator(syndromes: list[int], erased: int, checks: int) -> list[int] | None:
    """Berlekamp-Massey: the positions of unknown errors as a polynomial, lowest power first."""
    current, last = [1], [1]
    length, gap, scale = 0, 1, 1
    for step in range(checks - erased):
        off = syndromes[erased + step]
        for k in range(1, min(length, len(current) - 1) + 1):
            off ^= _times(current[k], syndromes[erased + step - k])
        if not off:
            gap += 1
            continue
        factor = _over(off, scale)
        shifted = [0] * gap + [_times(factor, value) for value in last]
        before = current
        longest = max(len(current), len(shifted))
        current = [
            a ^ b
            for a, b in zip(
                current + [0] * (longest - len(current)), shifted + [0] * (longest - len(shifted)), strict=True
            )
        ]
        if 2 * length <= step:
            length, last, scale, gap = step + 1 - length, before, off, 1
        else:
            gap += 1
    while len(current) > 1 and not current[-1]:
        current.pop()
    return current if len(current) - 1 == length and 2 * length <= checks - erased else None
