"""Results as text for people and JSON Lines for scripts, the progress display, and the redacted diagnostic of a failure."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
import traceback
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from scraper.core.errors import CloudfilmError, single_errors
from scraper.core.evidence import Evidence
from scraper.core.messages import describe, describe_problem, merge_equal, say, words_of
from scraper.core.model import Problem, Result, Status, StudyResult
from scraper.core.output import complain, markup
from scraper.core.safe_text import escaped_json
from scraper.core.settings import Language

NAMED_AT_MOST = 3  # instances shown with a problem; the JSON has them all
DAMAGE = frozenset(
    (
        "unreadable",
        "truncated",
        "truncated-frame",
        "does-not-decode",
        "check-crashed",
        "check-timed-out",
        "pixel-length",
        "frames-missing",
        "changed-since-saved",
        "object-incomplete",
        "constant-between",
        "constant-frame-between",
        "codestream-size",
        "codestream-components",
        "codestream-bits",
        "offset-table-broken",
        "pixel-description",
        "bits-disagree",
        "transfer-syntax-disagrees",
        "missing-transfer-syntax",
        "missing-identity",
        "frames-undescribed",
    )
)
"""Problems of single files, after which a file can't be used as it is."""
FILES_NAMED_AT_MOST = 20  # files of a folder: a path is what a person needs to find them


def show(result: Result, console: Console, stderr: Console, language: Language, *, listing: bool = False) -> None:
    """Print a result for people: what was saved, where, and what is wrong.

    Args:
        result: of one source.
        console: standard output's, for the result.
        stderr: standard error's console, for the reason of a failure.
        language: of the words.
        listing: only list, nothing was to be saved.
    """
    for study in result.studies:
        _show_study(study, console, language, listing=listing)
    for problem, times in merge_equal(result.problems):
        often = f" (×{times})" if times > 1 and not problem.instances else ""
        console.print(f"[yellow]•[/] {markup(describe_problem(problem, language) + often)}")
    if isinstance(result.error, CloudfilmError):
        stderr.print(f"[red]✗[/] {markup(describe(result.error, language))}", soft_wrap=True)
    if result.diagnostic is not None:
        stderr.print(markup(say("report.diagnostic", language, path=result.diagnostic)), soft_wrap=True)
    if listing or not result.studies:
        return
    mark = "[green]✓[/]" if result.status is Status.COMPLETE else "[yellow]![/]"
    expected = result.counts.expected
    ending = "only-seen" if is_only_seen(result) else result.status.value
    words = say(
        f"report.{ending}",
        language,
        saved=result.counts.saved,
        expected="?" if expected is None else expected,
        reused=result.counts.reused,
        size=f"{result.size / 1e6:.1f} MB",
        seconds=f"{result.seconds:.1f}",
    )
    console.print(f"{mark} {markup(words)}")


def is_only_seen(result: Result) -> bool:
    """Whether nothing is known to be missing, but no list confirms that it is all."""
    fatal = {problem.code for problem in result.problems if problem.fatal}
    for study in result.studies:
        problems = (*study.problems, *(item for series in study.series for item in series.problems))
        fatal |= {problem.code for problem in problems if problem.fatal}
    return result.error is None and fatal == {Evidence.SIGHT.code}


def show_folder(result: Result, console: Console, language: Language) -> None:
    """Print the result of checking files on the disk: their series, the problems, and whether they are complete."""
    for study in result.studies:
        _show_study(study, console, language, listing=False, of_folder=True)
    for problem in result.problems:
        _show_problem(problem, console, language, of_folder=True)
    if not result.studies:
        return
    expected = result.counts.expected
    if result.status is Status.COMPLETE:
        mark, name = "[green]✓[/]", "sound" if expected is None else "complete"
    else:
        mark, name = "[yellow]![/]", "faulty" if expected is None else "incomplete"
    words = say(
        f"verify.{name}",
        language,
        saved=result.counts.saved,
        expected=expected,
        broken=len(_damaged(result)),
        size=f"{result.size / 1e6:.1f} MB",
        seconds=f"{result.seconds:.1f}",
    )
    console.print(f"{mark} {markup(words)}", soft_wrap=True)


