"""Handing a study on: each job writes next to the studies, and says where the result lies and what to do with it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scraper.app.board import Board, Words, in_both
from scraper.app.library import StoredStudy
from scraper.core.errors import CloudfilmError, UsageError
from scraper.core.messages import describe, describe_problem, say
from scraper.core.settings import Language, Settings
from scraper.export import Target, Wanted, export
from scraper.export.view import view

if TYPE_CHECKING:
    from scraper.send import DicomTarget, Sent, WebTarget

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
        settings: the window's own.
    """

    def __init__(self, board: Board, settings: Settings) -> None:
        self.folder = settings.output / FOLDER
        self._settings = settings
        self._board = board
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, study: StoredStudy, kind: str, language: Language) -> None:
        """Begin to make something of a study.

        Raises:
            UsageError: there is no such kind.
        """
        if kind != "page" and kind not in KINDS:
            raise UsageError(kind)
        self._note(study, "working", in_both(lambda lang: say("app.making", lang)))
        self._keep(asyncio.create_task(self._make(study, kind, language)))

    def send(self, study: StoredStudy, address: str) -> None:
        """Begin to send a study to an archive.

        Raises:
            CloudfilmError: the address is none of an archive, or names files of this computer: paths never come from the page.
        """
        from scraper.send import DicomTarget, target_of

        target = target_of(address.strip(), insecure=self._settings.insecure)
        if isinstance(target, DicomTarget) and target.tls is not None:
            tls = target.tls
            if tls.authority or tls.certificate or tls.key:
                raise UsageError("pacs://AET@host:port?tls=yes")
        self._note(study, "working", in_both(lambda lang: say("app.sending", lang, target=target.shown)))
        self._keep(asyncio.create_task(self._send(study, target)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _note(self, study: StoredStudy, state: str, text: Words, short: Words | None = None) -> None:
        self._board.notes[study.number] = {"state": state, "text": text, "short": short}

    async def _send(self, study: StoredStudy, target: DicomTarget | WebTarget) -> None:
        from scraper.send import send

        try:
            sent = await send([study.folder], target, self._settings)
        except CloudfilmError as err:
            failed = err
            self._note(study, "failed", in_both(lambda lang: describe(failed, lang, in_window=True)))
        else:
            self._sent(study, sent)
        self._board.changed()

    def _sent(self, study: StoredStudy, sent: Sent) -> None:
        has, total, error = sent.sent + sent.before, sent.total, sent.error
        text = in_both(lambda lang: say("app.sent", lang, target=sent.target, count=has, total=total))
        short = None
        if error is not None:
            short = in_both(lambda lang: describe(error, lang, in_window=True))
        elif sent.exit_code:
            short = in_both(lambda lang: " ".join(describe_problem(item, lang) for item in sent.problems))
        self._note(study, "failed" if sent.exit_code else "done", text, short)

    async def _make(self, study: StoredStudy, kind: str, language: Language) -> None:
        try:
            if kind == "page":
                path = self._free(study.folder.name, ".html")
                is_short = bool((await view(study.folder, path, language)).undecoded)
            else:
                target, ending, deidentify = KINDS[kind]
                path = self._free(study.folder.name if not deidentify else "study", ending)
                made = await export(study.folder, target, path, Wanted(page=language), deidentify=deidentify)
                is_short = bool(made.exit_code)
        except CloudfilmError as err:
            failed = err
            text = in_both(lambda lang: describe(failed, lang, in_window=True))
            self._note(study, "failed", text)
        except OSError as err:
            why = err.strerror or ""
            text = in_both(lambda lang: say("app.not-made", lang, why=why))
            self._note(study, "failed", text)
        else:
            lies = in_both(lambda lang: say(f"app.made.{kind}", lang, path=path.resolve()))
            short = in_both(lambda lang: say("app.made-short", lang)) if is_short else None
            self._note(study, "done", lies, short)
        self._board.changed()

    def _free(self, stem: str, ending: str) -> Path:
        """A path at which nothing lies yet."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        number, path = 1, self.folder / f"{stem}{ending}"
        while path.exists():
            number += 1
            path = self.folder / f"{stem}-{number}{ending}"
        return path
