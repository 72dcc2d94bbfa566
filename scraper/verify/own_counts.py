"""How many there are by what the images say themselves: parts of one concatenation, slices of a PET series, tiles of a slide.

Sources: PS3.3 C.7.6.16.2.2.4 (Concatenations), C.8.9.1 (PET Series: Number of Slices), C.8.12.14 (tiled images), C.7.6.6
(vectors that Frame Increment Pointer names), C.8.8.3.2 (Grid Frame Offset Vector).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from scraper.core.model import Header, Problem
from scraper.dicom.elements import PYDICOM_ERRORS, integer, plain
from scraper.verify.objects import PET, WHOLE_SLIDE

_MOST: Final = 100_000  # a larger number is no count


@dataclass(frozen=True, slots=True)
class Part:
    """One instance of a concatenation: a multi-frame image in several files. ``total`` is 0 where it does not say."""

    concatenation_uid: str
    number: int
    total: int


def part_of(ds: Dataset) -> Part | None:
    """The place of an instance in its concatenation; None where it is whole."""
    uid, number = plain(ds, "ConcatenationUID"), integer(ds, "InConcatenationNumber")
    if not uid or number is None:
        return None
    return Part(uid, number, integer(ds, "InConcatenationTotalNumber") or 0)


def images_of_series(ds: Dataset) -> int | None:
    """How many images the series of this one has by its own header; None where it does not say.

    Only of an original PET series: images that a workstation made keep the number of what they were made from.
    """
    if plain(ds, "SOPClassUID") != PET or plain(ds, "ImageType") != "ORIGINAL":
        return None
    slices, times = integer(ds, "NumberOfSlices"), 1
    if plain(ds, "SeriesType") == "DYNAMIC":
        times = integer(ds, "NumberOfTimeSlices") or 0
    elif plain(ds, "SeriesType") not in {"STATIC", "WHOLE BODY"}:
        return None
    return slices * times if slices and 0 < slices * times < _MOST else None


def tiles(ds: Dataset) -> int | None:
    """How many frames a fully tiled slide has; None where the instance is none, or a part of one."""
    if plain(ds, "SOPClassUID") != WHOLE_SLIDE or plain(ds, "DimensionOrganizationType") != "TILED_FULL":
        return None
    sizes = [integer(ds, name) for name in ("TotalPixelMatrixColumns", "Columns", "TotalPixelMatrixRows", "Rows")]
    if part_of(ds) is not None or any(not size or size < 0 for size in sizes):
        return None
    width, column, height, row = (size or 1 for size in sizes)
    planes = (integer(ds, "NumberOfOpticalPaths") or 1) * (integer(ds, "TotalPixelMatrixFocalPlanes") or 1)
    return -(-width // column) * -(-height // row) * planes


def vector_lengths(ds: Dataset, frames: int) -> int | None:
    """The length of a vector over the frames that has another one; None where all have one value for each frame."""
    pointers = ds.get("FrameIncrementPointer", None)
    tags = list(pointers) if isinstance(pointers, MultiValue | list | tuple) else [pointers]
    for tag in [*tags, "GridFrameOffsetVector"]:
        try:
            value = ds.get(tag, None) if tag is not None else None
        except PYDICOM_ERRORS:
            continue
        value = getattr(value, "value", value)
        if isinstance(value, MultiValue | list | tuple) and len(value) not in {frames, 0}:
            return len(value)
    return None


def concatenations(parts: Sequence[tuple[str, Part]]) -> list[Problem]:
    """Find concatenations of which parts are missing.

    Args:
        parts: SOP Instance UID and part, of one series.
    """
    by_uid: dict[str, list[tuple[str, Part]]] = defaultdict(list)
    for name, part in parts:
        by_uid[part.concatenation_uid].append((name, part))
    found = []
    for members in by_uid.values():
        numbers = {part.number for _, part in members}
        total = max(*numbers, *(part.total for _, part in members))
        if len(numbers) < total < _MOST:
            names = tuple(name for name, _ in members)
            found.append(Problem("concatenation-incomplete", names, {"present": len(numbers), "expected": total}))
    return found


def short_series(images: Sequence[tuple[int | None, Header]]) -> list[Problem]:
    """Find a series with fewer images than they themselves say; for one that nothing else counts."""
    stated = {count for count, _ in images}
    count = stated.pop() if len(stated) == 1 else None
    if count is None or len(images) >= count:
        return []
    return [Problem("missing-instances", values={"saved": len(images), "expected": count})]
