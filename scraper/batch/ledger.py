"""The state of each source, in an SQLite file in the output folder; any run, even a killed one, can be resumed from it.

It holds no secret. A source is identified by a keyed hash (HMAC-SHA-256, RFC 2104; the key lies next to the ledger, readable by
its owner alone) and shown in redacted form. Of answers that were refused or insufficient only such a hash is stored:
a changed one is noticed.

Each process using the ledger holds its own lock file. A ``running`` row whose process's lock is free is abandoned.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

import filelock

from scraper.batch.workers.protocol import Outcome
from scraper.core.disk import disk_errors
from scraper.core.errors import ExitCode, NotWritable, StoreError
from scraper.core.model import Status
from scraper.store.place import STATE

NAME: Final = "batch.sqlite3"
KEY: Final = "batch.key"
SCHEMA: Final = 1
BUSY_S: Final = 60.0  # for another process's transaction to end; each takes milliseconds
_TABLES: Final = """
CREATE TABLE sources (
    key TEXT PRIMARY KEY,
    shown TEXT NOT NULL,
    label TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'incomplete', 'failed')),
    owner TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    answers TEXT NOT NULL DEFAULT '',
    exit_code INTEGER,
    document TEXT,
    words TEXT NOT NULL DEFAULT '',
    diagnostic TEXT NOT NULL DEFAULT '',
    enrolled_at REAL NOT NULL,
    started_at REAL,
    ended_at REAL
);
CREATE INDEX by_state ON sources (state);
CREATE TABLE links (link TEXT PRIMARY KEY, key TEXT NOT NULL REFERENCES sources (key));
CREATE TABLE thumbnails (
    key TEXT NOT NULL REFERENCES sources (key), series TEXT NOT NULL, jpeg BLOB NOT NULL, PRIMARY KEY (key, series)
);
"""


class LedgerTooNew(StoreError):
    """A newer version of this tool wrote the ledger. Values: ``path``."""


class LedgerUnreadable(StoreError):
    """The ledger is damaged, or is no ledger. Values: ``path``."""


class State(StrEnum):
    """The state of a source."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


