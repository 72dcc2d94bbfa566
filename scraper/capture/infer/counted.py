"""Treat images that a list only counts as if it named them: one record for each position up to the stated count.

Some lists say of a series that it has 60 images, and the viewer asks for "the 5th of series 3". A place below a stated count is
what the list says there is; nothing beyond it is ever asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from scraper.capture.infer.templates import Record, records

FROM_0: Final = "\0from 0"
FROM_1: Final = "\0from 1"
INDEX: Final = "\0index"  # of the thing that is counted, among those of its list, from 0
PLACES: Final = frozenset((FROM_0, FROM_1))
MAX_COUNT: Final = 5000  # images of one series
MAX_PLACES: Final = 20_000  # of one list
COUNT: Final = re.compile(
    r"count|cnt|num|total|amount|quantity|qty|size|length|images|frames|slices|files|张|幅|帧|数", re.IGNORECASE
)
_NUMBER: Final = re.compile(r"\d{1,4}")
_ID: Final = re.compile(r"[\w.:-]{1,128}")


def places(value: Any, asked: Iterable[str], *, has_index: bool = False) -> Iterator[Record]:
    """A record for each position of each thing that a list counts, if some request contains the position's number.

    Args:
        value: the list.
        asked: the viewer's requests; a list none of whose places stands in any of them gives nothing.
        has_index: the records have ``INDEX``, too: functions of a page are called with it, requests hardly ever are.
    """
    numbers = {int(digits) for text in asked for digits in re.findall(r"(?<!\d)\d{1,4}(?!\d)", text)}
    left = MAX_PLACES
    for record in _entries(value):
        for name in sorted(record.own):
            count = _count(name, record.fields[name])
            if not 1 <= count <= min(MAX_COUNT, left) or not numbers & set(range(count + 1)):
                continue
            left -= count
            own = record.own | PLACES
            index = {INDEX: str(_index(record))} if has_index else {}
            for place in range(count):
                fields = {**record.fields, **index, FROM_0: str(place), FROM_1: str(place + 1)}
                yield Record(fields, own, (*record.place, name, place))


def _index(record: Record) -> int:
    return next(step for step in reversed(record.place) if isinstance(step, int))


def _entries(value: Any) -> Iterator[Record]:
    """The records of a list, and the rows of a table that has a count for each name: ``{"1.2.3": 60, "1.2.4": 7}``."""
    yield from records(value)
    yield from records(list(_tables(value)))


def _tables(value: Any) -> Iterator[list[dict[str, str]]]:
    waiting = [value]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, Mapping):
            inner = [item for item in entry.values() if isinstance(item, (Mapping, list))]
            waiting += inner
            counts = [_as_number(item) for item in entry.values()]
            if entry and not inner and all(counts) and all(_ID.fullmatch(str(name)) for name in entry):
                yield [{"name": str(name), "count": str(count)} for name, count in zip(entry, counts, strict=True)]
        elif isinstance(entry, list):
            waiting += [item for item in entry if isinstance(item, (Mapping, list))]


def _as_number(value: Any) -> int:
    """A whole number, or one in a text; else 0."""
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not _NUMBER.fullmatch(str(value)):
        return 0
    return int(value)


def _count(name: str, value: str) -> int:
    return int(value) if COUNT.search(name) and _NUMBER.fullmatch(value) else 0
