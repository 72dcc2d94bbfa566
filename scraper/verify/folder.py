"""Check any folder or zip of DICOM files: the work behind ``cloudfilm verify``."""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Final

from scraper.core.errors import ArchiveUnread, CorruptInstance, CredentialsRefused, CredentialsRequired, UnreadableFile
from scraper.core.leftovers import RunFolder
from scraper.core.model import Origin, Problem
from scraper.core.questions import PASSWORD
from scraper.core.reasons import Cause, Reason
from scraper.core.sniff import BARE_DATA_SETS, HEAD, NAMES, Kind, is_media_directory, sniff
from scraper.protocols import zip_archive
from scraper.verify.instance import Checked
from scraper.verify.series import check_study
from scraper.verify.workers import Inspector

REPORT: Final = "study.json"
DIRECTORY: Final = "DICOMDIR"
# What this tool itself writes next to the images: reports, indexes, diagnostics, lists of what it could not learn.
_OURS: Final = re.compile(
    r"study\.json|manifest\.(json|csv)|index\.(html?|json|csv)|report\.(html?|json|jsonl|csv)|view\.html?|"
    r"cloudfilm[-.].*\.(json|jsonl|log|html?|zip)|sheet\.(png|jpg)|READ ME.*\.html|.*\.part",
    re.IGNORECASE,
)
_DICOM_SUFFIXES: Final = frozenset({".dcm", ".dicom", ".ima"})
# A UID, or as a disc names its images: what bears such a name and is nothing else was to be one.
_INSTANCE_NAME: Final = re.compile(
    r"\d+(\.\d+){5,}|(IM|IMG|IMAGE|I|CT|MR|PT|CR|DX|US|XA|MG|SR)[-_]?\d{1,8}", re.IGNORECASE
)
_NOTHING_ELSE: Final = frozenset((Kind.EMPTY, Kind.UNKNOWN, Kind.HTML, Kind.JSON, Kind.XML, Kind.TEXT))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file; ``left_out`` says why it is not checked, and is empty where it is.

    ``name`` is its path as a person finds it; ``damage`` says why an existing file can't be checked.
    """

    path: Path
    left_out: str = ""
    name: str = ""
    damage: Cause = ""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a folder or a zip, listed once.

    Attributes:
        candidates: every file, whether or not it may be a DICOM instance.
        directories: DICOMDIR files, by their path within the folder or zip.
        reports: this tool's own ``study.json``, likewise.
        names: every file's path within it, whatever the file is.
    """

    candidates: tuple[Candidate, ...]
    directories: Mapping[str, Path] = field(default_factory=dict)
    reports: Mapping[str, Path] = field(default_factory=dict)
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Report:
    """The content of a folder. ``left_out`` counts other files by kind; ``names`` holds each file's path in it."""

    checked: tuple[Checked, ...]
    problems: tuple[Problem, ...]  # across instances; each instance has its own in ``checked``
    left_out: Mapping[str, int]
    names: Mapping[Path, str] = field(default_factory=dict)


@contextmanager
def opened(source: Path, password: str = "") -> Iterator[Files]:
    """The files of a folder, or of an archive (and of those in it) unpacked to a temporary folder while the context lives.

    Member names are not used as paths.

    Raises:
        ArchiveUnread: neither a folder nor an archive that can be read, or one that unpacks to an absurd size.
        CredentialsRequired: the archive has a password. CredentialsRefused: it has another one.
        DiskFull: the archive's members do not fit on the disk.
    """
    if source.is_dir():
        yield _listed(_below(source))
        return
    with RunFolder() as folder:
        try:
            unpacked = list(zip_archive.spread(source, Path(folder), password))
        except CorruptInstance as err:
            if err.reason is Reason.ZIP_WITH_PASSWORD:
                raise CredentialsRequired(PASSWORD.name, host=source.name) from err
            if err.reason is Reason.WRONG_PASSWORD:
                raise CredentialsRefused(PASSWORD.name, host=source.name) from err
            raise ArchiveUnread(path=str(source), what=err.cause) from err
        except OSError as err:
            raise UnreadableFile(path=str(source)) from err
        finally:
            zip_archive.close_idle()
        damaged = [Candidate(file.path, "", file.name, file.damage) for file in unpacked if file.damage]
        yield _listed([(file.path, file.name) for file in unpacked if not file.damage], damaged)