OF_STATUS: Final = {Status.COMPLETE: State.DONE, Status.INCOMPLETE: State.INCOMPLETE, Status.FAILED: State.FAILED}


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the ledger."""

    key: str
    shown: str
    label: str
    state: State
    owner: str
    attempts: int
    answers: str
    document_text: str  # the outcome's document, as text: a thousand of them are kept at once
    words: str
    diagnostic: str

    @property
    def outcome(self) -> Outcome | None:
        """The latest outcome, if any, without its pictures."""
        return Outcome(json.loads(self.document_text), self.words, self.diagnostic) if self.document_text else None


class Ledger:
    """The ledger of one output folder; a context manager.

    Args:
        output: the user's folder.
        scratch: work in memory and create no file, to look at a folder without a ledger.

    Raises (when entered):
        LedgerTooNew, LedgerUnreadable, DiskFull, NotWritable: see there.
    """

    def __init__(self, output: Path, *, scratch: bool = False) -> None:
        self._folder = output / STATE
        self._path = self._folder / NAME
        self._scratch = scratch
        self._me = secrets.token_hex(8)
        self._secret = b""
        self._lock = filelock.FileLock(self._lock_of(self._me), thread_local=False)
        self._db: sqlite3.Connection

    @staticmethod
    def is_there(output: Path) -> bool:
        """Whether a folder has a ledger."""
        return (output / STATE / NAME).is_file()

    def __enter__(self) -> Self:
        if self._scratch:
            self._secret = secrets.token_bytes(32)
            self._db = sqlite3.connect(":memory:", isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.executescript(_TABLES)
            return self
        with disk_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder.chmod(0o700)
            with filelock.FileLock(self._folder / "batch.lock"):  # two that begin at once
                self._secret = self._read_secret()
                _made_private(self._path)
                with self._sound():
                    self._db = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
                    self._db.row_factory = sqlite3.Row
                    try:
                        self._prepare()
                    except BaseException:
                        self._db.close()
                        raise
            self._lock.acquire(timeout=0)
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        if self._lock.is_locked:
            self._lock.release()
            self._lock_of(self._me).unlink(missing_ok=True)

    def _prepare(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise LedgerTooNew(path=str(self._path))
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # a kill loses nothing; a power cut the last seconds
        if version < SCHEMA:
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")

    def _read_secret(self) -> bytes:
        path = self._folder / KEY
        if not path.exists():
            _made_private(path)
            path.write_bytes(secrets.token_bytes(32))
        return path.read_bytes()

    def _lock_of(self, owner: str) -> Path:
        return self._folder / f"batch-{owner}.lock"

    @contextmanager
    def _sound(self) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        try:
            yield
        except sqlite3.OperationalError as err:
            raise NotWritable(path=str(self._path)) from err
        except sqlite3.DatabaseError as err:
            raise LedgerUnreadable(path=str(self._path)) from err

    # ---- recognition

    def hashed(self, text: str) -> str:
        """A text's keyed hash: it recognises the text and reveals nothing."""
        return hmac.new(self._secret, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()

    def hashed_answers(self, answers: Mapping[str, str]) -> str:
        """The keyed hash of a source's answers; empty where there are none."""
        return self.hashed(json.dumps(sorted(answers.items()))) if answers else ""

    # ---- reading

    def records(self) -> dict[str, Record]:
        """Every source by key."""
        with self._sound():
            rows = self._db.execute("SELECT * FROM sources ORDER BY rowid").fetchall()
        return {row["key"]: _record(row) for row in rows}

    def record(self, key: str) -> Record | None:
        """One source; None where unknown."""
        with self._sound():
            row = self._db.execute("SELECT * FROM sources WHERE key = ?", (key,)).fetchone()
        return _record(row) if row else None

    def thumbnails(self, key: str) -> dict[str, bytes]:
        """Series Instance UID → JPEG, of one source."""
        with self._sound():
            rows = self._db.execute("SELECT series, jpeg FROM thumbnails WHERE key = ?", (key,)).fetchall()
        return {str(series): bytes(jpeg) for series, jpeg in rows}

    # ---- writing

    def enroll(self, sources: Iterable[tuple[str, str, str]]) -> None:
        """Add sources as ``queued``, (key, shown, label) each; a known one keeps its state."""
        now = time.time()
        with self._sound(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT INTO sources (key, shown, label, enrolled_at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (key) DO UPDATE SET shown = excluded.shown, label = excluded.label",
                ((*row, now) for row in sources),
            )

    def claim(self, key: str, again: Sequence[State], attempts: int) -> bool:
        """Claim a source for this process; False where another process was first.

        Args:
            key: of the source.
            again: states besides ``queued`` that it may be in, as long as it was tried ``attempts`` times.
            attempts: see there.
        """
        with self._sound():
            done = self._db.execute(
                "UPDATE sources SET state = 'running', owner = ?, attempts = attempts + 1, started_at = ?,"
                " ended_at = NULL WHERE key = ? AND (state = 'queued'"
                " OR (attempts = ? AND state IN (SELECT value FROM json_each(?))))",
                (self._me, time.time(), key, attempts, json.dumps(again)),
            )
        return done.rowcount == 1

    def finish(self, key: str, outcome: Outcome, answers: str = "") -> None:
        """Record that a claimed source has ended.

        Args:
            key: of the source.
            outcome: how.
            answers: the keyed hash of the answers; stored only where they were refused or insufficient.
        """
        is_refused = outcome.exit_code is ExitCode.CREDENTIALS
        with self._sound(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            ended = self._db.execute(
                "UPDATE sources SET state = ?, owner = '', answers = ?, exit_code = ?, document = ?, words = ?, diagnostic = ?,"
                " ended_at = ? WHERE key = ? AND owner = ?",
                (
                    OF_STATUS[outcome.status],
                    answers if is_refused else "",
                    int(outcome.exit_code),
                    json.dumps(outcome.document, ensure_ascii=False),
                    outcome.words,
                    outcome.diagnostic,
                    time.time(),
                    key,
                    self._me,
                ),
            )
            if ended.rowcount == 0:  # no longer ours
                return
            self._db.execute("DELETE FROM thumbnails WHERE key = ?", (key,))
            self._db.executemany(
                "INSERT INTO thumbnails VALUES (?, ?, ?)",
                ((key, series, jpeg) for series, jpeg in outcome.thumbnails.items()),
            )

    def release(self, key: str) -> None:
        """Return an unfinished source to the queue."""
        with self._sound():
            self._db.execute(
                "UPDATE sources SET state = 'queued', owner = '' WHERE key = ? AND owner = ?", (key, self._me)
            )

    def own_link(self, link: str, key: str) -> str:
        """Record that a source leads to a link (its keyed hash); returns the source that owns this link.

        Another source owns it while that one runs or is done; else we do: two photographs of one film are processed once.
        """
        with self._sound(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            row = self._db.execute(
                "SELECT key FROM links JOIN sources USING (key) WHERE link = ? AND key <> ?"
                " AND state IN ('running', 'done')",
                (link, key),
            ).fetchone()
            if row is None:
                self._db.execute("INSERT OR REPLACE INTO links VALUES (?, ?)", (link, key))
        return str(row[0]) if row else key

    def take_up(self) -> int:
        """Return the sources of dead processes to the queue; returns how many."""
        with self._sound():
            owners = self._db.execute("SELECT DISTINCT owner FROM sources WHERE state = 'running'").fetchall()
        taken = 0
        for (owner,) in owners:
            if owner == self._me or self._is_alive(owner):
                continue
            with self._sound():
                taken += self._db.execute(
                    "UPDATE sources SET state = 'queued', owner = '' WHERE state = 'running' AND owner = ?", (owner,)
                ).rowcount
        return taken

    def _is_alive(self, owner: str) -> bool:
        path = self._lock_of(owner)
        if not path.exists():
            return False
        lock = filelock.FileLock(path)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return True
        lock.release()
        path.unlink(missing_ok=True)
        return False


def _record(row: sqlite3.Row) -> Record:
    return Record(
        row["key"],
        row["shown"],
        row["label"],
        State(row["state"]),
        row["owner"],
        row["attempts"],
        row["answers"],
        row["document"] or "",
        row["words"],
        row["diagnostic"],
    )


def _made_private(path: Path) -> None:
    """Create an empty file that only its owner may read, unless it exists."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
