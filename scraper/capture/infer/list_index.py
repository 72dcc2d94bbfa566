"""Find the entries of the viewer's lists that an image belongs to, by the words of its requests and of its answer."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urljoin

from scraper.capture.infer import tallies, templates
from scraper.capture.infer.templates import Path, Record
from scraper.capture.observe.received import SENT, Manifest, Observations, asked_by
from scraper.session.browser.traffic import WEBSOCKET_IN, Exchange

SHORTEST: Final = 6  # characters of a value that distinguishes entries; a shorter one stands in any request by chance
UNNAMED: Final = "list-"  # before the place of an array whose series is not known yet
MAX_HEAD: Final = 512  # bytes of a socket's message that may name its image
MAX_TEXT: Final = 20_000  # characters of a request that are looked at
_WORD: Final = re.compile(r"[\w.-]+")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)++)"')  # a text in JSON
_NAME: Final = re.compile(r"desc|name|title|label|描述|名称", re.IGNORECASE)
IMAGES: Final = re.compile(r"im(a?g|age)|inst|slice|file|pic|object|sop|frame|list|items|urls|影像|图", re.IGNORECASE)

Place = tuple[int, int]  # the number of a list, and of an entry in it


@dataclass(frozen=True, slots=True)
class KnownImage:
    """An image that came, or that is asked for: what names it in its request and answer; the series that it is of."""

    name: str
    series: str
    text: str
    description: str = ""
    is_received: bool = True


@dataclass(frozen=True, slots=True)
class EntryGroup:
    """The entries of one shape in all answers of one call; ``below``: an entry's place → how many images are listed in it."""

    url: str
    entries: Sequence[Record]
    below: Mapping[Path, int]

    def count(self, entry: Record) -> int | None:
        """How many images an entry states, or lists below it; None where neither."""
        for name in sorted(name for name in entry.own if tallies.COUNT.search(name)):
            if (count := tallies.parse_count(entry.fields[name])) is not None:
                return count
        return self.below.get(entry.place)


def images(exchanges: Sequence[Exchange], observations: Observations, study: str) -> list[KnownImage]:
    """The images of a study that came, each with its requests and with what its answer says of it."""
    heads = {uid: item.header for uid, item in observations.objects.items() if item.header.study_instance_uid == study}
    requests: dict[str, list[str]] = {uid: [] for uid in heads}
    for asked, uid in observations.origins.items():
        if uid in heads:
            requests[uid].append(asked[:MAX_TEXT])
    for place, uid in observations.socket_messages:
        if uid in heads and exchanges[place].kind == WEBSOCKET_IN:
            requests[uid].append(_readable(exchanges[place].read(MAX_HEAD)))
    return [
        KnownImage(
            uid,
            head.series_instance_uid,
            " ".join([*requests[uid], uid, head.series_instance_uid]),
            head.series_description.strip(),
        )
        for uid, head in heads.items()
    ]


def _readable(head: bytes) -> str:
    """What stands before a DICOM stream."""
    return head.partition(b"DICM")[0].decode("utf-8", "replace")


def _each_once(manifests: Sequence[Manifest]) -> list[Manifest]:
    """The lists without those that came again as they were: a page that was loaded again asks for them again."""
    values: dict[tuple[str, str], list[Any]] = defaultdict(list)
    found: list[Manifest] = []
    for manifest in manifests:
        earlier = values[manifest.url, manifest.request]
        if manifest.value not in earlier:
            earlier.append(manifest.value)
            found.append(manifest)
    return found


class ListIndex:
    """Which entry of which list a word stands in, and what else stands beside it."""

    def __init__(self, manifests: Sequence[Manifest], exchanges: Sequence[Exchange]) -> None:
        manifests = _each_once(manifests)
        every = list(templates.groups(manifests, templates.records))
        lengths: dict[str, Counter[Path]] = defaultdict(Counter)
        for url, entries in every:
            lengths[url].update(record.array for record in entries)
        below = {url: _below(arrays) for url, arrays in lengths.items()}
        found = [EntryGroup(url, entries, below[url]) for url, entries in every]
        # one index alone is an answer's number among those of its call: no array
        self.groups = [
            group
            for group in found
            if group.entries[0].shape.count("*") > 1
            and (len(group.entries) > 1 or group.count(group.entries[0]) is not None)
        ]
        self._places: dict[str, set[Place]] = defaultdict(set)
        self._columns: dict[str, set[tuple[int, str, int]]] = defaultdict(set)  # list, field, entry
        self._named: dict[str, set[Place]] = defaultdict(set)
        self._beside: dict[str, set[str]] = defaultdict(set)
        self._asked = _asked_with(manifests, exchanges)
        before = _Before(exchanges)
        for number, group in enumerate(self.groups):
            self._read(number, group, before)
        for manifest in manifests:
            for value, other in _pairs(manifest.value):
                self._beside[urljoin(manifest.url, value)].add(other)

    def _read(self, number: int, group: EntryGroup, before: _Before) -> None:
        """The values that tell the entries of one shape apart; first those that no request had before the list came."""
        entries, is_list = group.entries, len(group.entries) > 1  # a single entry may stand around a list: a study's
        for name in {name for record in entries for name in record.own}:
            column = Counter(record.fields[name] for record in entries if name in record.own)
            is_distinct = all(repeats == 1 for repeats in column.values())
            is_name = (
                len(column) == len(entries)
                and _NAME.search(name) is not None
                and all(len(item.own) > 1 for item in entries)
            )
            for place, record in enumerate(entries):
                value = record.fields.get(name, "") if name in record.own else ""
                if is_distinct and value:
                    self._columns[value.strip()].add((number, name, place))
                if is_list and len(value) >= SHORTEST and column[value] == 1 and not before.has(value, group.url):
                    self._places[value].add((number, place))
                    if "/" in value:
                        self._places[urljoin(group.url, value)].add((number, place))
                if is_list and is_name and len(value) > 1:
                    self._named[value.strip()].add((number, place))

    def entries(self, image: KnownImage) -> tuple[set[Place], set[Place]]:
        """The entries of lists that an image is of; those that its series is of, by name or by what its list was asked with."""
        found = words(image.text)
        for asked in (*image.text.partition(SENT)[::2], *image.text.split()):
            found |= self._beside.get(asked, set()) | {asked}
        inner = {place for word in found for place in self._places.get(word, ())}
        outer = set(self._places.get(image.series, ()))
        for number, place in inner:
            group = self.groups[number]
            record = group.entries[place]
            for value in record.fields.values():  # what stands around it, or is named by it
                above = self._places.get(value, set())
                outer |= {item for item in above if item[0] != number and naming_field(self._at(item), record)}
            for word in self._asked.get((group.url, record.place[0]), ()):
                outer |= self._places.get(word, set())
        outer |= self._named.get(image.description, set()) if image.description else set()
        return inner - outer, outer

    def columns(self, image: KnownImage) -> Iterator[tuple[int, str, int]]:
        """List, field and entry of each value of an image, whenever the list came; only of fields that repeat no value."""
        found = {word for word in words(image.text) if len(word) >= SHORTEST}
        for word in found | {image.description} - {""}:
            yield from self._columns.get(word, ())

    def _at(self, place: Place) -> Record:
        return self.groups[place[0]].entries[place[1]]


