"""Place what was retrieved: judge each study, put its files under their final names, write its report; no site is asked."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from scraper.core.disk import disk_errors
from scraper.core.errors import CloudfilmError, StoreError
from scraper.core.messages import without_addresses
from scraper.core.model import Problem, Result, Study, StudyResult
from scraper.core.settings import Settings
from scraper.pipeline import assess, document, expectation
from scraper.pipeline.result import SourceInfo, result_of, with_studies
from scraper.pipeline.retrieve import Retrieved, RetrievedStudy
from scraper.store.naming import folder_name
from scraper.store.place import REPORT, write_whole


@dataclass(frozen=True, slots=True)
class Placement:
    """The studies that were placed; ``error``: the disk refused the rest."""

    studies: tuple[StudyResult, ...] = ()
    error: StoreError | None = None


def place(info: SourceInfo, retrieved: Retrieved, settings: Settings) -> Placement:
    """Place each study, and let another process have its folder."""
    results: list[StudyResult] = []
    with closing(retrieved):
        for study in retrieved.studies:
            try:
                results.append(_placed(info, study, settings))
            except StoreError as err:
                return Placement(tuple(results), err)
    return Placement(tuple(results))


def _placed(info: SourceInfo, retrieved: RetrievedStudy, settings: Settings) -> StudyResult:
    """Judge one study, put its files under their final names, and write its report.

    Raises:
        StoreError: the disk refuses.
    """
    collected, series, store = retrieved.collected, retrieved.series, retrieved.store
    judged = assess.study(collected, series, retrieved.study, retrieved.known)
    result = judged.result
    if retrieved.asked_for is not None:
        result = assess.study(retrieved.asked_for, series, retrieved.study).result
    if not collected.saved:
        return result
    name = folder_name(settings.folder_name, judged.result.study, settings.label)
    folder, placed = store.place(judged.result.study, judged.layout, name)
    report = result_of(info, [replace(judged.result, output=folder)])
    store.write_report(document.study_report(report, store.key, placed, judged.found, retrieved.options))
    return replace(result, output=folder)


def failed_study(study: Study, err: CloudfilmError) -> StudyResult:
    """The result of one of several studies that could not be retrieved."""
    name = study.description or study.key or study.date or "?"
    why = without_addresses(err.detail or err.cause)
    return StudyResult(study, None, problems=(Problem("fetch-failed", (name,), {"why": why}),), error=err)


def judge_by_count(result: Result, count: int, *, is_partial: bool) -> Result:
    """The result, and the reports on the disk, judged by how many images a person says there are.

    Where only some series were asked for, the number is of these, and the reports, which are of all, stay.

    Raises:
        StoreError: the disk refuses.
    """
    judged = with_studies(result, expectation.held(result.studies, count))
    for study in judged.studies:
        if study.output is not None and not is_partial:
            path: Path = study.output / REPORT
            with disk_errors(path):
                write_whole(path, document.amended(path, with_studies(judged, [study])))
    return judged
