"""Expect the other entries of a list if a value of one of them is in the request or response of a received image.

The requests may differ otherwise (signed addresses, one-time tickets): the value was in the list first, and then in the
image's request. An array of images shows how many a series has; a list of series shows that there are more.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urljoin

from scraper.capture.infer import templates
from scraper.capture.infer.counted import COUNT
from scraper.capture.infer.templates import Path, Record
from scraper.capture.observe.received import SENT, Manifest, Observations, asked_by
from scraper.session.browser.traffic import WEBSOCKET_IN, Exchange

SHORTEST: Final = 6  # characters of a value that distinguishes entries
MAX_HEAD: Final = 512  # bytes of a socket's message that may name its image
MAX_TEXT: Final = 4000  # characters of a request that are looked at
_WORD: Final = re.compile(r"[\w.-]+")
_NAME: Final = re.compile(r"desc|name|title|label|描述|名称", re.IGNORECASE)
_OF_STUDIES: Final = re.compile(
    r"stud(y|ies)|exam|check|report|prior|histor|previous|earlier|patient|visit|检查|历史", re.IGNORECASE
)
_STUDY_FIELD: Final = re.compile(
    r"^(?!.*(?:series|image|inst|object))(?:.*[^\w\n])?+(?>\w*?(?:study|exam|check|access|patient|apply|report))"
    r"\w*?(?:id|no|num|number|code|key|date|time)$",  # as STUDY_KEY: the first such word decides
    re.IGNORECASE,
)

_Place = tuple[int, int]  # the number of a list, and of an entry in it


@dataclass(frozen=True, slots=True)
class Image:
    """An image that came, or that is asked for: what names it in its request and answer; the series that it is of."""

    name: str
    series: str
    text: str
    description: str = ""


@dataclass(slots=True)
class Expected:
    """What should be there: Series → how many images; for each entry of a list of which nothing came, how many, where it says."""

    counts: dict[str, int] = field(default_factory=dict)
    absent: list[tuple[str, int | None]] = field(default_factory=list)
    entries: int = 0  # of the list that these stand in


def images(exchanges: Sequence[Exchange], observations: Observations, study: str) -> list[Image]:
    """The images of a study that came, each with its request and with what its answer says of it."""
    found = []
    heads = {uid: item.header for uid, item in observations.objects.items() if item.header.study_instance_uid == study}
    requests = {uid: [asked] for asked, uid in observations.origins.items() if uid in heads}
    for place, uid in observations.socket_messages:
        if uid in heads and exchanges[place].kind == WEBSOCKET_IN:
            requests.setdefault(uid, []).append(_readable(exchanges[place].read(MAX_HEAD)))
    for uid, head in heads.items():
        text = " ".join([*requests.get(uid, ()), uid, head.series_instance_uid])
        found.append(Image(uid, head.series_instance_uid, text, head.series_description.strip()))
    return found


def _readable(head: bytes) -> str:
    """What stands before a DICOM stream."""
    return head.partition(b"DICM")[0].decode("utf-8", "replace")


def expected(
    manifests: Sequence[Manifest], exchanges: Sequence[Exchange], found: Sequence[Image], study: str = ""
) -> Expected:
    """What the lists make expected that some images' values stand in.

    Args:
        manifests: the lists that the viewer received.
        exchanges: everything that the window received, in order.
        found: the images that came, or are asked for.
        study: theirs.
    """
    index = _Index(manifests, exchanges)
    lists: dict[int, _List] = {}
    for image in found:
        inner, outer = index.entries(image)
        for number, place in inner | outer:
            item = lists.setdefault(number, _List(index.groups[number]))
            item.linked[place].add(image.name)
            item.is_of_series = item.is_of_series or (number, place) in outer
        for number, place in inner:
            for above, at in inner | outer:
                name = _named_by(index.groups[above][at], index.groups[number][place]) if above != number else ""
                if name:
                    lists[above].is_of_series = True
                    lists[number].key = name
    series_of = {image.name: image.series for image in found}
    known = {word for image in found for word in (*_words(image.text), *image.text.split())}
    best = Expected()
    for _, item in sorted(lists.items()):
        if not _is_of_studies(item.group):
            _add(best, item.expected(series_of, known, study))
    return best


def _named_by(above: Record, inner: Record) -> str:
    """The field of an entry that holds the id of one of another list: its series', where that one does not hold its id."""
    ids = {above.fields[name] for name in above.own if len(above.fields[name]) >= SHORTEST}
    back = {inner.fields[name] for name in inner.own if len(inner.fields[name]) >= SHORTEST} - ids
    if not back or back & set(above.fields.values()):
        return ""  # two lists of the same things
    return next((name for name in sorted(inner.fields) if inner.fields[name] in ids), "")


