"""The studies that are being looked at: listed once, their frames decoded as the page asks for them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from pathlib import Path
from typing import Final

from scraper.app.library import StoredStudy
from scraper.export.gather import gather
from scraper.export.pictures import small_picture
from scraper.export.view import study_view
from scraper.verify import Inspector, opened
from scraper.viewer import StudyView
from scraper.viewer.frames import pack_frames

MOST_OPEN: Final = 4
LONGEST_THUMBNAIL: Final = 96  # pixels of the longer side


class OpenStudies:
    """A few studies; the one not looked at for longest is forgotten.

    Args:
        inspector: whose processes read and decode.
        scratch: for copies of files that are no Part 10 files as they stand.
    """

    def __init__(self, inspector: Inspector, scratch: Path) -> None:
        self._inspector = inspector
        self._scratch = scratch
        self._open: OrderedDict[tuple[str, float], asyncio.Task[StudyView]] = OrderedDict()

    def prepare(self, study: StoredStudy) -> asyncio.Task[StudyView]:
        """Begin to read what the viewer lists of a study."""
        key = study.number, study.saved_at
        if key not in self._open:
            self._open[key] = asyncio.create_task(self._read(study))
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return self._open[key]

    async def get(self, study: StoredStudy) -> StudyView:
        """What the viewer lists of a study."""
        return await asyncio.shield(self.prepare(study))

    async def frame(self, study: StoredStudy, number: int) -> bytes:
        """A packed frame; nothing where there is none, or it can't be decoded."""
        view = await self.get(study)
        if not 0 <= number < len(view.frames):
            return b""
        at = view.frames[number]
        return (await self._inspector.apart(pack_frames, str(at.path), at.frame, 1) or [b""])[0]

    async def thumbnail(self, path: Path) -> bytes:
        """A small JPEG of an instance; nothing where it can't be drawn."""
        return await self._inspector.apart(small_picture, str(path), LONGEST_THUMBNAIL) or b""

    def forget(self, number: str) -> None:
        """Let a study go."""
        for key in [key for key in self._open if key[0] == number]:
            del self._open[key]

    async def _read(self, study: StoredStudy) -> StudyView:
        scratch = self._scratch / f"settled-{study.number}"
        with opened(study.folder) as files:
            listed, _ = await asyncio.to_thread(gather, files, scratch)
        return await study_view(listed, self._inspector)
