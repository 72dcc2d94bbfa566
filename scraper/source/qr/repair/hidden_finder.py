"""Find a code with one hidden finder pattern: the other two and symmetry give its position.

A thumb, a sticker or a staple covers it, and modules next to it. Covered modules are treated as unknown, which costs
the error correction half of what a wrong module costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from scraper.source.qr.repair import symbol
from scraper.source.qr.repair.finders import Finder
from scraper.source.qr.repair.initial import anchors_of, versions
from scraper.source.qr.repair.normalise import Patch, normalise
from scraper.source.qr.repair.patterns import settled
from scraper.source.qr.repair.refine import Grid, fitted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_SURE = 4.5  # weight of a finder pattern that is believed, of 12
_MOST_SURE = 4
_LIKE_A_FINDER = 0.75
_STRAIGHT, _DIAGONAL = (0.3, 0.65)  # shorter over longer part of the way between two patterns, in their own axes
_FEWEST, _MOST = 12, 90  # modules between two patterns' middles
_BELIEVED = 0.55  # agreement from which a grid's modules are worth mending
_ODDEST_SIZES = 1.7
_MOST_GRIDS = 12


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two refined finder patterns on one patch: frames (2, 3) in pixels of the patch."""

    patch: Patch
    frames: tuple[Floats, Floats]


def grids_with_one_hidden(grey: NDArray[np.uint8], patterns: list[Finder]) -> Iterator[Grid]:
    """Grids of codes with two of the patterns; the third one's area is marked as covered."""
    sure = [finder for finder in patterns if finder.weight >= _SURE][:_MOST_SURE]
    given = 0
    for combination, other in combinations(sure, 2):
        if max(combination.run, other.run) > _ODDEST_SIZES * min(combination.run, other.run):
            continue
        pair = _pair(grey, combination, other)
        if pair is None:
            continue
        for frames, hidden in _guesses(pair):
            for grid in _fitted_guesses(pair.patch, frames, hidden):
                yield grid
                given += 1
                if given >= _MOST_GRIDS:
                    return


def _pair(grey: NDArray[np.uint8], one: Finder, other: Finder) -> _Pair | None:
    import numpy as np

    away = float(np.hypot(other.x - one.x, other.y - one.y))
    run = (one.run + other.run) / 2
    if not _FEWEST * 0.7 < away / run < _MOST * 1.5:
        return None
    reach = 1.1 * away + 12 * run
    middle = (one.x + other.x) / 2, (one.y + other.y) / 2
    box = (middle[0] - reach, middle[1] - reach, middle[0] + reach, middle[1] + reach)
    patch = normalise(grey, box, run)
    frames = []
    for finder in (one, other):
        place = (finder.x - patch.left) * patch.factor, (finder.y - patch.top) * patch.factor
        frame, score = _best_frame(patch.pixels, place, finder.run * patch.factor)
        if score < _LIKE_A_FINDER:
            return None
        frames.append(frame)
    return _Pair(patch, (frames[0], _turned_like(frames[1], frames[0])))


def _best_frame(pixels: Floats, place: tuple[float, float], run: float) -> tuple[Floats, float]:
    import numpy as np

    tries = []
    for degrees in (0.0, 30.0, 60.0):
        turn, module = np.radians(degrees), run * 0.9  # a turned pattern is crossed at a slant
        cosine, sine = module * np.cos(turn), module * np.sin(turn)
        start = np.array([[cosine, -sine, place[0]], [sine, cosine, place[1]]], np.float32)
        tries.append(settled(pixels, start))
    return max(tries, key=lambda found: found[1])


def _turned_like(frame: Floats, model: Floats) -> Floats:
    """Rotate a frame by quarters until its axes match the model's: a finder pattern looks the same from all sides."""
    import numpy as np

    quarters = []
    for _ in range(4):
        frame = np.column_stack([frame[:, 1], -frame[:, 0], frame[:, 2]]).astype(np.float32)
        quarters.append(frame)
    return max(quarters, key=lambda turned: float((turned[:, :2] * model[:, :2]).sum()))


def _guesses(pair: _Pair) -> Iterator[tuple[list[Floats], int]]:
    """Frames as upper left, upper right, lower left, and the index of the hidden one (only estimated)."""
    yield from _guesses_from(*pair.frames)
    yield from _guesses_from(*pair.frames[::-1])


def _guesses_from(one: Floats, other: Floats) -> Iterator[tuple[list[Floats], int]]:
    """The same for the patterns in one order; two at opposite corners give the same in either order."""
    import numpy as np

    axes = (one[:, :2] + other[:, :2]) / 2
    right, down = np.linalg.solve(axes, other[:, 2] - one[:, 2])
    for _ in range(4):  # with each side up in turn
        shorter, longer = sorted((abs(right), abs(down)))
        if _FEWEST <= longer <= _MOST:
            if shorter < _STRAIGHT * longer and right > abs(down):
                yield [one, other, _along(one, 1, right)], 2
            elif shorter < _STRAIGHT * longer and down > abs(right):
                yield [one, _along(one, 0, down), other], 1
            elif shorter > _DIAGONAL * longer and right < 0 < down:  # from the upper right to the lower left
                corner = (_along(one, 0, right) + _along(other, 1, -down)) / 2
                yield [corner.astype(np.float32), one, other], 0
        one, other = (
            np.column_stack([frame[:, 1], -frame[:, 0], frame[:, 2]]).astype(np.float32) for frame in (one, other)
        )
        right, down = down, -right


def _along(frame: Floats, axis: int, modules: float) -> Floats:
    """Move a frame by so many modules along one of its axes."""
    out = frame.copy()
    out[:, 2] += frame[:, axis] * modules
    return out


def _fitted_guesses(patch: Patch, frames: list[Floats], hidden: int) -> Iterator[Grid]:
    for version in versions(frames)[:3]:
        for anchors in anchors_of(patch.pixels, frames, version):
            grid = fitted(patch, frames, version, anchors, hidden=hidden)
            if grid is not None and grid.agreement >= _BELIEVED:
                yield grid
            break


def covered(darkness: Floats, hidden: int) -> NDArray[np.bool_]:
    """Which modules the object over the hidden finder pattern covers, as far as it has one shade."""
    import cv2
    import numpy as np

    dark = (darkness > 0).astype(np.uint8)
    square = np.ones((3, 3), np.uint8)
    flat = cv2.max(cv2.erode(dark, square), cv2.erode(1 - dark, square))
    region = np.zeros(dark.shape, np.uint8)
    region[symbol.corner_region(len(darkness), hidden)] = 1
    _, labels = cv2.connectedComponents(flat, connectivity=4)
    touching = [label for label in np.unique(labels[region > 0]) if label]
    thing = cv2.dilate(np.isin(labels, touching).astype(np.uint8), square)
    return cv2.dilate(np.maximum(thing, region), square).astype(bool)
