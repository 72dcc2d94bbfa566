"""Result → the JSON document of the public contract, and the study's own report on the disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from scraper.core.bounded_json import json_file
from scraper.core.errors import CloudfilmError
from scraper.core.messages import describe, describe_problem
from scraper.core.model import Origin, Problem, Result, Saved, SeriesResult, Study
from scraper.core.provenance import made_by
from scraper.core.safe_text import without_surrogates
from scraper.core.settings import Language

SCHEMA = 1  # of study.json; raised when a key changes its meaning
CHECKS = (
    "parses (PS3.10 7.1)",
    "one SOP Instance UID and SOP Class UID in file meta and data set (PS3.10 7.1)",
    "pixel data as long as Rows, Columns, frames and bits say, and decodable (PS3.3 C.7.6.3, PS3.5 8 and A.4)",
    "as many instances as announced, none twice",
    "slice positions evenly spaced along the normal, where geometry is given (PS3.3 C.7.6.2)",
    "one study, one patient",
)


def of(result: Result, language: Language = Language.EN) -> dict[str, Any]:
    """What ``--json`` prints for one source. With several studies behind one link, ``studies`` lists each."""
    studies = result.studies
    first = studies[0] if studies else None
    of_folder = result.of_folder
    problems = [_problem(problem, language, of_folder=of_folder) for problem in result.problems]
    problems += [_problem(problem, language, of_folder=of_folder) for study in studies for problem in study.problems]
    if isinstance(result.error, CloudfilmError):
        problems.append({"code": result.error.code, "message": describe(result.error, language), "instances": []})
    document: dict[str, object] = {
        "source": result.source,
        "status": result.status.value,
        "exit_code": result.exit_code,
        "provider": result.provider or None,
        "via": result.via.value if result.via else None,
        "link": result.link or None,
        "output": _path(first.output) if first else None,
        "study": _study(first.study) if first else None,
        "series": [_series(item, language, of_folder=of_folder) for study in studies for item in study.series],
        "instances": {
            "expected": result.counts.expected,
            "saved": result.counts.saved,
            "reused": result.counts.reused,
            "failed": result.counts.failed,
        },
        "bytes": result.size,
        "seconds": result.seconds,
        "problems": problems,
    }
    if len(studies) > 1:
        document["studies"] = [
            {
                "study": _study(item.study),
                "output": _path(item.output),
                "series": [series.uid for series in item.series],
            }
            for item in studies
        ]
    return {name: _writable(value) for name, value in document.items()}


def _writable(value: Any) -> Any:
    """The same without lone surrogates, which no UTF-8 holds: not a file, not a ledger, not a terminal."""
    match value:
        case str():
            return without_surrogates(value)
        case dict():
            return {name: _writable(inner) for name, inner in value.items()}
        case list():
            return [_writable(inner) for inner in value]
        case _:
            return value


def study_report(
    result: Result,
    key: str,
    placed: Mapping[str, Sequence[Saved]],
    found: Mapping[str, Sequence[Problem]],
    options: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """What ``study.json`` holds: the result, and each instance with its hash, origin, Transfer Syntax and problems.

    Args:
        result: the source's result with this study alone.
        key: identifies the study on the disk.
        placed: series folder → its files, at their final paths.
        found: SOP Instance UID → the problems of that instance.
        options: of the user.
    """
    document = of(result)
    document["series"] = [
        {
            **_series(series, Language.EN, of_folder=False),
            "evidence": series.evidence.name.lower() if series.evidence else None,
        }
        for study in result.studies
        for series in study.series
    ]
    document["source"] = result.source if "://" in result.source else Path(result.source).name
    rows = []
    for folder, files in placed.items():
        for saved in files:
            rows.append(
                {
                    "sop_instance_uid": saved.header.sop_instance_uid,
                    "series_instance_uid": saved.header.series_instance_uid,
                    "file": f"{folder}/{saved.path.name}",
                    "sha256": saved.sha256,
                    "size": saved.size,
                    "origin": saved.origin.value,
                    "transfer_syntax_uid": saved.header.transfer_syntax_uid,
                    "key": saved.key,
                    "problems": [problem.code for problem in found.get(saved.header.sop_instance_uid, ())],
                }
            )
    made = made_by(options or {})
    return {"schema": SCHEMA, "key": key, "made": made, **document, "checks": list(CHECKS), "instances_saved": rows}


def amended(path: Path, result: Result) -> str:
    """A study's report with another verdict: the result's words in the place of the old ones, the instances as they are."""
    report = json.loads(path.read_text(encoding="utf-8"))
    document = study_report(result, "", {}, {})
    unchanged = ("schema", "key", "made", "source", "checks", "instances_saved", "seconds", "bytes")
    return (
        json.dumps(
            {**report, **{name: value for name, value in document.items() if name not in unchanged}},
            ensure_ascii=False,
            indent=1,
        )
        + "\n"
    )


@dataclass(frozen=True, slots=True)
class SavedFile:
    """One instance of a ``study.json``. ``name``: its path from the folder (or zip) that is looked at."""

    name: str
    sha256: str
    series_instance_uid: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class SavedStudy:
    """What a folder's own ``study.json`` says.

    Attributes:
        folder: its path from the folder (or zip) that is checked.
        study: as it was saved.
        status: how the run that wrote it ended.
        total: how many instances were announced; None if unknown.
        series: its series with their announced counts.
        files: SOP Instance UID → file.
        codes: of its problems.
    """

    folder: str
    study: Study
    status: str
    total: int | None
    series: tuple[SeriesResult, ...]
    files: Mapping[str, SavedFile] = field(default_factory=dict)
    codes: tuple[str, ...] = ()
    provider: str = ""


def saved_study(path: Path, name: str) -> SavedStudy | None:
    """The report that ``grab`` left in a folder; None where it can't be read.

    Args:
        path: of the ``study.json``.
        name: its path from the folder (or zip) that is looked at.
    """
    folder = PurePosixPath(name).parent
    try:
        report = json_file(path)
        study = {key: str(value or "") for key, value in (report.get("study") or {}).items()}
        rows = tuple(_series_row(row) for row in report["series"])
        files = {
            str(row["sop_instance_uid"]): SavedFile(
                (folder / str(row["file"])).as_posix(),
                str(row["sha256"]),
                str(row.get("series_instance_uid") or ""),
                Origin(row.get("origin") or Origin.ORIGINAL),
            )
            for row in report["instances_saved"]
        }
        problems = [
            *report.get("problems", ()),
            *(item for row in report["series"] for item in row.get("problems", ())),
        ]
        return SavedStudy(
            folder.as_posix(),
            Study(*(study.get(key, "") for key in ("uid", "date", "modality", "description", "patient_name"))),
            str(report.get("status") or ""),
            _count((report.get("instances") or {}).get("expected")),
            rows,
            files,
            tuple(dict.fromkeys(str(problem["code"]) for problem in problems)),
            str(report.get("provider") or ""),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _series_row(row: Mapping[str, object]) -> SeriesResult:
    return SeriesResult(
        str(row["uid"] or ""),
        _count(row.get("number")),
        str(row.get("description") or ""),
        str(row.get("modality") or ""),
        _count(row["expected"]),
        0,
        Origin(str(row.get("origin") or Origin.ORIGINAL)),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _study(study: Study) -> dict[str, object]:
    return {
        "uid": study.uid,
        "date": study.date,
        "modality": study.modality,
        "description": study.description,
        "patient_name": study.patient_name,
    }


def _series(series: SeriesResult, language: Language, *, of_folder: bool) -> dict[str, object]:
    return {
        "uid": series.uid,
        "number": series.number,
        "description": series.description,
        "modality": series.modality,
        "expected": series.expected,
        "saved": series.saved,
        "origin": series.origin.value,
        "status": series.status,
        "problems": [_problem(problem, language, of_folder=of_folder) for problem in series.problems],
    }


def _problem(problem: Problem, language: Language, *, of_folder: bool) -> dict[str, object]:
    return {
        "code": problem.code,
        "message": describe_problem(problem, language, of_folder=of_folder),
        "instances": list(problem.instances),
    }


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)
