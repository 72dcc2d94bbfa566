"""Replace everything in a DICOM object that could identify a person, in place: same tags, same lengths, other values.

Unchanged: what an object is (classes, syntaxes, codes), its size and geometry. Replaced: names, texts, numbers of people and
examinations, dates, UIDs, and every pixel. Nothing moves, so that whatever contains the object stays valid.

Source: PS3.5 6.2 (Value Representations), PS3.15 annex E (which attributes can identify).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from scraper.core.errors import CorruptInstance
from scraper.core.reasons import Reason
from scraper.dicom import charset, codestream, encode, structure
from scraper.dicom.elements import declared_charset, dictionary_vr

TEXTS: Final = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "AE"))
NUMBERS: Final = frozenset(("DS", "IS", "AS"))
BINARY_NUMBERS: Final = frozenset(("US", "SS", "UL", "SL", "FL", "FD", "AT", "UV", "SV"))
# groups whose numbers and codes stay
STRUCTURE: Final = frozenset((0x0002, 0x0008, 0x0018, 0x0020, 0x0028, 0x0054, 0x0062, 0x5200))
# character set, maker, model, the writer's version
UNCHANGED: Final = frozenset((0x00080005, 0x00080070, 0x00081090, 0x00020013))
MOST_SAMPLES: Final = 100_000_000  # of a picture that is replaced; a header may name billions
SMALLEST_TOP: Final = 2


class Replacer(Protocol):
    """Provides the replacements."""

    def uid(self, original: str) -> str:
        """Replace a UID."""

    def date(self, original: str) -> str:
        """Replace a date."""

    def time(self, original: str) -> str:
        """Replace a time."""

    def free(self, original: str) -> str:
        """Replace a text, word by word."""

    def noise(self, length: int, salt: str = "") -> bytes:
        """Bytes without meaning."""

    def samples(self, shape: tuple[int, int], top: int, salt: str) -> np.ndarray:
        """Pixels without content."""


@dataclass(frozen=True, slots=True)
class _Value:
    tag: int
    vr: str
    offset: int
    length: int


class _ValueCollector(structure.Walker):
    """Collect every element with a value, at any depth, and every fragment of pixels."""

    def __init__(self, layout: structure.Layout) -> None:
        super().__init__(layout)
        self.found: list[_Value] = []
        self.pieces: list[list[tuple[int, int]]] = []  # fragments of each encapsulated element

    def element(self, level: structure.Level) -> None:
        group, number = self.tag_struct.unpack_from(self.data, self.pos)
        vr, start, length = self.value_at(level)
        tag = group << 16 | number
        if group != 0xFFFE and start + length <= level.end and vr != b"SQ":
            vr_name = vr.decode("latin-1") or dictionary_vr(tag)
            if vr_name != "SQ":
                self.found.append(_Value(tag, vr_name, start, length))
        super().element(level)

    def read_fragments(self, end: int) -> list[tuple[int, int]]:
        fragments = super().read_fragments(end)
        self.pieces.append(fragments)
        return fragments


def pseudonymised(data: bytes, names: Replacer, *, pixels: bool = True) -> bytes:
    """The object with its values replaced, of the same length.

    Args:
        data: a Part 10 file, or a bare data set.
        names: provides the replacements.
        pixels: replace these too; False only to collect the values that ``names`` is asked for.

    Raises:
        CorruptInstance: no DICOM object, or a truncated or broken one.
    """
    layout = structure.layout_of(data)
    if layout.fault is not None or layout.data is not data:
        raise CorruptInstance(what=Reason.DATA_SET_NOT_WALKABLE)
    out = bytearray(data)
    if layout.meta:
        out[:128] = bytes(128)
    leaves = _ValueCollector(layout)
    leaves.run()
    declared = declared_charset(layout)
    raw = [data[leave.offset : leave.offset + leave.length] for leave in leaves.found if leave.vr in TEXTS]
    guessed = charset.suspect(raw, declared)
    meta = (_Value(element.tag, element.vr, element.offset, element.length) for element in layout.meta.values())
    for entry in (*meta, *leaves.found):
        if entry.tag not in structure.PIXEL_TAGS:
            value = data[entry.offset : entry.offset + entry.length]
            out[entry.offset : entry.offset + entry.length] = _replaced(entry, value, names, declared, guessed)
    if not pixels:
        return bytes(out)
    drawn = _Pixels(layout, names, layout.text(0x00080018))
    for entry in leaves.found:
        if entry.tag in structure.PIXEL_TAGS:
            out[entry.offset : entry.offset + entry.length] = drawn.native(entry.length, entry.tag)
    for fragments in leaves.pieces:
        for offset, piece in drawn.fragments(data, fragments):
            out[offset : offset + len(piece)] = piece
    return bytes(out)


def _replaced(entry: _Value, value: bytes, names: Replacer, declared: list[str], guessed: str) -> bytes:
    """One value's replacement, of the same length."""
    structural, vr = entry.tag >> 16 in STRUCTURE, entry.vr
    codes = structural and (vr in ("CS", "DS", "IS") or vr in BINARY_NUMBERS)
    if entry.tag in UNCHANGED or not value or entry.tag & 0xFFFF == 0 or codes:
        return value
    if vr == "UI":
        return _replace_values(value, names.uid, b"\0")
    if vr in ("DA", "TM", "DT"):
        return _replace_values(
            value, {"DA": names.date, "TM": names.time}.get(vr, lambda text: _moment(text, names)), b" "
        )
    if vr in TEXTS:
        shown = names.free(charset.decode(value, declared, guessed))
        return _fitted(shown, value, declared, guessed)
    if vr in ("CS", *NUMBERS):
        return _replace_values(value, names.free, b" ")
    return bytes(len(value)) if vr in BINARY_NUMBERS else names.noise(len(value), value.hex()[:64])


