"""A study as the viewer's program lists it: series, frames with their places, the volume that they make, tags."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from scraper.core.safe_text import visible
from scraper.verify import Inspector
from scraper.viewer.describe import DescribedFile, FramePlacement, describe

LEAST_SLICES: Final = 5  # of a volume
_TOLERANCE: Final = 0.02  # of the step between two slices, as a share of it
_SAME_DIRECTION: Final = 0.999  # cosine; a tilted gantry moves slices sideways, and its planes would be skewed
_DECIMALS: Final = 4
_MOST_PREVIEWED: Final = 24  # files that are read for a preview
_AT_ONCE: Final = 64  # files whose descriptions are waited for at the same time
_UNREAD: Final = DescribedFile(
    ("", "", ""),
    "",
    is_grey=True,
    rows=0,
    columns=0,
    frame_bytes=0,
    frame_time_ms=0.0,
    places=(FramePlacement(),),
    tags=(),
)


@dataclass(frozen=True, slots=True)
class ViewedSeries:
    """One series: what its list entry says, and its files in order."""

    number: int | None
    description: str
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class FrameAt:
    """Where a frame stands: a file, and its number in it, from 0. ``size``: bytes of its samples, decoded."""

    path: Path
    frame: int
    size: int


@dataclass(frozen=True, slots=True)
class StudyView:
    """``index`` is what the program reads; a frame's number in it is its place in ``frames``."""

    index: Mapping[str, Any]
    frames: tuple[FrameAt, ...]
    unreadable: tuple[Path, ...] = ()


@dataclass(slots=True)
class _Listing:
    studies: list[tuple[str, ...]] = field(default_factory=list)
    series: list[dict[str, Any]] = field(default_factory=list)
    frames: list[FrameAt] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)

    def study(self, described: DescribedFile) -> int:
        if described.study not in self.studies:
            self.studies.append(described.study)
        return self.studies.index(described.study)


async def view_study(series: Sequence[ViewedSeries], inspector: Inspector) -> StudyView:
    """Read what all files say of themselves, each in a process that may die over it."""
    listing = _Listing()
    for viewed in series:
        found: list[DescribedFile | None] = []
        for start in range(0, len(viewed.files), _AT_ONCE):
            paths = viewed.files[start : start + _AT_ONCE]
            found += await asyncio.gather(*(inspector.apart(describe, str(path)) for path in paths))
        readable = [(path, item) for path, item in zip(viewed.files, found, strict=True) if item is not None]
        listing.unreadable += [path for path, item in zip(viewed.files, found, strict=True) if item is None]
        if readable:
            listing.series.append(_series(viewed, readable, listing))
    return _view(listing)


async def preview_study(series: Sequence[ViewedSeries], inspector: Inspector) -> StudyView:
    """List a study from the middle file of each series; its other files are taken to hold a frame each, at no known place.

    At most ``_MOST_PREVIEWED`` files are read, so that the first image does not wait for a large study's other files.
    """
    listing = _Listing()
    middles = [viewed.files[len(viewed.files) // 2] for viewed in series[:_MOST_PREVIEWED]]
    found = await asyncio.gather(*(inspector.apart(describe, str(path)) for path in middles))
    described = dict(zip(middles, found, strict=True))
    for viewed in series:
        middle = described.get(viewed.files[len(viewed.files) // 2]) or _UNREAD
        alike = replace(middle, places=(FramePlacement(),) if middle.places else (), tags=())
        readable = [(path, described.get(path) or alike) for path in viewed.files]
        listing.series.append(_series(viewed, readable, listing))
    return _view(listing)


def _view(listing: _Listing) -> StudyView:
    studies = [dict(zip(("patient", "date", "description"), study, strict=True)) for study in listing.studies]
    index = {"studies": studies, "series": listing.series}
    return StudyView(index, tuple(listing.frames), tuple(listing.unreadable))


def _series(viewed: ViewedSeries, readable: Sequence[tuple[Path, DescribedFile]], listing: _Listing) -> dict[str, Any]:
    first = len(listing.frames)
    places: list[FramePlacement] = []
    files: list[int] = []
    for number, (path, item) in enumerate(readable):
        for frame, place in enumerate(item.places):
            listing.frames.append(FrameAt(path, frame, item.frame_bytes))
            places.append(place)
            files.append(number)
    shown = [item for _, item in readable if item.places] or [readable[0][1]]
    common, own = _shared_tags([item for _, item in readable])
    return {
        "study": listing.study(shown[0]),
        "number": viewed.number,
        "description": visible(viewed.description),
        "modality": shown[0].modality,
        "first": first,
        "count": len(places),
        "files": files if len(readable) != len(places) else None,  # None: a file for each frame, in order
        "rows": shown[0].rows,
        "columns": shown[0].columns,
        "frame_time": shown[0].frame_time_ms,
        "is_cine": any(len(item.places) > 1 and item.places[0].position is None for item in shown),
        "positions": [_rounded(place.position) for place in places] if any(p.position for p in places) else None,
        "orientations": _orientations(places),
        "volume": _volume(places, shown),
        "tags": common,
        "own_tags": own,
    }


def _rounded(vector: Sequence[float] | None) -> list[float] | None:
    return None if vector is None else [round(value, _DECIMALS) for value in vector]


def _orientations(places: Sequence[FramePlacement]) -> list[list[float] | None]:
    """One for all frames, where they have the same; else each frame's."""
    found = [_rounded(place.orientation) for place in places]
    return found[:1] if all(item == found[0] for item in found) else found


def _volume(places: Sequence[FramePlacement], files: Sequence[DescribedFile]) -> dict[str, float] | None:
    """The spacings of the volume that a series' frames make, in mm; None where they are no even stack of one size."""
    first = places[0] if places else FramePlacement()
    if len(places) < LEAST_SLICES or first.position is None or first.orientation is None or first.spacing is None:
        return None
    shapes = {(item.rows, item.columns, item.is_grey) for item in files}
    if len(shapes) > 1 or not files[0].is_grey or any(place.position is None for place in places):
        return None
    directions = np.array([place.orientation or (0.0,) * 6 for place in places])
    spacings = np.array([place.spacing or first.spacing for place in places])
    if np.ptp(directions, axis=0).max() > 1e-3 or np.ptp(spacings, axis=0).max() > 1e-3:
        return None
    normal = np.cross(directions[0][:3], directions[0][3:])
    moves = np.diff(np.array([place.position for place in places]), axis=0)
    steps, lengths = moves @ normal, np.linalg.norm(moves, axis=1)
    step = float(np.median(np.abs(steps)))
    is_even = step > 0 and float(np.abs(np.abs(steps) - step).max()) <= max(_TOLERANCE * step, 0.01)
    is_straight = bool(np.all(np.abs(steps) >= _SAME_DIRECTION * lengths)) and abs(float(np.sign(steps).sum())) == len(
        steps
    )
    if not is_even or not is_straight:
        return None
    return {"rows": first.spacing[0], "columns": first.spacing[1], "slices": step, "ascending": float(steps[0] > 0)}


def _shared_tags(files: Sequence[DescribedFile]) -> tuple[list[list[str]], list[list[list[str]]]]:
    """(the rows that all files of a series have alike, each file's other rows)."""
    shared = set(files[0].tags)
    for item in files[1:]:
        shared &= set(item.tags)
    common = [list(row) for row in files[0].tags if row in shared]
    return common, [[list(row) for row in item.tags if row not in shared] for item in files]
