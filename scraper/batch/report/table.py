"""The batch as rows: one for each study in ``report.csv``, counts by outcome for people; files are written atomically."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from scraper.batch.input.rows import Refused
from scraper.batch.workers.protocol import Outcome, results
from scraper.core.disk import disk_errors
from scraper.core.messages import say
from scraper.core.model import Result, Status
from scraper.core.safe_text import csv_cell
from scraper.core.settings import Language
from scraper.pipeline import document

COLUMNS: Final = (
    "line",
    "label",
    "source",
    "status",
    "exit_code",
    "provider",
    "via",
    "attempts",
    "patient_name",
    "date",
    "modality",
    "description",
    "study_uid",
    "series",
    "expected",
    "saved",
    "failed",
    "bytes",
    "seconds",
    "folder",
    "problems",
    "diagnostic",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One source of the list; its outcome is read only when shown, so that ten thousand entries take little memory."""

    lines: tuple[int, ...]
    label: str
    shown: str
    read: Callable[[], Outcome | None]  # None: it waits
    attempts: int = 0
    pictures: Callable[[], Mapping[str, bytes]] = dict  # Series Instance UID → JPEG, read when they are shown
    extra: Mapping[str, str] = field(default_factory=dict)  # the list's own columns


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One study of an entry, from its JSON document."""

    study: Mapping[str, Any]
    folder: str
    series: Sequence[Mapping[str, Any]]


def of_refused(refused: Refused, path: Path, language: Language) -> Outcome:
    """An unreadable row as a failed source, named by its line."""
    words = say(f"batch.row.{refused.why}", language, line=refused.line)
    source = f"{path.name}:{refused.line}"
    failed = document.of(Result(source, Status.FAILED, int(refused.exit_code)), language)
    failed["problems"] = [{"code": "row-unusable", "message": words, "instances": []}]
    return Outcome(failed, words)


def studies(outcome: Outcome) -> list[StudyRow]:
    """The studies of a document: its own, or those of each film."""
    report: Mapping[str, Any] = outcome.document
    series = {str(item["uid"]): item for item in report["series"]}
    if report.get("studies"):
        return [
            StudyRow(item["study"], _name(item["output"]), [series[uid] for uid in item["series"] if uid in series])
            for item in report["studies"]
        ]
    if report.get("study") is None:
        return []
    return [StudyRow(report["study"], _name(report["output"]), report["series"])]


def parts(entry: Entry) -> list[Outcome | None]:
    """How each film of a source ended; None where the source waits."""
    outcome = entry.read()
    return [None] if outcome is None else [*results(outcome)]


def rows(outcome: Outcome | None) -> list[StudyRow | None]:
    """An outcome's studies, or one row without any."""
    found = studies(outcome) if outcome else []
    return [*found] or [None]


def _name(output: str | None) -> str:
    """A study's folder relative to the output folder, or the URL it was uploaded to."""
    if output and "://" in output:
        return output
    return Path(output).name if output else ""


def problem_words(outcome: Outcome, study: StudyRow | None = None) -> list[str]:
    """The problems in words: of the source, then of the study's series."""
    report: Mapping[str, Any] = outcome.document
    series = report["series"] if study is None else study.series
    listed = [*report["problems"], *(item for row in series for item in row["problems"])]
    return list(dict.fromkeys(str(item["message"]) for item in listed))


def as_csv(entries: Sequence[Entry], language: Language = Language.EN) -> Iterator[str]:
    """The lines of ``report.csv``, with the byte order mark by which spreadsheets recognise UTF-8.

    Headings are in the language; the list's own columns come last.
    """
    own = list(dict.fromkeys(name for entry in entries for name in entry.extra))
    names = COLUMNS if language is Language.EN else tuple(say(f"batch.csv.{name}", language) for name in COLUMNS)
    yield "\ufeff" + _line([*names, *own])
    for entry in entries:
        for outcome in parts(entry):
            for study in rows(outcome):
                cells = _cells(entry, outcome, study)
                cells += [""] * (len(COLUMNS) - len(cells) if own else 0)
                yield _line([*cells, *(entry.extra.get(name, "") for name in own)])


def _cells(entry: Entry, outcome: Outcome | None, study: StudyRow | None) -> list[object]:
    head: list[object] = [" ".join(map(str, entry.lines)), entry.label, entry.shown]
    if outcome is None:
        return [*head, "waiting"]
    report: Mapping[str, Any] = outcome.document
    head += [report["status"], report["exit_code"], report["provider"], report["via"], entry.attempts]
    end = ["; ".join(problem_words(outcome, study)), outcome.diagnostic]
    if study is None:
        return [*head, *[""] * (len(COLUMNS) - len(head) - len(end) - 3), report["bytes"], report["seconds"], "", *end]
    expected = [series["expected"] for series in study.series]
    failed = sum(max(0, (series["expected"] or series["saved"]) - series["saved"]) for series in study.series)
    counts = [
        len(study.series),
        "" if None in expected else sum(expected),
        sum(series["saved"] for series in study.series),
        failed,
    ]
    named = [study.study[name] for name in ("patient_name", "date", "modality", "description", "uid")]
    return [*head, *named, *counts, report["bytes"], report["seconds"], study.folder, *end]


def _line(cells: Iterable[object]) -> str:
    """One line (RFC 4180); text that a spreadsheet would take for a formula is escaped."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(map(csv_cell, cells))
    return out.getvalue()


def counted(entries: Iterable[Entry]) -> Counter[tuple[str, int]]:
    """Number of films by (status, exit code); waiting ones under ("waiting", 0)."""
    read = (outcome for entry in entries for outcome in parts(entry))
    return Counter((outcome.status.value, int(outcome.exit_code)) if outcome else ("waiting", 0) for outcome in read)


def write(path: Path, pieces: Iterable[str]) -> None:
    """Write a file atomically, readable by its owner only.

    Raises:
        DiskFull, NotWritable: the disk refuses.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # a name of its own (and mode 0600): another process of the same batch may write its report at the same moment
        descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".part")
        try:
            with open(descriptor, "w", encoding="utf-8", newline="") as out:  # noqa: PTH123  # a descriptor, no path
                for piece in pieces:
                    out.write(piece)
                out.flush()
                os.fsync(out.fileno())
            Path(part).replace(path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
