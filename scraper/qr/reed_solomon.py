"""Reed-Solomon over GF(256) with erasures: a symbol known to be doubtful costs half of one that is wrong unseen.

Source: ISO/IEC 18004, 7.5.2 and annex A: field polynomial x^8 + x^4 + x^3 + x^2 + 1, roots a^0, a^1, …
"""

from __future__ import annotations

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


def _product(one: list[int], other: list[int]) -> list[int]:
    """Of two polynomials, lowest power first."""
    out = [0] * (len(one) + len(other) - 1)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            out[i + j] ^= _times(a, b)
    return out


def _at(polynomial: list[int], x: int) -> int:
    value = 0
    for factor in reversed(polynomial):
        value = _times(value, x) ^ factor
    return value


def _syndromes(block: list[int], checks: int) -> list[int]:
    out = []
    for root in range(checks):
        value, x = 0, _EXP[root]
        for symbol in block:
            value = _times(value, x) ^ symbol
        out.append(value)
    return out


def repaired(block: list[int], checks: int, doubtful: list[int]) -> list[int] | None:
    """The block as it was sent, or None where it is damaged beyond repair.

    Args:
        block: data and check symbols in the order they are sent.
        checks: how many of them are check symbols.
        doubtful: places in ``block`` whose symbols are not to be trusted; at most ``checks``.
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
    places = [place for place in range(size) if not _at(both, _EXP[(255 - (size - 1 - place)) % 255])]
    if len(places) != len(both) - 1:
        return None
    mended = list(block)
    evaluator = _product(syndromes, both)[:checks]
    slope = [factor if power % 2 else 0 for power, factor in enumerate(both)][1:]
    for place in places:
        inverse = _EXP[(255 - (size - 1 - place)) % 255]
        below = _at(slope, inverse)
        if not below:
            return None
        # Forney's formula, first root a^0
        mended[place] ^= _times(_EXP[size - 1 - place], _over(_at(evaluator, inverse), below))
    return None if any(_syndromes(mended, checks)) else mended


def _locator(syndromes: list[int], erased: int, checks: int) -> list[int] | None:
    """Berlekamp and Massey's: the places in error that nobody announced; lowest power first."""
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
                current + [0] * (longest - len(current)),
                shifted + [0] * (longest - len(shifted)),
                strict=True,
            )
        ]
        if 2 * length <= step:
            length, last, scale, gap = step + 1 - length, before, off, 1
        else:
            gap += 1
    while len(current) > 1 and not current[-1]:
        current.pop()
    return current if len(current) - 1 == length and 2 * length <= checks - erased else None
