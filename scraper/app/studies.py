"""The studies that are open in the viewer: listed once, their frames decoded when the page requests them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Final

from scraper.app.library import REPORT, StoredStudy
from scraper.export.gather import gather
from scraper.export.pictures import small_picture
from scraper.export.view import study_view
from scraper.pipeline.document import saved_study
from scraper.verify import Inspector, opened
from scraper.viewer import StudyView, ViewedSeries, preview_study
from scraper.viewer.frames import pack_frames

MOST_OPEN: Final = 4
AT_ONCE: Final = 2  # frames that are decoded at the same time: what is looked at waits for no second process to start
LONGEST_THUMBNAIL: Final = 96  # pixels of the longer side


@dataclass(slots=True)
class _Open:
    """One study. ``preview`` is what its report and a file of each series say; ``whole`` what all its files say."""

    preview: asyncio.Task[StudyView | None]
    whole: asyncio.Task[StudyView] | None = None


class OpenStudies:
    """A few studies; the one not looked at for longest is forgotten.

    Args:
        frames: whose processes decode frames.
        files: whose processes read what all files of a study say; others, so that a frame does not wait for that.
        scratch: for copies of files that are no Part 10 files as they stand.
    """

    def __init__(self, frames: Inspector, files: Inspector, scratch: Path) -> None:
        self._frames = frames
        self._files = files
        self._scratch = scratch
        self._open: OrderedDict[tuple[str, float], _Open] = OrderedDict()

    def prepare(self, study: StoredStudy) -> None:
        """Begin to read what the viewer lists of a study."""
        self._whole(study)

    async def listed(self, study: StoredStudy) -> Mapping[str, Any]:
        """What the viewer lists of a study at first; ``is_whole``: all its files were read for it."""
        entry = self._entry(study)
        if entry.whole is None or not entry.whole.done():
            preview = await asyncio.shield(entry.preview)
            if preview is not None:
                return {**preview.index, "is_whole": False}
        return await self.whole(study)

    async def whole(self, study: StoredStudy) -> Mapping[str, Any]:
        """What the viewer lists of a study after all files were read. ``is_same``: its frames are the preview's."""
        whole = await asyncio.shield(self._whole(study))
        preview = await asyncio.shield(self._entry(study).preview)
        is_same = preview is not None and _places(preview) == _places(whole)
        return {**whole.index, "is_whole": True, "is_same": is_same}

    async def frame(self, study: StoredStudy, number: int, *, of_whole: bool) -> bytes:
        """A packed frame of the first or of the whole list; nothing where there is none, or it can't be decoded."""
        view = await asyncio.shield(self._whole(study) if of_whole else self._entry(study).preview)
        if view is None or not 0 <= number < len(view.frames):
            return b""
        at = view.frames[number]
        made = await self._frames.apart(pack_frames, str(at.path), at.frame, 1, as_is=True)
        self._frames.warm(AT_ONCE)  # the first image has come: what follows is decoded by several
        return (made or [b""])[0]

    async def thumbnail(self, path: Path) -> bytes:
        """A small JPEG of an instance; nothing where it can't be drawn."""
        return await self._frames.apart(small_picture, str(path), LONGEST_THUMBNAIL) or b""

    def forget(self, number: str) -> None:
        """Let a study go."""
        for key in [key for key in self._open if key[0] == number]:
            del self._open[key]

    def _entry(self, study: StoredStudy) -> _Open:
        key = study.number, study.saved_at
        if key not in self._open:
            self._open[key] = _Open(asyncio.create_task(self._preview(study.folder)))
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return self._open[key]

    def _whole(self, study: StoredStudy) -> asyncio.Task[StudyView]:
        entry = self._entry(study)
        entry.whole = entry.whole or asyncio.create_task(self._read(study))
        return entry.whole

    async def _preview(self, folder: Path) -> StudyView | None:
        """The study as its own report lists it; None where that can't be read."""
        series = await asyncio.to_thread(_reported, folder)
        return await preview_study(series, self._frames) if series else None

    async def _read(self, study: StoredStudy) -> StudyView:
        scratch = self._scratch / f"settled-{study.number}"
        with opened(study.folder) as files:
            listed, _ = await asyncio.to_thread(gather, files, scratch)
        return await study_view(listed, self._files)


def _reported(folder: Path) -> list[ViewedSeries]:
    """The series of a study's own report with those of their files that are there, in the report's order."""
    report = saved_study(folder / REPORT, REPORT)
    files: dict[str, list[Path]] = {}
    is_inside = cache(lambda parent: (folder / parent).resolve().is_relative_to(folder.resolve()))
    for saved in report.files.values() if report else ():
        path = folder / saved.name  # a report may come from elsewhere, too: nothing outside its folder is read for it
        if is_inside(PurePosixPath(saved.name).parent) and path.is_file() and not path.is_symlink():
            files.setdefault(saved.series_instance_uid, []).append(path)
    facts = {row.uid: (row.number, row.description) for row in report.series} if report else {}
    found = [ViewedSeries(*facts.get(uid, (None, "")), tuple(paths)) for uid, paths in files.items()]
    return sorted(found, key=lambda viewed: viewed.number or 0)


def _places(study: StudyView) -> tuple[object, ...]:
    """What the numbers of a list's frames stand for."""
    series = [(item["first"], item["count"]) for item in study.index["series"]]
    return series, [(at.path, at.frame) for at in study.frames]
