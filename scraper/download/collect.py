"""Fetch and inspect the instances of one study, several at once, until each is on the disk or recorded as failed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from scraper.core.errors import (
    CloudfilmError,
    CorruptInstance,
    InstanceConflict,
    MissingInstances,
    NotAnImage,
    NotOriginalDicom,
    PictureInstead,
    SessionLapsed,
    StoreError,
    WrongStudy,
)
from scraper.core.model import Captured, Header, Instance, Origin, Problem, Saved, Series
from scraper.core.reasons import Reason
from scraper.download.fetch import Fetched, Fetcher
from scraper.download.queued import QueuedInstance, each_once
from scraper.download.watcher import Watcher
from scraper.protocols.fidelity import fidelity
from scraper.store.place import StudyStore
from scraper.verify import Checked, Inspector, lost_between, unreadable

AHEAD = 64  # instances that wait on the disk for their inspection before fetching waits for it
DOCUMENTS = frozenset(
    ("KO", "PR", "ECG", "DOC")
)  # PS3.3 C.7.3.1.1.1; listed among images, and often not served with them
REFETCHES = 2  # times that an instance is asked for again after what came failed inspection


@dataclass(frozen=True, slots=True)
class Collected:
    """What became of one study's instances.

    Attributes:
        saved: what is on the disk, in order of arrival, with what its inspection found.
        failed: an instance's name → why it could not be fetched.
        left_out: names of objects that the site serves no pixels for.
        duplicates: names under which the site lists an instance a second time.
        conflicts: SOP Instance UIDs under which other bytes are on the disk.
        wrong_study: names of what belongs to another study.
        problems: of the download.
        series_of: an instance's name → its series' name, as the site has them.
        uid_of_series: a series' name at the site → the Series Instance UID in its files.
        expected_total: how many objects a package should hold, by its own directory or its site, whichever says more;
            None: not a package.
    """

    saved: Sequence[tuple[Saved, Checked]] = ()
    failed: Mapping[str, CloudfilmError] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    duplicates: Sequence[str] = ()
    conflicts: Sequence[str] = ()
    wrong_study: Sequence[str] = ()
    problems: Sequence[Problem] = ()
    series_of: Mapping[str, str] = field(default_factory=dict)
    uid_of_series: Mapping[str, str] = field(default_factory=dict)
    expected_total: int | None = None


@dataclass(frozen=True, slots=True)
class _Arrived:
    """An instance's file, before it is inspected."""

    path: Path
    fetched: Fetched
    reused: bool = False


