"""Verify files on the disk: each by itself, and all by what ``study.json`` and a DICOMDIR say must be there.

Nothing is fetched and nothing is changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from scraper.core.errors import ExitCode, NoSuchFile
from scraper.core.model import Counts, Origin, Problem, Result, Series, SeriesResult, Status, Study, StudyResult
from scraper.dicom.directory import ListedFile
from scraper.download.watcher import Watcher
from scraper.pipeline import assess, document
from scraper.pipeline.document import SavedStudy
from scraper.pipeline.result import exit_code
from scraper.verify import (
    Checked,
    DirectoryComparison,
    Files,
    Inspector,
    Report,
    check_files,
    foreign_files,
    listing,
    opened,
)


@dataclass(frozen=True, slots=True)
class Announced:
    """What the folder itself says must be there.

    Attributes:
        saved: its ``study.json`` files.
        directories: a DICOMDIR's path → its records.
        unreadable: paths of DICOMDIRs that can't be read.
    """

    saved: tuple[SavedStudy, ...] = ()
    directories: Mapping[str, Sequence[ListedFile]] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()


async def verify_folder(path: Path, watcher: Watcher, password: str = "") -> Result:
    """Check any folder (or archive) of DICOM files; changes nothing.

    Raises:
        NoSuchFile: nothing there. UnreadableFile: neither a folder nor an archive.
        CredentialsRequired, CredentialsRefused: the archive has a password, or another one.
    """
    if not path.exists():
        raise NoSuchFile(path=str(path))
    watcher.series("verify", "DICOM", None)
    with opened(path, password) as files:
        async with Inspector() as inspector:
            return await judge_files(str(path), files, inspector, lambda _: watcher.arrived("verify", reused=False))


async def judge_files(
    source: str, files: Files, inspector: Inspector, on_checked: Callable[[Checked], None] = lambda _: None
) -> Result:
    """Check the files of a folder or a zip, and say whether they are whole.

    Args:
        source: the folder's or zip's name.
        files: its content.
        inspector: the worker processes.
        on_checked: called with each file once it is checked.
    """
    started = time.monotonic()
    announced = await _announced(files, inspector)
    report = await check_files(
        files,
        inspector,
        _expected(announced),
        origins={file.name: file.origin for saved in announced.saved for file in saved.files.values()},
        on_checked=on_checked,
    )
    studies = _studies(report, announced, files)
    counts, size = assess.totals(studies)
    code = exit_code(studies) if studies else ExitCode.INCOMPLETE
    status = Status.COMPLETE if code == ExitCode.COMPLETE else Status.INCOMPLETE
    return Result(
        source,
        status,
        int(code),
        studies=studies,
        counts=counts,
        size=size,
        seconds=round(time.monotonic() - started, 1),
        problems=tuple(_of_folder(report, announced, studies)),
        of_folder=True,
    )


async def _announced(files: Files, inspector: Inspector) -> Announced:
    saved = [document.saved_study(path, name) for name, path in files.reports.items()]
    directories, unreadable = await listing.read_all(inspector, files.directories)
    return Announced(tuple(study for study in saved if study is not None), directories, tuple(unreadable))


def _expected(announced: Announced) -> dict[str, int | None]:
    """Series Instance UID → how many instances there must be; the site's word goes before a DICOMDIR's."""
    expected = listing.counts(announced.directories)
    for saved in announced.saved:
        expected |= {series.uid: series.expected for series in saved.series if series.expected is not None}
    return expected


def _of_folder(report: Report, announced: Announced, studies: Sequence[StudyResult]) -> Iterable[Problem]:
    """Problems of the folder as a whole."""
    if not studies:
        yield Problem("no-dicom-files")
    if announced.unreadable:
        yield Problem("dicomdir-unreadable", announced.unreadable, fatal=False)
    yield from foreign_files(report.left_out)


def _studies(report: Report, announced: Announced, files: Files) -> tuple[StudyResult, ...]:
    """Group the files of a folder by study; unreadable files get a group of their own.

    Args:
        report: every file, checked, and what was found across them.
        announced: what the folder says must be there.
        files: its content.
    """
    groups: dict[str, list[Checked]] = {}
    for checked in report.checked:
        groups.setdefault(checked.header.study_instance_uid if checked.header else "", []).append(checked)
    broken = [checked for checked in groups.get("", ()) if checked.header is None]
    nameless = [checked for checked in groups.pop("", ()) if checked.header is not None]
    if nameless:
        groups[""] = nameless
    for saved in announced.saved:
        groups.setdefault(_study_uid(saved, report), [])
    by_name = {report.names[checked.path]: checked for checked in report.checked if checked.path in report.names}
    listed = listing.compare(announced.directories, files.names, by_name)
    judge_of = _Judge(
        report, announced, listed, frozenset(report.names[item.path] for item in broken if item.path in report.names)
    )
    results = [
        judge_of.study(uid, members, is_first=place == 0) for place, (uid, members) in enumerate(sorted(groups.items()))
    ]
    if broken:
        problems = tuple(assess.of_instances(broken))
        counted = 0 if announced.saved or announced.directories else None  # the lists count them with their series
        results.append(StudyResult(Study(), None, (), problems, Counts(counted, 0, 0, len(broken))))
    return tuple(results)


def _study_uid(saved: SavedStudy, report: Report) -> str:
    """The study that a ``study.json`` is about: by its UID, else (the site gave none) by the files that it lists."""
    if saved.study.uid:
        return saved.study.uid
    names = {file.name for file in saved.files.values()}
    uids = [
        checked.header.study_instance_uid
        for checked in report.checked
        if checked.header and report.names.get(checked.path) in names
    ]
    return uids[0] if uids else ""


class _Judge:
    """Judges the studies of one folder.

    Args:
        report: every file, checked.
        announced: what must be there.
        listed: what the DICOMDIRs name, held against what is there.
        broken: paths of files that can't be read at all.
    """

    def __init__(
        self, report: Report, announced: Announced, listed: DirectoryComparison, broken: frozenset[str]
    ) -> None:
        self._report = report
        self._announced = announced
        self._listed = listed
        self._broken = broken
        self._expected = _expected(announced)
        self._series = {item.header.series_instance_uid for item in report.checked if item.header}
        self._paths: dict[str, list[str]] = {}
        for checked in report.checked:
            if checked.header is not None and checked.path in report.names:
                uid = checked.header.sop_instance_uid
                self._paths.setdefault(uid, []).append(report.names[checked.path])

    def study(self, uid: str, files: Sequence[Checked], *, is_first: bool) -> StudyResult:
        """One study."""
        saved = [item for item in self._announced.saved if _study_uid(item, self._report) == uid]
        rows = self._listed_series(uid) | {series.uid: series for item in saved for series in item.series}
        own_series = {checked.header.series_instance_uid for checked in files if checked.header} | set(rows)
        across = [
            problem
            for problem in self._report.problems
            if problem.series_instance_uid in own_series
            or (is_first and not self._is_owned(problem.series_instance_uid))
        ]
        problems = [*self._missing(uid, saved, across, is_first=is_first), *self._changed(saved, files)]
        problems += assess.of_instances(files)
        problems = [self._by_path(problem) for problem in problems]
        announced = [
            Series(
                uid,
                row.uid,
                number=row.number,
                description=row.description,
                modality=row.modality,
                expected=row.expected,
            )
            for row in rows.values()
        ]
        described = saved[0].study if saved else Study(uid)
        result = assess.of_files(files, announced, described, problems, self._expected)
        result = self._counted(result, saved)
        return replace(result, problems=(*result.problems, *self._known(result, saved, files)))

    def _listed_series(self, uid: str) -> dict[str, SeriesResult]:
        """The series of a study that a DICOMDIR names."""
        return {
            record.series_instance_uid: SeriesResult(
                record.series_instance_uid,
                None,
                "",
                record.modality,
                self._expected.get(record.series_instance_uid),
                0,
                Origin.ORIGINAL,
            )
            for records in self._announced.directories.values()
            for record in records
            if record.study_instance_uid == uid and record.series_instance_uid
        }

    def _is_owned(self, series: str) -> bool:
        """Whether a series belongs to a study of the folder; one that belongs to none is reported with the first."""
        if series in self._series:
            return True
        return any(row.uid == series for saved in self._announced.saved for row in saved.series)

    def _missing(
        self, uid: str, saved: Sequence[SavedStudy], across: Sequence[Problem], *, is_first: bool
    ) -> list[Problem]:
        """What must be there and is not: by name where a list names it, else by count."""
        absent: dict[str, list[str]] = {}
        for item in saved:
            for instance, file in item.files.items():
                if instance not in self._paths and file.name not in self._broken:
                    absent.setdefault(file.series_instance_uid, []).append(file.name)
        found = [Problem("missing-files", tuple(names), series_instance_uid=series) for series, names in absent.items()]
        here = {checked.header.study_instance_uid for checked in self._report.checked if checked.header}
        listed = DirectoryComparison(self._listed.missing, self._listed.strangers if is_first else ())
        # records of a study without any file are reported with the first
        found += listed.problems(lambda study: study == uid or (is_first and study not in here))
        return [*found, *across]

    def _changed(self, saved: Sequence[SavedStudy], files: Sequence[Checked]) -> list[Problem]:
        noted = {uid: file.sha256 for study in saved for uid, file in study.files.items()}
        changed = [checked.name for checked in files if noted.get(checked.name, checked.sha256) != checked.sha256]
        return [Problem("changed-since-saved", tuple(changed))] if changed else []

    def _counted(self, result: StudyResult, saved: Sequence[SavedStudy]) -> StudyResult:
        """With the total that was announced, where the series' counts alone do not give one."""
        totals = [study.total for study in saved if study.total is not None]
        if not totals:
            return result
        known = {series.uid for study in saved for series in study.series}
        surplus = sum(series.saved for series in result.series if series.uid not in known)
        expected = max(max(totals) + surplus, result.counts.expected or 0)
        counts = replace(result.counts, expected=expected)
        is_named = any(problem.fatal for series in result.series for problem in series.problems)
        is_named = is_named or any(problem.fatal for problem in result.problems)
        if counts.saved >= expected or is_named:
            return replace(result, counts=counts)
        short = Problem("missing-instances", values={"saved": counts.saved, "expected": expected})
        return replace(result, counts=counts, problems=(*result.problems, short))

    def _known(self, result: StudyResult, saved: Sequence[SavedStudy], files: Sequence[Checked]) -> list[Problem]:
        """A study that was incomplete when it was saved, and to which nothing was added, is so still."""
        doubtful = [study for study in saved if study.status not in ("", Status.COMPLETE.value)]
        if not doubtful or exit_code([result]) != ExitCode.COMPLETE:
            return []
        noted = {uid for study in saved for uid in study.files}
        is_counted = result.counts.expected is not None and result.counts.saved >= result.counts.expected
        if is_counted and any(checked.name not in noted for checked in files):
            return []
        codes = ", ".join(dict.fromkeys(code for study in doubtful for code in study.codes))
        return [Problem("known-incomplete", values={"why": f" ({codes})" if codes else ""})]

    def _by_path(self, problem: Problem) -> Problem:
        """The same, naming files by their path in place of the UID in them."""
        names = [path for name in problem.instances for path in self._paths.get(name, [name])]
        return replace(problem, instances=tuple(names))
