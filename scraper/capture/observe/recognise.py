"""Recognise DICOM in bytes that a viewer received, by content, never by name or Content-Type.

Unpacks what is packed: zip and nested zip, tar, gzip, zlib, multipart, base64 inside JSON, a short header before a DICOM stream.
"""

from __future__ import annotations

import base64
import binascii
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from scraper import dicom
from scraper.capture.observe import notation
from scraper.capture.observe.bodies import PIECE, head_of, inflate, size_of, whole_of
from scraper.capture.observe.disc import absent_files
from scraper.capture.observe.protobuf import from_protobuf
from scraper.core.bounded_json import parse_json
from scraper.core.errors import CorruptInstance, NotCheckedInTime
from scraper.core.model import Header
from scraper.core.reasons import Cause, Reason
from scraper.core.sniff import BARE_DATA_SETS, Kind, is_tar, sniff
from scraper.core.text import decode_text
from scraper.isolation.json_text import ReadLate
from scraper.protocols import multipart, zip_archive

MAX_JSON: Final = 96 * 2**20
MAX_DEPTH: Final = 4  # packings inside packings
MAX_PREFIX: Final = 512  # bytes of a header before a DICOM stream in a message
MAX_NODES: Final = 2_000_000  # values of one JSON document that are looked at
SHORTEST_BASE64: Final = 400  # characters; a Part 10 file has 132 bytes before its first element
PICTURES: Final = (Kind.JPEG, Kind.PNG, Kind.WEBP, Kind.BMP, Kind.GIF)
PACKAGES: Final = (Kind.ZIP, Kind.GZIP, Kind.ZLIB, Kind.ZSTD)
CUT_OFF: Final = (Reason.DICOM_CUT_OFF, Reason.DICOM_HEADER_CUT_OFF)
SOP_INSTANCE: Final = "00080018"
DICOM: Final = (Kind.PART10, Kind.META_FIRST, *BARE_DATA_SETS)
WORDED: Final = (Kind.JSON, Kind.TEXT, Kind.XML, Kind.HTML)
LEADS: Final = (0, 1, 2, 4, 8)  # bytes before the first header of several
SMALLEST: Final = 132  # bytes of a DICOM stream with nothing in it
MAX_HEADER: Final = 64  # bytes of a message before something packed
_PACKED: Final = (b"\x1f\x8b\x08", b"PK\x03\x04", b"\x28\xb5\x2f\xfd")
_PICTURED: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n")


@dataclass(frozen=True, slots=True)
class DicomObject:
    """One whole DICOM object on the disk."""

    path: Path
    header: Header


@dataclass(frozen=True, slots=True)
class Metadata:
    """DICOM JSON (PS3.18 annex F): tags of one instance, without its pixels."""

    tags: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pixels:
    """A frame of a multipart answer, or a bare codestream; whose it is, its address must tell."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Picture:
    """An ordinary picture of ``size`` bytes."""

    size: int


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON value that may be a manifest, or what another notation says as one."""

    value: Any


@dataclass(frozen=True, slots=True)
class TruncatedObject:
    """A DICOM stream that ends too early: the rest may come in the next message. ``header``: bytes that stood before it."""

    path: Path
    header: int = 0


@dataclass(frozen=True, slots=True)
class BrokenPackage:
    """A package that did not come whole, an entry of one that can't be unpacked, or what was not read in time; ``what`` it is."""

    what: Cause


Piece = DicomObject | Metadata | Pixels | Picture | Document | TruncatedObject | BrokenPackage


