"""Walk the structure of a DICOM file without recursion: foreign bytes may nest arbitrarily deep.

Only tags, Value Representations and lengths are interpreted (PS3.5 chapter 7, annex A). What pydicom then reads is known to
be shallow and complete.

Over 400 lines because it is one algorithm: a pass over the bytes, the bounds that it keeps, and the layout that it fills; each
part is read with the other two, and callers name all three as ``structure.X``.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from scraper.core.errors import CorruptInstance
from scraper.core.reasons import Reason
from scraper.core.sniff import BARE_DATA_SETS, HEAD, NAMES, VRS, Kind, sniff
from scraper.isolation import fence

Buffer = bytes | mmap.mmap

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
NATIVE: Final = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG})

DEEPEST: Final = 48  # sequences within sequences; the deepest standard object (SR) stays below 20
MOST_STEPS: Final = 10_000_000  # elements and items of one file; an enhanced image of 10,000 frames has a tenth of it
INFLATED_AT_MOST: Final = 1 << 29  # bytes a deflated data set may grow to

PIXEL_DATA: Final = 0x7FE00010
PIXEL_TAGS: Final = (0x7FE00008, 0x7FE00009, PIXEL_DATA)  # float, double, integer
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))


class WalkTooLong(Exception):
    """The file unfolds to more than this process takes apart: one behind a fence does it (``long_files``)."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one walk may take: steps, bytes of an inflated data set, bytes of the values before the pixels."""

    steps: int = MOST_STEPS
    inflated: int = INFLATED_AT_MOST
    head: int = 1 << 62


FULL: Final = Bounds()
UNFENCED: Final = Bounds(steps=100_000, inflated=16 << 20, head=16 << 20)
"""In a process that is more than a reader of files: an enhanced image of 1,000 frames has some 50,000 elements; 100,000 of a
hostile file take some 30 MB, and pydicom's values of 16 MB some 200 MB."""


def bounds_here() -> Bounds:
    """The bounds of this process, for what a site sent."""
    return FULL if fence.is_up() else UNFENCED


class Fault(StrEnum):
    """Ways in which the structure can fail."""

    TRUNCATED = "truncated"  # a value, an item or a sequence ends behind the end of the file
    NESTING = "nesting"  # deeper than DEEPEST
    BROKEN = "broken"  # something stands where an item or an element must
    DEFLATE = "deflate"  # the deflated data set can't be inflated


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the top level; ``offset`` and ``length`` are its value's, in bytes of the walked buffer."""

    tag: int
    vr: str  # empty in Implicit VR
    offset: int
    length: int


@dataclass(slots=True)
class Layout:
    """The structure of a file. ``data`` is the buffer that offsets refer to (the inflated one, where deflated)."""

    data: Buffer
    start: int = 0
    implicit: bool = False
    little: bool = True
    transfer_syntax_uid: str = ""
    meta: dict[int, Element] = field(default_factory=dict)
    elements: dict[int, Element] = field(default_factory=dict)
    fragments: list[tuple[int, int]] | None = None  # of encapsulated Pixel Data, the offset table first
    is_unterminated: bool = False  # these fragments are whole, and the file ends without the item that closes them
    fault: Fault | None = None
    end: int = 0
    bounds: Bounds = FULL

    def value(self, tag: int) -> bytes:
        """The value's bytes; empty where the element is absent."""
        element = self.elements.get(tag)
        return b"" if element is None else bytes(self.data[element.offset : element.offset + element.length])

    def meta_text(self, element: int) -> str:
        """A UID (or other plain text) of group 0002."""
        found = self.meta.get(0x00020000 | element)
        if found is None:
            return ""
        return bytes(self.data[found.offset : found.offset + found.length]).decode("latin-1").strip("\0 ")

    def number(self, tag: int) -> int | None:
        """A US value of the top level."""
        raw = self.value(tag)
        return struct.unpack_from("<H" if self.little else ">H", raw)[0] if len(raw) >= 2 else None

    def text(self, tag: int) -> str:
        """A value of plain ASCII."""
        return self.value(tag).decode("latin-1").strip("\0 ")


@contextmanager
def mapped(path: Path) -> Iterator[Buffer]:
    """The file's bytes as a memory map; of an empty file, empty bytes."""
    with path.open("rb") as file:
        file.seek(0, 2)
        if not file.tell():
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            yield view


