"""One archive (PACS) as a provider sees it: what it holds, and instances one by one, fetched together behind the scenes."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import ParamSpec, TypeVar

from filelock import FileLock, Timeout

from scraper.core.errors import CloudfilmError, MissingInstances, NotRegistered, SiteBusy, SiteChanged, SiteUnreachable
from scraper.core.model import ArchiveSeries
from scraper.core.reasons import Because, Reason
from scraper.session.dimse.association import MOST_CONTEXTS, STORAGE_CLASSES, UIDS, Dimse, RetrievalEnd
from scraper.session.dimse.reach import Peer
from scraper.session.dimse.receive import PLAIN, StoreReceiver
from scraper.session.dimse.status import DESTINATION_UNKNOWN, NOT_UNDERSTOOD, SUCCESS, describe_status
from scraper.session.dimse.storage_classes import Context, turns
from scraper.session.http.pace import Pace

T = TypeVar("T")
P = ParamSpec("P")
AHEAD = (0, 8, 32)  # instances asked for beyond those awaited: at first, after one list came whole, after two
AHEAD_BYTES = 256 * 2**20  # that what was fetched ahead may take on the disk
CLASSES = 5  # SOP classes in one association: each takes a presentation context a Transfer Syntax
LISTEN_S = 600.0  # another run of this computer may hold the port so long
UID = re.compile(r"[0-9.]{1,64}")
BARREN = 3  # empty retrievals in a row: some archives refuse so, others send elsewhere
LAST_ANSWER_S = 2.0  # a retrieval all of whose objects came may end properly
_UNIQUE = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID", "AccessionNumber")


class RetrievalService(StrEnum):
    """How objects arrive: C-GET over our own connection, or C-MOVE to a port of this computer."""

    GET = "get"
    MOVE = "move"


@dataclass(slots=True)
class _Prefetch:
    """The state of one series' instances during retrieval."""

    held: ArchiveSeries
    awaited: dict[str, asyncio.Future[Path]] = field(default_factory=dict)
    here: dict[str, Path] = field(default_factory=dict)  # fetched ahead, and not asked for yet
    alone: set[str] = field(default_factory=set)  # did not come in a list, and are asked for one by one
    asked: set[str] = field(default_factory=set)
    came_whole: int = 0  # lists in a row of which all came
    bytes: int = 0
    count: int = 0
    useful: list[int] = field(
        default_factory=lambda: [0]
    )  # turns of proposals that retrieved something, the newest first
    in_vain: int = 0  # lists of which no turn retrieved anything

    def proposals(self, wanted: Sequence[str]) -> list[tuple[int, tuple[Context, ...]]]:
        """Presentation contexts to propose for these objects, in several turns where the archive does not name their classes."""
        sop_classes = list(dict.fromkeys(self.held.classes[uid] for uid in wanted))
        made = list(
            enumerate(turns(sop_classes, self.held.modality, self.held.syntaxes, STORAGE_CLASSES, MOST_CONTEXTS))
        )
        by_number = dict(made)
        useful = [(number, by_number[number]) for number in self.useful if number in by_number]
        if self.in_vain >= BARREN:
            return useful
        return useful + [(number, contexts) for number, contexts in made if number not in self.useful]

    def next_list(self, *, one_by_one: bool) -> list[str]:
        """What to request now: awaited instances, then the following ones of the series; nothing where none is awaited."""
        if not self.awaited:
            return []
        alone = [uid for uid in self.awaited if uid in self.alone or one_by_one]
        if alone:
            return alone[:1]
        room = AHEAD[min(self.came_whole, len(AHEAD) - 1)]
        if self.count:
            room = min(room, AHEAD_BYTES * self.count // max(self.bytes, 1))
        chosen = list(self.awaited)
        order = list(self.held.classes)
        last = max(order.index(uid) for uid in chosen)
        behind = (uid for uid in order[last + 1 :] if uid not in self.asked)
        chosen += [uid for uid, _ in zip(behind, range(room), strict=False)]
        classes = list(dict.fromkeys(self.held.classes[uid] for uid in chosen))[:CLASSES]
        return [uid for uid in chosen if self.held.classes[uid] in classes]


class Archive:
    """The association with one archive. Instances of one series that are awaited at the same time are fetched together.

    Args:
        peer: the archive.
        spool: a folder for what arrives.
        by: how objects are asked for first; where the archive refuses C-GET, C-MOVE follows.
        pace: of the run.
    """

    def __init__(self, peer: Peer, spool: Path, by: RetrievalService, pace: Pace) -> None:
        self._peer = peer
        self._folder = spool / "dimse"
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._by = by
        self._pace = pace
        self._dimse = Dimse(peer, self._folder)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dimse")
        self._prefetches: dict[tuple[str, str], _Prefetch] = {}
        self._work: asyncio.Task[None] | None = None
        self._barren = 0  # C-GETs in a row that ended with the connection, and retrieved nothing
        self._misses = 0  # single retrievals in a row without any instance
        self._came = False  # has anything ever come
        self._fatal_error: CloudfilmError | None = None
        self._before: Reason | None = None  # why C-MOVE follows, for whoever reads that it is refused, too
        self._moves = True  # C-MOVE may retrieve what C-GET could not
        self._one_by_one = False  # the archive does not understand lists of UIDs

    async def find(self, level: str, keys: Mapping[str, str], limit: int) -> list[dict[str, str]]:
        """Query one level, ``STUDY``, ``SERIES`` or ``IMAGE``; at most ``limit`` + 1 rows.

        Rows that contradict a requested identifier are dropped: some archives do not match by every key, and
        another patient's study must never be included. So are rows with an invalid or repeated UID.

        Args:
            level: of the query.
            keys: keyword → value to match; an empty one is asked for.
            limit: a longer answer is cancelled.

        Raises:
            SiteUnreachable, SiteBusy, SiteChanged, NotRegistered, UnknownCalledTitle: see ``Dimse.find``.
        """
        asked = {"QueryRetrieveLevel": level, **keys}
        async with self._pace.turn(self._peer.host):
            rows = await self._in_thread(self._dimse.find, asked, limit)
        fitting = [row for row in rows if all(_agrees(row[text], keys[text]) for text in _UNIQUE if text in keys)]
        own = UIDS[level]
        return list({row[own]: row for row in reversed(fitting) if UID.fullmatch(row[own])}.values())[::-1]

    async def instance(self, held: ArchiveSeries, uid: str) -> Path:
        """Return one instance's Part 10 file, which the caller removes.

        Raises:
            MissingInstances: the archive lists it and does not send it. SiteUnreachable, SiteBusy, NotRegistered: no way.
            DiskFull, NotWritable: the spool does not take it.
        """
        if self._fatal_error is not None:
            raise self._fatal_error
        key = (held.study_instance_uid, held.series_instance_uid)
        prefetch = self._prefetches.setdefault(key, _Prefetch(held))
        prefetch.held = held  # a series that was listed again may have grown
        if uid in prefetch.here:
            return prefetch.here.pop(uid)
        awaited = prefetch.awaited.get(uid)
        if awaited is None:
            awaited = prefetch.awaited[uid] = asyncio.get_running_loop().create_future()
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._fetch())
        return await asyncio.shield(awaited)

    async def _fetch(self) -> None:
        """Fetch until nothing is awaited; instances that can't be had get the error."""
        while prefetches := [shelve for shelve in self._prefetches.values() if shelve.awaited]:
            await asyncio.sleep(0)  # all that ask in this turn of the loop are one list
            for prefetch in prefetches:
                try:
                    await self._fetch_list(prefetch)
                except CloudfilmError as err:
                    self._fail(err)
                except BaseException:
                    self._fail(SiteUnreachable(host=self._peer.host, why=Reason.RUN_ENDS))
                    raise

    def _fail(self, err: CloudfilmError) -> None:
        for prefetch in self._prefetches.values():
            prefetch.came_whole = 0
            for awaited in prefetch.awaited.values():
                if not awaited.done():
                    awaited.set_exception(err)
                    awaited.exception()  # whoever asked may be gone
            prefetch.awaited.clear()

    async def _fetch_list(self, prefetch: _Prefetch) -> None:
        wanted = prefetch.next_list(one_by_one=self._one_by_one)
        if not wanted:  # another series' failure answered those who waited
            return
        prefetch.asked.update(wanted)
        loop = asyncio.get_running_loop()

        def arrived(uid: str, path: Path) -> None:
            loop.call_soon_threadsafe(_put, prefetch, uid, path)

        landing = StoreReceiver(wanted, prefetch.held.syntaxes, self._folder, arrived)
        async with self._pace.turn(self._peer.host):
            ended = await self._retrieve(prefetch, wanted, landing)
        await asyncio.sleep(0)  # what came last is put where it belongs
        missed = [uid for uid in wanted if uid not in landing.came]
        self._came = self._came or bool(landing.came)
        self._misses = 0 if landing.came else self._misses + 1
        if (
            self._by is RetrievalService.MOVE and not self._came and not landing.callers
        ):  # it may send elsewhere, or not be let through
            self._one_by_one = self._one_by_one or ended.status == DESTINATION_UNKNOWN
            if self._misses >= BARREN:
                self._fatal_error = self._dimse.not_registered(self._nothing_arrives(ended))
                raise self._fatal_error
            return
        if not missed:
            prefetch.came_whole += 1
        elif len(wanted) == 1:
            self._miss(prefetch, missed[0], ended)
        else:
            prefetch.came_whole = 0
            prefetch.alone.update(missed)
            if not landing.came and (ended.status >= NOT_UNDERSTOOD or ended.status == DESTINATION_UNKNOWN):
                self._one_by_one = True

    def _nothing_arrives(self, ended: RetrievalEnd) -> Because:
        if ended.status == SUCCESS:
            return Reason.NOTHING_ARRIVES.of(port=self._peer.listen)
        why = describe_status("C-MOVE", ended.status)
        return Reason.NOTHING_ARRIVES_BECAUSE.of(port=self._peer.listen, why=why)

    def _miss(self, prefetch: _Prefetch, uid: str, ended: RetrievalEnd) -> None:
        meaning = Reason.SAYS_ALL_SENT if ended.status == SUCCESS else None
        why = describe_status(f"C-{self._by.name}", ended.status, meaning)
        if not ended.agreed:
            why = Reason.NO_CONTEXT.of(operation=f"C-{self._by.name}")
        awaited = prefetch.awaited.pop(uid, None)
        if awaited is not None and not awaited.done():
            awaited.set_exception(MissingInstances(why=why))
            awaited.exception()

    async def _retrieve(self, prefetch: _Prefetch, wanted: Sequence[str], landing: StoreReceiver) -> RetrievalEnd:
        if self._by is RetrievalService.GET:
            try:
                ended = await self._get(prefetch, wanted, landing)
            except SiteUnreachable:
                self._barren = 0 if landing.came else self._barren + 1
                if self._barren < BARREN:
                    raise
                why = Reason.C_GET_CONNECTION_LOST
            else:
                self._barren = 0
                if not ended.refused and (ended.agreed or self._came or landing.came):
                    failed = ended.status != SUCCESS and len(wanted) == 1 and not landing.came
                    return await self._also_by_move(ended, prefetch, wanted, landing) if failed else ended
                why = Reason.C_GET_NO_STORAGE_CLASS if not ended.agreed else Reason.C_GET_NOT_OFFERED
            return await self._move_instead(why, prefetch, wanted, landing)
        return await self._move(prefetch, wanted, landing)

    async def _also_by_move(
        self, ended: RetrievalEnd, prefetch: _Prefetch, wanted: Sequence[str], landing: StoreReceiver
    ) -> RetrievalEnd:
        """Try C-MOVE for an object that C-GET could not retrieve, as long as C-MOVE works."""
        if self._moves:
            try:
                await self._move(prefetch, wanted, landing)
            except (NotRegistered, SiteChanged, SiteUnreachable):
                self._moves = False
            else:
                self._moves = bool(landing.callers)
        return ended

    async def _move_instead(
        self, why: Reason, prefetch: _Prefetch, wanted: Sequence[str], landing: StoreReceiver
    ) -> RetrievalEnd:
        """Switch to C-MOVE after C-GET retrieved nothing; the error names both refusals."""
        self._by, self._before = RetrievalService.MOVE, why
        return await self._move(prefetch, wanted, landing)

    async def _get(self, prefetch: _Prefetch, wanted: Sequence[str], landing: StoreReceiver) -> RetrievalEnd:
        """C-GET, repeated with further presentation contexts for missing objects."""
        best = RetrievalEnd(agreed=False)
        for number, contexts in prefetch.proposals(wanted):
            missing = [uid for uid in wanted if uid not in landing.came]
            if not missing:
                break
            before = len(landing.came)
            ended = await self._in_thread(self._dimse.get, _keys(prefetch.held, missing), landing, contexts)
            if not ended.offered:
                return ended
            best = ended if ended.agreed else best
            if len(landing.came) > before:
                prefetch.useful = [number, *(other for other in prefetch.useful if other != number)]
            if ended.status >= NOT_UNDERSTOOD and len(missing) > 1:
                break
        if not landing.came:
            prefetch.in_vain += 1
        return best

    async def _move(self, prefetch: _Prefetch, wanted: Sequence[str], landing: StoreReceiver) -> RetrievalEnd:
        """C-MOVE, repeated uncompressed for what the archive could not send in its own first Transfer Syntax."""
        lock = FileLock(Path(gettempdir()) / f"cloudfilm-listen-{self._peer.listen}.lock")
        ended = RetrievalEnd()
        for preferred in (landing.syntaxes, PLAIN):
            landing.syntaxes = preferred
            missing = [uid for uid in wanted if uid not in landing.came]
            try:
                ended = await self._in_thread(_locked, lock, self._dimse, _keys(prefetch.held, missing), landing)
            except NotRegistered as err:
                why = self._before.of(then=err.cause) if self._before else err.cause
                raise self._dimse.not_registered(why) from err
            except Timeout as err:
                raise SiteBusy(host=self._peer.host, why=Reason.PORT_IN_USE.of(port=self._peer.listen)) from err
            if ended.refused:
                raise SiteChanged(host=self._peer.host, what=Reason.NO_RETRIEVE_SERVICE)
            if not landing.callers or landing.came.issuperset(wanted):
                break
        return ended

    async def _in_thread(self, function: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Run a call in the archive's own thread, one after another."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *given, **named))

    async def close(self) -> None:
        """End the connection and what is under way; remove files that nobody took."""
        if self._work is not None:
            await asyncio.wait({self._work}, timeout=LAST_ANSWER_S)
            self._work.cancel()
        await asyncio.to_thread(self._dimse.close)
        if self._work is not None:
            await asyncio.gather(self._work, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


def _keys(held: ArchiveSeries, uids: Sequence[str]) -> dict[str, str]:
    """The identifier of a retrieval (PS3.4 C.4.2.1.4)."""
    return {
        "QueryRetrieveLevel": "IMAGE",
        "StudyInstanceUID": held.study_instance_uid,
        "SeriesInstanceUID": held.series_instance_uid,
        "SOPInstanceUID": "\\".join(uids),
    }


def _locked(lock: FileLock, dimse: Dimse, keys: Mapping[str, str], landing: StoreReceiver) -> RetrievalEnd:
    """Allow one C-MOVE at a time on this computer: there is one port to send to."""
    with lock.acquire(timeout=LISTEN_S):
        return dimse.move(keys, landing)


def _put(prefetch: _Prefetch, uid: str, path: Path) -> None:
    """Hand an instance that arrived to whoever awaits it, else store it for later."""
    prefetch.count += 1
    prefetch.bytes += path.stat().st_size
    awaited = prefetch.awaited.pop(uid, None)
    if awaited is not None and not awaited.done():
        awaited.set_result(path)
    else:
        prefetch.here[uid] = path


def _agrees(value: str, asked: str) -> bool:
    """Whether an archive's value matches what was asked for; a missing value counts as a match."""
    return not value or not asked or value.casefold() in (text.strip().casefold() for text in asked.split("\\"))
