"""Collect what a viewer received: whole objects, tags, frames and lists; ordered as series."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scraper.capture.observe.copies import Copies, rank
from scraper.capture.observe.frames import FrameMatcher, TaggedFrame
from scraper.capture.observe.pictures import Pictures
from scraper.capture.observe.ranges import Ranges
from scraper.capture.observe.recognise import (
    BrokenPackage,
    DicomObject,
    Document,
    Metadata,
    Picture,
    Piece,
    Pixels,
    Recogniser,
    TruncatedObject,
)
from scraper.core.model import Captured, Instance, OnDemand, Origin, PixelParts, Series, Study
from scraper.core.reasons import Cause
from scraper.core.schema import parse_int
from scraper.core.sniff import HEAD, Kind, sniff
from scraper.protocols import dicom_json
from scraper.session.browser.traffic import DOWNLOAD, DRAWN, IN_MEMORY, WEBSOCKET_IN, WEBSOCKET_OUT, Exchange

FRAMES: Final = re.compile(r"/instances/([0-9.]+)/frames/([0-9,]+)(?:[/?]|$)")
RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
MAX_DOCUMENTS: Final = 500
PIXEL_KINDS: Final = ("xhr", "fetch", "image", "other")
PIXELS: Final = (Kind.J2K, Kind.JP2, Kind.JPEG_LS, Kind.JPEG, Kind.GZIP, Kind.ZLIB)
SMALLEST_PIXELS: Final = 256  # bytes
SENT: Final = "\0"  # between an address and the text that is sent there


def asked_by(exchange: Exchange) -> str:
    """What identifies a request: its address, and the text that it sends along."""
    if exchange.method == "GET" or not exchange.request_body:
        return exchange.url
    return f"{exchange.url}{SENT}{exchange.request_body.decode('utf-8', 'replace')}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A JSON value that the viewer received, and from where."""

    url: str
    value: Any
    request: str = ""  # as ``asked_by`` has it
    when: float = 0.0  # as an exchange has it


