"""Jobs that hand a study on (export, page, send): each writes next to the studies and reports its result on the board."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scraper.app.board import Board, Words, in_both
from scraper.app.library import StoredStudy
from scraper.core.errors import CloudfilmError, UnreadableFile, UsageError
from scraper.core.messages import describe, describe_problem, say
from scraper.core.questions import ACCOUNT, PASSWORD, TOKEN
from scraper.core.settings import Language, Settings
from scraper.export import ExportOptions, Target, export
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


MOST_ADDRESS: Final = 2000  # characters of an archive's
MOST_SECRET: Final = 8000  # characters of a token or a password
MOST_CERTIFICATE: Final = 1 << 18  # characters of a file of certificates


@dataclass(frozen=True, slots=True)
class Access:
    """An archive, and how it is entered; nothing of it is kept. ``answers``: token, account, password; STOW-RS asks for them."""

    address: str
    answers: Mapping[str, str] = field(default_factory=dict, repr=False)
    with_tls: bool = False
    certificate: str = field(default="", repr=False)


def access_of(sent: Mapping[str, object]) -> Access:
    """What the page sends of an archive."""

    def text(name: str, most: int) -> str:
        value = sent.get(name)
        return value.strip()[:most] if isinstance(value, str) else ""

    answers = {question.name: text(question.name, MOST_SECRET) for question in (TOKEN, ACCOUNT, PASSWORD)}
    return Access(
        text("to", MOST_ADDRESS),
        {name: value for name, value in answers.items() if value},
        with_tls=sent.get("tls") is True,
        certificate=text("certificate", MOST_CERTIFICATE),
    )


class StudyJobs:
    """Makes exports, one after another for each study, while the window stays usable.

    Args:
        board: shows what is made.
        settings: the window's own.
        scratch: for an archive's certificate.
    """

    def __init__(self, board: Board, settings: Settings, scratch: Path) -> None:
        self._scratch = scratch
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

    async def send(self, study: StoredStudy, access: Access) -> None:
        """Begin to send a study to an archive.

        Raises:
            CloudfilmError: the address is none of an archive, or names files of this computer: paths never come from the page.
        """
        from scraper.send import DicomTarget, target_of
        from scraper.session.dimse.tls import Tls

        own = Tls(await asyncio.to_thread(self._authority, access), insecure=self._settings.insecure)
        try:
            await asyncio.to_thread(own.context)
        except UnreadableFile:
            self._note(study, "failed", in_both(lambda lang: say("app.no-certificate", lang)))
            return
        target = target_of(access.address, insecure=self._settings.insecure)
        if isinstance(target, DicomTarget):
            tls = target.tls
            if tls is not None and (tls.authority or tls.certificate or tls.key):
                raise UsageError("pacs://AET@host:port?tls=yes")
            if tls is not None or access.with_tls:
                target = replace(target, tls=own)
        settings = replace(
            self._settings, answers={**self._settings.answers, **access.answers}, tls_authority=own.authority
        )
        self._note(study, "working", in_both(lambda lang: say("app.sending", lang, target=target.shown)))
        self._keep(asyncio.create_task(self._send(study, target, settings)))

    def _authority(self, access: Access) -> Path | None:
        """The given certificate as a file, for as long as the window is open; the system's own where none was given."""
        if not access.certificate:
            return self._settings.tls_authority
        path = self._scratch / f"authority-{time.monotonic_ns()}.pem"
        path.write_text(access.certificate, encoding="utf-8")
        return path

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _note(self, study: StoredStudy, state: str, text: Words, short: Words | None = None) -> None:
        self._board.notes[study.number] = {"state": state, "text": text, "short": short}

    async def _send(self, study: StoredStudy, target: DicomTarget | WebTarget, settings: Settings) -> None:
        from scraper.send import send

        try:
            sent = await send([study.folder], target, settings)
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
                made = await export(study.folder, target, path, ExportOptions(page=language), deidentify=deidentify)
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
