"""Handing a study on: each job writes next to the studies, and says where the result lies and what to do with it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from scraper.app.board import Board, in_both
from scraper.app.library import Kept
from scraper.core.errors import CloudfilmError, UsageError
from scraper.core.messages import describe, say
from scraper.core.settings import Language
from scraper.export import Target, Wanted, export
from scraper.export.view import view

FOLDER: Final = "handed-on"
KINDS: Final = {  # what the page asks for → target, ending, without identity
    "zip": (Target.ZIP, ".zip", False),
    "anonymous": (Target.ZIP, "-anonymous.zip", True),
    "cd": (Target.DICOMDIR, "-cd", False),
    "pictures": (Target.JPG, "-pictures", False),
}


class HandOn:
    """Makes exports, one after another for each study, while the window stays usable.

    Args:
        board: shows what is made.
        output: where studies lie.
    """

    def __init__(self, board: Board, output: Path) -> None:
        self.folder = output / FOLDER
        self._board = board
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, kept: Kept, kind: str, language: Language) -> None:
        """Begin to make something of a study.

        Raises:
            UsageError: there is no such kind.
        """
        if kind != "page" and kind not in KINDS:
            raise UsageError(kind)
        note = {"state": "working", "text": in_both(lambda lang: say("app.making", lang))}
        self._board.notes[kept.number] = note
        task = asyncio.create_task(self._make(kept, kind, language))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make(self, kept: Kept, kind: str, language: Language) -> None:
        try:
            if kind == "page":
                path = self._free(kept.folder.name, ".html")
                is_short = bool((await view(kept.folder, path, language)).undecoded)
            else:
                target, ending, deidentify = KINDS[kind]
                path = self._free(kept.folder.name if not deidentify else "study", ending)
                made = await export(kept.folder, target, path, Wanted(page=language), deidentify=deidentify)
                is_short = bool(made.exit_code)
        except CloudfilmError as err:
            failed = err
            text = in_both(lambda lang: describe(failed, lang, in_window=True))
            self._board.notes[kept.number] = {"state": "failed", "text": text}
        except OSError as err:
            why = err.strerror or ""
            text = in_both(lambda lang: say("app.not-made", lang, why=why))
            self._board.notes[kept.number] = {"state": "failed", "text": text}
        else:
            lies = in_both(lambda lang: say(f"app.made.{kind}", lang, path=path.resolve()))
            short = in_both(lambda lang: say("app.made-short", lang)) if is_short else None
            self._board.notes[kept.number] = {"state": "done", "text": lies, "short": short}
        self._board.changed()

    def _free(self, stem: str, ending: str) -> Path:
        """A path at which nothing lies yet."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        number, path = 1, self.folder / f"{stem}{ending}"
        while path.exists():
            number += 1
            path = self.folder / f"{stem}-{number}{ending}"
        return path
