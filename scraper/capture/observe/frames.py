"""Match pixels on a socket with their tags: those of the preceding text message, or of a list.

Only what fits is paired: the tags must give identity, and the pixels must be of the size that the tags say.
Source: protocol page ws_frames, November 2026.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scraper import dicom
from scraper.capture.observe import correlate, dicom_names, notation, samples
from scraper.core.bounded_json import parse_json
from scraper.core.errors import CorruptInstance
from scraper.core.schema import parse_int
from scraper.core.sniff import Kind
from scraper.dicom import codestream
from scraper.session.browser.traffic import Exchange

UID: Final = "00080018"
ROWS, COLUMNS = "00280010", "00280011"
IDENTITY: Final = (UID, "0020000D", "0020000E")
MAX_HEADS: Final = 8  # texts that wait for their pixels
MAX_COMPARED: Final = 100  # messages to compare when inferring a header field's meaning
MAX_WAITING: Final = 5000
MAX_HEADER: Final = 64
NOISE: Final = 16  # levels of a byte by which neighbouring pixels may differ anywhere
CODESTREAMS: Final = (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n")
FIRST_SEGMENT: Final = (
    b"\x40\0\0\0"  # of an RLE frame, behind its header of 64 bytes (PS3.5 G.5); before it, their number
)
PACKED: Final = (b"\x1f\x8b\x08", b"\x78\x01", b"\x78\x9c", b"\x78\xda")
_FRAME: Final = re.compile(r"^frame_?(no|num|number|index|idx|id)?$", re.IGNORECASE)

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TaggedFrame:
    """A frame with its tags, as DICOM JSON; ``number`` of the frame, from 1 on."""

    uid: str
    tags: Mapping[str, Any]
    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _UnmatchedFrame:
    place: int
    message: Exchange
    head: Fields  # what the text before it says, if that is about one image


class TagIndex:
    """What lists and tags of their own say of each image, by its SOP Instance UID."""

    def __init__(self) -> None:
        self.listed: dict[str, dict[str, Any]] = {}
        self._lists = 0

    def learn(self, lists: Sequence[Any]) -> None:
        """Take in the lists that came since the last time."""
        for value in lists[self._lists :]:
            for fields in dicom_names.contexts(value):
                if uid := uid_of(fields):
                    self.listed.setdefault(uid, {}).update(fields)
        self._lists = len(lists)

    def fitting(self, uid: str, head: Fields, exchange: Exchange) -> TaggedFrame | None:
        """The frame of a message or reply, where its size is what the tags say."""
        return self.fitting_bytes(uid, head, exchange.read())

    def fitting_bytes(self, uid: str, head: Fields, body: bytes) -> TaggedFrame | None:
        """The frame within a body, where its size is what the tags say.

        Args:
            uid: the SOP Instance UID that the body is believed to be of.
            head: what came with it, and overrules the lists.
            body: the frame, perhaps behind a header.
        """
        known = self.listed.get(uid, {})
        listed = dicom_names.dicom_json(known)
        own = dicom_names.dicom_json(head) if uid_of(head) in ("", uid) else {}
        if any(tag in listed and tag in own and _text(listed, tag) != _text(own, tag) for tag in (ROWS, COLUMNS)):
            return None  # a smaller picture of it
        tags = {**listed, **own}
        if not all(_text(tags, tag) for tag in IDENTITY):
            return None
        data = _pixels(tags, body)
        return None if data is None else TaggedFrame(uid, tags, _frame({**known, **head}), data)

    def names(self) -> Iterator[dict[str, str]]:
        """For each field that distinguishes all listed images: its value → SOP Instance UID."""
        for name in sorted({name for fields in self.listed.values() for name in fields}):
            values = {
                str(fields[name]): uid
                for uid, fields in self.listed.items()
                if isinstance(fields.get(name), (str, int)) and not isinstance(fields.get(name), bool)
            }
            if len(values) == len(self.listed):
                yield values


class FrameMatcher:
    """Matches pixels and tags on one window's sockets."""

    def __init__(self) -> None:
        self._heads: dict[str, deque[Fields]] = defaultdict(lambda: deque(maxlen=MAX_HEADS))
        self._loose: list[_UnmatchedFrame] = []
        self._index = TagIndex()
        self._scheme: tuple[correlate.FieldPath, dict[str, str]] | None = None

    def note(self, one: Exchange) -> None:
        """A text message: tags of the pixels that come next, perhaps."""
        for value in _values(one):
            found = [name for name in dicom_names.contexts(value) if _has_size(name) or uid_of(name)]
            if len({uid_of(item) for item in found}) == 1:  # a list of many is no head
                self._heads[one.url].append(max(found, key=len))

    def add(self, exchanges: Sequence[Exchange], place: int, lists: Sequence[Any]) -> TaggedFrame | None:
        """A binary message that is no DICOM object; gives the frame where it is known at once whose it is."""
        exchange = exchanges[place]
        self._index.learn(lists)
        heads = self._heads[exchange.url]
        for head in list(heads):
            if dicom_names.is_thumbnail(head):
                if head is heads[-1]:
                    heads.remove(head)
                    return None
                continue
            uid = uid_of(head)
            if uid and (paired := self._index.fitting(uid, head, exchange)):
                heads.remove(head)
                return paired
        if len(self._loose) < MAX_WAITING:
            self._loose.append(_UnmatchedFrame(place, exchange, heads[-1] if heads else {}))
        return None

    def resolve_pending(self, exchanges: Sequence[Exchange], lists: Sequence[Any]) -> Iterator[TaggedFrame]:
        """What can be paired by now of what was put aside: by a number or name in its header that a list has too."""
        if not self._loose:
            return
        self._index.learn(lists)
        if self._scheme is None:
            self._scheme = self._find(exchanges)
        if self._scheme is None:
            return
        slot, values = self._scheme
        waiting, self._loose = self._loose, []
        for loose in waiting:
            uid = values.get(correlate.id_fields(exchanges, loose.place).get(slot, ""), "")
            paired = self._index.fitting(uid, loose.head, loose.message) if uid else None
            if paired is not None:
                yield paired

    def _find(self, exchanges: Sequence[Exchange]) -> tuple[correlate.FieldPath, dict[str, str]] | None:
        """The place in a header, and what its values mean; None while several meanings are possible."""
        if len(self._loose) < 2 or len(self._index.listed) < 2:
            return None
        sample = self._loose[:: max(1, len(self._loose) // MAX_COMPARED)][:MAX_COMPARED]
        read = [correlate.id_fields(exchanges, loose.place) for loose in sample]
        columns = {slot: [item[slot] for item in read] for slot in set.intersection(*(set(item) for item in read))}
        moving = {slot: column for slot, column in columns.items() if len(set(column)) > 1}
        found: dict[tuple[str, ...], tuple[correlate.FieldPath, dict[str, str]]] = {}
        for values in self._index.names():
            for slot in sorted(moving):
                if all(text in values for text in moving[slot]):
                    meant = tuple(values[text] for text in moving[slot])
                    fits = [
                        self._index.fitting(uid, loose.head, loose.message)
                        for uid, loose in zip(meant, sample, strict=True)
                    ]
                    if meant not in found and sum(paired is not None for paired in fits) >= 2:
                        found[meant] = slot, values
        return next(iter(found.values())) if len(found) == 1 else None


def _values(one: Exchange) -> Iterable[Any]:
    text = one.read().decode("utf-8", "replace")
    try:
        return [parse_json(text)]
    except (ValueError, RecursionError):
        return notation.from_envelope(text)


def uid_of(fields: Fields) -> str:
    """The SOP Instance UID in some fields, under whatever name; empty if there is none."""
    value = fields.get(UID)
    if isinstance(value, Mapping):
        return _text({UID: value}, UID)
    return next((str(field) for name, field in fields.items() if dicom_names.keyword_of(name) == "SOPInstanceUID"), "")


def _has_size(fields: Fields) -> bool:
    keywords = {dicom_names.keyword_of(name) for name in fields}
    return {"Rows", "Columns"} <= keywords or {ROWS, COLUMNS} <= set(fields)


def _text(tags: Mapping[str, Any], tag: str) -> str:
    element = tags.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    return str(values[0]) if isinstance(values, list) and values else ""


def _frame(fields: Fields) -> int:
    """The number of the frame; 1 where nothing says it."""
    for name, value in fields.items():
        if (
            _FRAME.search(name)
            and str(value).isdecimal()
            and (parse_int(_text(dicom_names.dicom_json(fields), "00280008")) or 1) > 1
            and len(str(value)) < 10
        ):
            return int(value) + name.lower().endswith(("index", "idx"))
    return 1


def _pixels(tags: Mapping[str, Any], data: bytes) -> bytes | None:
    """The frame behind a header of at most 64 bytes; None where what comes is not what the tags say."""
    for at in _places(tags, data):
        try:
            dicom.check_frame(tags, data[at])
        except CorruptInstance:
            continue
        if samples.is_plausible(tags, data[at]):
            return data[at]
    return None


def _places(tags: Mapping[str, Any], data: bytes) -> Iterator[slice]:
    """Where in a message the frame may lie."""
    head = data[: MAX_HEADER + 12]
    numbers = [_text(tags, tag) for tag in (ROWS, COLUMNS, "00280100")]
    if all(number.isdecimal() for number in numbers):
        rows, columns, bits = map(int, numbers)
        width = -(-bits // 8)
        surplus = len(data) - rows * columns * int(_text(tags, "00280002") or 1) * width
        if 0 <= surplus <= MAX_HEADER:
            yield slice(len(data) - surplus) if _is_behind(data, surplus, width) else slice(surplus, None)
    if (at := head.find(b"\xff\xd8\xff")) >= 0 and _is_original_jpeg(data[at:]):
        yield slice(at, None)
    for magic in (*CODESTREAMS, *PACKED):
        at = head.find(magic)
        if 0 <= at <= MAX_HEADER:
            yield slice(at, None)
    for at in range(MAX_HEADER + 1):
        if data[at + 4 : at + 8] == FIRST_SEGMENT and codestream.rle_segments(data[at:]):
            yield slice(at, None)
    if (header := notation.leading_json(data)) is not None:
        yield slice(header[1], None)


def _is_original_jpeg(data: bytes) -> bool:
    """Whether a JPEG is JPEG-LS or of the lossless process (SOF3): any other is taken for a picture of the screen."""
    try:
        found = codestream.read(data)
    except CorruptInstance:
        return False
    return found.is_lossless or found.kind is Kind.JPEG_LS


def _is_behind(data: bytes, surplus: int, width: int) -> bool:
    """Whether what does not belong to the pixels stands behind them: its first bytes continue them, its last do not.

    Taken for a header otherwise, as the protocol page has it: pixels beside the wrong end would shift the whole image unseen.
    """
    if not surplus:
        return False
    near = max(MAX_HEADER, 2 * surplus)
    begin = _is_alien(data[:surplus], data[surplus : surplus + near], width)
    end = _is_alien(data[-surplus:][::-1], data[-surplus - near : -surplus][::-1], width)
    return end and not begin


def _is_alien(block: bytes, beside: bytes, width: int) -> bool:
    """Whether bytes differ from the pixels that they stand beside more than those do among themselves."""
    places = range(width)  # low and high bytes of a sample each by themselves
    levels = [beside[place::width] for place in places]
    if len(block) % width or not all(levels):
        return True  # no whole number of pixels
    for place, level in zip(places, levels, strict=True):
        slack = max(max(level) - min(level), NOISE)
        if any(not min(level) - slack <= byte <= max(level) + slack for byte in block[place::width]):
            return True
    return False