class Recogniser:
    """Looks into bodies.

    Args:
        new_file: returns an unused name in the spool.
    """

    def __init__(self, new_file: Callable[[], Path]) -> None:
        self._new_file = new_file

    def scan(self, body: bytes | Path, content_type: str = "", depth: int = 0) -> Iterator[Piece]:
        """Everything of interest in one body; what is broken or hostile is passed over, and nothing is raised for it."""
        head = head_of(body)
        kind = sniff(head)
        boundary = multipart.boundary_of(content_type, head)
        if depth > MAX_DEPTH:
            return
        if boundary is not None:
            yield from self._parts(body, boundary, depth)
        elif kind in PACKAGES or is_tar(head):
            yield from self._unpacked(kind, body, depth)
        elif 0 < (at := head.find(b"DICM") - 128) <= MAX_PREFIX:
            for begin, end in _chained(body, at):
                yield from self._object(body, begin, end)
        elif kind in DICOM:
            yield from self._object(body, 0)
        elif kind in (Kind.J2K, Kind.JP2, Kind.JPEG_LS):
            yield Pixels(whole_of(body))
        elif kind in PICTURES:
            yield Picture(size_of(body))
        elif kind in WORDED:
            yield from self._worded(kind, body, depth)
        elif kind is Kind.UNKNOWN and size_of(body) <= MAX_JSON:
            yield from self._after_header(body, head, depth)

    def _unpacked(self, kind: Kind, body: bytes | Path, depth: int) -> Iterator[Piece]:
        """What a zip, a tar or a compressed stream holds."""
        if kind is Kind.ZIP:
            yield from self._zip(body)
        elif kind in PACKAGES:
            yield from self._inflated(body, depth)
        else:
            yield from self._tar(body, depth)

    def _worded(self, kind: Kind, body: bytes | Path, depth: int) -> Iterator[Piece]:
        """What a text lists, or holds packed."""
        if kind in (Kind.JSON, Kind.TEXT):
            yield from self._text(body, depth)
        elif size_of(body) <= MAX_JSON:
            yield from _documents(kind, decode_text(whole_of(body)))

    def _object(self, body: bytes | Path, skip: int, end: int | None = None) -> Iterator[Piece]:
        """A DICOM stream that begins ``skip`` bytes into the body, and ends there or with it."""
        path = self._copy(body if end is None else whole_of(body)[:end], skip)
        try:
            header = dicom.normalise(path)
        except CorruptInstance as err:
            if err.reason in CUT_OFF and head_of(path)[128:132] == b"DICM":
                yield TruncatedObject(path, skip)
            else:
                path.unlink(missing_ok=True)
                if isinstance(err, NotCheckedInTime):
                    yield BrokenPackage(Reason.NOT_READ_IN_TIME)
            return
        if not header.sop_class_uid.startswith("1.2.840.10008.1.3.10"):  # a DICOMDIR
            yield DicomObject(path, header)

    def _copy(self, body: bytes | Path, skip: int) -> Path:
        path = self._new_file()
        if isinstance(body, bytes):
            path.write_bytes(body[skip:])
        elif skip:
            with body.open("rb") as source, path.open("wb") as out:
                source.seek(skip)
                shutil.copyfileobj(source, out, PIECE)
        else:
            try:
                os.link(body, path)
            except OSError:  # a file system without links
                shutil.copyfile(body, path)
        return path

    def _zip(self, body: bytes | Path) -> Iterator[Piece]:
        archive = self._copy(body, 0)
        folder = self._new_file()
        try:
            members = []
            for member in zip_archive.unpack(archive, folder, salvage=True):
                members.append(member)
                if member.path is not None:
                    yield from self._object(member.path, 0)
                elif member.is_broken:
                    yield BrokenPackage(Reason.BROKEN_ZIP)
            for _ in absent_files(members):
                yield BrokenPackage(Reason.ZIP_LACKS_LISTED_FILE)
        except CorruptInstance as err:
            yield BrokenPackage(err.cause)  # what was sound before the break is kept
        finally:
            archive.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)

    def _tar(self, body: bytes | Path, depth: int) -> Iterator[Piece]:
        archive = self._copy(body, 0)
        folder = self._new_file()
        try:
            for path in zip_archive.tar_files(archive, folder):
                try:
                    yield from self.scan(path, "", depth + 1)
                finally:
                    path.unlink(missing_ok=True)
        except CorruptInstance as err:
            yield BrokenPackage(err.cause)
        finally:
            archive.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)

    def _inflated(self, body: bytes | Path, depth: int) -> Iterator[Piece]:
        path = self._new_file()
        try:
            if inflate(body, path):
                yield from self.scan(path, "", depth + 1)
        finally:
            path.unlink(missing_ok=True)

    def _after_header(self, body: bytes | Path, head: bytes, depth: int) -> Iterator[Piece]:
        """The content of a message after a header of its own: something packed, or JSON."""
        magics = (*_PACKED, *_PICTURED)
        at = min((at for magic in magics if (at := head.find(magic, 1, MAX_HEADER)) > 0), default=0)
        if at:
            yield from self.scan(whole_of(body)[at:], "", depth + 1)
        elif (packed := notation.from_msgpack(whole_of(body))) is not None:
            yield from self._value(notation.with_named_places(packed), depth)
        elif (message := from_protobuf(whole_of(body))) is not None:
            yield from self._value(message, depth)
        elif b"{" in head[:MAX_PREFIX]:
            data = whole_of(body)
            values = notation.from_envelope(data.decode("utf-8", "replace"))
            if not values and (header := notation.leading_json(data)) is not None:
                values = [header[0]]
            for value in values:
                yield from self._value(value, depth)

    def _parts(self, body: bytes | Path, boundary: bytes, depth: int) -> Iterator[Piece]:
        source = self._copy(body, 0)
        try:
            with source.open("rb") as stream:
                for part in multipart.parts(stream, boundary):
                    yield from self._part(part, depth)
        except CorruptInstance:
            return
        finally:
            source.unlink(missing_ok=True)

    def _part(self, part: multipart.Part, depth: int) -> Iterator[Piece]:
        path = self._new_file()
        with path.open("wb") as out:
            for piece in part.pieces:
                out.write(piece)
        try:
            content_type = part.headers.get("content-type", "").lower()
            found = False
            for item in self.scan(path, content_type, depth + 1):
                found = True
                yield item
            if not found and not content_type.startswith(("text/", "application/json", "application/dicom")):
                yield Pixels(path.read_bytes())
        finally:
            path.unlink(missing_ok=True)

    def _text(self, body: bytes | Path, depth: int) -> Iterator[Piece]:
        if size_of(body) > MAX_JSON:
            return
        data = whole_of(body)
        try:
            value = parse_json(data)
        except ReadLate:
            yield BrokenPackage(Reason.NOT_READ_IN_TIME)
            return
        except (ValueError, RecursionError):
            packed = _from_base64(data.decode("latin-1").strip())
            if packed is not None:
                yield from self.scan(packed, "", depth + 1)
            elif (message := from_protobuf(data)) is not None:
                yield from self._value(message, depth)
            elif framed := notation.from_envelope(decode_text(data)):
                for item in framed:
                    yield from self._value(item, depth)
            else:
                yield from _documents(Kind.TEXT, decode_text(data))
            return
        yield from self._value(value, depth)

    def _value(self, value: Any, depth: int) -> Iterator[Piece]:
        """What a JSON value holds."""
        if isinstance(value, str):
            value = notation.packed(value) or value
        if isinstance(value, (list, dict)):
            value = notation.unfolded(value)
            yield Document(value)
        for item in _values(value):
            if isinstance(item, Mapping):
                if isinstance(item.get(SOP_INSTANCE), Mapping) and "vr" in item[SOP_INSTANCE]:
                    yield Metadata(item)
            elif isinstance(item, bytes):
                yield from self.scan(item, "", depth + 1)
            elif (packed := _from_base64(item)) is not None:
                yield from self.scan(packed, "", depth + 1)


