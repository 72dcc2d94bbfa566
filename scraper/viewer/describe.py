"""Describe one file for the viewer: its series, the position of each frame, its tags. Runs in a child process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from scraper.core.errors import CorruptInstance
from scraper.core.safe_text import visible
from scraper.dicom import charset, elements, structure
from scraper.dicom.elements import PYDICOM_ERRORS, numbers, plain, quiet
from scraper.dicom.frames import count_frames, is_grey, spacing

MOST_ROWS: Final = 400  # of one file's tags
MOST_CHARACTERS: Final = 200  # of one value
LOWEST_RATE: Final = 1e-3  # frames a second; near 0 the time of a frame is no number any more
MOST_FRAMES: Final = 20_000  # of one file
_TEXTS: Final = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))

Vector = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FramePlacement:
    """Where a frame lies: Image Position and Image Orientation (Patient), and its pixels' spacing; None where not given."""

    position: Vector | None = None
    orientation: Vector | None = None
    spacing: Vector | None = None


@dataclass(frozen=True, slots=True)
class DescribedFile:
    """One file. ``tags`` are (tag, VR, name, value), in order; ``places`` has one for each frame, none without pixels.

    Its texts are made visible: no mark in them turns the direction of what stands beside them on a page.
    """

    study: tuple[str, ...]  # patient's name, date, description
    modality: str
    is_grey: bool
    rows: int
    columns: int
    frame_bytes: int
    frame_time_ms: float
    places: tuple[FramePlacement, ...]
    tags: tuple[tuple[str, str, str, str], ...]


def describe(path: str) -> DescribedFile | None:
    """What a Part 10 file says of itself; None where it can't be read."""
    try:
        with structure.mapped(Path(path)) as data:
            layout = structure.part10(data)
            try:
                has_pixels = any(tag in layout.elements for tag in structure.PIXEL_TAGS)
                return None if layout.fault and not has_pixels else _described(layout, has_pixels=has_pixels)
            finally:
                layout.data = b""
    except (*PYDICOM_ERRORS, CorruptInstance, OSError):
        return None


def _described(layout: structure.Layout, *, has_pixels: bool) -> DescribedFile:
    ds = elements.dataset(layout)
    declared = elements.declared_charset(layout)
    guessed = charset.suspect(elements.raw_texts(layout, ds), declared)

    def text(tag: int) -> str:
        return charset.decode(layout.value(tag), declared, guessed).strip("\0 ")

    with quiet():
        rows, columns = elements.integer(ds, "Rows") or 0, elements.integer(ds, "Columns") or 0
        size = rows * columns * (elements.integer(ds, "SamplesPerPixel") or 1)
        return DescribedFile(
            tuple(map(visible, (text(0x00100010), plain(ds, "StudyDate"), text(0x00081030)))),
            visible(plain(ds, "Modality")),
            is_grey(ds),
            rows,
            columns,
            size * -(-(elements.integer(ds, "BitsAllocated") or 16) // 8),
            _frame_time(ds),
            tuple(_places(ds)) if has_pixels and rows and columns else (),
            tuple(_tags(ds, text)),
        )


def _frame_time(ds: Dataset) -> float:
    """Milliseconds between two frames of a cine; 0 where none are given (PS3.3 C.7.6.5)."""
    rate = numbers(ds, "RecommendedDisplayFrameRate") or numbers(ds, "CineRate")
    time = numbers(ds, "FrameTime")
    if time and time[0] > 0:
        return time[0]
    return 1000 / rate[0] if rate and rate[0] > LOWEST_RATE else 0.0


def _places(ds: Dataset) -> Iterator[FramePlacement]:
    count = min(count_frames(ds), MOST_FRAMES)
    planes = elements.frame_planes(ds)
    own = numbers(ds, "ImagePositionPatient", 3), numbers(ds, "ImageOrientationPatient", 6)
    for frame in range(count):
        position, orientation = planes[frame] if frame < len(planes) else own
        has_several = count > 1 and not planes  # frames of one place: an ultrasound, an angiogram
        yield FramePlacement(
            None if has_several else position, orientation, spacing(ds, frame) if frame < 1 or planes else None
        )


def _tags(ds: Dataset, text: object) -> Iterator[tuple[str, str, str, str]]:
    """The rows of a file's tags, sequences unfolded, up to ``MOST_ROWS``."""
    left = MOST_ROWS
    for row in _rows(ds, 0, text):
        yield row
        left -= 1
        if not left:
            yield ("", "", "…", "")
            return


def _rows(ds: Dataset, depth: int, text: object) -> Iterator[tuple[str, str, str, str]]:
    for tag in sorted(ds.keys()):
        try:
            element = ds[tag]
            name, value = element.name, _value(element, text if depth == 0 else None)
        except PYDICOM_ERRORS:
            continue
        yield (">" * depth + f"{tag.group:04X},{tag.element:04X}", element.VR, name, value)
        if element.VR == "SQ" and depth < 4:
            for item in list(element.value)[:8]:
                yield from _rows(item, depth + 1, text)


def _value(element: DataElement, text: object) -> str:
    if element.VR == "SQ":
        return f"({len(element.value)})"
    if isinstance(element.value, bytes):
        return f"({len(element.value)} B)"
    if element.VR in _TEXTS and callable(text):
        shown = str(text(int(element.tag)))
    else:
        value = element.value
        shown = "\\".join(map(str, value)) if element.VM > 1 else str(value if value is not None else "")
    shown = shown if len(shown) <= MOST_CHARACTERS else shown[:MOST_CHARACTERS] + "…"
    return visible(shown, keep="\r\n\t")
