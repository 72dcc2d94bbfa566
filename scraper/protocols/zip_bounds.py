"""Bounds on what a zip's directory may announce, checked before anything is unpacked."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from typing import Final

from scraper.core.errors import CorruptInstance
from scraper.core.reasons import Reason

MAX_RATIO: Final = (
    400  # of one entry, unpacked over packed: pixels of a blank film reach some 200, bombs a thousand and more
)
SMALL: Final = 64 << 20  # bytes; an entry below may be of any ratio (an empty mask, a blank frame)
MAX_RATIO_OF_ALL: Final = 200
SMALL_OF_ALL: Final = 256 << 20  # bytes of all entries; below any ratio
_LOCAL_HEADER: Final = 30  # bytes, without the name (APPNOTE 4.3.7)


def check_entries(entries: Sequence[zipfile.ZipInfo], packed_size: int) -> None:
    """Check the entries against the size of their archive.

    Args:
        entries: of its directory.
        packed_size: bytes of the archive.

    Raises:
        CorruptInstance: entries overlap, or unpack to far more than any images do.
    """
    end = total = 0
    for info in sorted(entries, key=lambda entry: entry.header_offset):
        if info.header_offset < end or info.header_offset + info.compress_size > packed_size:
            raise CorruptInstance(what=Reason.ZIP_OVERLAPPING)
        end = info.header_offset + _LOCAL_HEADER + info.compress_size
        total += info.file_size
        if info.file_size > SMALL and info.file_size > MAX_RATIO * max(info.compress_size, 1):
            raise CorruptInstance(what=Reason.ZIP_TOO_LARGE)
    check_total(total, packed_size)


def check_total(total: int, packed_size: int) -> None:
    """Check the unpacked bytes so far, nested archives included, against the archive's size.

    Raises:
        CorruptInstance: a ratio far beyond that of images.
    """
    if total > SMALL_OF_ALL and total > MAX_RATIO_OF_ALL * packed_size:
        raise CorruptInstance(what=Reason.ZIP_TOO_LARGE)
