"""Run one source through the pipeline in a thread of its own, so that a question to the person blocks that thread alone."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Final

from scraper.app.board import Board, Item, OpenQuestion, SeriesProgress, Stage, in_both
from scraper.app.library import Library
from scraper.app.photo import options, read_photo
from scraper.app.run_watcher import RunWatcher
from scraper.core.errors import (
    CaptchaRequired,
    CloudfilmError,
    CredentialsRefused,
    CredentialsRequired,
    ExitCode,
    NoLink,
    UnknownViewer,
)
from scraper.core.evidence import Evidence
from scraper.core.messages import describe, describe_problem, merge_equal, question_label, say
from scraper.core.model import Result, Status
from scraper.core.questions import CAPTCHA, SMS_CODE, Question
from scraper.core.safe_text import one_line, visible
from scraper.core.settings import Language, Settings
from scraper.pipeline.result import Film
from scraper.pipeline.run import Run
from scraper.registry import catalogue
from scraper.source import kinds

_RESTED_S: Final = 0.2  # between two looks whether a person has answered or stopped


class ItemJob:
    """Works on one item. ``answers`` live here, in memory, as long as the item does.

    Args:
        item: to be worked on.
        settings: the window's own; answers are added.
        board: shows it.
        library: knows the studies on the disk.
        scratch: a folder of the item's own for pictures.

    Attributes:
        on_study: is called with the number of each study that was fetched.
        on_picture: is called with a series that has no thumbnail, and a file of it.
    """

    on_study: Callable[[str], None] | None = None
    on_picture: Callable[[SeriesProgress, Path], None] | None = None

    def __init__(self, item: Item, settings: Settings, board: Board, library: Library, scratch: Path) -> None:
        self.item = item
        self._settings = settings
        self._board = board
        self._library = library
        self._scratch = scratch
        self._answers: dict[str, str] = {}
        self._given: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread: Thread | None = None
        self._pausable: Run | None = None  # the run, while it works
        self._is_stopping = False
        self._begins_again = False
        self._refused = ""  # the field whose answer was refused: it is asked for again, with a new picture
        self._source = item.given
        self._equal: tuple[str, ...] = ()  # links of the photo that are equally likely to be the film's
        self._wants_browser = False

    # ---- what a person does

    @property
    def is_running(self) -> bool:
        """Whether its thread works."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, *, with_browser: bool = False) -> None:
        """Begin, go on after a pause, or begin again: what is there already is not fetched twice."""
        if self.item.paused_at and not with_browser:
            self._in_its_thread(self._go_on)
            return
        self._wants_browser = with_browser
        if self.is_running:  # it has ended, and still closes what it had opened
            self._begins_again = self.item.stage in (Stage.ENDED, Stage.STOPPED)
            return
        self._is_stopping = self._begins_again = False
        self._thread = Thread(target=self._work, name=f"item-{self.item.number}", daemon=True)
        self._thread.start()

    def answer(self, value: str) -> None:
        """What the site asked for; where the run ended over it, the run starts again with it."""
        asked = self.item.asked
        if asked is None:
            return
        if self.item.stage is Stage.ASKING:
            self._given.put(value)
            return
        self._answers[asked.field] = value
        self.item.asked = None
        self.start()

    def choose(self, place: int) -> None:
        """Take another code of the photo."""
        link = self.item.codes[place].link
        if link:
            self.stop()
            self._source = link
            self.start()

    def pause(self) -> None:
        """Hold the run: nothing more is asked of the site, its page stays as it is, and ``start`` goes on with the same run."""
        self._in_its_thread(self._pause)

    def stop(self) -> None:
        """Stop; what arrived stays. Waits until all is closed."""
        self._is_stopping = True
        self._given.put(None)
        if self._task is not None:
            self._in_its_thread(self._task.cancel)
        if self._thread is not None:
            self._thread.join(timeout=20)

    def _in_its_thread(self, do: Callable[[], object]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(do)

    # ---- its thread

    def _pause(self) -> None:
        if self._pausable is not None:
            self._pausable.hold.begin()
            self.item.pause()
            self._board.changed()

    def _go_on(self) -> None:
        if self._pausable is not None:
            self._pausable.hold.end()
        self.item.go_on()
        self._board.changed()

    def _work(self) -> None:
        while True:
            self._clear()
            self._work_once()
            self.item.paused_at = 0.0
            self.item.stage = Stage.STOPPED if self._is_stopping else Stage.ENDED
            if self._is_stopping:
                self.item.asked = None
            self._board.changed()
            if self._is_stopping or not self._begins_again:
                return
            self._begins_again = False

    def _clear(self) -> None:
        """Forget what the last run came to."""
        item = self.item
        item.asked, item.verdict, item.sentence, item.problems = None, "", {}, []
        item.series.clear()
        item.messages.clear()
        item.size, item.fetching_since, item.since, item.paused_at = 0, 0.0, time.time(), 0.0
        item.may_show_browser = item.needs_hand = item.may_retake = False

    def _work_once(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._run())
        except (asyncio.CancelledError, KeyboardInterrupt):
            pass
        except Exception as err:  # noqa: BLE001  # a bug of ours must not leave a silent item behind
            name = type(err).__name__
            self.item.verdict = "failed"
            self.item.sentence = in_both(lambda language: say("bug", language, name=name))
        finally:
            self._loop = self._task = self._pausable = None

    async def _run(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._stage(Stage.READING)
        if kinds.is_file(self._source):
            await asyncio.to_thread(self._read_codes)
        self.item.is_in_browser = self._wants_browser
        settings = replace(
            self._settings,
            answers={**self._settings.answers, **self._answers},
            headed=self._wants_browser,
            interactive=True,
        )
        watcher = RunWatcher(self.item, self._board, self._scratch, self.on_picture)
        async with Run(settings, watcher, self._ask) as run:
            self._pausable = run
            found = await run.films(self._source)
            if found.error is not None:
                self._ended(run.refused(self._source, found.error))
                return
            for film in found.films:
                await self._grab(run, film)

    async def _grab(self, run: Run, film: Film) -> None:
        item = self.item
        item.host = film.share.host
        owner = catalogue.find(film.share, self._settings.provider)
        rows = owner.provider.deployments if owner else ()
        item.hospital = next((row.hospital for row in rows if row.host.partition(":")[0] == item.host), "")
        self._stage(Stage.CONNECTING)
        self._ended(await run.grab(self._source, film=film))

    def _read_codes(self) -> None:
        """Show the photo with its codes, where it is one; what it means is left to the pipeline."""
        path = Path(self._source)
        is_photo = path.suffix.lower() not in kinds.TEXTS and not kinds.holds_files(self._source)
        if self.item.preview is not None or not is_photo:
            return
        with contextlib.suppress(CloudfilmError, OSError):
            self._equal = read_photo(self.item, path, self._settings, self._scratch)
        self._board.changed()

    def _stage(self, stage: Stage) -> None:
        self.item.stage, self.item.since = stage, time.time()
        self._board.changed()

    def _ask(self, question: Question, host: str, picture: Path | None) -> str | None:
        """Ask the person on the page; this thread waits."""
        item, before = self.item, self.item.stage
        shown = None
        if picture is not None:
            shown = self._scratch / f"asked-{time.monotonic_ns()}"
            shown.write_bytes(picture.read_bytes())
        item.asked = _asked(question.name, host, shown)
        item.asked.options = options(item, question.options, self._equal)
        item.asked.was_refused = question.name == self._refused
        self._refused = ""
        self._stage(Stage.ASKING)
        while not self._given.empty():  # what was typed for an earlier question
            self._given.get()
        value = None
        while not self._is_stopping:
            with contextlib.suppress(queue.Empty):
                value = self._given.get(timeout=_RESTED_S)
                break
        item.asked = None
        self._stage(before)
        if shown is not None:
            shown.unlink(missing_ok=True)
        return value or None

    # ---- how it ended

    def _ended(self, result: Result) -> None:
        if self._is_stopping:
            return
        item = self.item
        if isinstance(result.error, CredentialsRefused) and result.error.values.get("field") in FLEETING:
            self._refused, self._begins_again = str(result.error.values["field"]), True
            return
        item.stage = Stage.ENDED
        verdict, sentence = _verdict(result), in_both(lambda language: _sentence(result, language, item))
        several = [sentence] if not item.sentence else [item.sentence, sentence]  # of the films of one source
        item.sentence = {language.value: " ".join(words[language.value] for words in several) for language in Language}
        item.verdict = max(verdict, item.verdict or verdict, key=WORSE.index)
        problems = [
            *result.problems,
            *(problem for study in result.studies for problem in study.problems),
            *(problem for study in result.studies for series in study.series for problem in series.problems),
        ]
        item.problems += [
            in_both(lambda language, problem=problem: describe_problem(problem, language))  # type: ignore[misc]
            for problem, _ in merge_equal(problems)
        ]
        for study in result.studies:
            if study.output is not None:
                number = self._library.number_of(study.output)
                item.studies = [*dict.fromkeys([*item.studies, number])]
                if self.on_study is not None:
                    self.on_study(number)
        if isinstance(result.error, (CredentialsRequired, CredentialsRefused)):
            field = str(result.error.values.get("field", ""))
            if field and field not in FLEETING and question_label(field, self._settings.language) != field:
                item.asked = _asked(field, str(result.error.values.get("host", "")), None)
                item.asked.was_refused = isinstance(result.error, CredentialsRefused)
                item.asked.site_words = visible(one_line(result.error.detail))
                self._answers.pop(field, None)
        # of an unknown viewer: a check of a kind that nobody described, perhaps
        item.needs_hand = isinstance(result.error, (CaptchaRequired, UnknownViewer))
        item.may_show_browser = item.needs_hand or result.exit_code in (ExitCode.CREDENTIALS, ExitCode.SITE)
        item.may_retake = isinstance(result.error, NoLink) and item.preview is not None
        self._board.changed()


def _asked(field: str, host: str, picture: Path | None) -> OpenQuestion:
    known = field in WHERE
    return OpenQuestion(
        field,
        in_both(lambda language: question_label(field, language)),
        in_both(lambda language: say(f"app.where.{field if known else 'other'}", language)),
        host,
        picture,
    )


FLEETING: Final = frozenset(
    (CAPTCHA.name, SMS_CODE.name)
)  # an answer to one picture or message, of no use for the next
WORSE: Final = ("complete", "unknown", "incomplete", "failed")  # verdicts of one source's films: the worst stands
WHERE: Final = frozenset(
    (
        "password",
        "access_code",
        "phone",
        "phone_last4",
        "id_last4",
        "id_last6",
        "name",
        "film_link",
        "account",
        "captcha",
        "sms_code",
    )
)


def _verdict(result: Result) -> str:
    """``complete``, ``incomplete``, ``unknown`` (nothing is known to be missing, nobody says how many) or ``failed``."""
    if result.status is Status.COMPLETE:
        return "complete"
    if result.status is Status.FAILED:
        return "failed"
    fatal = {problem.code for problem in result.problems if problem.fatal}
    for study in result.studies:
        problems = (*study.problems, *(item for series in study.series for item in series.problems))
        fatal |= {problem.code for problem in problems if problem.fatal}
    return "unknown" if result.error is None and fatal == {Evidence.SIGHT.code} else "incomplete"


def _sentence(result: Result, language: Language, item: Item) -> str:
    if isinstance(result.error, CloudfilmError):
        # a person knows what was given by its own name, not by the one of our copy
        return describe(result.error, language, in_window=True).replace(Path(item.given).name, item.name)
    expected = result.counts.expected
    return say(
        f"app.counted.{_verdict(result)}",
        language,
        saved=result.counts.saved,
        expected="?" if expected is None else expected,
        size=f"{result.size / 1e6:.1f} MB",
    )
