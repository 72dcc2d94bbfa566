"""The only door to the DICOM network library: one archive's queries (C-FIND) and retrievals (C-GET, C-MOVE), in threads."""

from __future__ import annotations

import threading
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, build_context, build_role, evt

from scraper.core.errors import NotRegistered, SiteBusy, SiteChanged, SiteUnreachable
from scraper.core.log import Silence
from scraper.core.reasons import Cause, Reason
from scraper.dicom.charset import UTF8, decode, suspect
from scraper.dicom.elements import quiet
from scraper.session.dimse.library import keep_data_sets_out_of_logs
from scraper.session.dimse.listener import PortTaken, listening
from scraper.session.dimse.reach import ABORT, Peer, associate, reach
from scraper.session.dimse.receive import PLAIN, StoreReceiver
from scraper.session.dimse.status import (
    CANCELLED,
    DESTINATION_UNKNOWN,
    PENDING,
    PROCESSING_FAILURE,
    SUBOPERATIONS_FAILED,
    SUCCESS,
    describe_status,
)
from scraper.session.dimse.storage_classes import Context

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.presentation import PresentationContext

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))  # Study Root; PS3.4 C.3
MOST_CONTEXTS = 128 - 2  # PS3.8 9.3.2.2: odd numbers from 1 to 255; two are for the query and the retrieval
STORAGE_CLASSES = tuple(str(context.abstract_syntax) for context in AllStoragePresentationContexts)
UIDS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
LATE = 5000  # matches that may still come after a query was cancelled
MOST_REPEATED = 200_000  # rows of what was listed already: some archives answer a row for each instance
_TEXTS = ("PatientName", "PatientID", "StudyDescription", "SeriesDescription", "AccessionNumber")


@dataclass(frozen=True, slots=True)
class RetrievalEnd:
    """How a retrieval ended: its final status, and whether the archive offers this service and a proposed storage class."""

    status: int = SUCCESS
    offered: bool = True
    agreed: bool = True

    @property
    def refused(self) -> bool:
        """Whether the archive does not offer this service; 0x0122: SOP class not supported; 0x0211: unknown operation."""
        return not self.offered or self.status in (0x0122, 0x0211)