@dataclass(slots=True)
class _List:
    """The entries of one shape; which of them images came under; the field that names their series, where one does."""

    group: Sequence[Record]
    linked: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    is_of_series: bool = False
    key: str = ""

    def expected(self, series_of: Mapping[str, str], known: set[str], study: str) -> Expected:
        """What they make expected; ``known``: what stands in the requests and answers of images: such an entry is not absent."""
        ours = [self.group[number] for number in self.linked]
        alike = {
            number: record
            for number, record in enumerate(self.group)
            if number in self.linked or _is_alike(record, ours, study)
        }
        if self._lists_series(series_of):
            rest = [
                record for number, record in alike.items() if number not in self.linked and not _is_in(record, known)
            ]
            absent = [(_label(record), count) for record in rest if (count := _count(record)) != 0]
            return Expected({}, absent, len(alike))
        found = Expected(entries=len(alike))
        arrays: dict[tuple[Path, str], list[int]] = defaultdict(list)
        for number, record in alike.items():
            arrays[record.array, record.fields.get(self.key, "") if self.key else ""].append(number)
        for numbers in arrays.values():
            series = {series_of[name] for number in numbers for name in self.linked.get(number, ())}
            if not series and any(_is_in(alike[number], known) for number in numbers):
                continue  # they came, under an address that does not say which is which
            if not series:
                found.absent.append((_label(alike[numbers[0]]), len(numbers)))
            elif len(series) == 1:
                found.counts[series.pop()] = len(numbers)
            else:
                _split(found, alike, numbers, self.linked, series_of)
        return found

    def _lists_series(self, series_of: Mapping[str, str]) -> bool:
        """Whether its entries are series: not if two of them led to images of one series."""
        owners = [{series_of[name] for name in names} for names in self.linked.values()]
        if any(len(series) > 1 for series in owners) or len(set().union(*owners)) < len(owners):
            return False
        several = any(len(names) > 1 for names in self.linked.values())
        return self.is_of_series or several or _counts_images(self.group)


def _is_in(record: Record, known: set[str]) -> bool:
    return any(len(record.fields[name]) >= SHORTEST and record.fields[name] in known for name in record.own)


def _add(best: Expected, more: Expected) -> None:
    """The most that any list says; the same is in several lists, and is not added up."""
    for series, count in more.counts.items():
        best.counts[series] = max(best.counts.get(series, 0), count)
    most = max((best, more), key=lambda some: (len(some.absent), sum(count or 0 for _, count in some.absent)))
    best.absent, best.entries = most.absent, most.entries


def _is_of_studies(group: Sequence[Record]) -> bool:
    """Whether a list is one of examinations: other ones are not expected."""
    steps = [step for step in group[0].shape if isinstance(step, str) and step != "*"]
    return bool(steps) and _OF_STUDIES.search(steps[-1]) is not None


def _split(
    found: Expected,
    alike: Mapping[int, Record],
    numbers: Sequence[int],
    linked: Mapping[int, set[str]],
    series_of: Mapping[str, str],
) -> None:
    """Divide one list of several series' images by the field that distinguishes the series."""
    owners = {number: series_of[next(iter(linked[number]))] for number in numbers if linked.get(number)}
    for name in sorted(alike[numbers[0]].own):
        pairs = {(alike[number].fields.get(name, ""), series) for number, series in owners.items()}
        values = {value for value, _ in pairs}
        if len(values) == len(pairs) == len({series for _, series in pairs}):
            meant = dict(pairs)
            sizes = Counter(alike[number].fields.get(name, "") for number in numbers)
            for value, size in sizes.items():
                if value in meant:
                    found.counts[meant[value]] = size
                else:
                    found.absent.append((value, size))
            return
    if len(numbers) > len(owners):
        found.absent.append(("", len(numbers) - len(owners)))


def _is_alike(record: Record, ours: Iterable[Record], study: str) -> bool:
    """Whether an entry may be of the examination that the others are of, by what the list itself says of it."""
    if any(
        isinstance(step, str) and re.search(r"prior|histor|previous|earlier", step, re.IGNORECASE)
        for step in record.place
    ):
        return False
    for name, value in record.fields.items():
        mine = {item.fields[name] for item in ours if name in item.fields}
        if len(mine) == 1 and value not in mine and (mine == {study} or _STUDY_FIELD.search(name)):
            return False
    return True


