"""How many images a person says there are (``--expect N``), held against what came of the whole source.

A viewer may count instances, images (objects with pixels), or the frames of multi-frame images: N is met where it is one of
these. It applies to what nothing else counts; series that the site lists or counts are still judged by that.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from scraper.core.errors import ExitCode
from scraper.core.evidence import CODES, Evidence
from scraper.core.model import Problem, Result, SeriesResult, Status, StudyResult

UNMET: Final = "expect-unmet"
DIFFERS: Final = "expect-differs"


def counted(studies: Sequence[StudyResult]) -> set[int]:
    """What a viewer may have counted of all that came: instances, those with pixels, frames."""
    series = [item for study in studies for item in study.series]
    return {
        sum(item.saved for item in series),
        sum(item.images for item in series),
        sum(item.frames for item in series),
    }


def is_open(studies: Sequence[StudyResult]) -> bool:
    """Whether anything arrived that no list or count covers."""
    return any(_is_open(series) for study in studies for series in study.series)


def held(studies: Sequence[StudyResult], expect: int) -> list[StudyResult]:
    """The studies of one source, judged by what a person says there are.

    Args:
        studies: everything that came.
        expect: images of all of them together.
    """
    found = counted(studies)
    received = sum(series.saved for study in studies for series in study.series)
    if expect in found:
        return [_met(study) for study in studies]
    is_short = expect > max(found)
    values = {"expected": expect, "received": received}
    problem = Problem(UNMET if is_short else DIFFERS, values=values, fatal=is_short or is_open(studies))
    first, *others = studies
    return [_short(replace(first, problems=(*first.problems, problem)), studies, expect, is_short), *others]


def announced(studies: Sequence[StudyResult], expect: int) -> list[StudyResult]:
    """The studies as their site describes them, with a word where that differs from what a person says."""
    counts = [study.counts.expected for study in studies]
    if None in counts or sum(count or 0 for count in counts) == expect:
        return list(studies)
    problem = Problem(
        "expect-announced", values={"expected": expect, "listed": sum(count or 0 for count in counts)}, fatal=False
    )
    first, *others = studies
    return [replace(first, problems=(*first.problems, problem)), *others]


def _short(study: StudyResult, studies: Sequence[StudyResult], expect: int, is_short: bool) -> StudyResult:  # noqa: FBT001
    """The first study's counts, so that those of the source add up to what a person says there are."""
    if not is_short or len(studies) > 1:
        return study
    counts = study.counts
    return replace(study, counts=replace(counts, expected=max(counts.expected or 0, expect)))


def _is_open(series: SeriesResult) -> bool:
    is_unknown = series.evidence is None and series.expected is None
    return bool(series.saved) and (is_unknown or (series.evidence is not None and series.evidence.is_weak))


def _met(study: StudyResult) -> StudyResult:
    """The study with the person's count in the place of weaker evidence."""
    series = tuple(_judged(item) if _is_open(item) else item for item in study.series)
    problems = tuple(problem for problem in study.problems if problem.code != "count-unknown")
    expected = [item.expected for item in series]
    total = None if None in expected or not expected else sum(item or 0 for item in expected)
    counts = study.counts if study.counts.expected is not None else replace(study.counts, expected=total)
    return replace(study, series=series, problems=problems, counts=counts)


def _judged(series: SeriesResult) -> SeriesResult:
    rest = tuple(item for item in series.problems if item.code not in (*CODES, "count-unknown"))
    problem = Problem(Evidence.USER.code, series_instance_uid=series.uid, fatal=False)
    return replace(series, expected=series.saved, evidence=Evidence.USER, problems=(*rest, problem))


def named(result: Result, name: str) -> Result:
    """The result, incomplete where a study's patient has another name than the list says; the problem holds neither name."""
    wanted = _bare(name)
    wrong = [
        study
        for study in result.studies
        if study.study.patient_name and wanted not in {_bare(part) for part in study.study.patient_name.split("=")}
    ]
    if not wrong:
        return result
    problem = Problem("name-differs")
    studies = tuple(
        replace(study, problems=(*study.problems, problem)) if study in wrong else study for study in result.studies
    )
    code = max(result.exit_code, int(ExitCode.INCOMPLETE))
    return replace(result, studies=studies, status=Status.INCOMPLETE, exit_code=code)


def _bare(name: str) -> str:
    """A name without what spelling it differs by: separators, blanks, capitals."""
    return "".join(char for char in unicodedata.normalize("NFKC", name).casefold() if char.isalnum())