class Collector:
    """Collects one study: each instance is fetched, inspected, and kept in the study's store.

    Args:
        store: the study's place on the disk.
        fetcher: the session's.
        inspector: checks each file as it arrives, in another process.
        watcher: receives progress events.
        jobs: number of instances that are fetched at once.
    """

    def __init__(self, store: StudyStore, fetcher: Fetcher, inspector: Inspector, watcher: Watcher, jobs: int) -> None:
        self._store = store
        self._fetcher = fetcher
        self._inspector = inspector
        self._watcher = watcher
        self._jobs = jobs
        self._queue: deque[QueuedInstance] = deque()
        self._lapsed: list[QueuedInstance] = []
        self._stop: StoreError | None = None
        self._checking = asyncio.Semaphore(AHEAD)
        self._listed: frozenset[str] = frozenset()
        self._here: set[str] = set()  # SOP Instance UIDs kept in this run
        self._blank: dict[str, QueuedInstance] = {}  # by SOP Instance UID, where the picture shows nothing
        self._saved: list[tuple[Saved, Checked]] = []
        self._failed: dict[str, CloudfilmError] = {}
        self._left_out: list[str] = []
        self._duplicates: list[str] = []
        self._conflicts: list[str] = []
        self._wrong_study: list[str] = []
        self._problems: list[Problem] = []
        self._series_of: dict[str, str] = {}
        self._uid_of_series: dict[str, str] = {}

    @property
    def saved_count(self) -> int:
        """Instances that are on the disk by now."""
        return len(self._saved)

    def collected(self) -> Collected:
        """What became of the instances so far."""
        return Collected(
            tuple(self._saved),
            dict(self._failed),
            tuple(self._left_out),
            tuple(self._duplicates),
            tuple(self._conflicts),
            tuple(self._wrong_study),
            tuple(self._problems),
            dict(self._series_of),
            dict(self._uid_of_series),
        )

    async def take(self, series: Iterable[Series]) -> list[QueuedInstance]:
        """Collect all instances of ``series``; return those that a lapsed session left, to be requested again.

        Raises:
            StoreError: the disk refuses; what was saved is kept.
        """
        queued, again = each_once(series)
        self._queue = deque(queued)
        self._duplicates += [name for name in again if name not in self._series_of]  # noted when it was first taken
        self._listed |= {wanted.instance.sop_instance_uid for wanted in self._queue}
        for wanted in self._queue:
            self._series_of[wanted.instance.name] = wanted.series.name
        self._lapsed = []
        while self._queue and not self._lapsed and self._stop is None:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._jobs, len(self._queue))):
                    group.create_task(self._work(group))
            if not self._queue and not self._lapsed and self._stop is None:
                self._queue.extend(self._lost_on_the_way())
        if self._stop is not None:
            self._keep_old(self._queue)
            raise self._stop
        return [*self._lapsed, *self._queue] if self._lapsed else []

    def give_up(self, jobs: Sequence[QueuedInstance], err: CloudfilmError) -> None:
        """Record instances as failed; they are not requested again."""
        for wanted in jobs:
            self._failed[wanted.instance.name] = err
        self._keep_old(jobs)

    def _keep_old(self, jobs: Iterable[QueuedInstance]) -> None:
        for wanted in jobs:
            if wanted.old is not None:
                self._keep(wanted, wanted.old, ())

    def _lost_on_the_way(self) -> list[QueuedInstance]:
        """Instances to be requested again: they show nothing, and lie between others that do."""
        blank, self._blank = self._blank, {}
        if not blank:
            return []
        names = lost_between([checked for _, checked in self._saved])
        again = []
        for place in range(len(self._saved) - 1, -1, -1):
            saved, checked = self._saved[place]
            if checked.name in names and checked.name in blank:
                del self._saved[place]
                self._here.discard(checked.name)
                old = replace(checked, path=saved.path)
                again.append(replace(blank[checked.name], old=old, is_second_look=True))
        return again

    async def _work(self, group: asyncio.TaskGroup) -> None:
        """Fetch one instance after another; each one's inspection goes on while the next is fetched."""
        while self._queue and self._stop is None and not self._lapsed:
            wanted = self._queue.popleft()
            await self._checking.acquire()
            handed_over = False
            try:
                arrived = await self._obtain(wanted)
                if arrived is not None:
                    group.create_task(self._finish(wanted, arrived))
                    handed_over = True
            finally:
                if not handed_over:
                    self._checking.release()

    async def _obtain(self, wanted: QueuedInstance) -> _Arrived | None:
        """The instance's file: from an earlier run, or fetched; None where it could not be fetched."""
        name = wanted.instance.name
        earlier = self._store.have(wanted.instance.sop_instance_uid, f"{wanted.series.name}/{name}")
        if earlier is not None and wanted.old is None:
            return _Arrived(earlier[0], Fetched(Origin(earlier[1].origin)), reused=True)
        path = self._store.incoming(wanted.place)
        try:
            return _Arrived(path, await self._fetcher.instance(wanted.instance, path))
        except SessionLapsed:
            self._lapsed.append(wanted)
        except StoreError as err:
            self._stop = self._stop or err
        except PictureInstead as err:  # a preview is what an image looks like: it is lost, and no report
            if wanted.series.modality in DOCUMENTS:
                self._left_out.append(name)
            else:
                self._failed[name] = NotOriginalDicom(why=err.code)
        except NotAnImage:
            self._left_out.append(name)
        except MissingInstances as err:
            if wanted.series.modality in DOCUMENTS:
                self._left_out.append(name)
            else:
                self._failed[name] = err
        except CloudfilmError as err:
            self._failed[name] = err
        path.unlink(missing_ok=True)
        if wanted.old is not None:
            self._keep(wanted, wanted.old, ())
        return None

    async def _finish(self, wanted: QueuedInstance, arrived: _Arrived) -> None:
        """Inspect what arrived, then keep it, refuse it, or put it back into the queue."""
        path, reused = arrived.path, arrived.reused
        try:
            checked = await self._inspector.inspect(path, arrived.fetched.origin)
            if reused and not self._still_sound(checked, path):
                self._queue.append(wanted)
                return
            if reused and (self._is_broken(checked) or await self._is_outdone(wanted, checked)):
                wanted.old = checked
                self._queue.append(wanted)
                return
            if (
                (self._is_broken(checked) or self._is_another(wanted, checked))
                and not reused
                and wanted.refetches < REFETCHES
                and checked.sha256 != wanted.sha256
            ):
                # Damage on the way differs from try to try; the same bytes twice are what the site has.
                wanted.refetches, wanted.sha256 = wanted.refetches + 1, checked.sha256
                path.unlink(missing_ok=True)
                self._queue.append(wanted)
                return
            if wanted.old is not None:
                checked = self._better(wanted.old, checked)
            self._keep(wanted, checked, arrived.fetched.problems)
        except StoreError as err:
            self._stop = self._stop or err
        finally:
            self._checking.release()

    def _still_sound(self, checked: Checked, path: Path) -> bool:
        """Whether a file of an earlier run is what it was when it was saved; a damaged one is forgotten."""
        uid = checked.header.sop_instance_uid if checked.header else ""
        known = self._store.have(uid, "") if uid else None
        if known is not None and known[0] == path and known[1].sha256 == checked.sha256:
            return True
        self._store.forget_file(path)
        return False

    async def _is_outdone(self, wanted: QueuedInstance, earlier: Checked) -> bool:
        """Whether the viewer got a larger, or a less compressed, object under the same UID than an earlier run."""
        source, uid = wanted.instance.source, wanted.instance.sop_instance_uid
        if not isinstance(source, Captured) or earlier.header is None or not uid:
            return False
        new = (await self._inspector.inspect(source.path, Origin.ORIGINAL)).header
        is_same = new is not None and new.sop_instance_uid == uid
        return is_same and new is not None and fidelity(new) > fidelity(earlier.header)

    def _outdo(self, checked: Checked, header: Header) -> bool:
        """Resolve two objects under the same UID in one run: the better one replaces the other; False where neither is better.

        Two different objects of equal quality are a conflict.
        """
        uid = header.sop_instance_uid
        place = next((at for at, (saved, _) in enumerate(self._saved) if saved.header.sop_instance_uid == uid), None)
        if place is None or fidelity(self._saved[place][0].header) == fidelity(header):
            return False
        self._problems.append(Problem("lesser-copies", (uid,), fatal=False))
        before = self._saved[place][0]
        if fidelity(before.header) > fidelity(header):
            checked.path.unlink(missing_ok=True)
            return True
        self._store.forget_file(before.path)
        saved = self._store.keep(checked.path, header, checked.sha256, checked.size, checked.origin, before.key)
        self._saved[place] = (saved, checked)
        return True

    def _better(self, old: Checked, new: Checked) -> Checked:
        """Replace a broken file of an earlier run by a sound one, and by nothing else."""
        if new.header is None or old.header is None or self._is_broken(new):
            new.path.unlink(missing_ok=True)
            return old
        self._store.forget_file(old.path)
        return new

    def _is_another(self, wanted: QueuedInstance, checked: Checked) -> bool:
        """Whether the site answered with another instance of its list than the one requested."""
        uid = checked.header.sop_instance_uid if checked.header else ""
        asked = wanted.instance.sop_instance_uid
        return bool(asked) and uid != asked and uid in self._listed

    def _is_broken(self, checked: Checked) -> bool:
        return checked.header is None or any(problem.fatal for problem in checked.problems)

    def _keep(self, wanted: QueuedInstance, checked: Checked, problems: tuple[Problem, ...]) -> None:
        name = wanted.instance.name
        header = checked.header
        if header is None or not header.sop_instance_uid:
            checked.path.unlink(missing_ok=True)
            self._failed[name] = unreadable(checked)
            return
        if wanted.series.study_instance_uid and header.study_instance_uid != wanted.series.study_instance_uid:
            checked.path.unlink(missing_ok=True)
            self._wrong_study.append(name)
            self._failed[name] = WrongStudy()
            return
        if self._is_another(wanted, checked):
            checked.path.unlink(missing_ok=True)
            self._failed[name] = CorruptInstance(what=Reason.ANOTHER_INSTANCE)
            return
        key = f"{wanted.series.name}/{name}"
        if header.sop_instance_uid in self._here and self._outdo(checked, header):
            return
        try:
            saved = self._store.keep(checked.path, header, checked.sha256, checked.size, checked.origin, key)
        except InstanceConflict:
            self._conflicts.append(header.sop_instance_uid)
            return
        if header.sop_instance_uid in self._here:
            self._duplicates.append(name)
            return
        self._here.add(header.sop_instance_uid)
        if wanted.instance.sop_instance_uid and wanted.instance.sop_instance_uid != header.sop_instance_uid:
            values = {"said": wanted.instance.sop_instance_uid}
            self._problems.append(Problem("uid-not-as-listed", (header.sop_instance_uid,), values, fatal=False))
        self._problems.extend(problems)
        self._uid_of_series.setdefault(wanted.series.name, header.series_instance_uid)
        self._saved.append((saved, checked))
        if checked.facts.constant_frames and not wanted.is_second_look:
            self._blank[header.sop_instance_uid] = wanted
        self._watcher.arrived(wanted.series.name, reused=saved.reused)
        self._watcher.saved(wanted.series.name, saved.path)

    def adopt(self, name: str, checked: Checked) -> None:
        """Keep one inspected object that came in a zip.

        Raises:
            StoreError: the disk refuses.
        """
        series = Series("", checked.header.series_instance_uid if checked.header else "", key="zip")
        self._series_of.setdefault(name, series.name)
        self._keep(QueuedInstance(series, Instance("", Captured(checked.path), key=name)), checked, ())

    async def keep_earlier(self) -> None:
        """Take over what earlier runs saved and this one does not list; what is no longer what was saved stays as it is.

        Raises:
            StoreError: the disk refuses.
        """
        for path, entry in self._store.everything():
            if entry.sop_instance_uid in self._here:
                continue
            checked = await self._inspector.inspect(path, Origin(entry.origin))
            if checked.sha256 == entry.sha256 and checked.header is not None:
                self.adopt(entry.key.partition("/")[2], checked)

    async def reuse_all(self) -> bool:
        """Take over a study that an earlier run saved complete; False where anything of it is no longer sound."""
        for path, entry in self._store.everything():
            checked = await self._inspector.inspect(path, Origin(entry.origin))
            if checked.sha256 != entry.sha256 or checked.header is None:
                return False
            self.adopt(entry.key.partition("/")[2], checked)
        return bool(self._saved)
