"""The disk: its refusals as our errors, and a reserve of space that stays free."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scraper.core import settings
from scraper.core.errors import DiskFull, NotWritable, StoreError

NO_SPACE = frozenset((errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)))


def as_store_error(error: OSError, path: Path) -> StoreError:
    """The error that the operating system's refusal to write ``path`` means."""
    return (DiskFull if error.errno in NO_SPACE else NotWritable)(path=str(path))


@contextmanager
def disk_errors(path: Path, *, unless: tuple[type[OSError], ...] = ()) -> Iterator[None]:
    """Turn the disk's refusals into our errors.

    Args:
        path: what is written, as the error names it.
        unless: kinds of OSError that are not the disk's.

    Raises:
        DiskFull: no space left. NotWritable: any other refusal.
    """
    try:
        yield
    except unless:
        raise
    except OSError as err:
        raise as_store_error(err, path) from err


def keep_reserve(folder: Path) -> None:
    """Check that the reserve is still free before something is written.

    Raises:
        DiskFull: less than the reserve is free.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return  # writing itself will say what is wrong
    if free < settings.RESERVE_BYTES:
        raise DiskFull(path=str(folder))


class Watch:
    """Check the disk again after every few megabytes written.

    Args:
        folder: where.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._since = settings.RESERVE_EVERY_BYTES

    def wrote(self, size: int) -> None:
        """Count bytes that are about to be written.

        Raises:
            DiskFull: the reserve would be used up.
        """
        self._since += size
        if self._since >= settings.RESERVE_EVERY_BYTES:
            self._since = 0
            keep_reserve(self._folder)
