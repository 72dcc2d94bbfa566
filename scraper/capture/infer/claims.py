"""Expect all entries of a list if the request or response of a received image contains a value of one of them.

The list need not name UIDs: an id in an image's request, or a Series Description, is enough to know what the list is of.
Then every other entry of it is a series, or an image, that should have been received.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from scraper.capture.infer.counted import PLACES
from scraper.capture.infer.tallies import COUNT, EARLIER, is_of_studies
from scraper.capture.infer.templates import Path, Record, Rule, records
from scraper.capture.observe.received import SENT, Manifest
from scraper.core.model import Header

SHORTEST: Final = 6  # characters of an id; a shorter one stands in any request by chance
MAX_ASKED: Final = 20_000  # characters of a request that are looked at
_WORD: Final = re.compile(r"[\w.\-]+")
_STEM: Final = re.compile(r"([\w\-]++)(\.[A-Za-z]\w{1,4}(?![\w.]))?")  # of a file's name, where an ending follows
_IMAGES: Final = re.compile(r"im(a?g|age)|inst|slice|file|pic|object|sop|frame|list|items|urls|影像|图", re.IGNORECASE)
_FRAMES: Final = re.compile(r"frame", re.IGNORECASE)  # those of one image
_PLACE: Final = re.compile(r"(num|number|no)$", re.IGNORECASE)  # an image's own number, where they run on
_SERIES: Final = re.compile(r"series|xulie|xl\b|序列", re.IGNORECASE)


@dataclass(slots=True)
class Claims:
    """What such lists say.

    Attributes:
        counts: Series Instance UID -> how many instances the list says it has.
        absent: for each entry of which nothing came: its own values, and its count where the list states one.
        entries: of the longest list that any of these stand in.
    """

    counts: dict[str, int] = field(default_factory=dict)
    absent: list[tuple[frozenset[str], int | None]] = field(default_factory=list)
    entries: int = 0


def claims(manifests: Sequence[Manifest], sources: Mapping[str, str], heads: Mapping[str, Header]) -> Claims:
    """What the lists claim of the study that the images are of.

    Args:
        manifests: what the viewer received.
        sources: what was asked -> the SOP Instance UID that came for it.
        heads: SOP Instance UID -> header, of what came of the study.
    """
    index, found = _index(sources, heads), Claims()
    if not heads:
        return found
    for manifest in manifests:
        everything = list(records(manifest.value))
        lengths = Counter(record.array for record in everything)
        shapes: dict[Path, list[Record]] = defaultdict(list)
        for record in everything:
            shapes[record.shape].append(record)
        below = _below(lengths)
        covered: set[Path] = set()  # entries that stand for a series: what they hold is not missing besides
        for shape, group in sorted(shapes.items(), key=lambda item: len(item[0])):
            if not any(EARLIER.search(str(step)) for step in shape):
                _read(_List(group, below, covered), index, heads, found)
    return found


@dataclass(frozen=True, slots=True)
class _List:
    """Entries of one shape, and how many images an array below each of them lists.

    ``names_series``: what tells them apart is what the data call their series.
    """

    entries: Sequence[Record]
    below: Mapping[Path, int]
    covered: set[Path]
    names_series: bool = False

    def count(self, entry: Record) -> int | None:
        """How many images an entry states, or lists below it; None where neither."""
        for name in sorted(name for name in entry.own if COUNT.search(name)):
            if entry.fields[name].isdecimal():
                return int(entry.fields[name])
        return self.below.get(entry.place)

    def looks_like_series(self) -> bool:
        """Whether its entries have counts or lists of their own, or are called series."""
        if self.names_series:
            return True
        first = self.entries[0]
        named = (*first.shape, *first.own, *(first.fields[name][:40] for name in first.own))
        return any(self.count(entry) is not None for entry in self.entries[:50]) or any(
            _SERIES.search(str(step)) for step in named
        )


def falls_short(rule: Rule) -> bool:
    """Whether a rule gives one image for each entry of a list whose entries say that they have several."""
    records = [record for record in rule.records.values() if not PLACES & record.own]
    for name in sorted({name for record in records for name in record.own}):
        if not COUNT.search(name) or _FRAMES.search(name):
            continue
        values = [record.fields[name] for record in records if name in record.own]
        if not all(value.isdecimal() for value in values):
            continue
        numbers = sorted(int(value) for value in values)
        is_place = _PLACE.search(name) is not None and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        if numbers[-1] > 1 and not is_place:
            return True
    return False


def _below(lengths: Mapping[Path, int]) -> dict[Path, int]:
    """An entry's place -> the length of the longest array of images that stands in it."""
    found: dict[Path, int] = {}
    for place, length in lengths.items():
        if place and _IMAGES.search(str(place[-1])):
            last = max((at for at, step in enumerate(place) if isinstance(step, int)), default=-1)
            owner = place[: last + 1]
            found[owner] = max(length, found.get(owner, 0))
    return found


