"""What one source has come to so far: its studies, its exit code, and the result that they make."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from scraper.core.errors import CloudfilmError, ExitCode, NotOriginalDicom
from scraper.core.link import ShareLink
from scraper.core.model import Problem, Result, Status, StudyResult, Via
from scraper.pipeline import assess


@dataclass(frozen=True, slots=True)
class Film:
    """One film of a source: its link; ``unread`` are pages of the source that nobody could read."""

    share: ShareLink
    unread: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Films:
    """The films of a source, or why there is none."""

    films: tuple[Film, ...]
    error: CloudfilmError | None = None


@dataclass(slots=True)
class Job:
    """What one source has come to so far; an error along the way loses none of it."""

    source: str
    started: float = field(default_factory=time.monotonic)
    link: str = ""
    provider: str = ""
    via: Via | None = None
    studies: list[StudyResult] = field(default_factory=list)
    log: list[dict[str, object]] = field(default_factory=list)
    film: Film | None = None

    @property
    def has_saved(self) -> bool:
        """Whether anything is on the disk already."""
        return any(series.saved for study in self.studies for series in study.series)

    def result(self, error: CloudfilmError | None = None) -> Result:
        """How it ended; ``error`` is what stopped it, if anything did."""
        counts, size = assess.totals(self.studies)
        code = error.exit_code if error else exit_code(self.studies)
        short = Status.INCOMPLETE if counts.saved else Status.FAILED
        status = Status.COMPLETE if code == ExitCode.COMPLETE else short
        return Result(
            self.source,
            status,
            int(code),
            self.provider,
            self.via,
            self.link,
            tuple(self.studies),
            counts,
            size,
            round(time.monotonic() - self.started, 1),
            self._problems(),
            error,
        )

    def _problems(self) -> tuple[Problem, ...]:
        if self.film is None or not self.film.unread:
            return ()
        values = {"pages": ", ".join(map(str, self.film.unread))}
        return (Problem("pages-unread", values=values, fatal=False),)


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
    if any(series.saved for study in studies for series in study.series):
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