def naming_field(above: Record, inner: Record) -> str:
    """The field of an entry that holds the id of one of another list: its series', where that one does not hold its id."""
    ids = {above.fields[name] for name in above.own if len(above.fields[name]) >= SHORTEST}
    back = {inner.fields[name] for name in inner.own if len(inner.fields[name]) >= SHORTEST} - ids
    if not back or back & set(above.fields.values()):
        return ""  # two lists of the same things
    return next((name for name in sorted(inner.fields) if inner.fields[name] in ids), "")


def words(text: str) -> set[str]:
    """Everything in requests that may be an id: words, parts of an address, values of its query or form, texts in JSON."""
    found = set(_WORD.findall(text))
    if "%" in text:
        found |= set(_WORD.findall(unquote(text)))
    found |= {word.rpartition(".")[0] for word in found if "." in word}
    for piece in text.replace(SENT, " ").split():
        address, _, query = piece.partition("?")
        found |= {unquote(step) for step in address.split("/")} | {value for _, value in parse_qsl(query or piece)}
    return found | set(_QUOTED.findall(text))


def _below(lengths: Mapping[Path, int]) -> dict[Path, int]:
    """An entry's place → the length of the longest array of images that stands in it."""
    found: dict[Path, int] = {}
    for place, length in lengths.items():
        if place and IMAGES.search(str(place[-1])):
            last = max((at for at, step in enumerate(place) if isinstance(step, int)), default=-1)
            owner = place[: last + 1]
            found[owner] = max(length, found.get(owner, 0))
    return found


def _asked_with(manifests: Sequence[Manifest], exchanges: Sequence[Exchange]) -> dict[tuple[str, int | str], set[str]]:
    """The words of the request that each list was asked for with: call, and place among its answers → words."""
    requests: dict[str, list[Exchange]] = defaultdict(list)
    for exchange in exchanges:
        if exchange.ok and exchange.method:
            requests[exchange.url].append(exchange)
    numbers: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    found: dict[tuple[str, int | str], set[str]] = {}
    for manifest in manifests:
        call = manifest.url.partition("?")[0]
        its = requests.get(manifest.url, [])
        asked = asked_by(its[min(seen[manifest.url], len(its) - 1)]) if its else manifest.url
        found[call, numbers[call]] = words(asked[:MAX_TEXT])
        numbers[call] += 1
        seen[manifest.url] += 1
    return found


class _Before:
    """Which words requests had before a call was answered, its own request among them: they can't come from its reply."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._first: dict[str, int] = {}  # word → the first exchange whose request has it
        self._answered: dict[str, int] = {}  # call → its first exchange
        for number, exchange in enumerate(exchanges):
            asked = asked_by(exchange) if exchange.method else exchange.url
            for word in words(asked[:MAX_TEXT]):
                self._first.setdefault(word, number)
            self._answered.setdefault(exchange.url.partition("?")[0], number)
        self._last = len(exchanges)

    def has(self, word: str, call: str) -> bool:
        """Whether some request had this word no later than the call."""
        return word in self._first and self._first[word] <= self._answered.get(call, self._last)


def _pairs(value: Any) -> Iterator[tuple[str, str]]:
    """Addresses in a JSON value, each with what stands beside it: its key, the other values of its object."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            texts = {str(name): inner for name, inner in item.items() if isinstance(inner, str)}
            for name, inner in texts.items():
                if "/" in inner:
                    yield inner, name
                    yield from ((inner, other) for other in texts.values() if other != inner and len(other) >= SHORTEST)
            waiting += [inner for inner in item.values() if isinstance(inner, (Mapping, list))]
        elif isinstance(item, list):
            waiting += [inner for inner in item if isinstance(inner, (Mapping, list))]
