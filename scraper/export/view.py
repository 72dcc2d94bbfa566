"""Make the page that shows a study: for ``cloudfilm view``, in a zip, or on a CD."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scraper.core.errors import CloudfilmError, NoDicomHere, NothingToSee, UsageError
from scraper.core.settings import Language
from scraper.export.gather import InstanceFile, by_series, gather
from scraper.store.place import REPORT
from scraper.verify import Inspector, opened
from scraper.viewer import StudyView, ViewedSeries, view_study, write_page
from scraper.viewer.page import PART

ZIP_PAGE: Final = "index.html"
DISC_PAGE: Final = "INDEX.HTM"
DISC_PARTS: Final = "VIEW"
OUR_MARK: Final = b'content="cloudfilm view"'
_HEAD: Final = 2048  # bytes of a page that hold the mark
_PATIENCE_S: Final = 120.0  # for one answer of a process: some 16 MB of samples


@dataclass(frozen=True, slots=True)
class ViewPage:
    """What was written: the page, its parts beside it; frames, those that could not be decoded, files that can't be read."""

    path: Path
    parts: tuple[Path, ...]
    frames: int
    undecoded: int
    unreadable: tuple[str, ...]


def default_page(source: Path) -> Path:
    """Where the page goes by default: into a folder of DICOM files, and next to a zip of one."""
    return source / "index.html" if source.is_dir() else source.with_name(source.name.removesuffix(".zip") + ".html")


async def view(source: Path, page: Path, language: Language) -> ViewPage:
    """Write the page of the DICOM files in a folder, or a zip of one.

    Args:
        source: the folder or zip.
        page: to be written; an older page of ours is written over.
        language: that it opens in.

    Raises:
        UsageError: something that is no page of ours lies there, or beside it under the name of the page's parts.
        NoDicomHere: there is no DICOM file in ``source``. NothingToSee: none of them holds a picture.
    """
    parts = page.with_name(f"{page.stem}-parts")
    for path, is_ours in ((page, _is_ours), (parts, _are_our_parts)):
        if os.path.lexists(path) and not is_ours(path):
            raise UsageError(f"{path} exists")
    page.parent.mkdir(parents=True, exist_ok=True)
    with opened(source) as files, tempfile.TemporaryDirectory(prefix=".view-", dir=page.parent) as scratch:
        listed, left_out = await asyncio.to_thread(gather, files, Path(scratch) / "settled")
        if not listed and not left_out:
            raise NoDicomHere(path=str(source))
        made = await page_of(listed, Path(scratch) / page.name, language)
        if not made.frames:
            raise NothingToSee(path=str(source))
        if parts.is_dir():
            shutil.rmtree(parts)
        if made.parts:
            (Path(scratch) / parts.name).replace(parts)
        made.path.replace(page)
    unreadable = (*made.unreadable, *(item.name for item in left_out))
    moved = tuple(parts / part.name for part in made.parts)
    return ViewPage(page, moved, made.frames, made.undecoded, unreadable)


def missing_pages(output: Path, since: float = 0) -> list[Path]:
    """The reports, written after ``since``, of studies that have no ``index.html``, or one older than the report."""
    reports = []
    for report in sorted(output.glob(f"*/{REPORT}")):
        page, saved_at = report.with_name(ZIP_PAGE), report.stat().st_mtime
        if saved_at >= since and not (page.is_file() and page.stat().st_mtime >= saved_at):
            reports.append(report)
    return reports


async def write_pages_of(reports: Sequence[Path], language: Language) -> list[str]:
    """Write ``index.html`` beside each of these reports.

    Returns:
        The folders that got none: without a picture, or with something else of that name.
    """
    without = []
    for report in reports:
        try:
            await view(report.parent, report.with_name(ZIP_PAGE), language)
        except CloudfilmError:
            without.append(report.parent.name)
    return without


async def add_to_zip(listed: Sequence[InstanceFile], archive: Path, folder: Path, language: Language) -> None:
    """Put the page of a zip's own files into it; ``folder`` is new, for the time until then."""
    folder.mkdir()
    made = await page_of(listed, folder / ZIP_PAGE, language)
    if made.frames:
        await asyncio.to_thread(_append, archive, folder, (made.path, *made.parts))


def _append(archive: Path, folder: Path, paths: Sequence[Path]) -> None:
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as out:
        for path in paths:
            out.write(path, path.relative_to(folder).as_posix())


async def add_to_disc(listed: Sequence[InstanceFile], disc: Path, language: Language) -> None:
    """Put the page onto a CD, under names that an ISO 9660 file system holds (IHE PDI: ``INDEX.HTM``)."""
    made = await page_of(listed, disc / DISC_PAGE, language, DISC_PARTS)
    if not made.frames:
        made.path.unlink()


async def page_of(listed: Sequence[InstanceFile], page: Path, language: Language, parts: str = "") -> ViewPage:
    """Write the page of instances that are gathered already.

    Args:
        listed: the instances of all series, in order.
        page: to be written; its folder is there.
        language: that it opens in.
        parts: name of the folder of its parts.
    """
    async with Inspector(timeout_s=_PATIENCE_S) as inspector:
        study = await study_view(listed, inspector)
        made = await write_page(study, page, language, inspector, parts)
    names = {item.path: item.name for item in listed}
    unreadable = tuple(names.get(path, path.name) for path in study.unreadable)
    return ViewPage(made.path, made.parts, made.frames, made.undecoded, unreadable)


async def study_view(listed: Sequence[InstanceFile], inspector: Inspector) -> StudyView:
    """What the viewer lists of gathered instances."""
    series = [
        ViewedSeries(
            members[0].header.series_number, members[0].header.series_description, tuple(m.path for m in members)
        )
        for members in by_series(listed).values()
    ]
    return await view_study(series, inspector)


def _are_our_parts(folder: Path) -> bool:
    """Whether a folder holds nothing but parts of a page, so that it may be removed."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return all(PART.fullmatch(path.name) and not path.is_symlink() and path.is_file() for path in folder.iterdir())


def _is_ours(page: Path) -> bool:
    if page.is_symlink() or not page.is_file():
        return False
    with page.open("rb") as file:
        return OUR_MARK in file.read(_HEAD)
