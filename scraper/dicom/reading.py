"""Read a whole file by pydicom, pixels included, even where the item that closes encapsulated pixels is missing."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import pydicom
from pydicom.dataset import FileDataset

from scraper.core.errors import CorruptInstance
from scraper.core.reasons import Reason
from scraper.dicom import structure

_CLOSING: Final = b"\xfe\xff\xdd\xe0" + bytes(4)  # Sequence Delimitation Item, little endian (PS3.5 A.4)
_LONG: Final = 64 * 1024  # bytes of a value that is worth a second look at the file


def read_file(path: Path) -> FileDataset:
    """Read every value of a Part 10 file.

    Raises:
        CorruptInstance, PYDICOM_ERRORS: unreadable.
    """
    with structure.mapped(path) as data:
        layout = structure.part10(data)
        is_unterminated, end = layout.is_unterminated and layout.fault is None, _end_of_fragments(layout)
        has_pixels = any(tag in layout.elements for tag in structure.PIXEL_TAGS)
        layout.data = b""  # the map is about to be closed
        ds = pydicom.dcmread(io.BytesIO(bytes(data[:end]) + _CLOSING) if is_unterminated else path)
    if has_pixels and not any(tag in ds for tag in structure.PIXEL_TAGS):
        raise CorruptInstance(what=Reason.DICOM_CUT_OFF)  # pydicom leaves them out without a word
    return ds


def lazy_file(path: Path) -> FileDataset:
    """A file whose long values, pixels above all, are read when they are first touched.

    Raises:
        PYDICOM_ERRORS: it can't be read.
    """
    return pydicom.dcmread(path, defer_size=_LONG)


def _end_of_fragments(layout: structure.Layout) -> int:
    fragments = layout.fragments or []
    return sum(fragments[-1]) if fragments else layout.end


def names_itself(path: Path) -> bool:
    """Whether bytes that are no complete object still name their class: a damaged object, and not some other file."""
    try:
        with structure.mapped(path) as data:
            layout = structure.layout_of(data, structure.bounds_here())
            class_uid = layout.text(0x00080016)
            layout.data = b""
    except CorruptInstance:
        return False
    except structure.WalkTooLong:
        return True  # as many elements as that, one after another, are no accident
    return class_uid.startswith("1.2.840.10008.")
