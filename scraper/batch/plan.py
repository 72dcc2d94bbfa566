"""Decide what a list and a ledger leave to do: duplicates merged, finished sources skipped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from scraper.batch.input.rows import Row
from scraper.batch.ledger import Ledger, Record, State
from scraper.batch.workers.protocol import Job, Outcome, results
from scraper.core.errors import ExitCode
from scraper.core.settings import Settings

STOPPED_BY_THE_DISK = frozenset(
    ("disk-full", "temporary-folder-full", "not-writable")
)  # no fault of the source, which waits


@dataclass(frozen=True, slots=True)
class Selection:
    """Which sources a run takes; by default those that wait and those that ended incomplete."""

    retry_failed: bool = False
    only_failed: bool = False
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One source of the list; ``lines`` are all its positions there."""

    row: Row
    job: Job
    lines: tuple[int, ...]
    answers: str  # their keyed hash
    again: tuple[State, ...] = ()  # states besides ``queued`` from which it is tried again
    attempts: int = 0  # how often it was tried until now
    host: str = ""  # the link's; nothing for a file


@dataclass(frozen=True, slots=True)
class Plan:
    """``todo`` is done in this run; ``unchanged`` was finished before, or is not selected."""

    todo: tuple[Item, ...] = ()
    unchanged: tuple[Item, ...] = ()
    before: Mapping[str, Record] = field(default_factory=dict)

    @property
    def items(self) -> tuple[Item, ...]:
        """All sources, in the order of the list."""
        return tuple(sorted((*self.todo, *self.unchanged), key=lambda item: item.lines))


def build(rows: Iterable[Row], ledger: Ledger, settings: Settings, choice: Selection) -> Plan:
    """Plan ``rows``. A duplicate source is processed once, with the answers of either row."""
    by_key: dict[str, Row] = {}
    lines: dict[str, list[int]] = {}
    for row in rows:
        key = ledger.hashed(row.identity)
        known = by_key.setdefault(key, row)
        by_key[key] = replace(
            known,
            answers={**row.answers, **known.answers},
            label=known.label or row.label,
            expect=known.expect or row.expect,
        )
        lines.setdefault(key, []).append(row.line)
    before = ledger.records()
    todo: list[Item] = []
    unchanged: list[Item] = []
    for key, row in by_key.items():
        answers = {**settings.answers, **row.answers}
        expect = row.expect or settings.expect
        own = replace(settings, answers=answers, expect=expect, expect_name=row.expect_name, label=row.label)
        job = Job(key, row.source, row.shown, own)
        host = "" if row.is_file else urlsplit(job.shown).hostname or ""
        item = Item(row, job, tuple(lines[key]), ledger.hashed_answers(answers), host=host)
        record = before.get(key)
        again = _again(record, item, settings.output, choice)
        is_wanted = again is not None and (choice.limit is None or len(todo) < choice.limit)
        if is_wanted:
            todo.append(replace(item, again=again or (), attempts=record.attempts if record else 0))
        else:
            unchanged.append(item)
    return Plan(tuple(todo), tuple(unchanged), before)


def _again(record: Record | None, item: Item, output: Path, choice: Selection) -> tuple[State, ...] | None:
    """From which final state a source is tried again; None: not at all."""
    state = record.state if record else State.QUEUED
    if record is None or state in (State.QUEUED, State.RUNNING):
        return None if choice.only_failed else ()
    if state is State.DONE:
        is_settled = _folders_exist(record.outcome, output) and _is_as_expected(record.outcome, item)
        return None if choice.only_failed or is_settled else (state,)
    if choice.retry_failed or choice.only_failed or state is State.INCOMPLETE or _may_end_otherwise(record, item):
        return (state,)
    return None


def _is_as_expected(outcome: Outcome | None, item: Item) -> bool:
    """Whether the list's expected number of images is consistent with a finished source."""
    expect = item.job.settings.expect
    instances = outcome.document.get("instances") if outcome is not None else None
    return expect is None or not isinstance(instances, dict) or instances.get("saved") == expect


def _may_end_otherwise(record: Record, item: Item) -> bool:
    """Whether a retry may succeed: the answers have changed, or the disk had failed."""
    if record.outcome is None:
        return True
    if record.outcome.exit_code is ExitCode.CREDENTIALS:
        return record.answers != item.answers
    return bool(STOPPED_BY_THE_DISK & problem_codes(record.outcome))


def _folders_exist(outcome: Outcome | None, output: Path) -> bool:
    """Whether the folders of a finished source still exist; those at a target are assumed to."""
    return outcome is not None and (
        bool(urls(outcome)) or all((output / name / "study.json").is_file() for name in folders(outcome))
    )


def folders(outcome: Outcome) -> tuple[str, ...]:
    """Names of the output folders with the source's studies."""
    return tuple(Path(place).name for place in _places(outcome))


def urls(outcome: Outcome) -> tuple[str, ...]:
    """Where the source's studies were uploaded; empty where they lie in the output folder."""
    return tuple(place for place in _places(outcome) if "://" in place)


def _places(outcome: Outcome) -> list[str]:
    return [place for part in results(outcome) for place in _places_of(part)]


def _places_of(outcome: Outcome) -> list[str]:
    document = outcome.document
    studies = document.get("studies")
    rows = studies if isinstance(studies, list) else [document]
    return [str(row["output"]) for row in rows if row.get("output")]


def relocate(outcome: Outcome, output: Path) -> Outcome:
    """An earlier run's outcome, its folders relocated to where the output folder is now."""

    def moved(row: Mapping[str, object]) -> dict[str, object]:
        place = str(row.get("output") or "")
        return dict(row) | ({"output": str(output / Path(place).name)} if place and "://" not in place else {})

    parts = outcome.document.get("results")
    if isinstance(parts, list):
        rows = [{**row, "document": dict(relocate(Outcome(row["document"]), output).document)} for row in parts]
        return replace(outcome, document={**outcome.document, "results": rows})
    document = moved(outcome.document)
    studies = document.get("studies")
    if isinstance(studies, list):
        document["studies"] = [moved(row) for row in studies]
    return replace(outcome, document=document)


def problem_codes(outcome: Outcome) -> set[str]:
    """The problem codes of the source as a whole."""
    problems = outcome.document.get("problems")
    return {str(problem["code"]) for problem in problems} if isinstance(problems, list) else set()
