"""Read protobuf messages without their definition, where they hold UIDs: what a list says in this notation as a JSON value.

A field has a number and no name, so nothing is known of it but its value: UIDs, ids and addresses stand in requests, and
that is enough for a list. Of numbers no geometry is made.
Source: protobuf.dev, "Encoding"; gRPC-Web's frames by its PROTOCOL-WEB document, November 2026.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, Final

MAX_BYTES: Final = 32 * 2**20
MAX_DEPTH: Final = 12
MAX_FIELDS: Final = 500_000  # of one body, in all readings
MAX_NUMBER: Final = 2**29 - 1
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FRAME: Final = 5  # bytes before a message of gRPC-Web: a flag, and a length
_TRAILERS: Final = 0x80
_UID: Final = re.compile(r"[012](?:\.(?:0|[1-9]\d*)){5,}")
_UID_BYTES: Final = re.compile(rb"[012]\.\d[\d.]{8}")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

_Fields = list[tuple[int, int | bytes]]
_Way = tuple[int, ...]  # numbers of fields from the outermost message inwards


def from_protobuf(data: bytes) -> Any:
    """A body that is one message to its very end, or gRPC-Web's frames of some, as a JSON value; None where it holds no UID."""
    if not 0 < len(data) <= MAX_BYTES or _UID_BYTES.search(data) is None:
        return None
    reader = _Reader()
    try:
        messages = [reader.message(item, ()) for item in _framed(data) or [data]]
        if not reader.uids or any(message is None for message in messages):
            return None
    except _TooMuch:
        return None
    values = [reader.value(message, ()) for message in messages if message]
    return values[0] if len(values) == 1 else values


class _TooMuch(Exception):
    """More fields than a list has."""


_Message = list[tuple[int, Any]]  # number and value: a number, a text, bytes, or a message


class _Reader:
    """Reads the messages of one body; a field that repeats in one message is an array in all of its kind."""

    def __init__(self) -> None:
        self.uids = 0
        self._fields = 0
        self._repeated: set[_Way] = set()

    def message(self, data: bytes, way: _Way) -> _Message | None:
        """The fields of a message; None where the bytes are none."""
        fields = _fields(data)
        if fields is None or len(way) > MAX_DEPTH:
            return None
        self._fields += len(fields)
        if self._fields > MAX_FIELDS:
            raise _TooMuch
        found, seen = [], set[int]()
        for number, value in fields:
            if number in seen:
                self._repeated.add((*way, number))
            seen.add(number)
            found.append((number, value if isinstance(value, int) else self._content(value, (*way, number))))
        return found

    def _content(self, data: bytes, way: _Way) -> Any:
        """What a field of some length holds: a text, a message, or bytes."""
        text = _text(data)
        if text is not None and _UID.fullmatch(text):
            self.uids += 1
            return text
        before = self.uids
        inner = self.message(data, way) if data else None
        # a text may happen to be a message; one with a UID in its place does not happen
        if inner is not None and (text is None or self.uids > before):
            return inner
        return data if text is None else text

    def value(self, message: _Message, way: _Way) -> dict[str, Any]:
        """A message as an object: ``f1`` for its first field."""
        values: dict[int, list[Any]] = defaultdict(list)
        for number, content in message:
            is_message = isinstance(content, list)
            values[number].append(self.value(content, (*way, number)) if is_message else content)
        return {
            f"f{number}": found if (*way, number) in self._repeated else found[0] for number, found in values.items()
        }


def _framed(data: bytes) -> list[bytes]:
    """The messages in the frames of a gRPC-Web answer, without its trailers; none, where it has no such frames."""
    found, at = list[bytes](), 0
    while at + _FRAME <= len(data):
        flag, size = data[at], int.from_bytes(data[at + 1 : at + _FRAME])
        if flag not in (0, _TRAILERS):
            return []
        if flag == 0:
            found.append(data[at + _FRAME : at + _FRAME + size])
        at += _FRAME + size
    return found if at == len(data) else []


def _fields(data: bytes) -> _Fields | None:
    """The fields of a message on the wire; None where the bytes are none."""
    found: _Fields = []
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if not 0 < number <= MAX_NUMBER or len(found) > MAX_FIELDS:
            return None
        if kind == _VARINT:
            value, at = _varint(data, at)
            if at > len(data):
                return None
            found.append((number, value))
            continue
        if kind == _LENGTH:
            size, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            return None
        if at + size > len(data):
            return None
        if kind == _LENGTH:
            found.append((number, data[at : at + size]))
        at += size
    return found if at == len(data) and found else None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and where the next one begins: past the end where it is cut off or too long."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    return value, len(data) + 1


def _text(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text
