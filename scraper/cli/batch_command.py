"""One call of ``batch``: its list, its ledger, its worker, and its reports at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scraper.cli import interrupt
from scraper.cli.options import Runs, announce_code, asker
from scraper.cli.window import PAGES_BY_DEFAULT, write_pages
from scraper.core.errors import ExitCode, ExtraMissing, NoSources
from scraper.core.messages import say
from scraper.core.output import complain, console, echo, echo_json
from scraper.core.safe_text import visible
from scraper.core.settings import Settings

if TYPE_CHECKING:
    from scraper.batch.input.rows import SourceList
    from scraper.batch.ledger import Ledger
    from scraper.batch.plan import Item, Plan, Selection
    from scraper.batch.progress import Board
    from scraper.batch.report.table import Entry
    from scraper.batch.workers.protocol import Job, Outcome, Worker


@dataclass(frozen=True, slots=True)
class Locations:
    """Locations besides the output folder: the URL for studies, the ledger, the cluster's scheduler."""

    target: str
    ledger: Path
    scheduler: str
    pages: bool | None = None  # whether a page to look at is written into each study's folder; None: for a few


class BatchCommand:
    """One call of the command."""

    def __init__(
        self, links: Path, settings: Settings, choice: Selection, parallel: int, places: Locations, *, as_json: bool
    ) -> None:
        from scraper.batch.input import rows as inputs

        self.links = links
        self.parallel = parallel
        self.places = places
        # With several sources at once nobody could tell which one a question is about.
        self.settings = settings if parallel == 1 else replace(settings, interactive=False)
        self.choice = choice
        self.as_json = as_json
        self.listing: SourceList = inputs.read(links)
        if not self.listing.rows and not self.listing.refused:
            raise NoSources(path=str(links))
        self.refused = self._of_refused()

    def _of_refused(self) -> list[tuple[Entry, Outcome]]:
        from scraper.batch.report.table import Entry, of_refused

        language = self.settings.language
        rows = []
        for refused in self.listing.refused:
            outcome = of_refused(refused, self.links, language)
            complain(outcome.words)
            shown = str(outcome.document["source"])
            rows.append((Entry((refused.line,), refused.label, shown, partial(_unchanged, outcome)), outcome))
        return rows

    def rehearse(self) -> int:
        """Print what would be done."""
        from scraper.batch import plan
        from scraper.batch.ledger import Ledger

        place = self.places.ledger
        with Ledger(place, scratch=not Ledger.is_there(place)) as ledger:
            made = plan.build(self.listing.rows, ledger, self.settings, self.choice)
        for item in made.items:
            record = made.before.get(item.job.key)
            state = record.state.value if record else "queued"
            if self.as_json:
                row = {
                    "source": item.job.shown,
                    "lines": list(item.lines),
                    "state": state,
                    "would_run": item in made.todo,
                }
                echo_json(row)
            else:
                mark = "→" if item in made.todo else " "
                shown, label = visible(item.job.shown), visible(item.row.label)
                words = say(f"batch.state.{state}", self.settings.language)
                echo(f"{mark} {', '.join(map(str, item.lines)):>5}  {words:<10}  {shown}  {label}")
        complain(say("batch.would", self.settings.language, count=len(made.todo), left=len(made.unchanged)))
        return max((int(outcome.exit_code) for _, outcome in self.refused), default=0)

    def run(self, run: Runs, give_up: float | None) -> int:
        """Work through the sources, and write the report even if interrupted."""
        from scraper.batch import plan
        from scraper.batch.ledger import Ledger
        from scraper.batch.progress import Board
        from scraper.batch.runner import Runner

        settings, stderr = self.settings, console(err=True)
        announce_code(settings)
        for _, outcome in self.refused:
            self._print(outcome)
        interrupted = False
        with Ledger(self.places.ledger) as ledger:
            made = plan.build(self.listing.rows, ledger, settings, self.choice)
            quiet = settings.verbosity < 0
            with Board(stderr, settings.language, len(made.todo), quiet=quiet) as board:
                worker = self._worker(board, ledger, give_up)
                runner = Runner(ledger, worker, _ProgressPrinter(board, self._print), self.parallel)
                try:
                    started = time.time() - 1  # a file's time may be a little behind
                    run(runner.run(made))
                    is_for_eyes = not self.as_json and not self.places.target
                    if self.places.pages or (self.places.pages is None and is_for_eyes):
                        bound = None if self.places.pages else PAGES_BY_DEFAULT
                        run(write_pages(settings.output, settings.language, bound, since=started))
                except KeyboardInterrupt:
                    interrupted = True
                finally:
                    ended = self._report(made, runner.settled, ledger)
        return self._end(ended, interrupted=interrupted)

    def _worker(self, board: Board, ledger: Ledger, give_up: float | None) -> Worker[Any]:
        """The worker: this process, or a cluster."""
        from scraper.batch import plan
        from scraper.batch.target import Delivering, Target
        from scraper.batch.workers.local import LocalWorker

        target, scheduler = self.places.target, self.places.scheduler

        def earlier(job: Job) -> tuple[str, ...]:
            record = ledger.record(job.key)
            return plan.urls(record.outcome) if record is not None and record.outcome is not None else ()

        if scheduler:
            try:
                from scraper.batch.workers.cluster import ClusterWorker
            except ImportError as err:
                raise ExtraMissing(extra="distributed") from err
            return ClusterWorker(
                scheduler, target, timeout_s=self.settings.timeout_s, patience_s=give_up, earlier=earlier
            )
        local = LocalWorker(
            self.settings, self.parallel, ask=_asker(self.settings, board), watched=board.watcher, patience_s=give_up
        )
        return Delivering(local, Target(target), earlier) if target else local

    def _report(self, made: Plan, settled: set[str], ledger: Ledger) -> Counter[tuple[str, int]]:
        """Write both reports, and count the outcomes of the sources."""
        from scraper.batch.report import page, table

        language, output = self.settings.language, self.settings.output
        entries = [entry for entry, _ in self.refused]
        entries += [_entry(item, ledger, is_settled=item.job.key in settled) for item in made.items]
        entries.sort(key=lambda entry: entry.lines)
        table.write(output / "report.csv", table.as_csv(entries, language))
        self._needs(made, ledger)
        table.write(output / "report.html", page.page(self.links.name, entries, language, output))
        return table.counted(entries)

    def _needs(self, made: Plan, ledger: Ledger) -> None:
        """Write ``needs.csv``: the rows that lack an answer, with the columns to fill in; it is a list for the next run."""
        from scraper.batch.report import needs

        rows = []
        for item in made.items:
            record = ledger.record(item.job.key)
            outcome = record.outcome if record else None
            if outcome is not None and outcome.exit_code == ExitCode.CREDENTIALS:
                rows.append((item.row, str(outcome.document.get("provider") or "")))
        path = self.settings.output / needs.NAME
        if rows:
            needs.write(path, rows, self.settings.language)
            complain(say("batch.needs", self.settings.language, count=len(rows), path=path))
        elif path.resolve() != self.links.resolve():
            path.unlink(missing_ok=True)

    def _end(self, ended: Counter[tuple[str, int]], *, interrupted: bool) -> int:
        """Print the summary; returns the exit code."""
        from scraper.batch.progress import summary

        language = self.settings.language
        if not self.as_json:
            summary(ended, console(), language)
        complain(say("batch.report", language, path=self.settings.output / "report.html"))
        failed = sum(count for (status, _), count in ended.items() if status == "failed") - len(self.refused)
        if failed:
            complain(say("batch.failed-again", language, count=failed))
        if self.parallel > 1 and any(code == ExitCode.CREDENTIALS for _, code in ended):
            complain(say("batch.nobody-asked", language))
        if interrupted and not interrupt.was_announced():
            complain(say("interrupted", language))
        if waiting := ended["waiting", 0]:
            complain(say("batch.go-on", language, count=waiting))
        return max([int(ExitCode.INTERRUPTED) if interrupted else 0, *(code for _, code in ended)])

    def _print(self, outcome: Outcome) -> None:
        if self.as_json:
            from scraper.batch.workers.protocol import results

            for part in results(outcome):
                echo_json(part.document)


class _ProgressPrinter:
    """Update the progress board, and print each document as its source ends."""

    def __init__(self, board: Board, show: Callable[[Outcome], None]) -> None:
        self._board = board
        self._show = show

    def started(self, item: Item) -> None:
        """Note that work on a source began."""
        self._board.started(item)

    def ended(self, item: Item, outcome: Outcome, *, now: bool) -> None:
        """Note that a source ended, in this run or an earlier one."""
        self._board.ended(item, outcome, now=now)
        self._show(outcome)


def _unchanged(outcome: Outcome) -> Outcome:
    return outcome


def _entry(item: Item, ledger: Ledger, *, is_settled: bool) -> Entry:
    from scraper.batch.report.table import Entry

    key = item.job.key

    def read() -> Outcome | None:
        record = ledger.record(key) if is_settled else None
        return record.outcome if record else None

    record = ledger.record(key)
    attempts = record.attempts if record else 0
    return Entry(
        item.lines, item.row.label, item.job.shown, read, attempts, partial(ledger.thumbnails, key), item.row.extra
    )


def _asker(settings: Settings, board: Board) -> Callable[..., str | None]:
    ask = asker(settings)

    def paused(*words: Any) -> str | None:
        with board.paused():
            return ask(*words)

    return paused