def _replace_values(value: bytes, replace: object, padding: bytes) -> bytes:
    """Replace multiple values one by one, each with its own padding and length."""
    shown = []
    for data in value.split(b"\\"):
        text = data.rstrip(b"\0 ").decode("latin-1")
        new = replace(text).encode("latin-1", "replace") if text else b""  # type: ignore[operator]  # a Replacer's method
        shown.append(new[: len(data)].ljust(len(data), padding))
    return b"\\".join(shown)


def _moment(text: str, names: Replacer) -> str:
    """Replace a date with time; the zone's offset stays."""
    digits = text[:14]
    zone = text[len(text) - 5 :] if len(text) > 5 and text[-5] in "+-" else ""
    middle = text[8 : len(text) - len(zone)]
    if len(digits) < 8:
        return names.free(text)
    return names.date(text[:8]) + (names.time(middle) if middle else "") + zone


def _fitted(shown: str, value: bytes, declared: list[str], guessed: str) -> bytes:
    """Encode the text in the value's character set, to its length."""
    for name in (charset.codec([guessed] if guessed else declared), "utf-8", "gb18030", "ascii"):
        try:
            raw = shown.encode(name) if name else b""
        except (UnicodeEncodeError, LookupError):
            continue
        if raw and len(value) - 2 <= len(raw) <= len(value):
            return raw.ljust(len(value))
    plain = "".join(char if char.isascii() else "x" for char in shown).encode("ascii")
    return plain[: len(value)].ljust(len(value), b"x")


class _Pixels:
    """Replace pixels by others of the same size, depth and coding."""

    def __init__(self, layout: structure.Layout, names: Replacer, salt: str) -> None:
        self._names = names
        self._salt = salt
        self._syntax = layout.transfer_syntax_uid
        self._bits = layout.number(0x00280100) or 16
        self._stored = layout.number(0x00280101) or self._bits
        self._signed = bool(layout.number(0x00280103))
        self._columns = layout.number(0x00280011) or 1
        self._samples = layout.number(0x00280002) or 1
        self._order = "<" if layout.little else ">"
        self._frames = int(layout.text(0x00280008) or 1) if (layout.text(0x00280008) or "1").isdigit() else 1

    def native(self, length: int, tag: int) -> bytes:
        """Replace raw samples."""
        if tag != structure.PIXEL_DATA:  # floating point
            return bytes(length)
        width = {8: 1, 16: 2, 32: 4}.get(self._bits)
        line = self._columns * self._samples
        if width is None or not 0 < line * width <= length:
            return self._names.noise(length, self._salt)
        rows = -(-length // (line * width))
        top = 1 << min(self._stored - self._signed, 11)
        picture = self._names.samples((rows, line), top, self._salt)
        return picture.astype(f"{self._order}u{width}").tobytes()[:length]

    def fragments(self, data: bytes, fragments: list[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
        """Replace the fragments of encapsulated frames; the offset table stays."""
        for number, frame in enumerate(_frames(data, fragments[1:], self._frames)):
            old = b"".join(data[offset : offset + length] for offset, length in frame)
            new = self._stream(old, f"{self._salt}/{number}").ljust(len(old), b"\0")
            at = 0
            for offset, length in frame:
                yield offset, new[at : at + length]
                at += length

    def _stream(self, old: bytes, salt: str) -> bytes:
        return stream(old, self._syntax, self._names, salt)


def stream(old: bytes, syntax: str, names: Replacer, salt: str) -> bytes:
    """A codestream of the same size, depth and coding, not longer than the old one; noise where impossible.

    Args:
        old: the codestream.
        syntax: its Transfer Syntax UID, or nothing.
        names: provides the pixels.
        salt: distinguishes the pixels.
    """
    try:
        about = codestream.read(old)
    except CorruptInstance:
        about = None
    if about is not None and about.rows * about.columns * about.components <= MOST_SAMPLES:
        top = 1 << min(about.bits - about.is_signed, 11)
        while top >= SMALLEST_TOP:
            samples = names.samples((about.rows, about.columns), top, salt)
            if about.components > 1:
                samples = np.repeat(samples[:, :, None], about.components, axis=2)
            made = encode.encoded(samples, about, syntax or about.transfer_syntax_uid)
            if made is not None and len(made) <= len(old):
                return made
            top >>= 3
    return old[:4] + names.noise(max(len(old) - 4, 0), salt)


def _frames(data: bytes, fragments: list[tuple[int, int]], count: int) -> list[list[tuple[int, int]]]:
    """Group fragments by frame: one each, or all for one, else by the markers that a stream begins with."""
    if len(fragments) == count or count < 1:
        return [[fragment] for fragment in fragments]
    if count == 1:
        return [fragments]
    found: list[list[tuple[int, int]]] = []
    for offset, length in fragments:
        if not found or data[offset : offset + 2] in (b"\xff\xd8", b"\xff\x4f"):
            found.append([])
        found[-1].append((offset, length))
    return found