@dataclass(slots=True)
class Level:
    """A position of the walk: in a sequence or an item, and its end."""

    end: int
    is_sequence: bool
    undefined: bool
    implicit: bool


class Walker:
    """One pass over one data set."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.data = layout.data
        self.pos = layout.start
        order = "<" if layout.little else ">"
        self.tag_struct = struct.Struct(order + "HH")
        self.u16 = struct.Struct(order + "H")
        self.u32 = struct.Struct(order + "I")
        self.levels = [Level(len(layout.data), False, False, layout.implicit)]  # noqa: FBT003 - a plain set

    def fail(self, fault: Fault) -> None:
        """Note the fault; the walk ends."""
        self.layout.fault = fault

    def give_up(self) -> None:
        """End the walk: it has as many steps as it may have.

        Raises:
            WalkTooLong: another process may go further.
        """
        if self.layout.bounds.steps < MOST_STEPS:
            raise WalkTooLong
        self.fail(Fault.BROKEN)

    def run(self) -> None:
        """Walk to the end, or to the first fault."""
        steps = 0
        while self.levels and self.layout.fault is None:
            steps += 1
            if steps > self.layout.bounds.steps:
                self.give_up()
            level = self.levels[-1]
            if self.pos >= level.end:
                if level.undefined and len(self.levels) > 1 and level.end >= self.levels[0].end:
                    self.fail(Fault.TRUNCATED)
                self.levels.pop()
            elif level.end - self.pos < 8:
                # fewer bytes than any element has: a padding of the file, or a cut
                rest = bytes(self.data[self.pos : level.end])
                if rest.strip(b"\0"):
                    self.fail(Fault.TRUNCATED)
                self.pos = level.end
            elif level.is_sequence:
                self.item(level)
            else:
                self.element(level)
        self.layout.end = self.pos

    def push(self, level: Level, tag: int) -> None:
        """Enter a sequence or item, unless too deep."""
        if len(self.levels) > 2 * DEEPEST:
            self.fail(Fault.NESTING)
        else:
            self.levels.append(level)

    def item(self, level: Level) -> None:
        """Read an item of a sequence, or its end."""
        group, element = self.tag_struct.unpack_from(self.data, self.pos)
        tag = group << 16 | element
        (length,) = self.u32.unpack_from(self.data, self.pos + 4)
        self.pos += 8
        if tag == _SEQUENCE_END:
            self.levels.pop()
        elif tag == _ITEM:
            end = level.end if length == _UNDEFINED else self.pos + length
            if end > level.end:
                self.fail(Fault.TRUNCATED)
            else:
                self.push(Level(end, False, length == _UNDEFINED, level.implicit), tag)  # noqa: FBT003
        else:
            self.fail(Fault.BROKEN)

    def value_at(self, level: Level) -> tuple[bytes, int, int]:
        """VR (empty in Implicit VR), start and length of the value of the element that begins here."""
        pos = self.pos
        vr = b"" if level.implicit else bytes(self.data[pos + 4 : pos + 6])
        if vr in _LONG:
            length = self.u32.unpack_from(self.data, pos + 8)[0] if pos + 12 <= level.end else 0
            return vr, pos + 12, length
        if vr in VRS or vr.isalpha():
            return vr, pos + 8, self.u16.unpack_from(self.data, pos + 6)[0]
        # Implicit VR, to which some writers change half way
        return b"", pos + 8, self.u32.unpack_from(self.data, pos + 4)[0]

    def element(self, level: Level) -> None:
        """Read an element, or an item's end."""
        data, pos = self.data, self.pos
        group, number = self.tag_struct.unpack_from(data, pos)
        tag = group << 16 | number
        if tag == _ITEM_END and len(self.levels) > 1:
            self.pos += 8
            self.levels.pop()
            return
        vr, start, length = self.value_at(level)
        if start > level.end:
            self.fail(Fault.TRUNCATED)
            return
        if length == _UNDEFINED:
            self.pos = start
            self.undefined(level, tag, vr)
            return
        end = start + length
        top = len(self.levels) == 1
        if end > level.end:
            if top:
                self.layout.elements.setdefault(tag, Element(tag, vr.decode("latin-1"), start, level.end - start))
                if tag == 0xFFFCFFFC:  # Data Set Trailing Padding: nothing is lost
                    self.pos = level.end
                    return
            self.fail(Fault.TRUNCATED)
            return
        if top:
            self.layout.elements.setdefault(tag, Element(tag, vr.decode("latin-1"), start, length))
        if vr == b"SQ" and length:
            self.pos = start
            self.push(Level(end, True, False, level.implicit), tag)  # noqa: FBT003
        else:
            self.pos = end

    def undefined(self, level: Level, tag: int, vr: bytes) -> None:
        """Read a sequence, an UN that holds one in Implicit VR (PS3.5 6.2.2), or encapsulated Pixel Data (PS3.5 A.4)."""
        top = len(self.levels) == 1
        if tag in PIXEL_TAGS and vr != b"SQ":
            start = self.pos
            fragments = self.read_fragments(level.end)
            if top:
                self.layout.fragments = fragments
                self.layout.elements.setdefault(tag, Element(tag, vr.decode("latin-1"), start, self.pos - start))
            return
        if top:
            self.layout.elements.setdefault(tag, Element(tag, "SQ", self.pos, 0))
        is_implicit = level.implicit or (vr == b"UN" and not self.is_explicit_item())
        self.push(Level(level.end, True, True, is_implicit), tag)  # noqa: FBT003

    def is_explicit_item(self) -> bool:
        """Whether the item here begins with an element in Explicit VR: so some writers fill an UN, against PS3.5 6.2.2."""
        return bytes(self.data[self.pos + 12 : self.pos + 14]) in VRS and bytes(
            self.data[self.pos : self.pos + 4]
        ) == self.tag_struct.pack(_ITEM >> 16, _ITEM & 0xFFFF)

    def ends_whole(self, end: int, items: int) -> bool:
        """Whether fragments that reach the end of the file lack only the closing item, or a part of it.

        Whether fragments are missing is decided from the frames (PS3.5 A.4).
        """
        rest = bytes(self.data[self.pos : end])
        closing = self.tag_struct.pack(_SEQUENCE_END >> 16, _SEQUENCE_END & 0xFFFF) + bytes(4)
        has_pixels = items > 1  # the first one is the offset table
        return has_pixels and end >= len(self.data) and (closing.startswith(rest) or not rest.strip(b"\0"))

    def read_fragments(self, end: int) -> list[tuple[int, int]]:
        """Start and length of each fragment of encapsulated pixels."""
        found: list[tuple[int, int]] = []
        while self.layout.fault is None:
            if self.pos + 8 > end:
                if self.ends_whole(end, len(found)):
                    self.layout.is_unterminated = True
                    self.pos = end
                else:
                    self.fail(Fault.TRUNCATED)
                break
            group, element = self.tag_struct.unpack_from(self.data, self.pos)
            (length,) = self.u32.unpack_from(self.data, self.pos + 4)
            self.pos += 8
            tag = group << 16 | element
            if tag == _SEQUENCE_END:
                break
            if tag != _ITEM:
                self.fail(Fault.BROKEN)
            elif len(found) > min(self.layout.bounds.steps, MOST_STEPS // 10):
                self.give_up()
            elif self.pos + length > end:
                found.append((self.pos, end - self.pos))
                self.fail(Fault.TRUNCATED)
            else:
                found.append((self.pos, length))
                self.pos += length
        return found


def data_set(data: Buffer, start: int, *, implicit: bool, little: bool, bounds: Bounds = FULL) -> Layout:
    """The layout of a data set that starts at ``start``."""
    layout = Layout(data, start, implicit, little, bounds=bounds)
    Walker(layout).run()
    return layout


def _meta(data: Buffer, start: int) -> tuple[dict[int, Element], int]:
    """Read group 0002, Explicit VR Little Endian (PS3.10 7.1), and where it ends."""
    found: dict[int, Element] = {}
    pos = start
    while pos + 8 <= len(data):
        group, number = struct.unpack_from("<HH", data, pos)
        if group != 0x0002:
            break
        vr = bytes(data[pos + 4 : pos + 6])
        if vr in _LONG and pos + 12 <= len(data):
            (length,) = struct.unpack_from("<I", data, pos + 8)
            at = pos + 12
        elif vr in VRS:
            (length,) = struct.unpack_from("<H", data, pos + 6)
            at = pos + 8
        else:
            (length,) = struct.unpack_from("<I", data, pos + 4)
            at = pos + 8
        if at + length > len(data):
            raise CorruptInstance(what=Reason.DICOM_HEADER_CUT_OFF)
        found[group << 16 | number] = Element(group << 16 | number, vr.decode("latin-1"), at, length)
        pos = at + length
    return found, pos


def end_of_meta(data: Buffer) -> int:
    """Where the data set of a Part 10 file begins.

    Raises:
        CorruptInstance: truncated in its file meta.
    """
    return _meta(data, 132)[1]


def layout_of(data: Buffer, bounds: Bounds = FULL) -> Layout:
    """The layout of a Part 10 file, or of a data set that lacks preamble and file meta (its ``meta`` is empty then).

    Raises:
        CorruptInstance: neither of the two. WalkTooLong: it takes more than ``bounds``.
    """
    kind = sniff(bytes(data[:HEAD]))
    if kind is Kind.META_FIRST:
        if len(data) > bounds.head:  # it is copied
            raise WalkTooLong
        return part10(b"\0" * 128 + (b"" if bytes(data[:4]) == b"DICM" else b"DICM") + bytes(data[:]), bounds)
    if kind not in BARE_DATA_SETS:
        return part10(data, bounds)
    layout = data_set(data, 0, implicit=kind is Kind.IMPLICIT, little=kind is not Kind.BIG_ENDIAN, bounds=bounds)
    if layout.fragments is None:
        layout.transfer_syntax_uid = (
            IMPLICIT_LITTLE if layout.implicit else EXPLICIT_LITTLE if layout.little else EXPLICIT_BIG
        )
    return layout


def inflate(data: bytes, most: int = INFLATED_AT_MOST) -> bytes:
    """Inflate a deflated data set (PS3.5 A.5: raw deflate; some writers add a zlib header).

    Raises:
        CorruptInstance: no deflate stream, a truncated one, or one beyond ``INFLATED_AT_MOST``.
        WalkTooLong: it goes beyond ``most``, which is less than that.
    """
    for bits in (-zlib.MAX_WBITS, zlib.MAX_WBITS):
        inflater = zlib.decompressobj(bits)
        try:
            grown = inflater.decompress(data, most)
        except zlib.error:
            continue
        if inflater.eof:
            return grown
        if len(grown) >= most and most < INFLATED_AT_MOST:
            raise WalkTooLong
        break
    raise CorruptInstance(what=Reason.DATA_SET_NOT_INFLATED)


def _guess(data: Buffer, at: int) -> Kind:
    kind = sniff(bytes(data[at : at + HEAD]))
    return kind if kind in {Kind.IMPLICIT, Kind.BIG_ENDIAN} else Kind.EXPLICIT


def part10(data: Buffer, bounds: Bounds = FULL) -> Layout:
    """The layout of a Part 10 file (PS3.10 7.1), its faults noted but not raised.

    Raises:
        CorruptInstance: not a Part 10 file, or truncated in its file meta. WalkTooLong: it takes more than ``bounds``.
    """
    head = bytes(data[:HEAD])
    kind = sniff(head)
    if kind is not Kind.PART10:
        raise CorruptInstance(what=NAMES[kind])
    meta, start = _meta(data, 132)
    syntax_element = meta.get(0x00020010)
    syntax = ""
    if syntax_element is not None:
        raw = bytes(data[syntax_element.offset : syntax_element.offset + syntax_element.length])
        syntax = raw.decode("latin-1").strip("\0 ")
    implicit, little, source = syntax == IMPLICIT_LITTLE, syntax != EXPLICIT_BIG, data
    fault = None
    if syntax == DEFLATED:
        try:
            source, body = inflate(bytes(data[start:]), bounds.inflated), 0
            source = bytes(data[:start]) + source
            body = start
        except CorruptInstance:
            source, body, fault = bytes(data[:start]), start, Fault.DEFLATE
    else:
        body = start
        guessed = _guess(data, start)
        if not syntax or (implicit and bytes(data[start + 4 : start + 6]) in VRS):
            implicit, little = guessed is Kind.IMPLICIT, guessed is not Kind.BIG_ENDIAN
        elif not implicit and little and guessed is Kind.IMPLICIT:
            implicit = True
    layout = data_set(source, body, implicit=implicit, little=little, bounds=bounds)
    layout.meta, layout.transfer_syntax_uid = meta, syntax
    layout.fault = fault or layout.fault
    return layout