def _index(sources: Mapping[str, str], heads: Mapping[str, Header]) -> dict[str, set[str]]:
    """A value -> the SOP Instance UIDs of the images in whose request or answer it stands."""
    found: dict[str, set[str]] = defaultdict(set)
    for asked, uid in sources.items():
        if uid in heads:
            for value in _values(asked[:MAX_ASKED]):
                found[value].add(uid)
    for uid, head in heads.items():
        for value in (uid, head.series_instance_uid, head.series_description):
            if len(value) >= SHORTEST or value == head.series_description != "":
                found[value].add(uid)
    return found


def _values(asked: str) -> Iterator[str]:
    """Everything that may be an id in one request: parts of its address, values of its query, of its JSON, words of its text."""
    url, _, body = asked.partition(SENT)
    parts = urlsplit(url)
    found = {unquote(step) for step in parts.path.split("/")} | {value for _, value in parse_qsl(parts.query)}
    found |= set(_WORD.findall(unquote(parts.path + " " + parts.query + " " + parts.fragment)))
    found |= {stem for stem, ending in _STEM.findall(unquote(parts.path)) if ending}
    found |= {value for _, value in parse_qsl(body)} | set(_WORD.findall(unquote(body)))
    if body[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
            found |= set(_leaves(json.loads(body)))
    return (value for value in found if len(value) >= SHORTEST)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, (str, int)) and not isinstance(value, bool):
        yield str(value)


def _read(listed: _List, index: Mapping[str, set[str]], heads: Mapping[str, Header], found: Claims) -> None:
    """What one list claims; nothing, where none of its fields tells its entries apart by images that came."""
    entries, best, field_name = listed.entries, dict[Path, set[str]](), ""
    for name in sorted({name for entry in entries for name in entry.own}):
        column = [entry for entry in entries if name in entry.own]
        values = [entry.fields[name] for entry in column]
        if len(set(values)) < len(values):
            continue  # it does not tell them apart
        hit = {entry.place: index[entry.fields[name]] for entry in column if entry.fields[name] in index}
        if len(hit) > len(best):
            best, field_name = hit, name
    column = [entry for entry in entries if field_name in entry.own]
    if not best or is_of_studies(column):
        return
    names = {text for head in heads.values() for text in (head.series_description, head.series_instance_uid) if text}
    listed = replace(
        listed, names_series=all(entry.fields[field_name] in names for entry in column if entry.place in best)
    )
    if listed.looks_like_series() or any(len(uids) > 1 for uids in best.values()):
        _of_series(listed, column, best, heads, found)
    elif len(set().union(*best.values())) >= len(best):
        _of_images(listed, column, best, heads, found)


def _of_series(
    listed: _List, column: Sequence[Record], hit: Mapping[Path, set[str]], heads: Mapping[str, Header], found: Claims
) -> None:
    owners = {place: {heads[uid].series_instance_uid for uid in uids} for place, uids in hit.items()}
    if any(len(series) > 1 for series in owners.values()) or not listed.looks_like_series():
        return  # entries above the series, or of which that is not known
    came: dict[str, int] = defaultdict(int)
    for head in heads.values():
        came[head.series_instance_uid] += 1
    counts = {entry.place: listed.count(entry) for entry in column}
    is_count = all((counts[place] or 0) >= came[next(iter(series))] for place, series in owners.items())
    listed.covered.update(entry.place for entry in column)
    found.entries = max(found.entries, len(column))
    for entry in column:
        count = counts[entry.place] if is_count else None
        if entry.place in owners:
            series = next(iter(owners[entry.place]))
            if count is not None:
                found.counts[series] = max(count, found.counts.get(series, 0))
        elif counts[entry.place] != 0:
            found.absent.append((_own(entry), count))


def _of_images(
    listed: _List, column: Sequence[Record], hit: Mapping[Path, set[str]], heads: Mapping[str, Header], found: Claims
) -> None:
    """Entries that are an image each: those of one array are one series', where only one came of it."""
    arrays: dict[Path, list[Record]] = defaultdict(list)
    for entry in column:
        arrays[entry.array].append(entry)
    found.entries = max(found.entries, len(arrays))
    for group in arrays.values():
        series = {heads[uid].series_instance_uid for entry in group for uid in hit.get(entry.place, ())}
        if len(series) == 1:
            uid, there = series.pop(), sum(entry.place in hit for entry in group)
            if sum(head.series_instance_uid == uid for head in heads.values()) > there:
                continue  # some of it came without an entry: the list is of something else
            if there > 1 or len(group) > there:  # a single entry proves nothing
                found.counts[uid] = max(len(group), found.counts.get(uid, 0))
        elif not series and not any(group[0].array[:end] in listed.covered for end in range(len(group[0].array))):
            found.absent.append((frozenset().union(*map(_own, group)), len(group)))


def _own(entry: Record) -> frozenset[str]:
    """The values by which an entry may be known: long ones alone, a number is anybody's."""
    return frozenset(entry.fields[name] for name in entry.own if len(entry.fields[name]) >= SHORTEST)
