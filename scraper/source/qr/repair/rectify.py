"""Undo the bend of a code that no engine reads: find where on the photo each of its modules lies.

The three finder patterns give a flat initial estimate; alignment patterns are searched near where it puts them. Then the
estimate is drawn as a clean code, compared with the photo place by place, and moved to where the two agree (Lucas and
Kanade's step, over windows of a few modules), first as a smooth bend of the whole, then freely. The modules are
read again at each turn, so the whole code guides the grid, not the fixed patterns alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scraper.source.qr.repair import symbol
from scraper.source.qr.repair.initial import anchors_of, versions
from scraper.source.qr.repair.normalise import Patch, normalise
from scraper.source.qr.repair.patterns import A_FINDER, settled
from scraper.source.qr.repair.refine import Grid, fitted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scraper.source.qr.repair.finders import Corner, Finder

    Floats = NDArray[np.float32]

_CERTAIN = 0.96  # agreement above which a size is not tried with other alignment patterns
_LIKE_A_FINDER = 0.5
_BELIEVED = 0.6  # agreement from which a grid's modules are worth mending
_MOST_BELIEVED = 5  # a code that is in none of them is damaged beyond repair
_ANCHORED = 0.3  # part of the alignment patterns that must be seen, from version 7 on, where there are many
_MANY_ANCHORS = 7
_STRANGE_SIZES = 2  # in none of which a grid is believed: the three finder patterns are no code's


def grids(grey: NDArray[np.uint8], corner: Corner) -> Iterator[Grid]:
    """Grids of the code with these finder patterns, likeliest first; none where it turns out not to be a code.

    A code's own finder patterns give a credible grid within the first two sizes that they suggest; patterns of
    different codes give none, and cost the most to fit.
    """
    import numpy as np

    patch = _cut_out(grey, corner)
    axes = _axes(corner)
    frames: dict[Finder, Floats] = {}
    three = (corner.origin, corner.right, corner.down)
    for finder in sorted(three, key=lambda item: item.weight):  # the faintest is the likeliest to be none
        middle = ((finder.x - patch.left) * patch.factor, (finder.y - patch.top) * patch.factor)
        start = np.array([[axes[0][0], axes[1][0], middle[0]], [axes[0][1], axes[1][1], middle[1]]], np.float32)
        start[:, :2] *= patch.factor
        frame, score = settled(patch.pixels, start)
        for size in (0.72, 1.35):  # the distance between them tells a module's size badly in a steep view
            if score < A_FINDER:
                resized = np.column_stack([start[:, :2] * np.float32(size), start[:, 2]])
                frame, score = max((frame, score), settled(patch.pixels, resized), key=lambda item: item[1])
        if score < _LIKE_A_FINDER:
            return
        frames[finder] = frame
    corners = [frames[finder] for finder in three]
    strange = believed = 0
    for version in versions(corners):
        for anchors in anchors_of(patch.pixels, corners, version):
            if len(anchors) < _ANCHORED * len(symbol.alignment(version)) and version >= _MANY_ANCHORS:
                strange += 1
                break
            grid = fitted(patch, corners, version, anchors)
            if grid is None or grid.agreement < _BELIEVED:
                strange += 1
                break
            yield grid
            believed += 1
            if grid.agreement > _CERTAIN:
                break
        if strange == _STRANGE_SIZES or believed >= _MOST_BELIEVED:
            return


def _axes(corner: Corner) -> tuple[Floats, Floats]:
    """One module to the right and one down, in pixels."""
    import numpy as np

    across = np.array([corner.right.x - corner.origin.x, corner.right.y - corner.origin.y], np.float32)
    along = np.array([corner.down.x - corner.origin.x, corner.down.y - corner.origin.y], np.float32)
    return across / (corner.modules - 7), along / (corner.modules - 7)


def _cut_out(grey: NDArray[np.uint8], corner: Corner) -> Patch:
    three: tuple[Finder, ...] = (corner.origin, corner.right, corner.down)
    xs = [finder.x for finder in three] + [corner.right.x + corner.down.x - corner.origin.x]
    ys = [finder.y for finder in three] + [corner.right.y + corner.down.y - corner.origin.y]
    reach = 12 * max(finder.run for finder in three)
    box = (min(xs) - reach, min(ys) - reach, max(xs) + reach, max(ys) + reach)
    return normalise(grey, box, sum(finder.run for finder in three) / 3)
