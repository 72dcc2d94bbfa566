"""Any folder or zip of DICOM files, checked: what ``cloudfilm verify`` does."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scraper.errors import DiskFull, UnreadableFile
from scraper.leftovers import RunFolder
from scraper.model import Origin, Problem
from scraper.protocols.sniff import BARE_DATA_SETS, HEAD, NAMES, Kind, sniff
from scraper.verify.instance import Checked
from scraper.verify.series import study
from scraper.verify.workers import Inspector

# Media Storage Directory, in the file meta
_DIRECTORY: Final = re.compile(rb"1\.2\.840\.10008\.1\.3\.10(?![0-9.])")
_OURS: Final = frozenset({"study.json"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file; ``left_out`` says in words why it is not checked, empty where it is."""

    path: Path
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a folder holds. ``left_out`` counts by kind what is no DICOM instance."""

    checked: tuple[Checked, ...]
    problems: tuple[Problem, ...]  # across instances; each instance has its own in ``checked``
    left_out: Mapping[str, int]


@contextmanager
def unpacked(source: Path) -> Iterator[Path]:
    """The folder itself, or a zip's members in a temporary folder that lives as long as the context.

    Member names are not used as paths.

    Raises:
        UnreadableFile: neither a folder nor a zip that can be read.
        DiskFull: the zip's members do not fit on the disk.
    """
    if source.is_dir():
        yield source
        return
    with RunFolder() as folder:
        try:
            with zipfile.ZipFile(source) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                if sum(member.file_size for member in members) > shutil.disk_usage(folder).free:
                    raise DiskFull(path=folder)
                for number, member in enumerate(members):
                    with archive.open(member) as inside, (Path(folder) / f"{number:06}").open("wb") as out:
                        shutil.copyfileobj(inside, out, 1 << 20)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as err:
            raise UnreadableFile(path=str(source)) from err
        yield Path(folder)


def find(folder: Path) -> Iterator[Candidate]:
    """Every file below the folder, in a stable order; links that lead out of it are not followed."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent) / name
            if name in _OURS or name.startswith(".") or path.is_symlink() or not path.is_file():
                continue
            try:
                with path.open("rb") as file:
                    head = file.read(HEAD)
            except OSError:
                yield Candidate(path)  # the check will say why it can't be read
                continue
            kind = sniff(head)
            if kind is Kind.PART10:
                is_directory = _DIRECTORY.search(head, 132, 400) is not None
                yield Candidate(path, "DICOMDIR" if is_directory else "")
            elif (
                kind in BARE_DATA_SETS
                or kind is Kind.META_FIRST
                or path.suffix.lower() in {".dcm", ".dicom", ".ima"}
            ):
                yield Candidate(path)
            else:
                yield Candidate(path, NAMES[kind])


async def check_folder(
    source: Path,
    expected: Mapping[str, int | None] | None = None,
    study_instance_uid: str = "",
    origins: Mapping[str, Origin] | None = None,
    processes: int | None = None,
    told: Callable[[Checked], None] | None = None,
) -> Report:
    """Check every DICOM file of a folder or zip, each in a worker process, then what they make together.

    Args:
        source: a folder or a zip.
        expected: Series Instance UID → announced count, where a site's word is known (``study.json``).
        study_instance_uid: the study that it should be.
        origins: file name → origin, where it is known; else original.
        processes: workers; by default by the number of processors.
        told: called with each file once it is checked.

    Raises:
        UnreadableFile, DiskFull: the source itself can't be read.
    """
    left_out: Counter[str] = Counter()
    results: list[tuple[int, Checked]] = []
    with unpacked(source) as folder:
        async with Inspector(processes) as inspector:
            candidates = enumerate(find(folder))

            async def work() -> None:
                for index, candidate in candidates:
                    if candidate.left_out:
                        left_out[candidate.left_out] += 1
                        continue
                    origin = (origins or {}).get(candidate.path.name, Origin.ORIGINAL)
                    one = await inspector.inspect(candidate.path, origin)
                    results.append((index, one))
                    if told is not None:
                        told(one)

            async with asyncio.TaskGroup() as group:
                for _ in range(inspector.processes):
                    group.create_task(work())
    checked = tuple(one for _, one in sorted(results, key=lambda pair: pair[0]))
    return Report(checked, study(checked, expected or {}, study_instance_uid), dict(left_out))
