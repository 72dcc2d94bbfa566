"""A tar, taken apart: names are never paths, links and devices are passed over, sizes are bounded.

Source: POSIX.1-2017, pax, "ustar Interchange Format": the magic stands at offset 257 of the first header.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from scraper.core.errors import CorruptInstance
from scraper.core.reasons import Reason

MAX_MEMBERS: Final = 200_000
MAX_TOTAL: Final = 16 * 2**30  # bytes of one archive
PIECE: Final = 2**20
_MAGIC_AT: Final = 257
BROKEN: Final = (tarfile.TarError, EOFError, ValueError, UnicodeError)  # what tarfile raises over broken archives


def is_tar(head: bytes) -> bool:
    """Whether bytes begin as a tar."""
    return head[_MAGIC_AT : _MAGIC_AT + 5] == b"ustar"


def unpack(archive: Path, new_file: Callable[[], Path]) -> Iterator[Path]:
    """Put every regular file of a tar under a name of its own; whoever takes one removes it.

    Args:
        archive: the tar.
        new_file: gives a name that nobody uses.

    Raises:
        CorruptInstance: cut off, broken, or absurdly large; what was sound before that was given.
    """
    count = total = 0
    try:
        with tarfile.open(archive, "r:") as members:
            for member in members:
                count, total = count + 1, total + max(member.size, 0)
                if count > MAX_MEMBERS or total > MAX_TOTAL:
                    raise CorruptInstance(what=Reason.TAR_TOO_LARGE)
                source = members.extractfile(member) if member.isreg() and not member.issparse() else None
                if source is None:
                    continue
                path = new_file()
                with source, path.open("wb") as out:
                    while piece := source.read(PIECE):
                        out.write(piece)
                yield path
    except BROKEN as err:
        raise CorruptInstance(what=Reason.BROKEN_TAR) from err
