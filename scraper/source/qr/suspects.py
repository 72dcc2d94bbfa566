"""Regions that deserve an expensive decoder: where a code seemed to be, then those with a code's contrast."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from math import hypot
from typing import TYPE_CHECKING

from scraper.source.qr.engines import Polygon
from scraper.source.qr.regions import Box, regions
from scraper.source.qr.repair.normalise import evened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST = 5
MOST_SUSPECTS = 2
_SOUGHT_EDGE = 2000  # pixels: of more, every other is as good for finding what is lively
_MARGIN = 0.3  # of a suspect's longer edge
_SQUARE = 0.15  # shortest over longest edge, of a code that is seen steeply
_SMALLEST = 16  # pixels
_SAME = 0.7  # of the smaller box, in the larger: they are of one place
_ROOM_AROUND_SUSPECT = 1.6  # times its box: an engine may have taken one finder pattern of a larger code for it
_ROOM = 4.0  # times a code's box: a box that large has room for another code


@dataclass(frozen=True, slots=True)
class KnownPlaces:
    """What is known of a page before the search: where codes were read, and where one seemed to be."""

    read: tuple[Polygon, ...] = ()
    suspects: tuple[Polygon, ...] = ()


def places(grey: NDArray[np.uint8], known: KnownPlaces, scale: float) -> tuple[list[Box], int]:
    """Up to ``MOST`` boxes in pixels of ``grey``, likeliest first, and how many of them are suspects.

    Args:
        grey: (rows, columns).
        known: polygons in the page's pixels.
        scale: resolution of ``grey`` relative to the page.
    """
    import numpy as np

    every = max(1, round(max(grey.shape) / _SOUGHT_EDGE))
    thin = np.ascontiguousarray(grey[::every, ::every])
    suspected = [_around(suspect, scale, grey.shape) for suspect in known.suspects if _is_square(suspect)]
    boxes: list[Box] = []
    for box in [*_joined(known.suspects, scale, grey.shape), *suspected]:
        if min(box[2] - box[0], box[3] - box[1]) >= _SMALLEST and not any(_same(box, item) for item in boxes):
            boxes.append(box)
    boxes = boxes[: MOST_SUSPECTS + (len(known.suspects) > 1)]
    first = len(boxes)
    read = [_around(item, scale, grey.shape, 0.0) for item in known.read]
    for left, top, right, bottom in _lively(thin):
        box = left * every, top * every, right * every, bottom * every
        is_of_suspect = any(_same(box, item, _ROOM_AROUND_SUSPECT) for item in boxes[:first])
        if (
            not is_of_suspect
            and not any(_same(box, item) for item in boxes[first:])
            and not any(_is_of(box, code) for code in read)
        ):
            boxes.append(box)
    return boxes[:MOST], first


def _lively(thin: NDArray[np.uint8]) -> list[Box]:
    """Regions of highest contrast, alternating with those after evening it out: glare leaves a code pale."""
    plain, lit = regions(thin, MOST + 1), regions(evened(thin), MOST + 1)
    pairs = zip_longest(plain, [box for box in lit if not any(_same(box, other) for other in plain)])
    return [box for pair in pairs for box in pair if box is not None]


def _joined(suspects: tuple[Polygon, ...], scale: float, shape: tuple[int, ...]) -> list[Box]:
    """Merge adjacent suspects: with a hidden finder pattern, engines take the visible ones for codes."""
    if len(suspects) < 2:
        return []
    boxes = [_around(suspect, scale, shape) for suspect in suspects]
    largest = max(boxes, key=_area)
    near = [box for box in boxes if _common(box, _around_box(largest, shape)) > 0]
    joined = (
        min(box[0] for box in near),
        min(box[1] for box in near),
        max(box[2] for box in near),
        max(box[3] for box in near),
    )
    return [joined]


def _around_box(box: Box, shape: tuple[int, ...]) -> Box:
    corners = ((box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3]))
    return _around(corners, 1.0, shape, 1.0)


def _is_square(polygon: Polygon) -> bool:
    """Whether four corners form a square: no edge much longer than another."""
    ends = [*polygon[1:], *polygon[:1]]
    edges = [hypot(x - right, y - below) for (x, y), (right, below) in zip(polygon, ends, strict=True)]
    return len(edges) == 4 and min(edges) > _SQUARE * max(edges)


def _around(polygon: Polygon, scale: float, shape: tuple[int, ...], margin: float = _MARGIN) -> Box:
    xs, ys = ([round(point[axis] * scale) for point in polygon] or [0] for axis in (0, 1))
    more = round(margin * max(max(xs) - min(xs), max(ys) - min(ys)))
    return (
        max(0, min(xs) - more),
        max(0, min(ys) - more),
        min(shape[1], max(xs) + more),
        min(shape[0], max(ys) + more),
    )


def _is_of(box: Box, code: Box) -> bool:
    """Whether a box holds that code and has no room for another."""
    x, y = (code[0] + code[2]) / 2, (code[1] + code[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3] and _area(box) < _ROOM * _area(code)


def _same(one: Box, other: Box, room: float = _ROOM) -> bool:
    """Whether two boxes are the same place: most of the smaller lies in the larger, which has no room for more."""
    less, more = sorted((_area(one), _area(other)))
    return _common(one, other) > _SAME * less and more < room * less


def _common(one: Box, other: Box) -> int:
    """Area of the intersection."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