class Dimse:
    """The association with one archive; every method blocks and belongs in its own thread.

    Args:
        peer: the archive.
        folder: where objects are written.
    """

    def __init__(self, peer: Peer, folder: Path) -> None:
        self._silence = Silence("pynetdicom")  # it writes names of patients
        self._silence.begin()
        keep_data_sets_out_of_logs()
        self._peer = peer
        self._folder = folder
        self._open: Association | None = None
        self._offers: frozenset[Context] = frozenset()  # what the open association proposed
        self._landing: StoreReceiver | None = None
        self._reached = False
        self._last_pdus: dict[str, Any] = {}  # the PDUs that came over the newest association, the last of each kind
        self._closed = threading.Event()

    # ---- C-FIND

    def find(self, keys: Mapping[str, str], limit: int) -> list[dict[str, str]]:
        """Query the archive; one row of texts by keyword for each match, at most ``limit`` + 1 rows.

        Args:
            keys: keyword → value to match; an empty one is asked for. ``QueryRetrieveLevel`` among them.
            limit: a query with more matches is cancelled.

        Raises:
            SiteUnreachable: no connection, silence, a connection that broke. SiteBusy: it says so.
            NotRegistered, UnknownCalledTitle: it does not speak to us. SiteChanged: it offers no queries, or refuses this.
        Source:
            PS3.4 C.4.1.
        """
        for is_last in (False, True):
            try:
                return self._found(_dataset(keys, charset="" if is_last else UTF8), keys, limit)
            except SiteChanged:  # not every archive takes a query that says in which characters it is written
                if is_last:
                    raise
            except SiteUnreachable:
                if ABORT not in self._last_pdus:
                    raise
                if is_last:  # as Orthanc answers a computer for which it does nothing
                    raise self.not_registered(Reason.ASSOCIATION_ABORTED_AT_C_FIND) from None
        raise AssertionError  # the last turn returned or raised

    def _found(self, asked: Dataset, keys: Mapping[str, str], limit: int) -> list[dict[str, str]]:
        association = self._associated([(FIND, PLAIN[:2])])
        self._require(association, FIND, "C-FIND")
        found: list[dict[str, str]] = []
        listed: set[str] = set()
        own = UIDS[keys["QueryRetrieveLevel"]]
        status, late, repeated = None, 0, 0
        with self._line("C-FIND"):
            for answer, match in association.send_c_find(asked, FIND, msg_id=1):
                status = answer.get("Status")
                if status not in PENDING:
                    continue
                if match is None or len(found) > limit:
                    late += 1
                elif (row := _row(match, keys)).get(own) in listed:
                    repeated += 1
                else:
                    listed.add(row.get(own, ""))
                    found.append(row)
                    if len(found) > limit:
                        association.send_c_cancel(1, query_model=FIND)
                if late > LATE or repeated > MOST_REPEATED:
                    raise SiteChanged(host=self._peer.host, what=Reason.C_FIND_WITHOUT_END)
        self._check_status(status, "C-FIND", allowed=(SUCCESS, CANCELLED) if len(found) > limit else (SUCCESS,))
        return found

    # ---- C-GET and C-MOVE

    def get(self, keys: Mapping[str, str], landing: StoreReceiver, contexts: Sequence[Context]) -> RetrievalEnd:
        """Have objects sent over the same association (PS3.4 C.4.3) in one of these presentation contexts; see ``move``."""
        association = self._associated([(FIND, PLAIN[:2]), (GET, PLAIN[:2])], contexts)
        accepted = _accepted(association)
        if GET not in accepted:
            return RetrievalEnd(offered=False)
        if accepted.isdisjoint(uid for uid, _ in contexts):
            return RetrievalEnd(agreed=False)
        self._landing = landing
        with self._line("C-GET"):
            return self._final(association.send_c_get(_dataset(keys), GET), "C-GET", landing)

    def move(self, keys: Mapping[str, str], landing: StoreReceiver) -> RetrievalEnd:
        """Have objects sent to a listening port of this computer (PS3.4 C.4.2).

        Args:
            keys: of the objects, ``QueryRetrieveLevel`` among them.
            landing: takes what comes.

        Returns:
            the final status, where it is no plain refusal.

        Raises:
            SiteUnreachable, SiteBusy, NotRegistered: as for ``find``. DiskFull, NotWritable: an object can't be written.
        """
        association = self._associated([(FIND, PLAIN[:2]), (MOVE, PLAIN[:2])])
        if MOVE not in _accepted(association):
            return RetrievalEnd(offered=False)
        with self._listener(landing), self._line("C-MOVE"):
            answers = association.send_c_move(_dataset(keys), self._peer.calling, MOVE)
            return self._final(answers, "C-MOVE", landing)

    def _final(
        self, answers: Iterable[tuple[Dataset, Dataset | None]], what: str, landing: StoreReceiver
    ) -> RetrievalEnd:
        status: int | None = None
        for answer, _ in answers:
            status = answer.get("Status")
        if landing.failure is not None:
            raise landing.failure
        if status in (0x0122, 0x0211):
            return RetrievalEnd(status)
        # to a list of UIDs that it does not take an archive may answer so, too (pynetdicom's qrscp)
        if status == DESTINATION_UNKNOWN and not landing.callers and len(landing.uids) == 1:
            raise self.not_registered(describe_status(what, status))
        # that some of it or all failed, and that this request is not understood, is a matter of what was asked for
        failed = (DESTINATION_UNKNOWN, SUBOPERATIONS_FAILED, PROCESSING_FAILURE, 0xB000)
        self._check_status(status, what, allowed=(SUCCESS, *failed, *range(0xA900, 0xAA00), *range(0xC000, 0xD000)))
        return RetrievalEnd(status or SUCCESS)

    @contextmanager
    def _line(self, what: str) -> Iterator[None]:
        """Treat an association that just ended, or is ended by ``close``, as a lost connection."""
        try:
            yield
        except (RuntimeError, ValueError) as err:  # the library's words for an association that is no longer there
            self._release()
            raise SiteUnreachable(host=self._peer.host, why=Reason.CONNECTION_LOST_DURING.of(step=what)) from err

    @contextmanager
    def _listener(self, landing: StoreReceiver) -> Iterator[None]:
        try:
            with listening(self._peer.calling, self._peer.listen, self._peer.timeout_s, landing):
                yield
        except PortTaken as err:
            raise self.not_registered(f"port {self._peer.listen}: {err}") from err

    # ---- associations

    def _associated(self, services: Sequence[Context], stored: Sequence[Context] = ()) -> Association:
        """An association with these services that receives objects in these contexts; reuses the open one if it fits."""
        if self._open is not None and self._open.is_established and self._offers >= {*services, *stored}:
            return self._open
        self._release()
        contexts = [build_context(uid, list(syntaxes)) for uid, syntaxes in (*services, *stored)]
        entity = AE(self._peer.calling)
        entity.acse_timeout = entity.dimse_timeout = entity.connection_timeout = self._peer.timeout_s
        entity.network_timeout = None  # between two requests there is silence
        self._last_pdus.clear()

        def take(event: evt.Event) -> int:
            return self._landing.store(event) if self._landing is not None else 0xC000

        def note(event: evt.Event) -> None:
            self._last_pdus[type(event.pdu).__name__] = event.pdu

        if not self._reached:
            reach(self._peer)
            self._reached = True
        association = associate(
            entity,
            self._peer,
            contexts,
            [(evt.EVT_PDU_RECV, note), (evt.EVT_C_STORE, take)],
            self._last_pdus,
            [build_role(uid, scp_role=True) for uid in dict.fromkeys(uid for uid, _ in stored)],
        )
        self._open, self._offers = association, frozenset((*services, *stored))
        if self._closed.is_set():
            self._release()
            raise SiteUnreachable(host=self._peer.host, why=Reason.RUN_ENDS)
        return association

    def _require(self, association: Association, uid: str, what: str) -> None:
        """Raise where the archive accepted a service for nobody, or not for us."""
        if uid in _accepted(association):
            return
        results = [
            presentation_context.result
            for presentation_context in association.rejected_contexts
            if presentation_context.abstract_syntax == uid
        ]
        self._release()
        if 3 in results:  # abstract syntax not supported; PS3.8 9.3.3.2
            raise SiteChanged(host=self._peer.host, what=Reason.NOT_OFFERED.of(service=what))
        raise self.not_registered(Reason.NOT_ACCEPTED.of(service=what))

    def _check_status(self, status: int | None, what: str, *, allowed: Container[int | None]) -> None:
        """Raise the error that a final status outside ``allowed`` means (PS3.7 annex C, PS3.4 C.4)."""
        if status in allowed:
            return
        host = self._peer.host
        self._release()
        if status is None:
            raise SiteUnreachable(host=host, why=Reason.CONNECTION_LOST_DURING.of(step=what))
        if status == 0x0124:
            raise self.not_registered(Reason.NOT_AUTHORIZED.of(service=what))
        if 0xA700 <= status <= 0xA7FF:
            raise SiteBusy(host=host, why=describe_status(what, status))
        raise SiteChanged(host=host, what=describe_status(what, status))

    def not_registered(self, why: Cause) -> NotRegistered:
        """The error that says what the archive's administrator has to do."""
        return self._peer.not_registered(why)

    def _release(self) -> None:
        association, self._open = self._open, None
        if association is not None and association.is_established:
            association.release()

    def close(self) -> None:
        """End the association; callable from another thread, also ends what is under way."""
        self._closed.set()
        self._silence.end()
        association, self._open = self._open, None
        if association is not None and association.is_established:
            association.abort()
            association.dimse.msg_queue.put((None, None))  # wakes whoever waits for an answer


