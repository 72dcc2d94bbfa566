"""The result of one source: what is known of the source, its studies, and the exit code that these make."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scraper.contract import Provider
from scraper.core.errors import CloudfilmError, ExitCode, NotOriginalDicom
from scraper.core.link import ShareLink
from scraper.core.model import Problem, Result, Status, StudyResult, Via
from scraper.pipeline import assess


@dataclass(frozen=True, slots=True)
class Film:
    """One film of a source: its link; ``unread`` are pages of the source that could not be read.

    ``provider``: whose it is, where that is known without its link.
    """

    share: ShareLink
    unread: tuple[int, ...] = ()
    provider: Provider | None = None


@dataclass(frozen=True, slots=True)
class Films:
    """The films of a source, or why there is none."""

    films: tuple[Film, ...]
    error: CloudfilmError | None = None


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a result says of its source, as far as it is known.

    Attributes:
        source: what may be shown of it.
        started: when work on it began, by the monotonic clock.
        link: redacted.
        provider: the name of the one that owns the link.
        via: how its site was spoken to.
        unread: pages of the source that could not be read.
    """

    source: str
    started: float
    link: str = ""
    provider: str = ""
    via: Via | None = None
    unread: tuple[int, ...] = ()

    @classmethod
    def begin(cls, source: str, film: Film | None = None) -> SourceInfo:
        """What is known before the source is read."""
        return cls(source, time.monotonic(), unread=film.unread if film else ())


def result_of(info: SourceInfo, studies: Sequence[StudyResult] = (), error: CloudfilmError | None = None) -> Result:
    """How a source ended; ``error`` is what stopped it, if anything did."""
    problems: tuple[Problem, ...] = ()
    if info.unread:
        problems = (Problem("pages-unread", values={"pages": ", ".join(map(str, info.unread))}, fatal=False),)
    blank = Result(
        info.source,
        Status.FAILED,
        int(error.exit_code) if error else 0,
        info.provider,
        info.via,
        info.link,
        seconds=round(time.monotonic() - info.started, 1),
        problems=problems,
        error=error,
    )
    return with_studies(blank, studies)


def with_studies(result: Result, studies: Sequence[StudyResult]) -> Result:
    """The result with other studies: counts, status and exit code follow from these."""
    counts, size = assess.totals(studies)
    error = result.error
    code = error.exit_code if isinstance(error, CloudfilmError) else exit_code(studies)
    short = Status.INCOMPLETE if counts.saved else Status.FAILED
    status = Status.COMPLETE if code == ExitCode.COMPLETE else short
    return replace(result, studies=tuple(studies), counts=counts, size=size, status=status, exit_code=int(code))


def has_saved(studies: Sequence[StudyResult]) -> bool:
    """Whether anything of the studies is on the disk."""
    return any(series.saved for study in studies for series in study.series)


def exit_code(studies: Sequence[StudyResult]) -> ExitCode:
    """The code for what was saved, where no error stopped the run."""
    codes = {problem.code for study in studies for problem in study.problems}
    if "conflicting-bytes" in codes:
        return ExitCode.STORE
    whole = all(
        not any(problem.fatal for problem in study.problems) and all(series.status == "ok" for series in study.series)
        for study in studies
    )
    return ExitCode.COMPLETE if whole and studies else ExitCode.INCOMPLETE


def only_error(studies: Sequence[StudyResult], host: str) -> CloudfilmError | None:
    """Where nothing at all arrived: the reason that every instance failed for; or nothing is given out but pictures."""
    if has_saved(studies):
        return None
    errors = [study.error for study in studies if isinstance(study.error, CloudfilmError)]
    if errors:
        return errors[0]
    problems = [problem for study in studies for problem in study.problems]
    problems += [problem for study in studies for series in study.series for problem in series.problems]
    is_left_out = any(problem.code == "left-out" for problem in problems) and not any(
        problem.fatal for problem in problems
    )
    return NotOriginalDicom(host=host) if is_left_out else None
