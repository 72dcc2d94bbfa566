"""The instances of a folder, series by series, in the order of the contract."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from scraper import assemble
from scraper.errors import CorruptInstance
from scraper.model import Header, Problem
from scraper.verify import find

_UNSAFE = re.compile(r"[^\w.\-]+")


@dataclass(frozen=True, slots=True)
class Listed:
    """One instance, and where it stands: ``series`` names its folder, ``index`` its place in it, from 1."""

    path: Path
    header: Header
    series: str
    index: int


def _folder(header: Header, taken: set[str]) -> str:
    number = f"{header.series_number:03}" if header.series_number is not None else "000"
    words = _UNSAFE.sub("_", header.series_description)[:40].strip("._")
    name = f"{number}_{words}".strip("_")
    unique, copy = name, 2
    while unique.casefold() in taken:
        unique, copy = f"{name}_{copy}", copy + 1
    taken.add(unique.casefold())
    return unique


def gather(folder: Path) -> tuple[list[Listed], list[Problem]]:
    """(instances of all series, files that can't be read); a copy of an instance is taken once."""
    by_series: dict[tuple[str, str], list[tuple[Path, Header]]] = defaultdict(list)
    seen: set[str] = set()
    skipped = []
    for candidate in find(folder):
        if candidate.left_out:
            continue
        try:
            header = assemble.header(candidate.path)
        except (CorruptInstance, OSError):
            skipped.append(candidate.path.name)
            continue
        if header.sop_instance_uid not in seen:
            seen.add(header.sop_instance_uid)
            by_series[header.study_instance_uid, header.series_instance_uid].append((candidate.path, header))
    listed: list[Listed] = []
    taken: set[str] = set()
    ordered = sorted(
        by_series.values(), key=lambda each: (each[0][1].study_date, each[0][1].series_number or 0)
    )
    for members in ordered:
        series = _folder(members[0][1], taken)
        for index, place in enumerate(assemble.order([header for _, header in members]), start=1):
            listed.append(Listed(*members[place], series, index))
    problems = [Problem("export-skipped", tuple(skipped), fatal=False)] if skipped else []
    return listed, problems
