"""Recognise the fields of a list that count images, and those that show that its entries are studies."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from scraper.capture.infer.counted import PLACES
from scraper.capture.infer.templates import Record, Rule, records
from scraper.capture.observe.received import Manifest

COUNT: Final = re.compile(
    r"^(image|img|inst(ance)?|slice|frame|file|pic(ture)?|object|obj|sop|dcm|dicom)s?_?(count|cnt|num|total|amount|quantity)s?$"
    r"|^(count|cnt|total|amount|quantity)(of)?_?(image|img|inst|slice|frame|file|pic|object|sop)?\w*$"
    r"|^(number|num|no)_?of_?(series_?related_?)?(image|inst|slice|frame|file|pic|object)\w*$",
    re.IGNORECASE,
)
EARLIER: Final = re.compile(r"prior|histor|previous|earlier", re.IGNORECASE)  # arrays of other examinations
# The first such word of a name decides: what fits behind a later one fits behind it, too, so nothing is tried twice.
STUDY_DATE: Final = re.compile(r"(?<!\w)(?>\w*?(?:study|exam|check|report|apply))\w*?(?:date|time)$", re.IGNORECASE)
STUDY_KEY: Final = re.compile(
    r"^(?!.*(?:series|image|inst|object))(?:.*[^\w\n])?+(?>\w*?(?:study|exam|check|access|patient|apply))"
    r"\w*?(?:id|no|num|number|code|key)$",
    re.IGNORECASE,
)
_FRAMES: Final = re.compile(r"frame", re.IGNORECASE)  # those of one image
_PLACE: Final = re.compile(r"(num|number|no)$", re.IGNORECASE)  # an image's own number, where they run on
MOST_DIGITS: Final = 9  # of a count


def parse_count(value: str) -> int | None:
    """A whole number written in digits; None for any other text."""
    return int(value) if value.isdecimal() and len(value) <= MOST_DIGITS else None


def is_of_studies(entries: Sequence[Record]) -> bool:
    """Whether the entries of one list differ in what distinguishes studies."""
    names = {name for entry in entries for name in entry.own}
    keys = {name for name in names if STUDY_KEY.search(name) or STUDY_DATE.search(name)}
    return any(len({entry.fields.get(name) for entry in entries}) > 1 for name in keys)


def tallies(manifests: Sequence[Manifest]) -> Iterator[list[int]]:
    """What lists state of each of their entries, an array each: how many images a series has, perhaps; no lists of studies."""
    for manifest in manifests:
        arrays: dict[tuple[str | int, ...], list[Record]] = defaultdict(list)
        for record in records(manifest.value):
            arrays[record.array].append(record)
        for array in arrays.values():
            names = {name for record in array for name in record.own}
            if is_of_studies(array):
                continue
            for name in sorted(name for name in names if COUNT.search(name)):
                counts = [parse_count(record.fields.get(name, "")) for record in array]
                if None not in counts:
                    yield [count for count in counts if count]
                    break


def falls_short(rule: Rule) -> bool:
    """Whether a rule gives one image for each entry of a list whose entries say that they have several."""
    entries = [record for record in rule.records.values() if not PLACES & record.own]
    for name in sorted({name for record in entries for name in record.own}):
        if not COUNT.search(name) or _FRAMES.search(name):
            continue
        counts = [parse_count(record.fields[name]) for record in entries if name in record.own]
        numbers = sorted(count for count in counts if count is not None)
        if len(numbers) < len(counts):
            continue
        is_place = _PLACE.search(name) is not None and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        if numbers[-1] > 1 and not is_place:
            return True
    return False
