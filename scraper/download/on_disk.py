"""Files of a folder or an archive on this computer, grouped by study, in the form of a downloaded package."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from scraper.core.disk import disk_errors, keep_reserve
from scraper.core.errors import (
    CloudfilmError,
    CorruptInstance,
    FolderGiven,
    NoDicomHere,
    NotCheckedInTime,
    OnlyViewerHere,
)
from scraper.core.evidence import Evidence
from scraper.core.model import Problem, Series
from scraper.core.reasons import Reason
from scraper.core.sniff import HEAD, Kind, sniff
from scraper.dicom.part10 import normalise
from scraper.download.collect import Collected
from scraper.download.package import Contents, inspected
from scraper.verify import Candidate, Checked, Files, Inspector, foreign_files, listing, unreadable

MOST_FILES: Final = 200_000
_PROGRAMS: Final = frozenset((".exe", ".inf", ".dll", ".app", ".jar", ".bat", ".msi", ".ocx"))


async def contents_of(source: Path, files: Files, inspector: Inspector, folder: Path) -> Contents:
    """Inspect the DICOM files of a folder or an archive; copies of them, or the unpacked files, are put into ``folder``.

    Raises:
        NoDicomHere, OnlyViewerHere, FolderGiven: no DICOM object in it. CorruptInstance: none that is whole.
        DiskFull, NotWritable: the disk refuses.
    """
    wanted = [candidate for candidate in files.candidates if not candidate.left_out]
    if len(wanted) > MOST_FILES:
        raise CorruptInstance(what=Reason.ZIP_TOO_MANY_ENTRIES)
    if not wanted:
        raise without_dicom(source, files)
    placed = await asyncio.to_thread(_placed, wanted, folder, is_copy=source.is_dir())
    checked = await inspected(inspector, placed)
    studies: dict[str, list[tuple[str, Checked]]] = {}
    for name, item in checked:
        if item.header is not None:
            studies.setdefault(item.header.study_instance_uid, []).append((name, item))
    sound = {name for rows in studies.values() for name, _ in rows}
    unread = {name: unreadable(item) for name, item in checked if item.header is None}
    broken = {
        candidate.name: unread.get(candidate.name) or CorruptInstance(what=Reason.BROKEN_ZIP)
        for candidate in wanted
        if candidate.name not in sound
    }
    if not studies:
        late = [error for error in unread.values() if isinstance(error, NotCheckedInTime)]
        raise late[0] if late else CorruptInstance(what=Reason.DAMAGED_FILE)
    directories, _ = await listing.read_all(inspector, files.directories)
    listed = listing.compare(directories, files.names, dict(checked))
    named = frozenset(record.study_instance_uid for rows in directories.values() for record in rows)
    return Contents(studies, (), broken, listed, named)


def notes_on(files: Files) -> tuple[Problem, ...]:
    """Problems that count the files that are not DICOM objects, by kind."""
    return foreign_files(Counter(candidate.left_out for candidate in files.candidates if candidate.left_out))


def judged_by_numbers(collected: Collected) -> tuple[tuple[Series, ...], Collected]:
    """Judge a study that no DICOMDIR lists: series numbered from 1 without a gap count as complete, others are uncounted."""
    numbers: dict[str, list[int | None]] = {}
    for saved, _ in collected.saved:
        numbers.setdefault(saved.header.series_instance_uid, []).append(saved.header.instance_number)
    series = tuple(_series(uid, found) for uid, found in numbers.items())
    return series, replace(collected, expected_total=None)


def _series(uid: str, numbers: Sequence[int | None]) -> Series:
    if set(numbers) == set(range(1, len(numbers) + 1)):
        return Series("", uid, expected=len(numbers), evidence=Evidence.NUMBERS)
    return Series("", uid, evidence=Evidence.SIGHT)


def without_dicom(source: Path, files: Files) -> CloudfilmError:
    """The error for a folder or an archive that holds no DICOM object; a disc's own viewer is named, with what it may open."""
    if any(PurePosixPath(name).suffix.lower() == ".inf" and "autorun" in name.lower() for name in files.names):
        others = [item for item in files.candidates if PurePosixPath(item.name).suffix.lower() not in _PROGRAMS]
        largest = max(others, key=lambda item: item.path.stat().st_size, default=None)
        return OnlyViewerHere(path=str(source), file=largest.name if largest else "…")
    return FolderGiven(path=str(source)) if source.is_dir() else NoDicomHere(path=str(source))


def _placed(wanted: Sequence[Candidate], folder: Path, *, is_copy: bool) -> list[tuple[str, Path]]:
    """Each sound file under a number of its own; the user's own files stay where they are."""
    placed = []
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number, candidate in enumerate(wanted, 1):
            if candidate.damage:
                continue
            keep_reserve(folder)
            path = folder / f"{number:06d}"
            try:
                (shutil.copyfile if is_copy else shutil.move)(candidate.path, path)
            except PermissionError:
                if not is_copy:
                    raise
                continue  # named as broken
            if _is_object(path):
                placed.append((candidate.name, path))
    return placed


def _is_object(path: Path) -> bool:
    """Whether a file is a Part 10 file, or becomes one: a data set without preamble or file meta gets them."""
    with path.open("rb") as file:
        kind = sniff(file.read(HEAD))
    if kind is Kind.PART10:
        return True
    try:
        normalise(path)
    except CorruptInstance:
        return False
    return True
