"""Objects to an archive by C-STORE (PS3.4 B), each in the Transfer Syntax that its file has, and Storage Commitment (PS3.4 J)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import generate_uid
from pynetdicom import AE, build_context, evt

from scraper.core.errors import SiteUnreachable
from scraper.core.reasons import Reason
from scraper.dicom.elements import quiet
from scraper.session.dimse.library import keep_data_sets_out_of_logs, send_files_unchanged
from scraper.session.dimse.reach import ABORT, ACCEPT, Peer, associate, reach
from scraper.session.dimse.status import SUCCESS

if TYPE_CHECKING:
    from pynetdicom.association import Association

COMMITMENT, COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"  # PS3.4 J.3
MOST_CONTEXTS: Final = 128 - 1  # PS3.8 9.3.2.2; one is for Storage Commitment
DUPLICATE: Final = 0x0111  # PS3.7 C.5.4: it has this SOP instance already
Pair = tuple[str, str]  # SOP Class UID, Transfer Syntax UID


@dataclass(frozen=True, slots=True)
class Commitment:
    """What an archive says that it keeps: SOP Instance UIDs, and those that it does not, with its reason."""

    committed: frozenset[str]
    failed: Mapping[str, int]


class Sender:
    """One association to an archive that takes objects; every method blocks, and belongs in a thread of its own.

    Args:
        peer: the archive; where ``listen`` is not 0, Storage Commitment's answer may come to that port.
        pairs: what files are: each is a presentation context of its own, so that every file may go as it is.
    """

    def __init__(self, peer: Peer, pairs: Sequence[Pair]) -> None:
        keep_data_sets_out_of_logs()
        send_files_unchanged()
        self._peer = peer
        self._pairs = pairs
        self._open: Association | None = None
        self._answers: dict[str, Commitment] = {}  # by Transaction UID
        self._answered = threading.Condition()
        self._last_pdus: dict[str, Any] = {}

    def open(self) -> frozenset[Pair]:
        """Associate; gives the pairs that the archive takes.

        Raises:
            SiteUnreachable, SiteBusy, NotRegistered, UnknownCalledTitle: it does not speak to us.
        """
        contexts = [build_context(sop_class, syntax) for sop_class, syntax in self._pairs]
        contexts.append(build_context(COMMITMENT))
        entity = AE(self._peer.calling)
        entity.acse_timeout = entity.dimse_timeout = entity.connection_timeout = self._peer.timeout_s
        entity.network_timeout = None
        self._last_pdus.clear()

        def note(event: evt.Event) -> None:
            self._last_pdus[type(event.pdu).__name__] = event.pdu

        handlers: list[Any] = [(evt.EVT_PDU_RECV, note), (evt.EVT_N_EVENT_REPORT, self._report)]
        reach(self._peer)
        try:
            self._open = associate(entity, self._peer, contexts, handlers, self._last_pdus)
        except SiteUnreachable:
            if ACCEPT not in self._last_pdus:
                raise
            return frozenset()  # it takes none of them, and the library ends such an association
        return frozenset(
            (str(context.abstract_syntax), str(context.transfer_syntax[0]))
            for context in self._open.accepted_contexts
            if context.abstract_syntax != COMMITMENT
        )

    @property
    def offers_commitment(self) -> bool:
        """Whether the archive took Storage Commitment's presentation context."""
        contexts = self._open.accepted_contexts if self._open is not None else []
        return any(context.abstract_syntax == COMMITMENT for context in contexts)

    def store(self, path: Path) -> int:
        """Send one Part 10 file; gives the archive's status (PS3.4 B.2.3).

        Raises:
            SiteUnreachable: the connection was lost, or the archive is silent.
        """
        if self._open is None:
            raise SiteUnreachable(host=self._peer.host, why=Reason.CONNECTION_LOST_DURING.of(step="C-STORE"))
        with self._line("C-STORE"):
            answer = self._open.send_c_store(path)
        status = answer.get("Status")
        if status is None:
            self.close()
            aborted = ABORT in self._last_pdus
            why = Reason.ASSOCIATION_ABORTED_BY_IT if aborted else Reason.CONNECTION_LOST_DURING.of(step="C-STORE")
            raise SiteUnreachable(host=self._peer.host, why=why)
        return int(status)

    def commit(self, instances: Mapping[str, str], patience_s: float) -> Commitment | None:
        """Ask whether the archive keeps these for good (SOP Instance UID → SOP Class UID); None: no answer came in time.

        Raises:
            SiteUnreachable: the connection was lost.
        """
        assert self._open is not None  # noqa: S101  # asked of an open association alone
        asked = Dataset()
        asked.TransactionUID = transaction = str(generate_uid(prefix=None))
        items = []
        for uid, sop_class in instances.items():
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
            items.append(item)
        asked.ReferencedSOPSequence = DicomSequence(items)
        with self._listener(), self._line("N-ACTION"):
            answer, _ = self._open.send_n_action(asked, 1, COMMITMENT, COMMITMENT_INSTANCE)
            if answer.get("Status") != SUCCESS:
                return None
            with self._answered:
                self._answered.wait_for(lambda: transaction in self._answers, patience_s)
        return self._answers.get(transaction)

    def _report(self, event: evt.Event) -> tuple[int, None]:
        """Take the archive's answer (N-EVENT-REPORT), over this association or one of its own."""
        with quiet():
            report = event.event_information
            committed = {str(item.ReferencedSOPInstanceUID) for item in report.get("ReferencedSOPSequence") or ()}
            failed = {
                str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason") or 0)
                for item in report.get("FailedSOPSequence") or ()
            }
        with self._answered:
            self._answers[str(report.get("TransactionUID"))] = Commitment(frozenset(committed), failed)
            self._answered.notify_all()
        return SUCCESS, None

    @contextmanager
    def _listener(self) -> Iterator[None]:
        """A port for archives that answer over an association of their own; nothing where no port is named."""
        if not self._peer.listen:
            yield
            return
        entity = AE(self._peer.calling)
        entity.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
        entity.add_supported_context("1.2.840.10008.1.1")
        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, self._report), (evt.EVT_C_ECHO, lambda _: SUCCESS)]
        try:
            server = entity.start_server(("0.0.0.0", self._peer.listen), block=False, evt_handlers=handlers)  # noqa: S104  # the archive comes from outside
        except OSError:
            yield  # the port is taken: no answer will come, and that is said
            return
        try:
            yield
        finally:
            if server is not None:
                server.shutdown()

    @contextmanager
    def _line(self, what: str) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, OSError) as err:
            self.close()
            raise SiteUnreachable(host=self._peer.host, why=Reason.CONNECTION_LOST_DURING.of(step=what)) from err

    def close(self) -> None:
        """End the association."""
        association, self._open = self._open, None
        if association is not None and association.is_established:
            association.release()

    def abort(self) -> None:
        """End the association at once; may be called from another thread."""
        association, self._open = self._open, None
        if association is not None and association.is_established:
            association.abort()
            association.dimse.msg_queue.put((None, None))  # wakes whoever waits for an answer
