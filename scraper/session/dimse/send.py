"""Objects to an archive by C-STORE (PS3.4 B), each in the Transfer Syntax that its file has, and Storage Commitment (PS3.4 J).

Commitment is asked for on an association of its own, which PS3.4 J.3.1 leaves open.
"""

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
from scraper.session.dimse.library import keep_data_sets_out_of_logs
from scraper.session.dimse.reach import Peer, associate
from scraper.session.dimse.status import SUCCESS
from scraper.session.dimse.store_line import Pair, StoreLine

if TYPE_CHECKING:
    from pynetdicom.association import Association

COMMITMENT, COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"  # PS3.4 J.3
COMMITS: Final = (COMMITMENT, "1.2.840.10008.1.2")  # its presentation context
MOST_CONTEXTS: Final = 128 - 1  # PS3.8 9.3.2.2; one is for Storage Commitment
DUPLICATE: Final = 0x0111  # PS3.7 C.5.4: it has this SOP instance already


@dataclass(frozen=True, slots=True)
class Commitment:
    """What an archive says that it keeps: SOP Instance UIDs, and those that it does not, with its reason."""

    committed: frozenset[str]
    failed: Mapping[str, int]


class Sender:
    """What stores in an archive and asks it to keep; every method blocks, and belongs in a thread of its own.

    Args:
        peer: the archive; where ``listen`` is not 0, Storage Commitment's answer may come to that port.
        pairs: what files are: each is a presentation context of its own, so that every file may go as it is.
    """

    def __init__(self, peer: Peer, pairs: Sequence[Pair]) -> None:
        keep_data_sets_out_of_logs()
        self._peer = peer
        self._line = StoreLine(peer, [*pairs, COMMITS])
        self._answers: dict[str, Commitment] = {}  # by Transaction UID
        self._answered = threading.Condition()
        self._has_replied = False  # to an answer: an association that is released before knows no reply any more
        self.offers_commitment = False

    def open(self) -> frozenset[Pair]:
        """Associate; gives the pairs that the archive takes.

        Raises:
            SiteUnreachable, SiteBusy, NotRegistered, UnknownCalledTitle: it does not speak to us.
        """
        accepted = self._line.open()
        self.offers_commitment = COMMITS in accepted
        return accepted - {COMMITS}

    def store(self, path: Path, pair: Pair, sop_instance_uid: str) -> int:
        """Send one Part 10 file; gives the archive's status (PS3.4 B.2.3).

        Raises:
            SiteUnreachable: the connection was lost, or the archive is silent.
            OSError, CorruptInstance: the file can't be read any more.
        """
        return self._line.store(path, pair, sop_instance_uid)

    def commit(self, instances: Mapping[str, str], patience_s: float) -> Commitment | None:
        """Ask whether the archive keeps these for good (SOP Instance UID → SOP Class UID); None: no answer came in time.

        Raises:
            SiteUnreachable, SiteBusy, NotRegistered, UnknownCalledTitle: the association for it failed.
        """
        asked = Dataset()
        asked.TransactionUID = transaction = str(generate_uid(prefix=None))
        items = []
        for uid, sop_class in instances.items():
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
            items.append(item)
        asked.ReferencedSOPSequence = DicomSequence(items)
        self.close()
        with self._listener(), self._associated() as association:
            answer, _ = association.send_n_action(asked, 1, COMMITMENT, COMMITMENT_INSTANCE)
            if answer.get("Status") != SUCCESS:
                return None
            with self._answered:
                self._answered.wait_for(lambda: transaction in self._answers and self._has_replied, patience_s)
        return self._answers.get(transaction)

    @contextmanager
    def _associated(self) -> Iterator[Association]:
        """An association for Storage Commitment.

        Raises:
            SiteUnreachable, SiteBusy, NotRegistered, UnknownCalledTitle: there is none, or none any more.
        """
        entity = AE(self._peer.calling)
        entity.acse_timeout = entity.dimse_timeout = entity.connection_timeout = self._peer.timeout_s
        entity.network_timeout = None
        last_pdus: dict[str, Any] = {}

        def note(event: evt.Event) -> None:
            last_pdus[type(event.pdu).__name__] = event.pdu

        handlers: list[Any] = [
            (evt.EVT_PDU_RECV, note),
            (evt.EVT_N_EVENT_REPORT, self._report),
            (evt.EVT_PDU_SENT, self._note_reply),
        ]
        association = associate(entity, self._peer, [build_context(COMMITMENT)], handlers, last_pdus)
        try:
            yield association
        except (RuntimeError, ValueError, OSError) as err:
            raise SiteUnreachable(host=self._peer.host, why=Reason.CONNECTION_LOST_DURING.of(step="N-ACTION")) from err
        finally:
            if association.is_established:
                association.release()

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
        return SUCCESS, None

    def _note_reply(self, _: evt.Event) -> None:
        """Something was sent: after an answer came, it is the reply to it."""
        with self._answered:
            self._has_replied = bool(self._answers)
            self._answered.notify_all()

    @contextmanager
    def _listener(self) -> Iterator[None]:
        """A port for archives that answer over an association of their own; nothing where no port is named."""
        if not self._peer.listen:
            yield
            return
        entity = AE(self._peer.calling)
        entity.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
        entity.add_supported_context("1.2.840.10008.1.1")
        handlers: list[Any] = [
            (evt.EVT_N_EVENT_REPORT, self._report),
            (evt.EVT_PDU_SENT, self._note_reply),
            (evt.EVT_C_ECHO, lambda _: SUCCESS),
        ]
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

    def close(self) -> None:
        """End the association; from another thread also what is under way."""
        self._line.close()
