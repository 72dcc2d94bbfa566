"""Record what an archive has stored already, so that a killed send continues where it ended.

A row is written as soon as the archive says that it has an instance. Killed between its word and the row, the next run sends that
instance once more, and the archive, which tells instances apart by SOP Instance UID, has it once.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from scraper.core.disk import as_store_error, keep_reserve
from scraper.core.errors import DiskFull, NotWritable, StoreError

NAME: Final = "sent.sqlite"
# full, or a write, a growth or a flush that the system refuses: on a network's disk and under a quota the same
_NO_ROOM: Final = frozenset(
    (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_FSYNC)
)
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS sent (target TEXT, uid TEXT, file TEXT, is_committed INTEGER DEFAULT 0, "
    "PRIMARY KEY (target, uid)) WITHOUT ROWID"
)


def fingerprint(path: Path, changes: Mapping[str, str]) -> str:
    """What tells a file with its changes from another of the same SOP Instance UID; holds no value of it."""
    found = path.stat()
    words = json.dumps([found.st_size, found.st_mtime_ns, sorted(changes.items())])
    return hashlib.sha256(words.encode()).hexdigest()[:32]


class Ledger:
    """The rows of one target.

    Args:
        folder: where the ledger of this user lies.
        target: the archive, as it may be shown; only its hash is written.

    Raises:
        NotWritable: it can't be written. DiskFull: there is no room for it.
    """

    def __init__(self, folder: Path, target: str) -> None:
        self._target = hashlib.sha256(target.encode()).hexdigest()[:32]
        self._path = folder / NAME
        keep_reserve(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(folder / NAME, os.O_CREAT | os.O_WRONLY, 0o600))  # what SQLite puts beside it is the same
            self._db = sqlite3.connect(folder / NAME, timeout=30, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(_TABLE)
            (folder / NAME).chmod(0o600)
        except (OSError, sqlite3.Error) as err:
            raise self._refused(err) from err

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def has(self, uid: str, file: str) -> bool:
        """Whether the archive took this instance from a file with this fingerprint."""
        row = self._db.execute("SELECT file FROM sent WHERE target=? AND uid=?", (self._target, uid)).fetchone()
        return row is not None and row[0] == file

    def add(self, uid: str, file: str) -> None:
        """The archive took it."""
        self._write("INSERT OR REPLACE INTO sent (target, uid, file) VALUES (?, ?, ?)", uid, file)

    def commit(self, uid: str) -> None:
        """The archive keeps it for good (Storage Commitment)."""
        self._write("UPDATE sent SET is_committed=1 WHERE target=? AND uid=?", uid)

    def drop(self, uid: str) -> None:
        """The archive does not keep it after all."""
        self._write("DELETE FROM sent WHERE target=? AND uid=?", uid)

    def _write(self, words: str, *values: str) -> None:
        try:
            self._db.execute(words, (self._target, *values))
        except sqlite3.Error as err:
            raise self._refused(err) from err

    def _refused(self, error: OSError | sqlite3.Error) -> StoreError:
        """What SQLite or the system says of the disk; what stands in the ledger by then is whole."""
        if isinstance(error, OSError):
            return as_store_error(error, self._path)
        kind = DiskFull if error.sqlite_errorcode in _NO_ROOM else NotWritable
        return kind(path=str(self._path))
