"""The temporary folders of runs: each is locked while its run lives, and what a killed run left is removed by the next one.

A folder is taken for a leftover only where it is this user's, has our name and a lock file that no process holds: the
system lets a dead process's lock go, whatever became of its number.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

PREFIX: Final = "cloudfilm-"
LOCK: Final = "run.lock"
TRIES: Final = 5  # to have a folder of one's own, should another run sweep at that moment


class RunFolder:
    """A run's temporary folder, 0700, with the lock that says that the run lives.

    Raises:
        OSError: it can't be made.
    """

    def __init__(self) -> None:
        for _ in range(TRIES):
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
            self._lock = FileLock(self.path / LOCK, mode=0o600)
            try:
                self._lock.acquire(timeout=0)
            except Timeout:  # another run took the new folder for a leftover
                continue
            except BaseException:
                shutil.rmtree(self.path, ignore_errors=True)
                raise
            return
        raise OSError(errno.EAGAIN, "the temporary folder can't be locked", tempfile.gettempdir())

    @property
    def content(self) -> Path:
        """The folder within it that is given out."""
        return self.path / "content"

    def __enter__(self) -> Path:
        """An empty folder within it."""
        self.content.mkdir(mode=0o700)
        return self.content

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove it with all that is in it; what can't be removed keeps the lock file, so that the next run knows it."""
        with suppress(OSError):
            _empty_and_remove(self.path, self._lock)


def remove_leftovers() -> None:
    """Remove the folders of runs that were killed, silently; what can't be removed stays."""
    with suppress(OSError):
        for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            with suppress(OSError):
                if _is_ours(folder):
                    _remove_unlocked(folder)


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder of this user's (no link to one) with a lock file in it."""
    found = folder.lstat()
    is_own = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
    return stat.S_ISDIR(found.st_mode) and is_own and (folder / LOCK).is_file()


def _remove_unlocked(folder: Path) -> None:
    lock = FileLock(folder / LOCK, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return
    _empty_and_remove(folder, lock)


def _empty_and_remove(folder: Path, lock: FileLock) -> None:
    """Remove a folder whose lock is held, and let the lock go."""
    try:
        is_empty = _is_emptied(folder)
    finally:
        lock.release()
    if is_empty:  # else a browser that outlives its run still writes
        shutil.rmtree(folder, ignore_errors=True)


def _is_emptied(folder: Path) -> bool:
    """Whether nothing but the lock file is left, once everything else is removed."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            with suppress(OSError):
                path.unlink()
    return all(path.name == LOCK for path in folder.iterdir())
