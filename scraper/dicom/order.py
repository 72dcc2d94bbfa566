"""The order of a series' instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scraper.core.model import Header

SAME_DIRECTION: Final = 1e-3  # cosines that differ less are one orientation
SAME_PLACE_MM: Final = 0.01  # positions along the normal that differ less are one place

Orientation = tuple[float, float, float, float, float, float]


def normal(orientation: Orientation) -> NDArray[np.float64]:
    """Unit vector along which slices follow each other, (3,): row cosines x column cosines (PS3.3 C.7.6.2.1.1).

    Zero where the cosines are parallel.
    """
    vector = np.cross(np.asarray(orientation[:3], float), np.asarray(orientation[3:], float))
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-6 else np.zeros(3)


def orientation_groups(orientations: Sequence[Orientation | None]) -> list[int]:
    """A group number for each instance, by first appearance; -1 where there is no orientation."""
    seen: list[Orientation] = []
    groups: list[int] = []
    for orientation in orientations:
        if orientation is None:
            groups.append(-1)
            continue
        for number, known in enumerate(seen):
            if all(abs(a - b) < SAME_DIRECTION for a, b in zip(orientation, known, strict=True)):
                groups.append(number)
                break
        else:
            groups.append(len(seen))
            seen.append(orientation)
    return groups


def _places(distances: Sequence[tuple[int, float]]) -> dict[int, int]:
    """Index → rank along the normal; neighbours closer than ``SAME_PLACE_MM`` share one."""
    ranks: dict[int, int] = {}
    rank, last = 0, None
    for index, distance in sorted(distances, key=lambda pair: pair[1]):
        if last is not None and distance - last > SAME_PLACE_MM:
            rank += 1
        ranks[index], last = rank, distance
    return ranks


def order(headers: Sequence[Header]) -> list[int]:
    """Indices in the order of the contract.

    Orientation by orientation (the one with the lowest instance number first): position along the slice normal, then what
    ``Header.order`` holds (acquisition, echo, time), then instance number, then SOP Instance UID. Instances without a
    position follow, in the same order without it.
    """
    groups = orientation_groups([h.orientation if h.position is not None else None for h in headers])
    first: dict[int, tuple[int, int]] = {}
    for index, (group, header) in enumerate(zip(groups, headers, strict=True)):
        number = header.instance_number if header.instance_number is not None else 1 << 31
        first[group] = min(first.get(group, (number, index)), (number, index))
    places: dict[int, int] = {}
    for group in set(groups) - {-1}:
        members = [index for index, own in enumerate(groups) if own == group]
        leader = headers[members[0]].orientation
        along = normal(leader) if leader is not None else np.zeros(3)
        places |= _places([(index, float(np.dot(along, headers[index].position or (0, 0, 0)))) for index in members])

    def key(index: int) -> tuple[object, ...]:
        header = headers[index]
        number = header.instance_number if header.instance_number is not None else 1 << 31
        group = groups[index]
        return (group < 0, first[group], places.get(index, 0), header.order, number, header.sop_instance_uid)

    return sorted(range(len(headers)), key=key)