def _damaged(result: Result) -> set[str]:
    """Files that exist and can't be used as they are."""
    problems = [problem for study in result.studies for problem in study.problems]
    problems += [problem for study in result.studies for series in study.series for problem in series.problems]
    return {name for problem in problems if problem.fatal and problem.code in DAMAGE for name in problem.instances}


def _show_problem(problem: Problem, console: Console, language: Language, *, of_folder: bool, times: int = 1) -> None:
    most = FILES_NAMED_AT_MOST if of_folder else NAMED_AT_MOST
    named = ", ".join(problem.instances[:most])
    more = f" … (+{len(problem.instances) - most})" if len(problem.instances) > most else ""
    mark = "[red]•[/]" if problem.fatal else "[dim]•[/]"
    often = f" (×{times})" if times > 1 and not problem.instances else ""
    words = markup(describe_problem(problem, language, of_folder=of_folder) + often)
    console.print(f"{mark} {words} [dim]{markup(named)}{more}[/]", soft_wrap=of_folder)


def _show_study(
    study: StudyResult, console: Console, language: Language, *, listing: bool, of_folder: bool = False
) -> None:
    info = study.study
    head = "  ".join(part for part in (info.date, info.modality, info.patient_name, info.description) if part)
    if head or info.uid:
        console.print(f"[bold]{markup(head or info.uid)}[/]")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column, justify in (("number", "right"), ("modality", "left"), ("description", "left")):
        table.add_column(say(f"report.column.{column}", language), justify=justify)  # type: ignore[arg-type]  # a Literal
    count = "listed" if listing else "there" if of_folder else "saved"
    table.add_column(say(f"report.column.{count}", language), justify="right")
    table.add_column(say("report.column.origin", language))
    for series in study.series:
        expected = "?" if series.expected is None else str(series.expected)
        count = expected if listing else f"{series.saved}/{expected}" if expected != "?" else str(series.saved)
        style = "" if listing or series.status == "ok" else "yellow"
        table.add_row(
            "" if series.number is None else str(series.number),
            series.modality,
            markup(series.description),
            count,
            say(f"report.origin.{series.origin.value}", language),
            style=style,
        )
    if study.series:
        console.print(table)
    problems = (*study.problems, *(problem for series in study.series for problem in series.problems))
    for problem, times in merge_equal(problems):
        _show_problem(problem, console, language, times=times, of_folder=of_folder)
    if study.output is not None:
        console.print(f"→ [bold]{markup(str(study.output))}[/]", soft_wrap=True)


def traffic(log: Sequence[Mapping[str, object]], stderr: Console) -> None:
    """Print the requests of one source for ``-v``, addresses redacted."""
    for row in log:
        words = f"{row['method']} {row['url']} {row['status']} {row['type']} {row['bytes']}"
        stderr.print(f"[dim]{markup(words)}[/]", soft_wrap=True, highlight=False)


_RATE_EVERY_S = 0.1  # a piece of 16 KB arrives thousands of times a second; nobody reads so fast


