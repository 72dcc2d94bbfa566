"""What lists state of the objects that came: the matrix of each, and how many images there are of all."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from scraper.capture.infer.models import RequestModel
from scraper.capture.infer.tallies import parse_count
from scraper.capture.infer.templates import ENCLOSING, Record, records
from scraper.capture.observe.received import Manifest
from scraper.capture.observe.recognise import DicomObject
from scraper.core.counts import IMAGES_OF_ALL

_ROWS: Final = re.compile(r"(image|img|pixel|pic)?_?(rows?|height|hei|h)", re.IGNORECASE)
_COLUMNS: Final = re.compile(r"(image|img|pixel|pic)?_?(columns?|cols?|width|wid|w)", re.IGNORECASE)
_SLACK: Final = 0.02  # of the sides' ratio: a reduced side is rounded


def reduced(
    manifests: Sequence[Manifest], model: RequestModel | None, objects: Mapping[str, DicomObject]
) -> frozenset[str]:
    """SOP Instance UIDs of which a list states a larger matrix than came, of the same shape; another shape is of something else.

    A reduced copy can be a sound DICOM object in itself; only the list says that the image is larger.
    """
    found = set[str]()
    for uid, record in _of_objects(manifests, model, objects):
        rows, columns = _stated(record, _ROWS), _stated(record, _COLUMNS)
        head = objects[uid].header
        if not (rows and columns and head.rows and head.columns) or rows <= head.rows or columns <= head.columns:
            continue
        if abs(rows * head.columns / (columns * head.rows) - 1) <= _SLACK:
            found.add(uid)
    return frozenset(found)


def images_of_all(manifests: Sequence[Manifest], model: RequestModel | None, objects: Mapping[str, DicomObject]) -> int:
    """How many images a list says, around the arrays of the objects that came, that there are of all; 0 where it does not."""
    stated: dict[str, set[int]] = defaultdict(set)
    for _, record in _of_objects(manifests, model, objects):
        for name, value in record.fields.items():
            if name not in record.own and IMAGES_OF_ALL.fullmatch(name.removeprefix(ENCLOSING)):
                stated[name].add(parse_count(value) or 0)
    return max((max(values) for values in stated.values() if len(values) == 1), default=0)


def _of_objects(
    manifests: Sequence[Manifest], model: RequestModel | None, objects: Mapping[str, DicomObject]
) -> Iterator[tuple[str, Record]]:
    """Entries of lists with the object that each stands for, by its UID or by the request that was made of it."""
    for manifest in manifests:
        for record in records(manifest.value):
            uid = next((value for name in record.own if (value := record.fields[name]) in objects), "")
            if uid:
                yield uid, record
    if model is not None:
        for address, record in model.rule.records.items():
            if (uid := model.replies.get(address, "")) in objects:
                yield uid, record


def _stated(record: Record, side: re.Pattern[str]) -> int | None:
    names: Iterable[str] = (name for name in record.fields if side.fullmatch(name))
    return max((count for name in names if (count := parse_count(record.fields[name]))), default=None)
