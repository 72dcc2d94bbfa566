"""Find a QR code's three finder patterns where no engine reads the code.

A line through a finder pattern's middle crosses dark and light runs of 1 : 1 : 3 : 1 : 1 modules in any direction
(ISO/IEC 18004, 6.3.3); where rows and columns agree on a place, there is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST = 24  # finder patterns looked at on one page
_CELL = 3  # pixels: rows' and columns' crossings meet in cells of this size
_SLACK = 0.62  # of a module: how far a run may be off
_ODDEST_LEGS = 2.2  # longest over shortest leg of a code in modules; a bend or a steep view stretches one
_FEWEST_BETWEEN, _MOST_BETWEEN = 12, 180  # modules between two patterns' middles


@dataclass(frozen=True, slots=True)
class Finder:
    """A finder pattern's middle in pixels; ``run`` is a seventh of its width along rows and columns, in pixels."""

    x: float
    y: float
    run: float
    weight: float


@dataclass(frozen=True, slots=True)
class Corner:
    """Three finder patterns as those of one code: upper left, upper right, lower left; ``misfit`` 0 is a square.

    ``modules`` is the number along an edge, estimated from the patterns' size.
    """

    origin: Finder
    right: Finder
    down: Finder
    misfit: float
    modules: float


def binary(grey: NDArray[np.uint8], window: int, soft: float) -> NDArray[np.uint8]:
    """1 where a pixel is darker than its neighbourhood of ``window`` pixels."""
    import cv2

    if soft:
        grey = cv2.GaussianBlur(grey, (0, 0), soft)  # type: ignore[assignment]
    return cv2.adaptiveThreshold(  # type: ignore[return-value]
        grey, 1, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, window | 1, 4
    )


def finders(*darks: NDArray[np.uint8]) -> list[Finder]:
    """Find the finder patterns on a page of 0 (light) and 1 (dark), surest first, in several versions of the page."""
    distinct: list[Finder] = []
    for entry in sorted((finder for dark in darks for finder in _finders(dark)), key=lambda item: -item.weight):
        if all(abs(entry.x - other.x) + abs(entry.y - other.y) > 2 * other.run for other in distinct):
            distinct.append(entry)
    return distinct[:MOST]