class _Rate(ProgressColumn):
    """Rate in instances per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s", style="dim")


class Display:
    """The progress on standard error: a bar for each series, one for all, with rate and time left. A Watcher.

    Args:
        console: standard error's.
        language: of the words.
        quiet: show nothing.
    """

    def __init__(self, console: Console, language: Language, *, quiet: bool) -> None:
        self._console = console
        self._language = language
        self._quiet = quiet
        self._bars = Progress(
            TextColumn("{task.description}", table_column=None),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._of: dict[str, TaskID] = {}
        self._overall: TaskID | None = None
        self._bytes = 0
        self._began = self._rate_shown = time.monotonic()

    def __enter__(self) -> Display:
        return self  # the bars begin with the first series: an empty display would scroll the terminal

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def series(self, name: str, label: str, expected: int | None) -> None:
        """Start a bar for a series; the overall one grows by it."""
        if name in self._of:
            return
        if self._overall is None:
            self._bars.start()
            self._overall = self._bars.add_task(say("report.overall", self._language), total=0)
        self._of[name] = self._bars.add_task(markup(label[:40]), total=expected)
        if expected is not None:
            total = self._bars.tasks[self._bars.task_ids.index(self._overall)].total or 0
            self._bars.update(self._overall, total=total + expected)
        if not self._quiet and not self._console.is_terminal:
            count = "" if expected is None else f": {expected}"
            self._console.print(f"  {markup(label)}{count}", highlight=False)

    def arrived(self, series: str, *, reused: bool) -> None:
        """Count an instance on the disk."""
        del reused
        for task in (self._of.get(series), self._overall):
            if task is not None:
                self._bars.advance(task)

    def saved(self, series: str, path: Path) -> None:
        """Nothing to show."""

    def received(self, size: int) -> None:
        """Count received bytes; the overall line shows the rate."""
        self._bytes += size
        now = time.monotonic()
        if self._overall is not None and not self._bars.disable and now - self._rate_shown >= _RATE_EVERY_S:
            self._rate_shown = now
            rate = self._bytes / max(now - self._began, 0.1) / 1e6
            words = say("report.overall", self._language)
            self._bars.update(self._overall, description=f"{words} {self._bytes / 1e6:.0f} MB, {rate:.1f} MB/s")

    def say(self, name: str, **values: object) -> None:
        """Print a short line; a message's name is replaced by its text in the user's language."""
        if not self._quiet:
            text = name
            with contextlib.suppress(KeyError):
                text = say(f"say.{name}", self._language, **values)
            self._console.print(f"[dim]{markup(text)}[/]", highlight=False)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def show_traceback(error: BaseException) -> None:
    """Print the traceback to standard error for ``-vv``; groups unfolded, control characters made visible."""
    complain("".join(traceback.format_exception(error)).rstrip())


def _frames(error: BaseException) -> list[str]:
    return [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]


def _inner(error: BaseException) -> list[dict[str, object]]:
    """The errors inside a group and their causes: names and places, no values."""
    inner: list[dict[str, object]] = []
    for error_inside in single_errors(error):
        if error_inside is not error:
            inner.append({"error": type(error_inside).__name__, "frames": _frames(error_inside)})
        cause = error_inside.__cause__
        if cause is not None:
            inner.append({"error": type(cause).__name__, "frames": _frames(cause)})
    return inner


def write_diagnostic(
    folder: Path, error: BaseException, link: str, provider: str, log: Sequence[Mapping[str, object]]
) -> Path:
    """Write what a maintainer needs of a failure and nothing of the patient: no values, no texts, redacted addresses.

    Returns:
        The file; it lies in the working folder where ``folder`` can't be written.
    """
    frames = [*_frames(error), *(_frames(error.__cause__) if error.__cause__ is not None else [])]
    content = {
        "cloudfilm": version("cloudfilm"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "error": type(error).__name__,
        "inner": _inner(error),
        "provider": provider,
        "link": link,
        "values": {
            name: str(words_of(value, Language.EN))
            for name, value in error.values.items()
            if name in ("host", "what", "why", "field")
        }
        if isinstance(error, CloudfilmError)
        else {},
        "frames": frames,
        "traffic": list(log),
    }
    name = f"cloudfilm-diagnostic-{time.strftime('%Y%m%d-%H%M%S')}"
    text = escaped_json(json.dumps(content, ensure_ascii=False, indent=1))
    for place in (folder, Path()):
        for number in range(1, 1000):  # several sources may fail in one second
            path = place / (f"{name}.json" if number == 1 else f"{name}-{number}.json")
            try:
                place.mkdir(parents=True, exist_ok=True, mode=0o700)
                with open(path, "x", encoding="utf-8", opener=_private) as out:  # with its mode from the start
                    out.write(text)
            except FileExistsError:
                continue
            except OSError:
                break
            return path
    return Path("(no place to write it)")
