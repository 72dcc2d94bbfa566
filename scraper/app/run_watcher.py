"""The window's Watcher: puts the progress events of a run on the board."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from scraper.app.board import Board, Item, SeriesProgress, Stage, in_both
from scraper.core.messages import say
from scraper.core.settings import Language

Draw = Callable[[SeriesProgress, Path], None]
MOST_MESSAGES: Final = 50  # messages that an item keeps
LARGEST_DRAWN: Final = 64 << 20  # bytes of a file that a thumbnail is drawn of
MOST_TRIES: Final = 3  # to draw a series' thumbnail


class RunWatcher:
    """The Watcher of one run.

    Args:
        item: that is worked on.
        board: shows it.
        scratch: folder for copies of files of which a thumbnail is drawn.
        draw: is called with a series that has no thumbnail, and a copy of one of its files.
    """

    def __init__(self, item: Item, board: Board, scratch: Path, draw: Draw | None) -> None:
        self._item = item
        self._board = board
        self._scratch = scratch
        self._draw = draw

    def series(self, name: str, label: str, expected: int | None) -> None:
        """Forward that a series begins."""
        if not self._item.fetching_since:
            self._item.fetching_since = time.time()
        self._item.stage = Stage.FETCHING
        self._item.series.setdefault(name, SeriesProgress(label, expected))
        self._board.changed()

    def arrived(self, series: str, *, reused: bool) -> None:
        """Count an instance on the disk."""
        del reused
        if series in self._item.series:
            self._item.series[series].arrived += 1
        self._board.changed()

    def saved(self, series: str, path: Path) -> None:
        """Have a series' thumbnail drawn from one of its first files."""
        row = self._item.series.get(series)
        if row is None or self._draw is None or row.thumbnail or row.tries >= MOST_TRIES:
            return
        row.tries += 1
        copy = self._scratch / f"thumbnail-{time.monotonic_ns()}"  # the file itself is soon moved to its final name
        with contextlib.suppress(OSError):
            if path.stat().st_size <= LARGEST_DRAWN:
                shutil.copyfile(path, copy)
                self._draw(row, copy)

    def received(self, size: int) -> None:
        """So many bytes came."""
        self._item.size += size
        self._board.changed()

    def say(self, name: str, **values: object) -> None:
        """A short line for the person."""

        def words(language: Language) -> str:
            try:
                return say(f"say.{name}", language, **values)
            except KeyError:
                return name

        self._item.messages = [*self._item.messages, in_both(words)][-MOST_MESSAGES:]
        self._board.changed()
