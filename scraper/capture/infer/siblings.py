"""Expect the other entries of a list if a value of one of them is in the request or response of a received image.

The list need not name UIDs. The requests may differ otherwise (signed addresses, one-time tickets): the value was in the list
first, and then in the image's request. An array of images shows how many a series has; a list of series shows that there are
more, and their counts how many images each has. A value that requests had before the list came proves less: such a list is
held against the images only where it shows by itself that it is one of series, or of images.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from scraper.capture.infer import tallies
from scraper.capture.infer.counted import COUNT
from scraper.capture.infer.list_index import (
    IMAGES,
    SHORTEST,
    UNNAMED,
    EntryGroup,
    KnownImage,
    ListIndex,
    naming_field,
    words,
)
from scraper.capture.infer.templates import Path, Record
from scraper.capture.observe.received import Manifest
from scraper.session.browser.traffic import Exchange

_SERIES: Final = re.compile(r"series|xulie|xl\b|序列", re.IGNORECASE)
_PARTS: Final = re.compile(r"series|im(a?g|age)|inst|slice|影像|图|序列", re.IGNORECASE)  # of a study: ``reportImages``
_OF_STUDIES: Final = re.compile(
    r"stud(y|ies)|exam|check|report|prior|histor|previous|earlier|patient|visit|检查|历史", re.IGNORECASE
)
_STUDY_FIELD: Final = re.compile(
    r"^(?!.*(?:series|image|inst|object))(?:.*[^\w\n])?+(?>\w*?(?:study|exam|check|access|patient|apply|report))"
    r"\w*?(?:id|no|num|number|code|key|date|time)$",  # as STUDY_KEY: the first such word decides
    re.IGNORECASE,
)

# The values by which an entry of a list may be known, and how many images it says it has.
Absent = tuple[frozenset[str], int | None]


@dataclass(slots=True)
class ExpectedImages:
    """What one list makes expected: more than came, or what came.

    Attributes:
        counts: Series Instance UID → how many images it should have.
        absent: the entries of which nothing came.
        entries: how many it has.
        is_late: requests had its values before it came.
    """

    counts: dict[str, int] = field(default_factory=dict)
    absent: list[Absent] = field(default_factory=list)
    entries: int = 0
    is_late: bool = False

    @property
    def is_sure(self) -> bool:
        """Whether each absent entry has a value of its own that came with the list, and that no image was asked with."""
        return not self.is_late and all(values for values, _ in self.absent)


def expected(
    manifests: Sequence[Manifest], exchanges: Sequence[Exchange], found: Sequence[KnownImage], study: str = ""
) -> list[ExpectedImages]:
    """What each list makes expected in which values of some images stand.

    Args:
        manifests: the lists that the viewer received.
        exchanges: everything that the window received, in order.
        found: the images that came, or are asked for.
        study: theirs.
    """
    index, images = ListIndex(manifests, exchanges), _Images(found)
    lists = _late(index, images) | _linked(index, found)  # what is late counts where nothing better is known of a list
    return [item.expected(images, study) for _, item in sorted(lists.items()) if not item.is_of_studies]


def counts_of(lists: Iterable[ExpectedImages]) -> dict[str, int]:
    """The largest count of each series; the same is in several lists, and is not added up."""
    counts: dict[str, int] = {}
    for item in lists:
        for series, count in item.counts.items():
            counts[series] = max(counts.get(series, 0), count)
    return counts


class _Images:
    """The images that came or are asked for, how many came of each series, and every word in their requests and answers."""

    def __init__(self, found: Sequence[KnownImage]) -> None:
        self._series_of = {image.name: image.series for image in found}
        self.received = [image for image in found if image.is_received]
        self.came = Counter(image.series for image in self.received)
        self.names = {name for image in self.received for name in (image.description, image.series) if name}
        self.words = {word for image in found for word in (*words(image.text), *image.text.split())}

    def series(self, names: Iterable[str]) -> set[str]:
        """Of which series they are; arrays whose series is not known yet count where no image came of them."""
        every = {self._series_of[name] for name in names}
        return {series for series in every if not series.startswith(UNNAMED)} or every


def _linked(index: ListIndex, found: Sequence[KnownImage]) -> dict[int, _List]:
    """The lists whose entries led to images: the value came with the list, and then it was in a request."""
    lists: dict[int, _List] = {}
    for image in found:
        inner, outer = index.entries(image)
        for number, place in inner | outer:
            item = lists.setdefault(number, _List(index.groups[number]))
            item.linked[place].add(image.name)
            item.is_of_series = item.is_of_series or (number, place) in outer
        for number, place in inner:
            for above, at in inner | outer:
                if above != number:
                    entries = index.groups[above].entries, index.groups[number].entries
                    if name := naming_field(entries[0][at], entries[1][place]):
                        lists[above].is_of_series = True
                        lists[number].key = name
    return lists


def _late(index: ListIndex, images: _Images) -> dict[int, _List]:
    """Lists by the field that most images have a value of, although requests had these values before the list came."""
    columns: dict[int, dict[str, dict[int, set[str]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
    for image in images.received:
        for number, name, place in index.columns(image):
            columns[number][name][place].add(image.name)
    lists: dict[int, _List] = {}
    for number, fields in columns.items():
        name, linked = max(sorted(fields.items()), key=lambda item: len(item[1]))
        item = _List(index.groups[number], linked, is_late=True)
        if item.is_earlier or tallies.is_of_studies([entry for entry in item.entries if name in entry.own]):
            continue
        item.is_of_series = item.looks_like_series or all(
            item.entries[place].fields[name] in images.names for place in linked
        )
        if item.is_of_series or item.looks_like_images:
            lists[number] = item
    return lists


@dataclass(slots=True)
class _List:
    """The entries of one shape; which of them images came under; the field that names their series, where one does."""

    group: EntryGroup
    linked: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    is_of_series: bool = False
    key: str = ""
    is_late: bool = False

    @property
    def entries(self) -> Sequence[Record]:
        """All of them."""
        return self.group.entries

    @property
    def is_of_studies(self) -> bool:
        """Whether a list is one of examinations: other ones are not expected."""
        steps = [step for step in self.entries[0].shape if isinstance(step, str) and step != "*"]
        return bool(steps) and _OF_STUDIES.search(steps[-1]) is not None and not _PARTS.search(steps[-1])

    @property
    def is_earlier(self) -> bool:
        """Whether it is called one of earlier examinations."""
        return any(tallies.EARLIER.search(str(step)) for step in self.entries[0].shape)

    @property
    def looks_like_series(self) -> bool:
        """Whether its entries have counts or lists of their own, or are called series."""
        first = self.entries[0]
        named = (*first.shape, *first.own, *(first.fields[name][:40] for name in first.own))
        return any(self.group.count(entry) is not None for entry in self.entries[:50]) or any(
            _SERIES.search(str(step)) for step in named
        )

    @property
    def looks_like_images(self) -> bool:
        """Whether each of its entries led to an image of its own, a single one only where it is called a list of images."""
        names = [name for some in self.linked.values() for name in some]
        steps = [str(step) for step in self.entries[0].shape if step != "*"]
        is_called_images = bool(steps) and IMAGES.search(steps[-1]) is not None
        return len(names) == len(set(names)) == len(self.linked) and (len(names) > 1 or is_called_images)

    def expected(self, images: _Images, study: str) -> ExpectedImages:
        """What they make expected; an entry of which a value is in some request or answer is not absent."""
        ours = [self.entries[number] for number in self.linked]
        shared = {value for record in ours for value in record.fields.values()}
        ids = {number: _ids(record) - shared for number, record in enumerate(self.entries)}
        alike = {
            number: record
            for number, record in enumerate(self.entries)
            if number in self.linked or _is_alike(record, ours, study)
        }
        if self._lists_series(images):
            return self._expected_series(alike, ids, images)
        arrays: dict[tuple[Path, str], list[int]] = defaultdict(list)
        for number, record in alike.items():
            arrays[record.array, record.fields.get(self.key, "") if self.key else ""].append(number)
        found = ExpectedImages(entries=len(arrays) if self.is_late else len(alike), is_late=self.is_late)
        if len(alike) == 1:
            return found  # a single image proves nothing
        for numbers in arrays.values():
            series = images.series(name for number in numbers for name in self.linked.get(number, ()))
            there = sum(number in self.linked for number in numbers)
            if not series and any(ids[number] & images.words for number in numbers):
                continue  # they came, under an address that does not say which is which
            if self.is_late and any(images.came[uid] > there for uid in series):
                continue  # some of it came without an entry: the list is of something else
            if not series:
                found.absent.append((ids[numbers[0]], len(numbers)))
            elif len(series) == 1:
                if not self.is_late or len(numbers) > 1:  # one entry proves nothing
                    found.counts[series.pop()] = len(numbers)
            else:
                _split(found, alike, numbers, self.linked, images)
        return found

    def _expected_series(
        self, alike: Mapping[int, Record], ids: Mapping[int, frozenset[str]], images: _Images
    ) -> ExpectedImages:
        """What entries that are a series each make expected; counts that what came speaks against are none."""
        owners = {number: images.series(names).pop() for number, names in self.linked.items()}
        counts = {number: self.group.count(record) for number, record in alike.items()}
        is_count = all((counts[number] or 0) >= images.came[series] for number, series in owners.items())
        is_stated = any(count is not None for count in counts.values())
        found = ExpectedImages(entries=len(alike), is_late=self.is_late)
        if is_count and not self.is_earlier and not tallies.is_of_studies(self.entries):
            found.counts = {series: count for number, series in owners.items() if (count := counts[number]) is not None}
        for number, record in alike.items():
            stated = counts[number] if is_stated else _count(record)
            if number not in self.linked and not ids[number] & images.words and stated != 0:
                found.absent.append((ids[number], stated if is_count or not is_stated else None))
        return found

    def _lists_series(self, images: _Images) -> bool:
        """Whether its entries are series: not if two of them led to images of one series."""
        owners = [images.series(names) for names in self.linked.values()]
        if any(len(series) > 1 for series in owners) or len(set().union(*owners)) < len(owners):
            return False
        several = any(len(names) > 1 for names in self.linked.values())
        return self.is_of_series or several or self._counts_images()

    def _counts_images(self) -> bool:
        """Whether each entry says how many images it has."""
        if len(self.entries) == 1:
            return self.group.count(self.entries[0]) is not None
        return all(any(_is_count(name, record.fields[name]) for name in record.own) for record in self.entries)


def _split(
    found: ExpectedImages,
    alike: Mapping[int, Record],
    numbers: Sequence[int],
    linked: Mapping[int, set[str]],
    images: _Images,
) -> None:
    """Divide one list of several series' images by the field that distinguishes the series."""
    owners = {number: images.series(linked[number]).pop() for number in numbers if linked.get(number)}
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
                    found.absent.append((frozenset((value,)), size))
            return
    if len(numbers) > len(owners):
        found.absent.append((frozenset(), len(numbers) - len(owners)))


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


def _is_count(name: str, value: str) -> bool:
    is_named = COUNT.search(name) is not None and not name.lower().endswith(("size", "length", "files"))
    return is_named and tallies.parse_count(value) is not None


def _count(record: Record) -> int | None:
    counts = [int(record.fields[name]) for name in sorted(record.own) if _is_count(name, record.fields[name])]
    return counts[0] if len(counts) == 1 else None


def _ids(record: Record) -> frozenset[str]:
    """The values by which an entry may be known: its own, and long ones alone; a number is anybody's."""
    return frozenset(record.fields[name] for name in record.own if len(record.fields[name]) >= SHORTEST)
