"""Instances to an archive by C-STORE: contexts from what the files are, a lost line taken up again, commitment where offered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from scraper.core.errors import ArchiveFull, CorruptInstance, NotRegistered, SiteUnreachable, UnknownCalledTitle
from scraper.core.log import Silence
from scraper.core.model import Problem
from scraper.core.reasons import Cause, Reason
from scraper.core.settings import Settings
from scraper.export.gather import InstanceFile, LeftOut
from scraper.send.run import Copies, Progress, SendOptions
from scraper.send.target import DicomTarget
from scraper.session.dimse.reach import Peer
from scraper.session.dimse.send import DUPLICATE, MOST_CONTEXTS, Sender
from scraper.session.dimse.status import SUCCESS, describe_store_status
from scraper.session.dimse.store_line import Pair
from scraper.session.door.door import connected_to

PLAIN: Final = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")  # what is refused as it is may be taken so
TRIES: Final = 3  # associations in a row in which nothing is stored
COMMIT_S: Final = 60.0  # for Storage Commitment's answer, where this computer listens for it
# On the association that asked, an archive answers at once or never: Orthanc opens one of its own (PS3.4 J.3.3 allows both).
COMMIT_HERE_S: Final = 2.0
NOT_AUTHORIZED: Final = 0x0124


async def store(  # all of one run
    target: DicomTarget,
    waiting: Sequence[InstanceFile],
    settings: Settings,
    options: SendOptions,
    copies: Copies,
    progress: Progress,
) -> None:
    """Send them.

    Raises:
        SiteUnreachable, SiteBusy, NotRegistered, UnknownCalledTitle: no way, or none any more; what was taken stands.
    """
    peer = Peer(
        target.host,
        connected_to(target.host, target.port, settings),
        target.called,
        target.calling,
        target.listen,
        settings.timeout_s,
        target.tls,
    )
    with Silence("pynetdicom"):  # it writes names of patients
        for turn in _turns(waiting, may_convert=options.may_convert):
            parts = [turn[start :: options.associations] for start in range(options.associations)]
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    if part:
                        group.create_task(_Line(peer, part, options, copies, progress).run())


def _pair(item: InstanceFile) -> Pair:
    return item.header.sop_class_uid, item.header.transfer_syntax_uid


def _turns(waiting: Sequence[InstanceFile], *, may_convert: bool) -> Iterable[list[InstanceFile]]:
    """The instances, parted so that one association has room for the presentation contexts of each part."""
    room = MOST_CONTEXTS // (1 + len(PLAIN)) if may_convert else MOST_CONTEXTS
    pairs = list(dict.fromkeys(map(_pair, waiting)))
    for start in range(0, len(pairs), room):
        chosen = set(pairs[start : start + room])
        yield [item for item in waiting if _pair(item) in chosen]


class _Line:
    """One association after another, until its part is sent."""

    def __init__(
        self, peer: Peer, items: Sequence[InstanceFile], options: SendOptions, copies: Copies, progress: Progress
    ) -> None:
        self._peer = peer
        self._items = items
        self._options = options
        self._copies = copies
        self._progress = progress
        pairs = list(dict.fromkeys(map(_pair, items)))
        if options.may_convert:
            pairs += [(sop_class, plain) for sop_class, _ in pairs for plain in PLAIN]
        self._sender = Sender(peer, list(dict.fromkeys(pairs)))
        self._accepted: frozenset[Pair] = frozenset()

    async def run(self) -> None:
        """Send the part; raises what ``store`` raises."""
        left = list(self._items)
        tries = 0
        try:
            while left:
                try:
                    self._accepted = await asyncio.to_thread(self._sender.open)
                    while left:
                        await self._one(left[0])
                        left.pop(0)
                        tries = 0
                except ArchiveFull:  # it is no emptier for being asked again
                    raise
                except SiteUnreachable:
                    tries += 1
                    if tries >= TRIES:
                        raise
            await self._commit()
        finally:
            await asyncio.to_thread(self._sender.close)

    async def _one(self, item: InstanceFile) -> None:
        """Send one instance; what the archive refuses is noted.

        Raises:
            SiteUnreachable: the connection was lost. ArchiveFull: it has no room. NotRegistered: it lets us store nothing.
        """
        sop_class, own = _pair(item)
        wanted = next((syntax for syntax in (own, *PLAIN) if (sop_class, syntax) in self._accepted), "")
        if not wanted or (wanted != own and not self._options.may_convert):
            self._refuse(item, Reason.SYNTAX_NOT_TAKEN)
            return
        path, is_copy = item.path, wanted != own or self._copies.changes(item)
        if is_copy:
            path, why = await self._copies.made(item, wanted if wanted != own else "")
            if why:
                self._refuse(item, Reason.NO_COPY_BECAUSE.of(error=why))
                path.unlink(missing_ok=True)
                return
        try:
            size = path.stat().st_size
            status = await asyncio.to_thread(
                self._sender.store, path, (sop_class, wanted), item.header.sop_instance_uid
            )
        except (OSError, CorruptInstance):
            self._refuse(item, Reason.UNREADABLE_FILE)
            return
        finally:
            if is_copy:
                path.unlink(missing_ok=True)
        self._judge(item, size, status, was_converted=wanted != own)

    def _judge(self, item: InstanceFile, size: int, status: int, *, was_converted: bool) -> None:
        is_warning = 0xB000 <= status <= 0xBFFF
        if status in (SUCCESS, DUPLICATE) or is_warning:
            uid = item.header.sop_instance_uid
            if was_converted:
                self._progress.converted.add(uid)
            if self._copies.changes(item):
                self._progress.changed.add(uid)
            if is_warning:
                self._progress.warned.append(LeftOut(item.name, describe_store_status(status), is_loss=False))
            self._progress.took(item, size)
            return
        why = describe_store_status(status)
        if status == NOT_AUTHORIZED:
            raise NotRegistered(
                "calling", host=self._peer.host, calling=self._peer.calling, listen=self._peer.listen, why=why
            )
        if 0xA700 <= status <= 0xA7FF:
            raise ArchiveFull(host=self._peer.host, why=why)
        self._refuse(item, why)

    def _refuse(self, item: InstanceFile, why: Cause) -> None:
        self._progress.refused.append(LeftOut(item.name, why))

    async def _commit(self) -> None:
        """Ask whether the archive keeps what it took, where it offers to say so."""
        progress = self._progress
        mine = {
            item.header.sop_instance_uid: item
            for item in self._items
            if item.header.sop_instance_uid in progress.stored
        }
        if not mine or not self._sender.offers_commitment:
            return
        asked = {uid: item.header.sop_class_uid for uid, item in mine.items()}
        patience_s = min(COMMIT_S if self._peer.listen else COMMIT_HERE_S, self._peer.timeout_s)
        try:
            answer = await asyncio.to_thread(self._sender.commit, asked, patience_s)
        except (SiteUnreachable, NotRegistered, UnknownCalledTitle):
            answer = None
        if answer is None:
            progress.problems.append(Problem("commitment-unanswered", fatal=False))
            return
        progress.committed = (progress.committed or 0) + len(answer.committed & mine.keys())
        for uid in answer.committed & mine.keys():
            progress.ledger.commit(uid)
        for uid, reason in answer.failed.items():
            if uid in mine:
                progress.ledger.drop(uid)
                progress.stored.pop(uid, None)
                self._refuse(mine[uid], Reason.ARCHIVE_KEEPS_NOT.of(error=f"0x{reason:04X}"))
