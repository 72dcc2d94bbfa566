"""One association on which instances are stored, one after the other (PS3.7 9.1.1 over PS3.8).

The library would do it: its message exchange costs 7 ms of a processor an instance and looks for the answer once a millisecond,
where dcmtk takes 1 ms in all. So the association's PDUs are the library's, and the messages, of which there are two kinds, are
written here.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION, build_context
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ, A_RELEASE_RP, A_RELEASE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)

from scraper.core.errors import SiteUnreachable
from scraper.core.reasons import Cause, Reason
from scraper.dicom import structure
from scraper.dicom.elements import PYDICOM_ERRORS
from scraper.session.dimse.reach import ABORT, ACCEPT, REJECT, Peer, connect, refusal
from scraper.session.reasons import reason_of

Pair = tuple[str, str]  # SOP Class UID, Transfer Syntax UID
APPLICATION: Final = "1.2.840.10008.3.1.1.1"  # PS3.7 A.2.1
OUR_PDU: Final = 16382  # what may come in one; nothing but short answers comes
LONGEST_PDU: Final = 1 << 20  # that is read, whatever was agreed
SHORTEST_SENT: Final = 1 << 10  # of one PDU, whatever the archive says that it takes
LARGEST_SENT: Final = 1 << 17  # of one PDU, where the archive takes any length
PIECE: Final = 1 << 20  # of a file, read at once
RELEASE_S: Final = 5.0
# An archive that writes its answer in two pieces sends the second when the first is acknowledged, which Linux puts off by 40 ms
# (RFC 1122 4.2.3.2, RFC 896): most of the time that an instance takes. 0: the system has no such option.
_ACKNOWLEDGE: Final[int] = getattr(socket, "TCP_QUICKACK", 0)
PDATA, RELEASE, ABORTED = 0x04, 0x05, 0x07  # PS3.8 9.3
C_STORE_RQ, C_STORE_RSP, NO_DATA_SET = 0x0001, 0x8001, 0x0101  # PS3.7 E.1
_PDU, _PDV, _ELEMENT = struct.Struct(">BxI"), struct.Struct(">IBB"), struct.Struct("<HHI")


class StoreLine:
    """An association for C-STORE; every method blocks. ``close`` may be called from another thread, too.

    Args:
        peer: the archive.
        pairs: each is proposed as a presentation context of its own.
    """

    def __init__(self, peer: Peer, pairs: Sequence[Pair]) -> None:
        self._peer = peer
        self._lock = threading.Lock()  # held while a message is under way
        self._socket: socket.socket | None = None
        self._contexts: dict[Pair, int] = {}
        self._longest = 0
        self._number = 0
        self._pairs = pairs

    def open(self) -> frozenset[Pair]:
        """Associate; gives the pairs that the archive takes.

        Raises:
            SiteUnreachable, SiteBusy, NotRegistered, UnknownCalledTitle: it does not speak to us.
        """
        self.close()
        self._socket = connect(self._peer)
        with self._lock:
            self._write(self._request().encode())
            kind, body = self._read()
            came: dict[str, Any] = {}
            if kind == 0x03:
                came[REJECT] = _decoded(A_ASSOCIATE_RJ(), kind, body)
            elif kind == ABORTED:
                came[ABORT] = body
            elif kind == 0x02:
                came[ACCEPT] = _decoded(A_ASSOCIATE_AC(), kind, body)
        answer = came.get(ACCEPT)
        if answer is None or not answer.presentation_context:  # each is answered (PS3.8 9.3.3)
            self._drop()
            raise refusal(self._peer, came)
        proposed = {2 * place + 1: pair for place, pair in enumerate(self._pairs)}
        self._contexts = {
            proposed[context.context_id]: context.context_id
            for context in answer.presentation_context
            if context.result_reason == 0 and context.context_id in proposed
        }
        self._longest = min(_length_of(answer) or LARGEST_SENT, LARGEST_SENT)
        return frozenset(self._contexts)

    def _request(self) -> A_ASSOCIATE_RQ:
        asked = A_ASSOCIATE()
        asked.application_context_name = APPLICATION
        asked.calling_ae_title, asked.called_ae_title = self._peer.calling, self._peer.called
        contexts = [build_context(sop_class, syntax) for sop_class, syntax in self._pairs]
        for place, context in enumerate(contexts):
            context.context_id = 2 * place + 1  # odd (PS3.8 9.3.2.2)
        asked.presentation_context_definition_list = contexts
        length, uid = MaximumLengthNotification(), ImplementationClassUIDNotification()
        version = ImplementationVersionNameNotification()
        length.maximum_length_received = OUR_PDU
        uid.implementation_class_uid = PYNETDICOM_IMPLEMENTATION_UID
        version.implementation_version_name = PYNETDICOM_IMPLEMENTATION_VERSION
        asked.user_information = [length, uid, version]
        return A_ASSOCIATE_RQ(asked)

    def store(self, path: Path, pair: Pair, sop_instance_uid: str) -> int:
        """Send one Part 10 file, its data set as it is; gives the archive's status (PS3.4 B.2.3).

        Raises:
            SiteUnreachable: the connection was lost, or the archive is silent.
            OSError, CorruptInstance: the file can't be read any more.
        """
        context = self._contexts[pair]
        with structure.mapped(path) as data:
            start = structure.end_of_meta(data)
        with self._lock, path.open("rb") as file:
            file.seek(start)
            self._number = self._number % 0xFFFF + 1
            message = self._fragments(
                context, [_store_request(pair[0], sop_instance_uid, self._number)], is_command=True
            )
            waiting = b"".join(message)
            try:
                for fragment in self._fragments(context, iter(lambda: file.read(PIECE), b""), is_command=False):
                    waiting += fragment  # the command goes with the first of them
                    if len(waiting) >= LARGEST_SENT:
                        self._write(waiting)
                        waiting = b""
            except OSError:
                self._drop()  # half a message can't be taken back
                raise
            self._write(waiting)
            return self._status()

    def _fragments(
        self, context: int, pieces: Iterator[bytes] | Sequence[bytes], *, is_command: bool
    ) -> Iterator[bytes]:
        """P-DATA-TF PDUs of a command or a data set, one fragment each (PS3.8 9.3.5, annex E)."""
        room = (self._longest - 6) & ~1
        left = b""
        for piece in pieces:
            left += piece
            start = 0
            while len(left) - start > room:  # the last one is kept back: it is marked
                yield _pdata(context, left[start : start + room], is_command)
                start += room
            left = left[start:]
        yield _pdata(context, left, is_command | 0x02)

    def _status(self) -> int:
        """The status of the answer to this message; whatever else comes is passed over."""
        command = b""
        self._acknowledge_at_once()
        while True:
            kind, body = self._read()
            if kind == RELEASE:
                self._write(A_RELEASE_RP().encode())
            if kind != PDATA:
                self._drop()
                aborted = kind == ABORTED
                raise self._lost(Reason.ASSOCIATION_ABORTED_BY_IT if aborted else None)
            for control, fragment in _values(body):
                if not control & 0x01:
                    continue  # a data set, which an answer to C-STORE has none of
                command += fragment
                if len(command) > LONGEST_PDU:
                    self._drop()
                    raise self._lost()
                if control & 0x02:
                    found, command = _elements(command), b""
                    if found.get(0x0100) == C_STORE_RSP and found.get(0x0120) == self._number and 0x0900 in found:
                        return found[0x0900]

    # ---- the connection

    def _lost(self, why: Cause | None = None) -> SiteUnreachable:
        why = why or Reason.CONNECTION_LOST_DURING.of(step="C-STORE")
        return SiteUnreachable(host=self._peer.host, why=why)

    def _write(self, data: bytes) -> None:
        line = self._socket
        if line is None:
            raise self._lost()
        try:
            line.sendall(data)
        except OSError as err:
            answer = self._last_words()
            self._drop()
            raise self._lost(answer) from err

    def _acknowledge_at_once(self) -> None:
        """Have what comes next acknowledged without delay; the system forgets it again (tcp(7))."""
        if _ACKNOWLEDGE and self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _ACKNOWLEDGE, 1)

    def _last_words(self) -> Cause | None:
        """Why the archive does not listen any more, if it says so before it goes."""
        try:
            kind, _ = self._read()
        except SiteUnreachable as err:
            return err.cause if err.reason in (Reason.CERTIFICATE_WANTED, Reason.NO_TLS) else None
        return Reason.ASSOCIATION_ABORTED_BY_IT if kind == ABORTED else None

    def _read(self) -> tuple[int, bytes]:
        """The next PDU: its kind and what it holds.

        Raises:
            SiteUnreachable: none came in time, or none that can be.
        """
        try:
            kind, length = _PDU.unpack(self._exactly(_PDU.size))
            if length > LONGEST_PDU:
                raise ConnectionError
            return kind, self._exactly(length)
        except OSError as err:
            self._drop()
            is_telling = isinstance(err, (TimeoutError, ssl.SSLError))
            raise self._lost(reason_of(err) if is_telling else None) from err

    def _exactly(self, count: int) -> bytes:
        if self._socket is None:
            raise ConnectionError
        found = bytearray()
        while len(found) < count:
            came = self._socket.recv(count - len(found))
            if not came:
                raise ConnectionError
            found += came
        return bytes(found)

    def _drop(self) -> None:
        line, self._socket = self._socket, None
        if line is not None:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for an answer
            line.close()

    def close(self) -> None:
        """Release the association; a message that is under way ends with it."""
        if self._socket is None:
            return
        if not self._lock.acquire(blocking=False):
            with contextlib.suppress(SiteUnreachable):
                self._write(A_ABORT_RQ().encode())
            self._drop()
            return
        try:
            self._socket.settimeout(RELEASE_S)
            with contextlib.suppress(SiteUnreachable):
                self._write(A_RELEASE_RQ().encode())
                while self._read()[0] == PDATA:
                    pass
            self._drop()
        finally:
            self._lock.release()


def _decoded(pdu: Any, kind: int, body: bytes) -> Any:
    """A PDU by the library's decoder; None: it is none."""
    try:
        pdu.decode(_PDU.pack(kind, len(body)) + body)
    except PYDICOM_ERRORS:  # the library's are of the same kinds
        return None
    return pdu


