"""What other people and programs ask for, made from a folder on disk: a zip, a CD layout, pictures, NIfTI.

Nothing here changes the folder that it reads.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from scraper.errors import NoDicomHere, UsageError
from scraper.export import identity, media, pictures, volumes
from scraper.export.gather import Listed, gather
from scraper.model import Problem
from scraper.verify import unpacked

__all__ = ["Exported", "Target", "export"]


class Target(StrEnum):
    """``--to``."""

    ZIP = "zip"
    DICOMDIR = "dicomdir"
    PNG = "png"
    JPG = "jpg"
    NIFTI = "nifti"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was made: the file or folder, how many files are in it, and what could not be taken along."""

    path: Path
    files: int
    problems: tuple[Problem, ...] = ()


def export(source: Path, target: Target, output: Path, *, deidentify: bool = False) -> Exported:
    """Make ``output`` (a new zip file, or a new folder) of the DICOM files in ``source``.

    Args:
        source: a folder or a zip of DICOM files, from this tool or not.
        target: what to make.
        output: its path; nothing may lie there yet. It appears only when whole.
        deidentify: take out what tells who the patient is (PS3.15 Basic Profile); pixels are not looked at.

    Raises:
        UsageError: something lies at ``output``, or the NIfTI converter is not installed.
        NoDicomHere: there is no DICOM file in ``source``.
    """
    if output.exists():
        raise UsageError(f"{output} exists")
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        unpacked(source) as folder,
        tempfile.TemporaryDirectory(prefix=".export-", dir=output.parent) as scratch,
    ):
        listed, problems = gather(folder)
        if not listed:
            raise NoDicomHere(path=str(source))
        if deidentify:
            listed, told = identity.deidentified(listed, Path(scratch) / "plain")
            problems += told
        made = Path(scratch) / "made"
        files, told = _MAKERS[target](listed, made)
        problems += told
        shutil.move(made, output)
    return Exported(output, files, tuple(problems))


Maker = Callable[[Iterable[Listed], Path], tuple[int, list[Problem]]]

_MAKERS: dict[Target, Maker] = {
    Target.ZIP: media.pack,
    Target.DICOMDIR: media.file_set,
    Target.PNG: pictures.png,
    Target.JPG: pictures.jpg,
    Target.NIFTI: volumes.nifti,
}
