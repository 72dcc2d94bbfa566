"""Stacks of slices: their positions along the normal, gaps between them, and duplicates.

Source: PS3.3 C.7.6.2.1.1: Image Position (Patient) is the centre of the first voxel, Image Orientation (Patient) the cosines of
row and column. A tilted gantry shifts slices within their plane: distances are taken along the normal, never along z.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scraper.dicom.order import SAME_PLACE_MM, normal, orientation_groups

_UNEVEN: Final = 0.1  # share of the usual step by which one may differ: positions are rounded, tables settle
_UNEVEN_MM: Final = 0.06
_OFF_LINE_MM: Final = 1.0  # within the plane, from where the slices before and behind lead to expect one

Vector = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Plane:
    """One image (or one frame) in space; ``name`` is its SOP Instance UID."""

    name: str
    position: Vector
    orientation: Vector


@dataclass(frozen=True, slots=True)
class Gap:
    """A step along the normal that is too long: between which places (0-based), and for how many slices."""

    after: int
    slices: int
    step_mm: float


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices of one orientation. ``places`` holds the names of the images at each place, in order along the normal."""

    orientation: Vector
    places: tuple[tuple[str, ...], ...]
    step_mm: float | None
    gaps: tuple[Gap, ...]
    uneven: tuple[int, ...]  # places after which a step differs from the usual one and is no gap
    shifted: tuple[int, ...] = ()  # places after which the next slice lies aside, though the others are in line

    @property
    def images(self) -> int:
        """Number of images in the stack."""
        return sum(map(len, self.places))

    @property
    def depth(self) -> int:
        """Number of images at most of the places."""
        counts = Counter(map(len, self.places))
        most = max(counts.values())
        return max(depth for depth, count in counts.items() if count == most)

    @property
    def thin(self) -> tuple[int, ...]:
        """Places with fewer images than most."""
        depth = self.depth
        return tuple(index for index, names in enumerate(self.places) if len(names) < depth)


def _stack(planes: Sequence[Plane]) -> Stack:
    orientation = planes[0].orientation
    along = normal(orientation)  # type: ignore[arg-type]  # six cosines
    placed = sorted(
        ((float(np.dot(along, plane.position)), plane) for plane in planes), key=lambda pair: (pair[0], pair[1].name)
    )
    places: list[list[str]] = []
    distances: list[float] = []
    last = 0.0
    for distance, plane in placed:
        if places and distance - last <= SAME_PLACE_MM:
            places[-1].append(plane.name)
        else:
            places.append([plane.name])
            distances.append(distance)
        last = distance
    steps = [high - low for low, high in pairwise(distances)]
    usual = median_low(steps) if steps else None  # the lower one: of two steps the longer is the gap
    gaps, uneven = [], []
    for index, step in enumerate(steps):
        if usual is None or abs(step - usual) <= max(_UNEVEN * usual, _UNEVEN_MM):
            continue
        slices = round(step / usual)
        if slices >= 2 and abs(step - slices * usual) <= max(_UNEVEN * usual, _UNEVEN_MM):
            gaps.append(Gap(index, slices - 1, step))
        else:
            uneven.append(index)
    shifted = _shifted(placed, along) if len(placed) == len(places) else ()
    return Stack(orientation, tuple(map(tuple, places)), usual, tuple(gaps), tuple(uneven), shifted)


def _shifted(placed: Sequence[tuple[float, Plane]], along: NDArray[np.float64]) -> tuple[int, ...]:
    """Indices after which a slice is shifted within its plane; none where many are, as in a curved reformat.

    A tilted gantry shifts every slice by the same, which is no fault.

    Args:
        placed: distance along the normal in mm, and the plane, in order; one image at each place.
        along: the normal, (3,).
    """
    if len(placed) < 4:
        return ()
    distances = np.asarray([distance for distance, _ in placed])
    within = np.asarray([plane.position for _, plane in placed], float) - distances[:, None] * along
    steps, moved = np.diff(distances), np.diff(within, axis=0)
    usual = np.median(moved / steps[:, None], axis=0)
    off = np.linalg.norm(moved - usual * steps[:, None], axis=1) > _OFF_LINE_MM
    return tuple(int(index) for index in np.flatnonzero(off)) if 0 < off.sum() <= max(2, len(steps) // 5) else ()


def stacks(planes: Sequence[Plane]) -> list[Stack]:
    """The stacks of a series (or of the frames of one instance), one for each orientation, largest first."""
    groups = orientation_groups([plane.orientation for plane in planes])  # type: ignore[misc]  # six cosines
    found = [
        _stack([plane for plane, own in zip(planes, groups, strict=True) if own == group])
        for group in sorted(set(groups))
    ]
    return sorted(found, key=lambda stack: -stack.images)