def _below(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every file below the folder with its path in it, in a stable order; links that lead outside are not followed."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent) / name
            if not name.startswith(".") and not path.is_symlink() and path.is_file():
                yield path, path.relative_to(folder).as_posix()


def find(folder: Path) -> Iterator[Candidate]:
    """Every file below the folder that may be an instance, and the others, without what this tool wrote itself."""
    for path, name in _below(folder):
        candidate = _candidate(path, name)
        if candidate is not None:
            yield candidate


def _listed(files: Iterable[tuple[Path, str]], damaged: Sequence[Candidate] = ()) -> Files:
    candidates, directories, reports = list(damaged), {}, {}
    names = {candidate.name for candidate in damaged}
    for path, name in files:
        names.add(name)
        if PurePosixPath(name).name == REPORT:
            reports[name] = path
        candidate = _candidate(path, name)
        if candidate is None:
            continue
        if candidate.left_out == DIRECTORY:
            directories[name] = path
        else:
            candidates.append(candidate)
    return Files(tuple(candidates), directories, reports, frozenset(names))


def _candidate(path: Path, name: str) -> Candidate | None:
    """Classify a file by its first bytes; None where this tool wrote it itself."""
    base = PurePosixPath(name).name
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return Candidate(path, "", name)  # the check will say why it can't be read
    kind = sniff(head)
    if kind is Kind.PART10:
        return Candidate(path, DIRECTORY if is_media_directory(head, base) else "", name)
    if base.startswith(".") or _OURS.fullmatch(base):
        return None
    suffix = PurePosixPath(base).suffix.lower()
    if kind in BARE_DATA_SETS or kind is Kind.META_FIRST or suffix in _DICOM_SUFFIXES:
        return Candidate(path, "", name)
    if kind in _NOTHING_ELSE and _INSTANCE_NAME.fullmatch(base):
        return Candidate(path, "", name)
    return Candidate(path, NAMES[kind], name)


def foreign_files(left_out: Mapping[str, int]) -> tuple[Problem, ...]:
    """The problem that counts files which are no DICOM objects, by kind; none where there are none."""
    kinds = tuple(Reason.COUNTED.of(count=count, kind=kind) for kind, count in sorted(left_out.items()))
    return (Problem("not-dicom", values={"kinds": kinds}, fatal=False),) if kinds else ()


async def check_folder(
    source: Path,
    expected: Mapping[str, int | None] | None = None,
    study_instance_uid: str = "",
    origins: Mapping[str, Origin] | None = None,
    processes: int | None = None,
    on_checked: Callable[[Checked], None] | None = None,
) -> Report:
    """Check every DICOM file of a folder or zip; as ``check_files``.

    Raises:
        UnreadableFile, DiskFull: the source itself can't be read.
    """
    with opened(source) as files:
        async with Inspector(processes) as inspector:
            return await check_files(files, inspector, expected, study_instance_uid, origins, on_checked)


async def check_files(
    files: Files,
    inspector: Inspector,
    expected: Mapping[str, int | None] | None = None,
    study_instance_uid: str = "",
    origins: Mapping[str, Origin] | None = None,
    on_checked: Callable[[Checked], None] | None = None,
) -> Report:
    """Check every DICOM file, each in a worker process, then what they make together.

    Args:
        files: a folder's or a zip's.
        inspector: the worker processes.
        expected: Series Instance UID → count that the site announced, where known (``study.json``).
        study_instance_uid: the expected study.
        origins: a file's path within the folder → origin, where known; else original.
        on_checked: called with each file once it is checked.
    """
    left_out = Counter(candidate.left_out for candidate in files.candidates if candidate.left_out)
    wanted = [candidate for candidate in files.candidates if not candidate.left_out]
    results: dict[int, Checked] = {}
    remaining = iter(enumerate(wanted))

    async def work() -> None:
        for index, candidate in remaining:
            origin = (origins or {}).get(candidate.name, Origin.ORIGINAL)
            if candidate.damage:
                problem = Problem("unreadable", values={"what": candidate.damage})
                checked = Checked(candidate.path, None, "", 0, origin, (problem,))
            else:
                checked = await inspector.inspect(candidate.path, origin)
            results[index] = _named(checked, candidate)
            if on_checked is not None:
                on_checked(checked)

    async with asyncio.TaskGroup() as group:
        for _ in range(inspector.processes):
            group.create_task(work())
    checked = tuple(results[index] for index in sorted(results))
    names = {candidate.path: candidate.name for candidate in wanted}
    return Report(checked, check_study(checked, expected or {}, study_instance_uid), dict(left_out), names)


def _named(checked: Checked, candidate: Candidate) -> Checked:
    """The problems with file names in place of UIDs."""
    named = tuple(replace(problem, instances=(candidate.name,)) for problem in checked.problems)
    return replace(checked, problems=named)
