"""Read elements by pydicom, bounded and without warnings; absent or unreadable values are None.

``structure`` has checked before that the data set is shallow and complete.
"""

from __future__ import annotations

import io
import math
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

import pydicom
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from scraper.core.errors import CorruptInstance
from scraper.core.log import Silence
from scraper.core.reasons import Reason
from scraper.dicom import structure

# pydicom checks values against their VR and complains in the log, with the value: a patient's name may be one.
config.settings.reading_validation_mode = config.IGNORE

PYDICOM_ERRORS: Final = (
    BytesLengthException,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    OSError,
    ArithmeticError,
    NotImplementedError,
    RecursionError,
    AssertionError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""What pydicom raises over broken bytes."""

_QUIET: Final = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress pydicom's warnings and its log. Python's filters apply to all threads, so one thread enters at a time."""
    with _QUIET, Silence("pydicom"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


_TEXT_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})


def describe_fault(fault: structure.Fault) -> str:
    """A structural fault in words, for ``CorruptInstance(what=…)``."""
    return {
        structure.Fault.TRUNCATED: Reason.DICOM_CUT_OFF,
        structure.Fault.NESTING: Reason.DICOM_NESTED_TOO_DEEP,
        structure.Fault.BROKEN: Reason.DICOM_BROKEN,
        structure.Fault.DEFLATE: Reason.DICOM_NOT_INFLATED,
    }[fault]


def dataset(layout: structure.Layout, tags: list[int | str | tuple[int, int]] | None = None) -> Dataset:
    """The values, without pixels, of a layout with a sound structure (of a truncated one, up to the cut).

    Raises:
        CorruptInstance: pydicom can't read them. WalkTooLong: they are more than the layout's bounds allow.
    """
    if layout.fault in {structure.Fault.NESTING, structure.Fault.BROKEN, structure.Fault.DEFLATE}:
        raise CorruptInstance(what=describe_fault(layout.fault))
    stops = [element.offset for tag, element in layout.elements.items() if tag in structure.PIXEL_TAGS]
    end = min(stops) - (8 if layout.implicit else 12) if stops else layout.end
    start = layout.start
    if end - start > layout.bounds.head:
        raise structure.WalkTooLong
    view = io.BytesIO(bytes(layout.data[start : max(start, end)]))
    try:
        with quiet():
            return pydicom.filereader.read_dataset(view, layout.implicit, layout.little, specific_tags=_tags(tags))
    except PYDICOM_ERRORS as err:
        raise CorruptInstance(what=Reason.DICOM_VALUES_UNREADABLE) from err


def _tags(tags: list[int | str | tuple[int, int]] | None) -> list[Any] | None:
    return None if tags is None else list(map(_tag, tags))


@lru_cache
def _tag(tag: int | str | tuple[int, int]) -> BaseTag:
    return pydicom.tag.Tag(tag)


def raw_texts(layout: structure.Layout, ds: Dataset) -> list[bytes]:
    """The undecoded text values of the top level."""
    found = []
    for tag in layout.elements:
        vr = dictionary_vr(tag) if layout.implicit else layout.elements[tag].vr
        if vr in _TEXT_VRS and tag in ds and tag >> 16 != 0x7FE0:
            found.append(layout.value(tag))
    return found


def dictionary_vr(tag: int) -> str:
    """The Value Representation of a tag in the standard; empty where unknown."""
    try:
        return str(pydicom.datadict.dictionary_VR(tag))
    except KeyError:
        return ""


def declared_charset(layout: structure.Layout) -> list[str]:
    """Specific Character Set, value by value."""
    text = layout.text(0x00080005)
    return [part.strip() for part in text.split("\\")] if text else []


def first(ds: Dataset, keyword: str) -> Any:
    """The (first) value of an element, None where absent or unreadable."""
    try:
        value = ds.get(keyword)
    except PYDICOM_ERRORS:
        return None
    if isinstance(value, MultiValue | list | tuple):
        return value[0] if len(value) else None
    return None if value in ("", b"") else value


def numbers(ds: Dataset, keyword: str, count: int | None = None) -> tuple[float, ...] | None:
    """All values as finite floats, None where absent, unreadable or not ``count``."""
    try:
        value = ds.get(keyword)
        values = value if isinstance(value, MultiValue | list | tuple) else [value]
        found = tuple(float(item) for item in values if item is not None and item != "")
    except PYDICOM_ERRORS:
        return None
    if not found or not all(map(math.isfinite, found)) or (count is not None and len(found) != count):
        return None
    return found


def integer(ds: Dataset, keyword: str) -> int | None:
    """The first value as an int."""
    value = first(ds, keyword)
    try:
        return None if value is None else int(float(str(value)))
    except (ValueError, OverflowError):
        return None


def plain(ds: Dataset, keyword: str) -> str:
    """The first value as text without padding."""
    value = first(ds, keyword)
    return "" if value is None else str(value).strip("\0 ")


def sequence(ds: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none where absent or unreadable."""
    try:
        value = ds.get(keyword)
        return list(value) if isinstance(value, pydicom.Sequence) else []
    except PYDICOM_ERRORS:
        return []


def frame_planes(ds: Dataset) -> list[tuple[tuple[float, ...] | None, tuple[float, ...] | None]]:
    """(position, orientation) of each frame of an enhanced multi-frame image (PS3.3 C.7.6.16.2.3, .4); empty for others."""
    shared = next(iter(sequence(ds, "SharedFunctionalGroupsSequence")), Dataset())
    planes = []
    for group in sequence(ds, "PerFrameFunctionalGroupsSequence"):
        position = orientation = None
        for source in (group, shared):
            for item in sequence(source, "PlanePositionSequence"):
                position = position or numbers(item, "ImagePositionPatient", 3)
            for item in sequence(source, "PlaneOrientationSequence"):
                orientation = orientation or numbers(item, "ImageOrientationPatient", 6)
        planes.append((position, orientation))
    return planes
