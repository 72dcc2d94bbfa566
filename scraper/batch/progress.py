"""The progress of a batch on standard error: how far it is, what it works on, and the remaining time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from scraper.batch.plan import Item
from scraper.batch.report.page import meaning
from scraper.batch.workers.protocol import Job, Outcome
from scraper.core.messages import say
from scraper.core.model import Status
from scraper.core.output import markup
from scraper.core.settings import Language

_MARKS: Final = {Status.COMPLETE: "[green]✓[/]", Status.INCOMPLETE: "[yellow]![/]", Status.FAILED: "[red]✗[/]"}
_WIDEST: Final = 60


class Board:
    """A bar for all sources, and one for each in work; without a terminal, a line for each that has ended.

    Args:
        console: standard error's.
        language: of the words.
        total: sources that this run is about.
        quiet: show nothing.
    """

    def __init__(self, console: Console, language: Language, total: int, *, quiet: bool) -> None:
        self._console = console
        self._language = language
        self._total = total
        self._quiet = quiet
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._overall: TaskID | None = None
        self._of: dict[str, TaskID] = {}
        self._ended = dict.fromkeys(Status, 0)

    def __enter__(self) -> Board:
        self._bars.start()
        self._overall = self._bars.add_task(self._words(), total=self._total)
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hand the terminal over for a moment."""
        self._bars.stop()
        try:
            yield
        finally:
            self._bars.start()

    def _words(self) -> str:
        return say(
            "batch.overall",
            self._language,
            done=self._ended[Status.COMPLETE],
            failed=self._ended[Status.INCOMPLETE] + self._ended[Status.FAILED],
            remaining=self._total - sum(self._ended.values()),
        )

    def started(self, item: Item) -> None:
        """Add a bar for a source; its length is known once its site has reported it."""
        self._of[item.job.key] = self._bars.add_task(f"  {markup(_name(item))}", total=None)

    def ended(self, item: Item, outcome: Outcome, *, now: bool) -> None:
        """Remove the source's bar and advance the overall one."""
        if (task := self._of.pop(item.job.key, None)) is not None:
            self._bars.remove_task(task)
        if not now:
            return
        self._ended[outcome.status] += 1
        if self._overall is not None:
            self._bars.update(self._overall, advance=1, description=self._words())
        if self._quiet or (self._console.is_terminal and outcome.status is Status.COMPLETE):
            return
        place = f"[{sum(self._ended.values())}/{self._total}]"
        self._console.print(
            f"{_MARKS[outcome.status]} {markup(place)} {markup(_name(item))} {markup(outcome.words)}",
            highlight=False,
            soft_wrap=True,
        )

    def watcher(self, job: Job) -> SourceProgress:
        """The watcher of one source."""
        return SourceProgress(self._bars, self._of.get(job.key))


class SourceProgress:
    """One source's Watcher: its bar counts instances.

    Args:
        bars: the board's.
        task: the source's own.
    """

    def __init__(self, bars: Progress, task: TaskID | None) -> None:
        self._bars = bars
        self._task = task
        self._expected = 0
        self._series: set[str] = set()

    def series(self, name: str, label: str, expected: int | None) -> None:
        """Extend the bar by a series."""
        del label
        if self._task is not None and name not in self._series:
            self._series.add(name)
            self._expected += expected or 0
            self._bars.update(self._task, total=self._expected or None)

    def arrived(self, series: str, *, reused: bool) -> None:
        """Count one more instance."""
        del series, reused
        if self._task is not None:
            self._bars.advance(self._task)

    def saved(self, series: str, path: Path) -> None:
        """Nothing to show."""

    def received(self, size: int) -> None:
        """Not shown: sources differ too much for a rate to be meaningful."""

    def say(self, name: str, **values: object) -> None:
        """Not shown: with several sources at once nobody could tell which one it concerns."""


def _name(item: Item) -> str:
    name = f"{item.row.label} · {item.job.shown}" if item.row.label else item.job.shown
    return name if len(name) <= _WIDEST else "…" + name[1 - _WIDEST :]


def summary(ended: Mapping[tuple[str, int], int], console: Console, language: Language) -> None:
    """Summary of how many sources ended how."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right")
    for _ in range(2):
        table.add_column(overflow="fold")
    for (status, code), count in sorted(ended.items(), key=lambda item: item[0][1]):
        words = say(f"batch.page.{status}", language)
        table.add_row(str(count), words, markup(meaning(code, language)) if code else "")
    console.print(table)
