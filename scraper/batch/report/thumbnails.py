"""A small picture of each series' middle slice, for the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from scraper.core.bounded_json import json_file
from scraper.export import pictures
from scraper.store.place import REPORT

LONGEST: Final = 96  # pixels of the longer side
MOST: Final = 40  # series of one source that get a picture
TRIES: Final = 3  # neighbours of the middle that are tried where it shows nothing


def of_studies(folders: Iterable[Path]) -> dict[str, bytes]:
    """Map Series Instance UID to JPEG; a series whose pictures can't be drawn is left out."""
    drawn: dict[str, bytes] = {}
    for folder in folders:
        for series, files in _files(folder).items():
            if len(drawn) < MOST and (picture := _middle(files)):
                drawn[series] = picture
    return drawn


def _files(folder: Path) -> dict[str, list[Path]]:
    """Map Series Instance UID to the files that passed every check, in order, from the study's own report."""
    try:
        rows = json_file(folder / REPORT)["instances_saved"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    found: dict[str, list[Path]] = {}
    for row in rows:
        if isinstance(row, Mapping) and not row.get("problems"):
            found.setdefault(str(row.get("series_instance_uid")), []).append(folder / str(row.get("file")))
    return found


def _middle(files: Sequence[Path]) -> bytes:
    """The picture of the middle file, or of the nearest one that has a picture."""
    nearest = sorted(range(len(files)), key=lambda place: abs(2 * place - len(files)))
    for place in nearest[:TRIES]:
        if picture := pictures.thumbnail(files[place], LONGEST):
            return picture
    return b""
