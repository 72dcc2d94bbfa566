"""What lists state of the objects that came: the matrix of each, and how many images there are of all."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scraper.capture.infer.models import RequestModel
from scraper.capture.infer.tallies import parse_count
from scraper.capture.infer.templates import Path, Record, records
from scraper.capture.observe.received import Manifest
from scraper.capture.observe.recognise import DicomObject
from scraper.core.counts import IMAGES_OF_ALL, stated_images
from scraper.core.model import Series

_UID: Final = re.compile(r"(?<![\d.])[0-2](?:\.\d+){4,}(?![\d.])")
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
    by_uid = (found for manifest in manifests for found in _of_uids(manifest, objects))
    for uid, record in (*by_uid, *_of_requests(model, objects)):
        rows, columns = _stated(record, _ROWS), _stated(record, _COLUMNS)
        head = objects[uid].header
        if not (rows and columns and head.rows and head.columns) or rows <= head.rows or columns <= head.columns:
            continue
        if abs(rows * head.columns / (columns * head.rows) - 1) <= _SLACK:
            found.add(uid)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many images lists count.

    Attributes:
        series: a series' name → its images, where a list counts those of several series.
        of_all: of all series together, or of the only one.
    """

    series: Mapping[str, int]
    of_all: int


def counted(
    manifests: Sequence[Manifest], model: RequestModel | None, found: Sequence[Series], came: Mapping[str, DicomObject]
) -> Counted:
    """What the lists count that name the images; whether a list counts a series shows in which images it names.

    Args:
        manifests: what the viewer received.
        model: how its requests follow from them.
        found: the study's series, with what is to be fetched.
        came: the objects.
    """
    series, of_all = dict[str, int](), 0
    planned = _planned(model, found)
    series_of = {item.sop_instance_uid: known.name for known in found for item in known.instances}
    series_of = {uid: item.header.series_instance_uid for uid, item in came.items()} | series_of
    series_of.pop("", None)
    for manifest in manifests:
        mine = {record.place: series_of[uid] for uid, record in _of_uids(manifest, series_of)} | planned
        counts = dict(_counts(manifest.value)) if mine else {}
        kinds = Counter(map(_shape, counts))
        around = {outer for place in counts for outer in _outer(place)}
        below: dict[Path, set[str]] = defaultdict(set)
        for at, name in mine.items():
            for place in counts.keys() & set(_outer(at)):
                below[place].add(name)
        for place, names in below.items():
            count = counts[place]
            if len(names) == 1 and kinds[_shape(place)] > 1 and place not in around:
                name = names.pop()
                series[name] = max(count, series.get(name, 0))
            else:
                of_all = max(of_all, count)
    return Counted(series, of_all)


def _planned(model: RequestModel | None, found: Sequence[Series]) -> dict[Path, str]:
    """Where the entries stand whose images are asked for by the model's rule → the name of the series that they are listed as."""
    names = {series.key: series.name for series in found}
    lists = enumerate(model.rule.addresses.values(), 1) if model else ()
    return {
        model.rule.records[address].place[1:]: names[key]  # the first step is the answer's number
        for place, addresses in lists
        if model and (key := f"list-{place}") in names
        for address in addresses
    }


def _outer(place: Path) -> Iterator[Path]:
    """The places of everything that stands around it."""
    return (place[:depth] for depth in range(len(place)))


def _shape(place: Path) -> Path:
    return tuple("*" if isinstance(step, int) else step for step in place)


def _counts(value: Any) -> Iterator[tuple[Path, int]]:
    """Where the objects of a list stand that say how many images they have, and what they say."""
    waiting: list[tuple[Path, Any]] = [((), value)]
    while waiting:
        place, item = waiting.pop()
        inner = item.items() if isinstance(item, Mapping) else enumerate(item) if isinstance(item, list) else ()
        waiting += [((*place, step), found) for step, found in inner if isinstance(found, (Mapping, list))]
        count = stated_images(item, IMAGES_OF_ALL) if isinstance(item, Mapping) else None
        if count is not None:
            yield place, count


def _of_uids(manifest: Manifest, objects: Container[str]) -> Iterator[tuple[str, Record]]:
    """Entries of a list with the object whose UID stands in each."""
    for record in records(manifest.value):
        texts = [record.fields[name] for name in record.own]
        uid = next((uid for text in texts for uid in _UID.findall(text) if uid in objects), "")
        if uid:
            yield uid, record


def _of_requests(model: RequestModel | None, objects: Container[str]) -> Iterator[tuple[str, Record]]:
    """Entries of a list with the object that came for the request that was made of each."""
    for address, record in model.rule.records.items() if model else ():
        if (uid := model.replies.get(address, "") if model else "") in objects:
            yield uid, record


def _stated(record: Record, side: re.Pattern[str]) -> int | None:
    names: Iterable[str] = (name for name in record.fields if side.fullmatch(name))
    return max((count for name in names if (count := parse_count(record.fields[name]))), default=None)