def _counts_images(group: Sequence[Record]) -> bool:
    """Whether each entry says how many images it has."""
    return len(group) > 1 and all(any(_is_count(name, record.fields[name]) for name in record.own) for record in group)


def _is_count(name: str, value: str) -> bool:
    return (
        COUNT.search(name) is not None and value.isdecimal() and not name.lower().endswith(("size", "length", "files"))
    )


def _count(record: Record) -> int | None:
    counts = [int(record.fields[name]) for name in sorted(record.own) if _is_count(name, record.fields[name])]
    return counts[0] if len(counts) == 1 else None


def _label(record: Record) -> str:
    """What an entry is known by: its longest own value that is an id."""
    return max((record.fields[name] for name in record.own if "/" not in record.fields[name]), key=len, default="")


class _Index:
    """Which entry of which list a word stands in, and what else stands beside it."""

    def __init__(self, manifests: Sequence[Manifest], exchanges: Sequence[Exchange]) -> None:
        every = templates.groups(manifests, templates.records)
        # one index alone is an answer's number among those of its call: no array
        found = [(url, group) for url, group in every if len(group) > 1 and group[0].shape.count("*") > 1]
        self.groups = [group for _, group in found]
        self._places: dict[str, set[_Place]] = defaultdict(set)
        self._named: dict[str, set[_Place]] = defaultdict(set)
        self._beside: dict[str, set[str]] = defaultdict(set)
        self._urls = [url for url, _ in found]
        self._asked = _asked_with(manifests, exchanges)
        before: dict[str, set[str]] = {}
        for number, (url, group) in enumerate(found):
            if url not in before:
                before[url] = _asked_before(url, exchanges)
            self._read(number, group, before[url], url)
        for manifest in manifests:
            for value, other in _pairs(manifest.value):
                self._beside[urljoin(manifest.url, value)].add(other)

    def _read(self, number: int, group: Sequence[Record], before: set[str], url: str) -> None:
        """The values that tell the entries of one shape apart, and that no request had before the list came."""
        for name in {name for record in group for name in record.own}:
            column = Counter(record.fields[name] for record in group if name in record.own)
            is_name = (
                len(column) == len(group)
                and _NAME.search(name) is not None
                and all(len(item.own) > 1 for item in group)
            )
            for place, record in enumerate(group):
                value = record.fields.get(name, "") if name in record.own else ""
                if len(value) >= SHORTEST and column[value] == 1 and value not in before:
                    self._places[value].add((number, place))
                    if "/" in value:
                        self._places[urljoin(url, value)].add((number, place))
                if is_name and len(value) > 1:
                    self._named[value.strip()].add((number, place))

    def entries(self, image: Image) -> tuple[set[_Place], set[_Place]]:
        """The entries of lists that an image is of; those that its series is of, by name or by what its list was asked with."""
        words = _words(image.text)
        for asked in (*image.text.partition(SENT)[::2], *image.text.split()):
            words |= self._beside.get(asked, set()) | {asked}
        inner = {place for word in words for place in self._places.get(word, ())}
        outer = set(self._places.get(image.series, ()))
        for number, place in inner:
            record = self.groups[number][place]
            for value in record.fields.values():  # what stands around it, or is named by it
                above = self._places.get(value, set())
                outer |= {item for item in above if item[0] != number and _named_by(self._at(item), record)}
            answer = record.place[0]
            for word in self._asked.get((self._urls[number], answer), ()):
                outer |= self._places.get(word, set())
        outer |= self._named.get(image.description, set()) if image.description else set()
        return inner - outer, outer

    def _at(self, place: _Place) -> Record:
        return self.groups[place[0]][place[1]]


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
        found[call, numbers[call]] = _words(asked)
        numbers[call] += 1
        seen[manifest.url] += 1
    return found


def _asked_before(call: str, exchanges: Sequence[Exchange]) -> set[str]:
    """Words of the requests before a call was answered, and of its own request: they can't come from its reply."""
    found: set[str] = set()
    for exchange in exchanges:
        found |= _words(asked_by(exchange) if exchange.method else exchange.url)
        if exchange.url.partition("?")[0] == call:
            break
    return found


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


def _words(text: str) -> set[str]:
    plain = text[:MAX_TEXT]
    found = set(_WORD.findall(plain))
    if "%" in plain:
        found |= set(_WORD.findall(unquote(plain)))
    return found | {word.rpartition(".")[0] for word in found if "." in word}
