"""What an earlier run knew of a study: its series, how many instances each has, and what that was judged by.

A weaker run never overwrites it. A series, a count or an evidence of the earlier run gives way to stronger evidence alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from scraper.core.bounded_json import json_file
from scraper.core.evidence import Evidence, named
from scraper.core.model import Problem, Series

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)+")


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """One series of the earlier report. ``evidence`` None: the number of its instances is unknown."""

    uid: str
    number: int | None
    description: str
    modality: str
    expected: int | None
    saved: int
    evidence: Evidence | None

    @property
    def is_named(self) -> bool:
        """Whether it is known by its UID, and not only by a count."""
        return _UID.fullmatch(self.uid) is not None

    def as_series(self, study_instance_uid: str, saved: int) -> Series:
        """As a site would describe it; missing where nothing of it is there."""
        lost = () if saved or self.expected == 0 else (Problem("missing-series"),)
        return Series(
            study_instance_uid,
            self.uid if self.is_named else "",
            expected=self.expected,
            number=self.number,
            description=self.description,
            modality=self.modality,
            key="" if self.is_named else self.uid,
            problems=lost,
            evidence=self.evidence,
        )


@dataclass(frozen=True, slots=True)
class EarlierStudy:
    """What the report of an earlier run says. ``stated``: instances of the whole study, where that is more than its series'."""

    series: tuple[KnownSeries, ...] = ()
    stated: int | None = None


@dataclass(frozen=True, slots=True)
class Merged:
    """What this run and earlier ones know together; ``stated`` as for ``EarlierStudy``."""

    series: list[Series]
    expected: dict[str, int | None]
    stated: int | None = None


def read(report: Path) -> EarlierStudy:
    """Read what a ``study.json`` records; empty if it is not a report."""
    try:
        document = json_file(report)
        series = tuple(_read(row) for row in document["series"])
        total = document["instances"]["expected"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return EarlierStudy()
    known = sum(max(item.expected or 0, item.saved) for item in series)
    is_more = isinstance(total, int) and total > known
    return EarlierStudy(series, total if is_more else None)


def _read(row: Mapping[str, Any]) -> KnownSeries:
    expected = row["expected"] if isinstance(row["expected"], int) else None
    evidence = named(row.get("evidence"))
    if evidence is None:
        codes = {problem["code"] for problem in row["problems"]}
        evidence = next((item for item in Evidence if item.code in codes), None)
    if evidence is None and expected is not None:
        evidence = Evidence.SERVICE  # the provider's own list
    number = row["number"] if isinstance(row["number"], int) else None
    return KnownSeries(
        str(row["uid"]), number, str(row["description"]), str(row["modality"]), expected, int(row["saved"]), evidence
    )


def merge(
    known: EarlierStudy,
    series: Sequence[Series],
    expected: Mapping[str, int | None],
    uid_of: Mapping[str, str],
    saved: Mapping[str, int],
) -> Merged:
    """What this run announced, and what an earlier one knew beyond it.

    Args:
        known: of the earlier run.
        series: as this run's site describes them.
        expected: Series Instance UID -> how many instances this run knows of.
        uid_of: a series' name at the site → the Series Instance UID in its files.
        saved: Series Instance UID -> how many instances are there, those of earlier runs among them.
    """
    found, counts = list(series), dict(expected)
    place_of = {uid_of.get(item.name, item.name): place for place, item in enumerate(found)}
    study = next((item.study_instance_uid for item in found if item.study_instance_uid), "")
    weakest = min((_strength(item, expected) for item in series), default=0)
    for item in known.series:
        if not item.is_named:
            continue
        place, there = place_of.get(item.uid), saved.get(item.uid, 0)
        now = _strength(found[place], expected) if place is not None else 0
        if item.uid in counts and place is None and counts[item.uid] is not None:
            now = weakest  # a list that does not say whose its instances are
        if not _rules(item, counts.get(item.uid), now, there) or (not there and weakest > (item.evidence or 0)):
            continue
        counts[item.uid] = item.expected
        if place is None:
            found.append(item.as_series(study, there))
        else:
            found[place] = replace(found[place], evidence=item.evidence)
    found += _unnamed(known, study, counts, saved, weakest)
    now_known = sum(max(counts.get(uid) or 0, saved.get(uid, 0)) for uid in {*counts, *saved})
    is_stated = known.stated is not None and known.stated > now_known and weakest <= Evidence.USER
    for added in found[len(series) :]:
        counts.setdefault(added.name, added.expected)
    return Merged(found, counts, known.stated if is_stated else None)


def _strength(series: Series, expected: Mapping[str, int | None]) -> int:
    """How strong this run's evidence for a series is; a provider's own count is the site's list."""
    if series.evidence is not None:
        return int(series.evidence)
    is_counted = series.expected is not None or expected.get(series.name) is not None
    return int(Evidence.SERVICE) if is_counted else 0


def _rules(one: KnownSeries, expected: int | None, now: int, there: int) -> bool:
    """Whether what was known of a series is more, or better known, than what this run says."""
    before = int(one.evidence or 0)
    if one.expected is not None:
        if one.expected < there:
            return False  # more is there than was known
        return (one.expected > (expected or 0) and before >= now) or (before > now)
    is_same = there == one.saved
    return (is_same and before > now) or (there > 0 and now == 0 and expected is None and before > 0)


def _unnamed(
    known: EarlierStudy, study: str, counts: Mapping[str, int | None], saved: Mapping[str, int], weakest: int
) -> list[Series]:
    """Series that were only counted, as far as what is known by now does not reach their sum."""
    total = sum(max(series.expected or 0, series.saved) for series in known.series)
    left = total - sum(max(counts.get(uid) or 0, saved.get(uid, 0)) for uid in {*counts, *saved})
    found = []
    for series in sorted(known.series, key=lambda item: item.expected or 0, reverse=True):
        is_open = (
            not series.is_named
            and series.uid not in counts
            and series.expected
            and weakest <= int(series.evidence or 0)
        )
        if is_open and (series.expected or 0) <= left:
            left -= series.expected or 0
            found.append(series.as_series(study, 0))
    return found