def _dataset(keys: Mapping[str, str], charset: str = "") -> Dataset:
    made = Dataset()
    with quiet():
        if charset or not all(value.isascii() for value in keys.values()):
            made.SpecificCharacterSet = charset or UTF8
        for keyword, value in keys.items():
            setattr(made, keyword, value)
    return made


def _accepted(association: Association) -> set[str]:
    contexts: list[PresentationContext] = association.accepted_contexts
    return {str(presentation_context.abstract_syntax) for presentation_context in contexts}


def _row(match: Dataset, keys: Mapping[str, str]) -> dict[str, str]:
    """One match as texts; multiple values are joined by backslashes."""
    raw = {keyword: _bytes(match, keyword) for keyword in keys}
    charsets = _bytes(match, "SpecificCharacterSet").decode("ascii", "replace").split("\\")
    declared = [charset.strip() for charset in charsets if charset.strip()]
    guessed = suspect([raw[text] for text in _TEXTS if text in raw], declared)
    return {keyword: decode(value, declared, guessed).strip() for keyword, value in raw.items()}


def _bytes(match: Dataset, keyword: str) -> bytes:
    """An element's undecoded value."""
    if keyword not in match:
        return b""
    value = match.get_item(keyword).value
    return value if isinstance(value, bytes) else str(value or "").encode()
