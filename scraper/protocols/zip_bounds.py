"""Bounds of archives, and of what a zip's directory may announce, checked before anything is unpacked."""

from __future__ import annotations

import zipfile
from typing import Final

from scraper.core.errors import CorruptInstance
from scraper.core.reasons import Reason
from scraper.protocols.zip_names import is_folder

MAX_MEMBERS: Final = 200_000
MAX_TOTAL: Final = 64 * 2**30  # bytes unpacked from one archive, nested ones included
MAX_MEMBER: Final = 8 * 2**30
MAX_DEPTH: Final = 3
SAYS_EVERY: Final = 256 << 20  # bytes written between two signs of life
MAX_RATIO: Final = 400  # of one entry, unpacked over packed: a blank film's pixels reach 200, bombs a thousand and more
SMALL: Final = 64 << 20  # bytes; an entry below may be of any ratio (an empty mask, a blank frame)
MAX_RATIO_OF_ALL: Final = 200
SMALL_OF_ALL: Final = 256 << 20  # bytes of all entries; below any ratio
_LOCAL_HEADER: Final = 30  # bytes, without the name (APPNOTE 4.3.7)


def checked_entries(opened: zipfile.ZipFile, packed_size: int) -> list[zipfile.ZipInfo]:
    """The entries of an archive without folders, checked against the archive's own size.

    Args:
        opened: the archive.
        packed_size: its bytes.

    Raises:
        CorruptInstance: more entries than any study has, some overlap, or they unpack to far more than any images do.
    """
    entries = [info for info in opened.infolist() if not is_folder(info)]
    if len(entries) > MAX_MEMBERS:
        raise CorruptInstance(what=Reason.ZIP_TOO_MANY_ENTRIES)
    end = total = 0
    for info in sorted(entries, key=lambda entry: entry.header_offset):
        if info.header_offset < end or info.header_offset + info.compress_size > packed_size:
            raise CorruptInstance(what=Reason.ZIP_OVERLAPPING)
        end = info.header_offset + _LOCAL_HEADER + info.compress_size
        total += info.file_size
        if info.file_size > SMALL and info.file_size > MAX_RATIO * max(info.compress_size, 1):
            raise CorruptInstance(what=Reason.ZIP_TOO_LARGE)
    check_total(total, packed_size)
    return entries


def check_total(total: int, packed_size: int) -> None:
    """Check the unpacked bytes so far, nested archives included, against the archive's size.

    Raises:
        CorruptInstance: a ratio far beyond that of images.
    """
    if total > SMALL_OF_ALL and total > MAX_RATIO_OF_ALL * packed_size:
        raise CorruptInstance(what=Reason.ZIP_TOO_LARGE)
