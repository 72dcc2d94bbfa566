"""Recognise the fields of a list that count images, and those that show that its entries are studies."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from scraper.capture.infer.templates import Record, records
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
                counts = [record.fields.get(name, "") for record in array]
                if all(count.isdecimal() for count in counts):
                    yield [int(count) for count in counts if int(count)]
                    break
