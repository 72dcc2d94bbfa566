"""Keep a reserve of disk space free while writing."""

from __future__ import annotations

import shutil
from pathlib import Path

from scraper.core import settings
from scraper.core.errors import DiskFull


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