class Observations:
    """Takes exchanges in, one after another, and says what DICOM there was in them.

    Args:
        folder: whole objects are kept here.
        begin: exchanges that are passed over.
    """

    def __init__(self, folder: Path, begin: int = 0) -> None:
        self.objects: dict[str, DicomObject] = {}  # by SOP Instance UID
        self.origins: dict[str, str] = {}  # what was asked -> SOP Instance UID of the one object that came for it
        self.from_package: set[str] = set()  # SOP Instance UIDs of what came in a package of many
        self.tags: dict[str, Mapping[str, Any]] = {}
        self.frames: dict[str, dict[int, Path]] = defaultdict(dict)
        self.manifests: list[Manifest] = []
        self._lists: dict[str, Any] = {}  # request → its last value
        self.socket_messages: list[
            tuple[int, str]
        ] = []  # place of a message in the traffic, its image's SOP Instance UID
        self.broken: list[Cause] = []  # what each entry is that can't be unpacked of the last package, or all of it
        self.pixel_replies: list[Exchange] = []  # HTTP replies that may be pixels alone
        self.drawn: list[Exchange] = []  # samples that the page handed on to be drawn
        self.undrawn: set[int] = set()  # replies to a trial of ours: the page draws nothing of them
        self.pictures = Pictures()
        self.copies = Copies()
        self._folder = folder
        self._files = 0
        self._recogniser = Recogniser(self.new_file)
        self._ranges: dict[str, Ranges] = {}
        self._cut: dict[
            str, list[tuple[Path, int]]
        ] = {}  # socket -> a stream so far, and bytes to skip of each further part
        self._matcher = FrameMatcher()
        self._is_loose = False  # the last message had no whole object
        self.consumed = begin  # exchanges that were looked into
        self._taking: asyncio.Task[None] | None = None  # what is being looked into

    @property
    def size(self) -> int:
        """How much was caught; grows with everything of use."""
        return len(self.objects) + sum(map(len, self.frames.values()))

    async def take(self, exchanges: list[Exchange]) -> int:
        """Look into what came since the last time; gives how much more there is now.

        Args:
            exchanges: all of the window's, from its beginning.
        """
        before = self.size
        for exchange in exchanges[self.consumed :]:
            self.consumed += 1
            if exchange.kind != WEBSOCKET_OUT and exchange.ok and exchange.size:
                # A scan that has begun is finished, also if the capture itself is ended.
                self._taking = asyncio.create_task(asyncio.to_thread(self._take, exchange))
                await asyncio.shield(self._taking)
                if exchange.kind == WEBSOCKET_IN:
                    await asyncio.to_thread(self._pair, exchanges)
        return self.size - before

    async def take_reply(self, exchange: Exchange) -> None:
        """Look into a reply that was asked for directly, not by the page."""
        await asyncio.to_thread(self._take, exchange)

    async def ready(self) -> None:
        """Wait until nothing is being looked into."""
        if self._taking is not None:
            await asyncio.wait((self._taking,))

    def begun(self) -> list[Exchange]:
        """The first range of each DICOM object of which not all ranges came."""
        firsts = [ranges.pieces[0] for ranges in self._ranges.values() if 0 in ranges.pieces and ranges.whole() is None]
        return [exchange for exchange in firsts if sniff(exchange.read(HEAD)) is Kind.PART10]

    def new_file(self) -> Path:
        """An unused name in the folder."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._files += 1
        return self._folder / f"{self._files:07d}"

    def _take(self, exchange: Exchange) -> None:
        if exchange.kind == DRAWN:
            self.drawn.append(exchange)
            return
        ranged = RANGE.match(exchange.headers.get("content-range", "")) if exchange.status == 206 else None
        if ranged and int(ranged[3]) != exchange.size:
            self._take_range(exchange, int(ranged[1]), int(ranged[3]))
            return
        self._is_loose = False
        if exchange.kind == WEBSOCKET_IN and not exchange.is_text and self._went_on(exchange):
            return
        found = list(self._recogniser.scan(exchange.body, exchange.content_type))
        self._is_loose = all(isinstance(piece, Pixels) for piece in found)
        objects = [piece for piece in found if isinstance(piece, DicomObject)]
        if len(objects) == 1 and exchange.method in ("GET", "POST"):
            self.copies.given[asked_by(exchange)] = rank(objects[0])
        if not objects and exchange.kind != IN_MEMORY:
            self.pictures.note(exchange)
        if not objects and _may_be_pixels(exchange, found):
            self.pixel_replies.append(exchange)
        for piece in found:
            if exchange.kind == WEBSOCKET_IN:
                self._hear(piece)
            self._keep(piece, exchange)
        if len(objects) > 1 and _is_package(exchange):
            self.broken.clear()  # an earlier try at the package is no matter
            self.from_package |= {piece.header.sop_instance_uid for piece in objects}
        self.broken += [piece.what for piece in found if isinstance(piece, BrokenPackage)]
        if len(objects) == 1 and exchange.method in ("GET", "POST"):
            self.origins[asked_by(exchange)] = objects[0].header.sop_instance_uid
        self._keep_frames(exchange, [piece.data for piece in found if isinstance(piece, Pixels)], found)

    def _pair(self, exchanges: list[Exchange]) -> None:
        """Pixels of a socket, to the tags that came beside them."""
        exchange, lists = exchanges[self.consumed - 1], [manifest.value for manifest in self.manifests]
        if exchange.is_text:
            self._matcher.note(exchange)
        elif self._is_loose and (paired := self._matcher.add(exchanges, self.consumed - 1, lists)):
            self.add_frame(paired)
        for paired in self._matcher.resolve_pending(exchanges, lists):
            self.add_frame(paired)

    def add_frame(self, paired: TaggedFrame) -> None:
        """Take in a frame that was paired with its tags; a smaller picture of one that is there is passed over."""
        known = self.tags.get(paired.uid, {}) if paired.uid in self.frames else {}
        area = [int(text(tags, "00280010") or 0) * int(text(tags, "00280011") or 0) for tags in (known, paired.tags)]
        if area[0] < area[1]:
            self.frames.pop(paired.uid, None)  # it was a smaller picture
            self.tags[paired.uid] = paired.tags
        elif area[0] > area[1] or paired.number in self.frames[paired.uid]:
            return
        path = self.new_file()
        path.write_bytes(paired.data)
        self.frames[paired.uid][paired.number] = path

    def _take_range(self, exchange: Exchange, start: int, total: int) -> None:
        ranges = self._ranges.setdefault(exchange.url, Ranges(total))
        ranges.pieces[start] = exchange
        chain = ranges.whole()
        if chain is None:
            return
        path, at = self.new_file(), 0
        with path.open("wb") as out:
            for start_of in sorted(ranges.pieces):
                data = ranges.pieces[start_of].read()
                out.write(data[max(at - start_of, 0) :])
                at = max(at, start_of + len(data))
        for piece in self._recogniser.scan(path):
            self._keep(piece, exchange)
        path.unlink(missing_ok=True)

    def _went_on(self, exchange: Exchange) -> bool:
        """Whether a message was the next part of a DICOM stream that began in an earlier exchange.

        Join parts that may each have a header like the first one's: without the headers if that is whole, else with them.
        """
        fragments = self._cut.get(exchange.url)
        if fragments is None or b"DICM" in exchange.read(1024):
            return False
        data, done = exchange.read(), False
        for path, header in fragments:
            with path.open("ab") as out:
                out.write(data[header:])
            for piece in () if done else self._recogniser.scan(path):
                if isinstance(piece, TruncatedObject):
                    piece.path.unlink(missing_ok=True)
                else:
                    self._hear(piece)
                    self._keep(piece, exchange)
                    done = True
        if done:
            self._forget(exchange.url)
        return True

    def _forget(self, url: str) -> None:
        for path, _ in self._cut.pop(url, ()):
            path.unlink(missing_ok=True)

    def _hear(self, piece: Piece) -> None:
        if isinstance(piece, DicomObject):
            self.socket_messages.append((self.consumed - 1, piece.header.sop_instance_uid))

    def _keep(self, piece: Piece, exchange: Exchange) -> None:
        match piece:
            case DicomObject(header=header):
                known = self.objects.get(header.sop_instance_uid)
                if known is not None and exchange.kind == IN_MEMORY and rank(piece) <= rank(known):
                    piece.path.unlink(missing_ok=True)  # a page's own copy of what it received
                    return
                better = piece if known is None else self.copies.better(known, piece)
                self.objects[header.sop_instance_uid] = better
            case Metadata(tags=tags):
                uid = text(tags, "00080018")
                if uid:
                    self.tags.setdefault(uid, tags)
            case Document(value=value):
                self.pictures.note_values(value)
                asked = asked_by(exchange)
                if (
                    len(self.manifests) < MAX_DOCUMENTS and self._lists.get(asked) != value
                ):  # a page may ask every second
                    self._lists[asked] = value
                    self.manifests.append(Manifest(exchange.url, value, asked, exchange.when))
            case TruncatedObject():
                self._begin(piece, exchange)
            case BrokenPackage() | Pixels() | Picture():
                pass  # noted by ``_take``; kept by ``_keep_frames``, with its address

    def _begin(self, cut: TruncatedObject, exchange: Exchange) -> None:
        """A stream whose rest may follow on the same socket."""
        if exchange.kind != WEBSOCKET_IN:
            cut.path.unlink(missing_ok=True)
            return
        self._forget(exchange.url)
        self._cut[exchange.url] = [(cut.path, cut.header)]
        if cut.header:
            plain = self.new_file()
            shutil.copyfile(cut.path, plain)
            self._cut[exchange.url].append((plain, 0))

    def _keep_frames(self, exchange: Exchange, pixels: list[bytes], found: list[Piece]) -> None:
        """Frames whose address says whose they are; a single one may come without framing (PS3.18 10.4.1.1.4)."""
        named = FRAMES.search(exchange.url)
        if not named:
            return
        numbers = [int(number) for number in named[2].split(",") if number]
        if not pixels and not found and len(numbers) == 1:
            pixels = [exchange.read()]
        if len(pixels) == len(numbers):
            for number, data in zip(numbers, pixels, strict=True):
                if number not in self.frames[named[1]]:
                    path = self.new_file()
                    path.write_bytes(data)
                    self.frames[named[1]][number] = path

    # ---- in order

    def whole_frames(self) -> Iterator[tuple[str, Mapping[str, Any], list[Path]]]:
        """Instances whose tags and frames were all seen, where the object itself was not."""
        for uid, frames in self.frames.items():
            tags = self.tags.get(uid)
            count = parse_int(text(tags, "00280008")) or 1 if tags else 0
            is_whole = 0 < count <= len(frames) and all(number in frames for number in range(1, count + 1))
            if tags and uid not in self.objects and is_whole:
                yield uid, tags, [frames[number] for number in range(1, count + 1)]

    def studies(self) -> dict[str, int]:
        """Study Instance UID → how many of its instances were caught."""
        found: dict[str, int] = defaultdict(int)
        for item in self.objects.values():
            found[item.header.study_instance_uid] += 1
        for _, tags, _ in self.whole_frames():
            found[text(tags, "0020000D")] += 1
        return dict(found)

    def series(self, study: str) -> list[Series]:
        """The instances of one study that were caught, by series."""
        instances: dict[str, list[Instance]] = defaultdict(list)
        about: dict[str, Series] = {}
        for uid, item in self.objects.items():
            head = item.header
            if head.study_instance_uid == study:
                instances[head.series_instance_uid].append(
                    Instance(uid, Captured(item.path), number=head.instance_number)
                )
                about[head.series_instance_uid] = Series(
                    study,
                    head.series_instance_uid,
                    number=head.series_number,
                    description=head.series_description,
                    modality=head.modality,
                    study=_study(head.study_instance_uid, head.study_date, head.modality, head.study_description),
                )
        for uid, tags, frames in self.whole_frames():
            if text(tags, "0020000D") == study:
                series = text(tags, "0020000E")
                instances[series].append(Instance(uid, OnDemand(_reader(tags, frames), Origin.REBUILT)))
                about.setdefault(series, described(tags))
        return [with_instances(about[uid], found) for uid, found in instances.items()]


def _may_be_pixels(exchange: Exchange, found: list[Piece]) -> bool:
    """Whether an HTTP reply is of no known kind, or a codestream, or a picture that may be lossless."""
    if exchange.method not in ("GET", "POST") or exchange.kind not in PIXEL_KINDS or exchange.size < SMALLEST_PIXELS:
        return False
    kind = sniff(exchange.read(HEAD))
    return kind in PIXELS or (kind is Kind.UNKNOWN and not any(isinstance(piece, Metadata) for piece in found))


def _is_package(exchange: Exchange) -> bool:
    """A file that was handed out, or a zip; any other answer with several objects may be one block of many."""
    return exchange.kind == DOWNLOAD or exchange.read(4) == b"PK\3\4"


def with_instances(series: Series, instances: list[Instance], expected: int | None = None) -> Series:
    """The series with its instances; each once."""
    once = {instance.name: instance for instance in reversed(instances)}
    return Series(
        series.study_instance_uid,
        series.series_instance_uid,
        tuple(reversed(once.values())),
        expected,
        series.number,
        series.description,
        series.modality,
        series.key,
        series.study,
        series.problems,
    )


def _reader(tags: Mapping[str, Any], frames: list[Path]) -> Callable[[], Any]:
    async def read() -> PixelParts:
        return PixelParts(tags, tuple(path.read_bytes() for path in frames))

    return read


def described(tags: Mapping[str, Any]) -> Series:
    """What DICOM JSON says of its instance's series."""
    study = _study(text(tags, "0020000D"), text(tags, "00080020"), text(tags, "00080060"), text(tags, "00081030"))
    number = text(tags, "00200011")
    return Series(
        study.uid,
        text(tags, "0020000E"),
        number=int(number) if number.lstrip("-").isdigit() else None,
        description=text(tags, "0008103E"),
        modality=text(tags, "00080060"),
        study=study,
    )


def _study(uid: str, date: str, modality: str, description: str) -> Study:
    return Study(uid, date, modality, description)


def text(tags: Mapping[str, Any] | None, tag: str) -> str:
    """An attribute's first value in DICOM JSON as text; empty where it has none."""
    return dicom_json.text(tags or {}, tag)
