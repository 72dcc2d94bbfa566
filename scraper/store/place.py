"""Store a study's files: atomic, resumable, under safe names; nothing saved is ever lost or overwritten.

While a study arrives, its complete instances are in ``<output>/.cloudfilm/<hash>/`` with a journal, one line a file. Placing
moves them to their final folder and names; a plan written beforehand lets a run that was killed in between find them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

import filelock

from scraper.core.bounded_json import json_file
from scraper.core.disk import disk_errors
from scraper.core.errors import InstanceConflict, NotWritable
from scraper.core.model import Header, Origin, Saved, Study
from scraper.core.safe_text import escaped_json
from scraper.store.earlier import EarlierStudy, read
from scraper.store.naming import study_folder_name

STATE = ".cloudfilm"
JOURNAL = "journal.jsonl"
PLAN = "placing.json"
REPORT = "study.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One journal line: what was saved and where it came from."""

    sop_instance_uid: str
    key: str
    sha256: str
    size: int
    origin: str
    file: str  # relative to the state folder, or to the study's folder once placed


class StudyStore:
    """One study's place on the disk, locked against a second process.

    Over 20 methods because opening, keeping and placing share one journal, and a kill at any step must leave it true.

    Args:
        output: the user's folder.
        key: identifies the study: its Study Instance UID, else the site's own name for it.
        lock: held, until the store is closed.
    """

    def __init__(self, output: Path, key: str, lock: filelock.BaseFileLock | None = None) -> None:
        self._lock = lock
        self.output = output
        self.key = key
        self._state = output / STATE / hashlib.sha256(key.encode()).hexdigest()[:20]
        self._entries: dict[str, tuple[Entry, Path]] = {}
        self.folder: Path | None = None
        self.was_complete = False  # an earlier run ended with nothing missing
        self.known = EarlierStudy()  # what earlier runs knew of it

    def close(self) -> None:
        """Let another process have the study."""
        if self._lock is not None:
            self._lock.release()

    # ---- opening

    def load(self) -> None:
        """Find what earlier runs left: the study's folder, the journal, an interrupted placing."""
        with disk_errors(self.output):
            self._state.mkdir(parents=True, exist_ok=True)
            (self.output / STATE).chmod(0o700)
            self._state.chmod(0o700)
            self.folder = self._find_folder(self.key)
            if self.folder is not None:
                self._adopt_report(self.folder)
                self.known = read(self.folder / REPORT)
            if (self._state / REPORT).exists() and not self.known.series:
                self.known = read(self._state / REPORT)
            self._adopt_journal()
            for stale in self._state.glob("*.part*"):
                shutil.rmtree(stale, ignore_errors=True) if stale.is_dir() else stale.unlink(missing_ok=True)

    def _find_folder(self, key: str) -> Path | None:
        """The study's folder, whatever it is called now: the one whose report has its UID or its key."""
        for name in sorted(_names_in(self.output)):
            report = os.path.join(self.output, name, REPORT)  # noqa: PTH118  # pathlib's takes ten times as long
            known = _read_before.get(report)
            if known is None or key in known:
                known = _names_of_study(report)
            if key in known:
                return self.output / name
        return None

    def _adopt_report(self, folder: Path) -> None:
        try:
            document = json_file(folder / REPORT)
            rows = document["instances_saved"]
            self.was_complete = document.get("status") == "complete"
            entries = [Entry(**{name: row[name] for name in Entry.__slots__}) for row in rows]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
        for entry in entries:
            self._adopt(entry, folder / entry.file, within=folder)

    def _adopt_journal(self) -> None:
        plan = self._plan()
        journal = self._state / JOURNAL
        if not journal.exists():
            return
        for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
                entry = Entry(**{name: row[name] for name in Entry.__slots__})
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # the last line of a run that was killed
            placed = plan.get(entry.file)
            if placed and (self.output / placed).exists():
                self._adopt(replace(entry, file=placed), self.output / placed, within=self.output)
            else:
                self._adopt(entry, self._state / entry.file, within=self._state)

    def _plan(self) -> dict[str, str]:
        try:
            plan = json_file(self._state / PLAN)
            return {str(name): str(path) for name, path in plan.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _adopt(self, entry: Entry, path: Path, within: Path) -> None:
        try:
            whole = path.resolve().is_relative_to(within.resolve()) and path.stat().st_size == entry.size
        except OSError:
            return
        if whole:
            self._entries[entry.sop_instance_uid] = (entry, path)

    # ---- while instances arrive

    def have(self, sop_instance_uid: str, key: str) -> tuple[Path, Entry] | None:
        """The file saved earlier for a UID or, where the site gives none, for a key; its content is still to be checked."""
        if sop_instance_uid:
            found = self._entries.get(sop_instance_uid)
            return (found[1], found[0]) if found else None
        for entry, path in self._entries.values():
            if key and entry.key == key:
                return path, entry
        return None

    def incoming(self, name: str) -> Path:
        """Where an instance is written until it is whole."""
        return self._state / (hashlib.sha256(name.encode()).hexdigest()[:24] + ".part")

    def keep(self, path: Path, header: Header, sha256: str, size: int, origin: Origin, key: str) -> Saved:
        """Take over a complete file that is in ``incoming``.

        Raises:
            InstanceConflict: different bytes are stored already under its SOP Instance UID; they stay.
            DiskFull, NotWritable: the disk refuses.
        """
        uid = header.sop_instance_uid
        known = self._entries.get(uid)
        if known is not None and known[1].exists():
            entry, lies = known
            if entry.sha256 != sha256:
                path.unlink(missing_ok=True)
                raise InstanceConflict(uid=uid, path=str(lies))
            if lies != path:
                path.unlink(missing_ok=True)
            return Saved(lies, header, sha256, size, Origin(entry.origin), entry.key, reused=True)
        entry = Entry(uid, key, sha256, size, origin.value, _file_name(uid))
        with disk_errors(self._state):
            target = self._state / entry.file
            path.replace(target)
            self._journal(entry)
        self._entries[uid] = (entry, target)
        return Saved(target, header, sha256, size, origin, key)

    def everything(self) -> list[tuple[Path, Entry]]:
        """Every file of earlier runs."""
        return [(path, entry) for entry, path in self._entries.values()]

    def forget_file(self, path: Path) -> None:
        """Remove a damaged file of an earlier run; it is fetched again."""
        self._entries = {uid: (entry, lies) for uid, (entry, lies) in self._entries.items() if lies != path}
        with disk_errors(path):
            path.unlink(missing_ok=True)

    # ---- placing

    def place(
        self, study: Study, layout: Mapping[str, Sequence[Saved]], name: str = ""
    ) -> tuple[Path, dict[str, list[Saved]]]:
        """Move a study's files to their final names.

        Args:
            study: whose files they are.
            layout: series folder → its files, in order.
            name: of a new folder; empty: the usual one. A study that is placed already stays in its folder.

        Returns: the study's folder, and the files at their final paths.
        """
        with disk_errors(self.output):
            folder = self.folder or self._find_folder(study.uid) or self._new_folder(name or study_folder_name(study))
            folder.mkdir(mode=0o700, exist_ok=True)
            targets: list[tuple[Saved, Path]] = []
            for series, files in layout.items():
                for index, saved in enumerate(files, start=1):
                    targets.append((saved, folder / series / f"{index:05d}.dcm"))
            self._free_names([target for _, target in targets], {saved.path for saved, _ in targets})
            # Until the last file that must move is back in the state folder, the old report is true of those that stay.
            targets = [
                (self._back_to_state(saved) if saved.path != target else saved, target) for saved, target in targets
            ]
            self._journal(*(self._entry(saved) for saved, target in targets if saved.path == target))
            self._write_plan({self._entry(saved).file: target for saved, target in targets})
            if (folder / REPORT).exists():
                (folder / REPORT).replace(self._state / REPORT)  # what it knows is not lost with a run that is killed
            placed: dict[str, list[Saved]] = {}
            for saved, target in targets:
                target.parent.mkdir(mode=0o700, exist_ok=True)
                if saved.path != target:
                    saved.path.replace(target)
                placed.setdefault(target.parent.name, []).append(replace(saved, path=target))
            for left in folder.iterdir():
                if left.is_dir() and not any(left.iterdir()):
                    left.rmdir()
        self.folder = folder
        return folder, placed

    def _free_names(self, targets: list[Path], ours: set[Path]) -> None:
        """A file under a name that we need and that is not placed now is moved aside, not overwritten."""
        for target in targets:
            if target.exists() and target not in ours:
                aside = target.with_suffix(".other")
                number = 1
                while aside.exists():
                    number += 1
                    aside = target.with_suffix(f".other{number}")
                target.replace(aside)

    def _back_to_state(self, saved: Saved) -> Saved:
        """A placed file whose name must change goes back first, so that no step of a permutation overwrites another."""
        if saved.path.parent == self._state:
            return saved
        entry = self._entry(saved)
        self._journal(entry)
        saved.path.replace(self._state / entry.file)
        return replace(saved, path=self._state / entry.file)

    def _entry(self, saved: Saved) -> Entry:
        uid = saved.header.sop_instance_uid
        return Entry(uid, saved.key, saved.sha256, saved.size, saved.origin.value, _file_name(uid))

    def _journal(self, *entries: Entry) -> None:
        with (self._state / JOURNAL).open("a", encoding="utf-8") as journal:
            for entry in entries:
                journal.write(json.dumps({slot: getattr(entry, slot) for slot in Entry.__slots__}) + "\n")

    def _write_plan(self, moves: Mapping[str, Path]) -> None:
        plan = {name: target.relative_to(self.output).as_posix() for name, target in moves.items()}
        write_whole(self._state / PLAN, json.dumps(plan))

    def _new_folder(self, name: str) -> Path:
        """A folder of that name, or of the next that is free; the same patient's studies of one day share a name."""
        self.output.mkdir(mode=0o700, parents=True, exist_ok=True)
        taken = set(_names_in(self.output))
        for free in chain([name], (f"{name}_{number}" for number in count(2))):
            if free not in taken:
                with suppress(FileExistsError):  # another process was faster, or names differ in case alone
                    (self.output / free).mkdir(mode=0o700)
                    return self.output / free
        raise AssertionError  # numbers do not end

    def write_report(self, document: Mapping[str, object]) -> None:
        """Write ``study.json`` whole, then drop the journal that it replaces."""
        if self.folder is None:
            return
        with disk_errors(self.folder):
            text = escaped_json(json.dumps(document, ensure_ascii=False, indent=1))
            write_whole(self.folder / REPORT, text + "\n")
            _read_before.pop(str(self.folder / REPORT), None)
            shutil.rmtree(self._state, ignore_errors=True)


_read_before: dict[str, tuple[str, ...]] = {}
"""Report → the names in it: among ten thousand studies, each report is read once and not ten thousand times."""


def _names_of_study(report: str) -> tuple[str, ...]:
    """The UID and the key in a study's report; empty if there is no report."""
    try:
        document = json_file(Path(report))
        names = (dict(document.get("study") or {}).get("uid"), document.get("key"))
    except (OSError, ValueError, TypeError, AttributeError):
        return ()
    _read_before[report] = tuple(name for name in names if isinstance(name, str))
    return _read_before[report]


def _names_in(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _file_name(sop_instance_uid: str) -> str:
    """The name of a whole file that is not placed yet; a UID that is no UID can't leave the folder."""
    if re.fullmatch(r"[0-9.]{1,64}", sop_instance_uid):
        return sop_instance_uid + ".dcm"
    return hashlib.sha256(sop_instance_uid.encode()).hexdigest()[:40] + ".dcm"


def write_whole(path: Path, text: str) -> None:
    """Write a file that is either the old one or the new one, never half of it."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)


async def open_store(output: Path, key: str, tell: Callable[[], None]) -> StudyStore:
    """A study's store; a second process that wants the same study waits here, and then finds it done.

    Args:
        output: the user's folder; made, readable by its owner alone, where it is not there.
        key: the study's UID, or the site's own name for it.
        tell: called once where another process is at work on the study.

    Raises:
        DiskFull, NotWritable: the disk refuses.
    """
    with disk_errors(output):
        (output / STATE).mkdir(parents=True, exist_ok=True, mode=0o700)
    name = hashlib.sha256(key.encode()).hexdigest()[:20] + ".lock"
    lock = filelock.FileLock(output / STATE / name, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        tell()
        while not lock.is_locked:
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                await asyncio.sleep(0.3)
    except OSError as err:
        raise NotWritable(path=str(output)) from err
    try:
        store = StudyStore(output, key, lock)
        await asyncio.to_thread(store.load)
    except BaseException:
        lock.release()
        raise
    return store


@asynccontextmanager
async def opened(output: Path, key: str, tell: Callable[[], None]) -> AsyncIterator[StudyStore]:
    """A study's store while the context lasts; see ``open_store``."""
    store = await open_store(output, key, tell)
    try:
        yield store
    finally:
        store.close()
