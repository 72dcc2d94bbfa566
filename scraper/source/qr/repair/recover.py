"""Recover codes that no engine reads: finder patterns, the grid between them, its modules, their errors corrected.

The result is a clean drawing of the code, which zxing-cpp reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scraper.source.qr.engines import EngineResult, FoundCode, scaled, zxing
from scraper.source.qr.repair import symbol
from scraper.source.qr.repair.deblur import finely_unblurred, unblurred
from scraper.source.qr.repair.finders import Corner, Finder, binary, corners, finders
from scraper.source.qr.repair.hidden_finder import covered, grids_with_one_hidden
from scraper.source.qr.repair.patterns import alike
from scraper.source.qr.repair.rectify import grids
from scraper.source.qr.repair.refine import Grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TRIES = 4  # threes of finder patterns that are followed up in one look
_CERTAIN = 0.8  # agreement of a grid from which a code is there, and its finder patterns are no other's
_LIKELY = 0.6  # agreement of a grid that is worth the fine filter
_COVERED = 0.02  # what is left of a module's sureness under a thumb
_QUIET = 4  # modules
_SURE = 6.5  # weight of a finder pattern whose core and ring are whole
_SUREST = 2  # of them show what the others look like


@dataclass(frozen=True, slots=True)
class FinderSearch:
    """Parameters of the search for finder patterns: thresholds, each a window and a blur in pixels."""

    thresholds: tuple[tuple[int, float], ...]
    least: float = 0.0  # how sure each of the three must be, of 12
    faint: bool = False  # whether patterns are looked for that a pen crosses or light hides in part


WHOLE = FinderSearch(((25, 0.0), (25, 0.8)))
PATCH = FinderSearch(((51, 0.8), (111, 2.0)), faint=True)  # codes in a patch are large
NEGATIVE = replace(
    PATCH, least=6.0, faint=False
)  # few codes are printed so, and pictures of the lungs are full of shapes
"""What fits a page, and what fits a patch that holds little but a code."""


def recover_codes(grey: NDArray[np.uint8], finder_search: FinderSearch, *, scale: float = 1.0) -> EngineResult:
    """Read bent, blurred or damaged codes whose three finder patterns are visible.

    Args:
        grey: (rows, columns), the code dark on light.
        finder_search: parameters of the search for finder patterns.
        scale: resolution of ``grey`` relative to the page; polygons are in the page's pixels.
    """
    patterns = _patterns(grey, finder_search)
    seen, used = _followed(grey, corners(patterns), scale)
    if not finder_search.faint or seen.found:
        return seen
    if used:
        return _completed(grey, patterns, seen, scale)
    known = [finder for finder in patterns if finder.weight >= _SURE][:_SUREST]
    faint = [other for finder in known for other in alike(grey, finder)]
    new = {other for k, other in enumerate(faint) if _is_new(other, known + faint[:k])}
    more = (corner for corner in corners([*known, *new]) if {corner.origin, corner.right, corner.down} & new)
    if new:
        seen, used = _followed(grey, more, scale)
    return seen if seen.found else _completed(grey, patterns, seen, scale)


def _completed(grey: NDArray[np.uint8], patterns: list[Finder], seen: EngineResult, scale: float) -> EngineResult:
    """Read a code with two visible finder patterns, and add it to the results."""
    for grid in grids_with_one_hidden(grey, patterns):
        in_sight = replace(grid, hidden=None)  # what is covered may be little, and the rest of the corner right
        text = _text(grid, unblurred(grid)) or _text(grid, grid.darkness) or _text(in_sight, grid.darkness)
        if text:
            found = FoundCode(text, "QRCode", scaled(grid.outline, scale))
            return EngineResult((*seen.found, found), seen.suspects)
    return seen


def _followed(grey: NDArray[np.uint8], threes: Iterator[Corner], scale: float) -> tuple[EngineResult, set[Finder]]:
    """Read the first few triples, and tell which finder patterns belong to a code."""
    found: list[FoundCode] = []
    suspects = []
    used: set[Finder] = set()
    tries = 0
    for corner in threes:
        three = {corner.origin, corner.right, corner.down}
        if tries == _TRIES:
            break
        if used & three:
            continue
        tries += 1
        best, text = _read(grids(grey, corner))
        if best is None or (best.agreement < _CERTAIN and not text):
            continue
        used |= three  # a code is here, read or not
        if text:
            found.append(FoundCode(text, "QRCode", scaled(best.outline, scale)))
        else:
            suspects.append(scaled(best.outline, scale))
    return EngineResult(tuple(found), tuple(suspects)), used


def _is_new(one: Finder, known: list[Finder]) -> bool:
    return all(abs(one.x - other.x) + abs(one.y - other.y) > 3 * one.run for other in known)


def _patterns(grey: NDArray[np.uint8], finder_search: FinderSearch) -> list[Finder]:
    found = finders(*(binary(grey, window, soft) for window, soft in finder_search.thresholds))
    return [finder for finder in found if finder.weight >= finder_search.least]


def _read(readings: Iterator[Grid]) -> tuple[Grid | None, str]:
    """The readable grid and its text; else the likeliest grid, without text."""
    best: Grid | None = None
    for grid in readings:
        text = _text(grid, unblurred(grid)) or _text(grid, grid.darkness)
        if text:
            return grid, text
        best = grid if best is None or grid.agreement > best.agreement else best
    if best is None or best.agreement < _LIKELY:
        return best, ""
    return best, _text(best, finely_unblurred(best))


def _text(grid: Grid, darkness: NDArray[np.float32]) -> str:
    """The text of modules; empty where they are damaged beyond repair."""
    if grid.hidden is not None:
        darkness = darkness.copy()
        darkness[covered(darkness, grid.hidden)] *= _COVERED
    whole = symbol.corrected(darkness)
    if whole is None:
        return ""
    texts = [item.text for item in zxing(_drawing(whole), pure=True).found]
    return texts[0] if texts and texts[0].isprintable() else ""


def _drawing(dark: NDArray[np.bool_]) -> NDArray[np.uint8]:
    import numpy as np

    light = np.pad(~dark, _QUIET, constant_values=True).astype(np.uint8) * 255
    return np.kron(light, np.ones((3, 3), np.uint8))