def _length_of(answer: Any) -> int:
    """The longest PDU that the archive takes; 0: any."""
    length = answer.user_information.maximum_length if answer.user_information else None
    return max(length, SHORTEST_SENT) if length else 0


def _pdata(context: int, fragment: bytes, control: int) -> bytes:
    return _PDU.pack(PDATA, len(fragment) + 6) + _PDV.pack(len(fragment) + 2, context, control) + fragment


def _values(body: bytes) -> Iterator[tuple[int, bytes]]:
    """(message control header, fragment) of each Presentation Data Value; what is cut off is left out."""
    at = 0
    while at + 6 <= len(body):
        length, _, control = _PDV.unpack_from(body, at)
        if length < 2 or at + 4 + length > len(body):
            return
        yield control, body[at + 6 : at + 4 + length]
        at += 4 + length


def _elements(command: bytes) -> dict[int, int]:
    """The US values of a command set, by element number: Implicit VR Little Endian, group 0000 (PS3.7 6.3.1)."""
    found = {}
    at = 0
    while at + 8 <= len(command):
        group, number, length = _ELEMENT.unpack_from(command, at)
        if group == 0 and length == 2 and at + 10 <= len(command):
            (found[number],) = struct.unpack_from("<H", command, at + 8)
        at += 8 + length
    return found


def _store_request(sop_class_uid: str, sop_instance_uid: str, number: int) -> bytes:
    """The command set of a C-STORE-RQ (PS3.7 table 9.3-1)."""
    values: Mapping[int, bytes] = {
        0x0002: _uid(sop_class_uid),
        0x0100: struct.pack("<H", C_STORE_RQ),
        0x0110: struct.pack("<H", number),
        0x0700: struct.pack("<H", 0),  # medium priority
        0x0800: struct.pack("<H", NO_DATA_SET ^ 0xFFFF),  # any other value: there is one
        0x1000: _uid(sop_instance_uid),
    }
    rest = b"".join(_ELEMENT.pack(0, number, len(value)) + value for number, value in values.items())
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(rest)) + rest


def _uid(text: str) -> bytes:
    value = text.encode("ascii", "replace")
    return value + b"\0" * (len(value) % 2)
