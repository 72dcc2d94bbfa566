"""Result → the JSON document of the public contract, and the study's own report on the disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scraper.errors import CloudfilmError
from scraper.lang import describe, describe_problem
from scraper.model import Problem, Result, Saved, SeriesResult, Study
from scraper.settings import Language

SCHEMA = 1  # of study.json; raised when a key changes its meaning
CHECKS = (
    "parses (PS3.10 7.1)",
    "one SOP Instance UID and SOP Class UID in file meta and data set (PS3.10 7.1)",
    "pixel data as long as Rows, Columns, frames and bits say, and decodable (PS3.3 C.7.6.3, PS3.5 8 and A.4)",
    "as many instances as announced, none twice",
    "slice positions evenly spaced along the normal, where geometry is given (PS3.3 C.7.6.2)",
    "one study, one patient",
)


def of(result: Result, language: Language = Language.EN) -> dict[str, object]:
    """What ``--json`` prints for one source. With several studies behind one link, ``studies`` lists each."""
    studies = result.studies
    first = studies[0] if studies else None
    problems = [_problem(one, language) for one in result.problems]
    problems += [_problem(one, language) for study in studies for one in study.problems]
    if isinstance(result.error, CloudfilmError):
        problems.append(
            {"code": result.error.code, "message": describe(result.error, language), "instances": []}
        )
    document: dict[str, object] = {
        "source": result.source,
        "status": result.status.value,
        "exit_code": result.exit_code,
        "provider": result.provider or None,
        "via": result.via.value if result.via else None,
        "link": result.link or None,
        "output": _path(first.output) if first else None,
        "study": _study(first.study) if first else None,
        "series": [_series(one, language) for study in studies for one in study.series],
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
                "study": _study(one.study),
                "output": _path(one.output),
                "series": [series.uid for series in one.series],
            }
            for one in studies
        ]
    return document


def study_report(
    result: Result, key: str, placed: Mapping[str, Sequence[Saved]], found: Mapping[str, Sequence[Problem]]
) -> dict[str, object]:
    """What ``study.json`` holds: the result, and each instance with its hash, origin, Transfer Syntax and problems.

    Args:
        result: the source's result with this study alone.
        key: what tells the study on the disk.
        placed: series folder → its files, where they lie now.
        found: SOP Instance UID → the problems of that instance.
    """
    document = of(result)
    document["series"] = [
        {**_series(one, Language.EN), "evidence": one.evidence.name.lower() if one.evidence else None}
        for study in result.studies
        for one in study.series
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
                    "problems": [one.code for one in found.get(saved.header.sop_instance_uid, ())],
                }
            )
    return {"schema": SCHEMA, "key": key, **document, "checks": list(CHECKS), "instances_saved": rows}


def amended(path: Path, result: Result) -> str:
    """A study's report with another verdict: the result's words in the place of the old ones, the instances as they are."""
    report = json.loads(path.read_text(encoding="utf-8"))
    document = study_report(result, "", {}, {})
    kept = ("schema", "key", "source", "checks", "instances_saved", "seconds", "bytes")
    return (
        json.dumps(
            {**report, **{name: value for name, value in document.items() if name not in kept}},
            ensure_ascii=False,
            indent=1,
        )
        + "\n"
    )


@dataclass(frozen=True, slots=True)
class SavedBefore:
    """What a folder's own ``study.json`` says: announced counts by Series Instance UID, hashes by SOP Instance UID."""

    expected: Mapping[str, int | None] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)


def saved_before(folder: Path) -> SavedBefore:
    """The report that ``grab`` left in a folder; empty where there is none, or none that can be read."""
    try:
        report = json.loads((folder / "study.json").read_text(encoding="utf-8"))
        expected = {str(row["uid"]): row["expected"] for row in report["series"]}
        hashes = {str(row["sop_instance_uid"]): str(row["sha256"]) for row in report["instances_saved"]}
    except (OSError, ValueError, KeyError, TypeError):
        return SavedBefore()
    sound = {uid: count for uid, count in expected.items() if count is None or isinstance(count, int)}
    return SavedBefore(sound, hashes)


def _study(study: Study) -> dict[str, object]:
    return {
        "uid": study.uid,
        "date": study.date,
        "modality": study.modality,
        "description": study.description,
        "patient_name": study.patient_name,
    }


def _series(series: SeriesResult, language: Language) -> dict[str, object]:
    return {
        "uid": series.uid,
        "number": series.number,
        "description": series.description,
        "modality": series.modality,
        "expected": series.expected,
        "saved": series.saved,
        "origin": series.origin.value,
        "status": series.status,
        "problems": [_problem(one, language) for one in series.problems],
    }


def _problem(problem: Problem, language: Language) -> dict[str, object]:
    return {
        "code": problem.code,
        "message": describe_problem(problem, language),
        "instances": list(problem.instances),
    }


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)
