"""Looks for codes that no engine reads: finder patterns, the grid between them, its modules, their errors mended.

What comes out is a clean drawing of the code; its words are zxing-cpp's to read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scraper.qr import matrix
from scraper.qr.engines import Found, Seen, scaled, zxing
from scraper.qr.finders import Corner, Finder, binary, corners, finders
from scraper.qr.straighten import Grid, grids

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TRIES = 4  # threes of finder patterns that are followed up in one look
_CERTAIN = 0.9  # agreement of a grid from which its finder patterns belong to no other code
_QUIET = 4  # modules


@dataclass(frozen=True, slots=True)
class Sight:
    """How finder patterns are looked for: thresholds, each a window and a blur in pixels."""

    thresholds: tuple[tuple[int, float], ...]
    least: float = 0.0  # how sure each of the three must be, of 12


WHOLE = Sight(((25, 0.0), (25, 0.8)))
PATCH = Sight(((51, 0.8), (111, 2.0)))  # codes in a patch are large
NEGATIVE = replace(PATCH, least=6.0)  # few codes are printed so, and pictures of the lungs are full of shapes
"""What fits a page, and what fits a patch that holds little but a code."""


def straightened(grey: NDArray[np.uint8], sight: Sight, *, scale: float = 1.0) -> Seen:
    """What the bent, blurred or damaged codes say whose three finder patterns can be seen.

    Args:
        grey: (rows, columns); the code dark on light.
        sight: how finder patterns are looked for.
        scale: pixels of ``grey`` over pixels of the page; polygons are given in the page's.
    """
    found: list[Found] = []
    suspects = []
    used: set[Finder] = set()
    tries = 0
    for corner in _corners(grey, sight):
        if tries == _TRIES:
            break
        if used & {corner.origin, corner.right, corner.down}:
            continue
        tries += 1
        best: Grid | None = None
        for grid in grids(grey, corner):
            best = grid if best is None or grid.agreement > best.agreement else best
            text = _text(grid)
            if text:
                found.append(Found(text, "QRCode", scaled(grid.outline, scale)))
                break
        if best is not None and best.agreement > _CERTAIN:  # a code is here, read or not
            used |= {corner.origin, corner.right, corner.down}
            suspects.append(scaled(best.outline, scale))
    return Seen(tuple(found), tuple(suspects))


def _corners(grey: NDArray[np.uint8], sight: Sight) -> Iterator[Corner]:
    found = finders(*(binary(grey, window, soft) for window, soft in sight.thresholds))
    return corners([one for one in found if one.weight >= sight.least])


def _text(grid: Grid) -> str:
    """What a grid of modules says; empty where it is damaged beyond repair."""
    whole = matrix.mended(matrix.unblurred(grid.darkness))
    if whole is None:
        whole = matrix.mended(grid.darkness)
    if whole is None:
        return ""
    texts = [one.text for one in zxing(_drawing(whole), pure=True).found]
    return texts[0] if texts and texts[0].isprintable() else ""


def _drawing(dark: NDArray[np.bool_]) -> NDArray[np.uint8]:
    import numpy as np

    light = np.pad(~dark, _QUIET, constant_values=True).astype(np.uint8) * 255
    return np.kron(light, np.ones((3, 3), np.uint8))
