"""What other people and programs ask for, made from a folder on disk: a zip, a CD layout, pictures, NIfTI.

Nothing here changes the folder that it reads. What can't be exported is named with its reason; an incomplete study is
exported as it is, and reported as incomplete.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never

from scraper.core.errors import ExitCode, NoDicomHere, UsageError
from scraper.core.model import Problem, Result
from scraper.core.settings import Target
from scraper.export import deidentify as identity
from scraper.export import dicomdir, media, nifti, pictures
from scraper.export.deidentify import Deidentification
from scraper.export.gather import Listed, gather, problems_of
from scraper.export.persons import Persons, new_key, private_file
from scraper.pipeline.folder_verdict import judge_files
from scraper.verify import Inspector, opened

__all__ = ["Exported", "Target", "beside", "export"]


_PATIENCE_S: Final = 600.0  # for one instance: a cine of a thousand frames is drawn frame by frame
_DAMAGE: Final = frozenset(
    ("truncated", "truncated-frame", "does-not-decode", "pixel-length", "check-crashed", "check-timed-out")
)


def beside(source: Path, target: Target, *, deidentify: bool = False) -> Path:
    """Where an export goes by default: next to what it is made of."""
    if deidentify:  # the folder's own name may name the patient
        source = source.with_name("deidentified")
    suffix = ".zip" if target is Target.ZIP else f"-{target.value}"
    return source.with_name(source.name.removesuffix(".zip") + suffix)


@dataclass(frozen=True, slots=True)
class Exported:
    """The result of an export: file or folder (absent where ``files`` is 0), what it contains, and what is missing.

    ``source`` is the verdict on the exported folder.
    """

    path: Path
    files: int
    source: Result
    problems: tuple[Problem, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """7 where the study is incomplete, or something that should be in the export was left out; 0 else."""
        is_short = not self.files or any(problem.fatal for problem in self.problems)
        return ExitCode.INCOMPLETE if is_short or self.source.exit_code else ExitCode.COMPLETE


async def export(
    source: Path,
    target: Target,
    output: Path,
    *,
    deidentify: bool | Deidentification = False,
    key_table: Path | None = None,
) -> Exported:
    """Write the DICOM files of ``source`` to ``output``, a new zip file or folder.

    Args:
        source: a folder or a zip of DICOM files, from this tool or not.
        target: what to make.
        output: its path, which must not exist yet. It appears only when finished, and not at all if empty.
        deidentify: remove the patient's identity (PS3.15 Basic Profile), with the user's options.
        key_table: a new file, outside the export, that says who each pseudonym is.

    Raises:
        UsageError: something lies at ``output``, or the NIfTI converter is not installed.
        NoDicomHere: there is no DICOM file in ``source``.
    """
    if isinstance(deidentify, Deidentification):
        chosen: Deidentification | None = deidentify
    else:
        chosen = Deidentification() if deidentify else None
    if key_table is not None and key_table.exists():
        raise UsageError(f"{key_table} exists")
    if output.exists():
        raise UsageError(f"{output} exists")
    if target is Target.NIFTI:
        nifti.converter()  # before anything is done
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        opened(source) as files,
        tempfile.TemporaryDirectory(prefix=".export-", dir=output.parent) as scratch,
    ):
        place = Path(scratch)
        listed, left_out = await asyncio.to_thread(gather, files, place / "settled")
        if not listed and not left_out:
            raise NoDicomHere(path=str(source))
        problems = problems_of(left_out)
        async with Inspector(timeout_s=_PATIENCE_S, writable=(place,)) as inspector:
            verdict = await judge_files(str(source), files, inspector)
            if chosen is not None:
                persons = Persons(chosen.key or new_key(), chosen.pseudonyms)
                listed, found = await asyncio.to_thread(identity.deidentified, listed, place / "plain", chosen, persons)
                problems += found
            made = place / "made"
            count, found = await _made(target, listed, made, inspector, _damaged(verdict))
            problems += found
        if count:
            shutil.move(made, output)
            if key_table is not None and chosen is not None:
                private_file(key_table, persons.table())
    return Exported(output, count, verdict, tuple(problems))


def _damaged(verdict: Result) -> frozenset[str]:
    """Paths of files whose pixels can't be used."""
    problems = [problem for study in verdict.studies for series in study.series for problem in series.problems]
    return frozenset(
        name for problem in problems if problem.fatal and problem.code in _DAMAGE for name in problem.instances
    )


async def _made(
    target: Target, listed: Sequence[Listed], made: Path, inspector: Inspector, damaged: frozenset[str]
) -> tuple[int, list[Problem]]:
    """Write one target; returns the number of files made, and what was left out."""
    match target:
        case Target.ZIP:
            return await asyncio.to_thread(media.pack, listed, made)
        case Target.DICOMDIR:
            return await asyncio.to_thread(dicomdir.file_set, listed, made)
        case Target.NIFTI:
            return await asyncio.to_thread(nifti.nifti, listed, made, damaged)
        case Target.PNG:
            return await pictures.draw(listed, made, ".png", inspector)
        case Target.JPG:
            return await pictures.draw(listed, made, ".jpg", inspector)
        case _:
            assert_never(target)