def _chained(body: bytes | Path, at: int) -> list[tuple[int, int | None]]:
    """The positions of the objects in a body whose first one begins at a place: several if each has a length before it.

    The lengths must lead from each header to the next object's, and from the last one to the body's very end.
    """
    if size_of(body) <= MAX_JSON:
        data = whole_of(body)
        for lead in (lead for lead in LEADS if lead < at):  # of the whole, a count for example
            size = at - lead
            for field in range(size - 3):
                for order in ("little", "big"):
                    for counted in (0, size):  # a length may include its header
                        found = _walked(data, lead, size, field, order, counted)
                        if len(found) > 1:
                            return found
    return [(at, None)]


def _walked(
    data: bytes, place: int, size: int, field: int, order: Literal["little", "big"], counted: int
) -> list[tuple[int, int | None]]:
    """The objects that lengths at one offset of each header lead to; none, where they lead astray."""
    found: list[tuple[int, int | None]] = []
    while place < len(data):
        length = int.from_bytes(data[place + field : place + field + 4], order) - counted
        begin, place = place + size, place + size + length
        if length < SMALLEST or data[begin + 128 : begin + 132] != b"DICM":
            return []
        found.append((begin, place))
    return found if place == len(data) else []


def _documents(kind: Kind, text: str) -> Iterator[Document]:
    """What a page, a script or XML lists."""
    if kind is Kind.HTML:
        found = list(notation.from_html(text))
    elif kind is Kind.XML:
        value = notation.from_xml(text)
        found = [value] if value is not None else []
    else:
        packed = notation.packed(text)
        found = [packed] if packed is not None else [*notation.from_script(text), *notation.from_lines(text)]
    for value in found:
        yield Document(notation.unfolded(value))


def _values(value: Any) -> Iterator[Mapping[str, Any] | str | bytes]:
    """Every object, long text and run of bytes of a value; one nested absurdly deep is no matter, there is no recursion."""
    waiting = [value] if isinstance(value, (Mapping, list, str, bytes)) else []
    for _ in range(MAX_NODES):
        if not waiting:
            return
        item = waiting.pop()
        if isinstance(item, Mapping):
            yield item
            waiting.extend(
                reversed([inner for inner in item.values() if isinstance(inner, (Mapping, list, str, bytes))])
            )
        elif isinstance(item, list):
            waiting.extend(reversed([inner for inner in item if isinstance(inner, (Mapping, list, str, bytes))]))
        elif len(item) >= SHORTEST_BASE64:
            yield item


def _from_base64(text: str) -> bytes | None:
    """The bytes of base64 text or a data URL, where they begin as something that may hold DICOM; else None."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    if len(text) < SHORTEST_BASE64:
        return None
    start = text[:SHORTEST_BASE64].translate(_STANDARD)
    try:
        head = base64.b64decode(start[: len(start) // 4 * 4], validate=True)
        if sniff(head) not in (*DICOM, Kind.ZIP, Kind.GZIP, Kind.ZLIB):
            return None
        return base64.b64decode(text.translate(_STANDARD) + "==")
    except (binascii.Error, ValueError):
        return None


_STANDARD: Final = str.maketrans({"-": "+", "_": "/", "\r": None, "\n": None})