def _finders(dark: NDArray[np.uint8]) -> list[Finder]:
    import cv2
    import numpy as np

    rows, columns = dark.shape
    across = _crossings(dark)
    along = _crossings(np.ascontiguousarray(dark.T))[:, [1, 0, 2]]
    if not len(across) or not len(along):
        return []
    shape = (rows // _CELL + 1, columns // _CELL + 1)
    met = np.zeros(shape, np.uint8)
    met[_cells(across)] = 1
    other = np.zeros(shape, np.uint8)
    other[_cells(along)] = 1
    square = np.ones((3, 3), np.uint8)
    both = cv2.bitwise_and(cv2.dilate(met, square), cv2.dilate(other, square))
    count, labels = cv2.connectedComponents(both)
    sums = []
    for hits in (across, along):
        label = labels[_cells(hits)]
        votes = np.bincount(label, minlength=count).astype(float)
        means = [np.bincount(label, hits[:, k], count) / np.maximum(votes, 1) for k in range(3)]
        sums.append((votes, *means))
    (votes_a, x_a, _, run_a), (votes_b, _, y_b, run_b) = sums
    found = []
    for k in range(1, count):
        if votes_a[k] < 1 or votes_b[k] < 1 or not 0.45 < run_a[k] / max(run_b[k], 1e-6) < 2.2:
            continue
        # three modules' worth of lines ought to cross it
        weight = min(votes_a[k] / run_b[k], 3.0) + min(votes_b[k] / run_a[k], 3.0)
        found.append(Finder(x_a[k], y_b[k], (run_a[k] + run_b[k]) / 2, float(weight)))
    _, blobs, stats, middles = cv2.connectedComponentsWithStats(dark, connectivity=4)
    found = [replace(finder, weight=finder.weight + _blob(finder, blobs, stats, middles)) for finder in found]
    found.sort(key=lambda finder: -finder.weight)
    return found[:MOST]


def _blob(finder: Finder, blobs: Any, stats: Any, middles: Any) -> float:
    """How much the dark blob in the middle and the ring around it resemble a finder pattern: 0 to 6."""
    rows, columns = blobs.shape
    core = int(blobs[round(finder.y), round(finder.x)])
    area = finder.run**2
    worth = 0.0
    if core and 3.5 * area < stats[core, 4] < 15 * area and _is_near(finder, middles[core], 0.8):
        worth += 3.0
    for dx, dy in ((3, 0), (-3, 0), (0, 3), (0, -3)):
        x, y = round(finder.x + dx * finder.run), round(finder.y + dy * finder.run)
        ring = int(blobs[y, x]) if 0 <= x < columns and 0 <= y < rows else 0
        if ring and ring != core and 10 * area < stats[ring, 4] < 40 * area and _is_near(finder, middles[ring], 1.2):
            return worth + 3.0
    return worth


def _is_near(finder: Finder, middle: Any, modules: float) -> bool:
    return bool(max(abs(middle[0] - finder.x), abs(middle[1] - finder.y)) < modules * finder.run)


def _cells(hits: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return (hits[:, 1] // _CELL).astype(int), (hits[:, 0] // _CELL).astype(int)


def _crossings(dark: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n, 3): x and y of the middle of each 1 : 1 : 3 : 1 : 1 along the rows, and its module size."""
    import numpy as np

    columns = dark.shape[1]
    flat = dark.ravel()
    turns = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if len(turns) < 6:
        return np.zeros((0, 3))
    runs = np.diff(turns).astype(np.float32)
    count = len(runs) - 4
    start = turns[:count]
    total = (turns[5:] - start).astype(np.float32)[:count]
    module = total / 7
    fits = (flat[start] == 1) & (start // columns == turns[5 : 5 + count] // columns) & (total >= 8)
    for place, wide in enumerate((1, 1, 3, 1, 1)):
        slack = _SLACK if wide == 1 else 1.0
        fits &= np.abs(runs[place : place + count] - wide * module) <= slack * module + 0.3
    chosen = np.flatnonzero(fits)
    middle = (turns[chosen + 2] + turns[chosen + 3]) / 2 - 0.5
    row = turns[chosen + 2] // columns
    return np.stack([middle - row * columns, row, module[chosen]], 1)


def corners(found: list[Finder]) -> Iterator[Corner]:
    """Triples of patterns that may belong to one code, the most square first."""
    import numpy as np

    if len(found) < 3:
        return
    three = np.array(list(combinations(range(len(found)), 3)))
    turned = np.stack([np.roll(three, -turn, axis=1) for turn in range(3)], axis=1)
    x, y, run, weight = np.array([(finder.x, finder.y, finder.run, finder.weight) for finder in found]).T
    origin, right, down = np.moveaxis(turned, -1, 0)
    ax, ay, bx, by = x[right] - x[origin], y[right] - y[origin], x[down] - x[origin], y[down] - y[origin]
    is_mirrored = ax * by - ay * bx < 0
    right, down = np.where(is_mirrored, down, right), np.where(is_mirrored, right, down)
    cosine = (ax * bx + ay * by) / np.maximum(np.hypot(ax, ay) * np.hypot(bx, by), 1e-6)
    legs = np.stack([_modules(x, y, run, origin, far) for far in (right, down)])
    uneven = np.log(legs.max(0) / legs.min(0)) / np.log(_ODDEST_LEGS)
    sizes = run[three].max(1) / run[three].min(1)
    misfit = np.abs(cosine) / 0.75 + uneven + np.log(sizes)[:, None] / np.log(2.0) / 2
    rows = np.arange(len(three))
    best = misfit.argmin(1)
    least, modules = misfit[rows, best], legs.mean(0)[rows, best]
    fits = (sizes <= 2.0) & (least < 1.6) & (modules >= _FEWEST_BETWEEN) & (modules <= _MOST_BETWEEN)
    worth = least - 0.15 * weight[three].sum(1)
    for k in np.flatnonzero(fits)[np.argsort(worth[fits], kind="stable")]:
        first, second, third = (found[int(item[k, best[k]])] for item in (origin, right, down))
        yield Corner(first, second, third, float(least[k]), float(modules[k]) + 7)


def _modules(x: Any, y: Any, run: Any, one: Any, other: Any) -> Any:
    """Number of modules between finder patterns' middles; a rotated pattern is crossed at a slant and looks wider."""
    import numpy as np

    dx, dy = x[other] - x[one], y[other] - y[one]
    away = np.hypot(dx, dy)
    slant = np.maximum(np.abs(dx), np.abs(dy)) / np.maximum(away, 1e-6)
    return np.maximum(away / np.maximum((run[one] + run[other]) / 2 * slant, 1e-6), 1e-6)
