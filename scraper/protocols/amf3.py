"""Read AMF 3 values, as servers from the days of Flash still send them: numbers, texts, arrays and objects.

Source: Adobe, *Action Message Format – AMF 3* (January 2013), 1.3 and 3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, TypeAlias

from scraper.core.errors import CorruptInstance
from scraper.core.reasons import Reason

MOST_VALUES: Final = 200_000  # of one message
DEEPEST: Final = 64
_WRAPPERS: Final = frozenset(  # externalizable classes that hold one value and nothing else
    {"flex.messaging.io.ArrayCollection", "flex.messaging.io.ObjectProxy", "flex.messaging.io.ArrayList"}
)

Value: TypeAlias = "bool | int | float | str | bytes | list[Value] | dict[str, Value] | None"


@dataclass(frozen=True, slots=True)
class _Traits:
    name: str
    keys: tuple[str, ...]
    is_dynamic: bool
    is_external: bool


def read(data: bytes) -> Value:
    """Read the first value in ``data``. An object's class is dropped, its members are a dict; a date is Unix milliseconds.

    Raises:
        CorruptInstance: no AMF 3, or a class with a custom encoding.
    """
    reader = _Reader(data)
    try:
        return reader.value(0)
    except (IndexError, struct.error, UnicodeDecodeError) as err:
        raise CorruptInstance(what=Reason.PACKED_CUT_OFF) from err


class _Reader:
    """Reads through one message; earlier values may be referred to by their number."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._remaining = MOST_VALUES
        self._texts: list[str] = []
        self._objects: list[Value] = []
        self._traits: list[_Traits] = []

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _take(self, count: int) -> bytes:
        if count < 0 or self._at + count > len(self._data):
            raise IndexError
        self._at += count
        return self._data[self._at - count : self._at]

    def _number(self) -> int:
        """Read a whole number of 29 bits in one to four bytes (1.3.1)."""
        number = 0
        for _ in range(3):
            byte = self._byte()
            number = number << 7 | byte & 0x7F
            if byte < 0x80:
                return number
        return number << 8 | self._byte()

    def _text(self) -> str:
        head = self._number()
        if not head & 1:
            return self._texts[head >> 1]
        text = self._take(head >> 1).decode("utf-8")
        if text:  # the empty text is never referred to (1.3.2)
            self._texts.append(text)
        return text

    def value(self, depth: int) -> Value:  # noqa: C901, PLR0911, PLR0912  # one arm a marker (3.1)
        self._remaining -= 1
        if depth > DEEPEST or self._remaining < 0:
            raise CorruptInstance(what=Reason.PACKED_WITHOUT_END)
        match self._byte():
            case 0x00 | 0x01:
                return None
            case 0x02:
                return False
            case 0x03:
                return True
            case 0x04:
                number = self._number()
                return number - (1 << 29) if number >= 1 << 28 else number
            case 0x05:
                return float(struct.unpack(">d", self._take(8))[0])
            case 0x06:
                return self._text()
            case 0x07 | 0x0B:
                return self._bytes().decode("utf-8")
            case 0x08:
                return self._date()
            case 0x09:
                return self._array(depth)
            case 0x0A:
                return self._object(depth)
            case 0x0C:
                return self._bytes()
            case marker:
                raise CorruptInstance(what=Reason.PACKED_KIND_UNKNOWN.of(kind=marker))

    def _bytes(self) -> bytes:
        head = self._number()
        if not head & 1:
            known = self._objects[head >> 1]
            return known if isinstance(known, bytes) else b""
        data = self._take(head >> 1)
        self._objects.append(data)
        return data

    def _date(self) -> Value:
        head = self._number()
        if not head & 1:
            return self._objects[head >> 1]
        moment = float(struct.unpack(">d", self._take(8))[0])
        self._objects.append(moment)
        return moment

    def _array(self, depth: int) -> Value:
        head = self._number()
        if not head & 1:
            return self._objects[head >> 1]
        dense: list[Value] = []
        place = len(self._objects)
        self._objects.append(dense)
        named: dict[str, Value] = {}
        while key := self._text():
            named[key] = self.value(depth + 1)
        for _ in range(head >> 1):
            dense.append(self.value(depth + 1))
        if not named:
            return dense
        named |= {str(number): value for number, value in enumerate(dense)}
        self._objects[place] = named
        return named

    def _object(self, depth: int) -> Value:
        head = self._number()
        if not head & 1:
            return self._objects[head >> 1]
        traits = self._traits_of(head)
        found: dict[str, Value] = {}
        place = len(self._objects)
        self._objects.append(found)
        if traits.is_external:
            if traits.name not in _WRAPPERS:
                raise CorruptInstance(what=Reason.PACKED_FOR_ITS_PROGRAM)
            self._objects[place] = inner = self.value(depth + 1)
            return inner
        for key in traits.keys:
            found[key] = self.value(depth + 1)
        if traits.is_dynamic:
            while key := self._text():
                found[key] = self.value(depth + 1)
        return found

    def _traits_of(self, head: int) -> _Traits:
        """Read an object's class, given here or by reference (3.12)."""
        if not head & 2:
            return self._traits[head >> 2]
        is_external = bool(head & 4)
        name = self._text()
        keys = () if is_external else tuple(self._text() for _ in range(min(head >> 4, MOST_VALUES)))
        traits = _Traits(name, keys, bool(head & 8), is_external)
        self._traits.append(traits)
        return traits
