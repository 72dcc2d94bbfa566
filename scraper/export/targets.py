"""Export a folder to a target: a zip, a CD layout, pictures, NIfTI.

Nothing here changes the folder that it reads. What can't be exported is named with its reason; an incomplete study is
exported as it is, and reported as incomplete.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from scraper.core.errors import ExitCode, NoDicomHere, UsageError
from scraper.core.model import Problem, Result
from scraper.core.settings import ExportUnit, Language, Target
from scraper.export import deidentify as identity
from scraper.export import dicomdir, disc, media, nifti, pictures, table
from scraper.export.companions import Companions, Extra
from scraper.export.deidentify import Deidentification
from scraper.export.gather import InstanceFile, gather, problems_of
from scraper.export.persons import Persons, new_key, private_file
from scraper.export.view import add_to_disc, add_to_zip
from scraper.pipeline import document
from scraper.pipeline.folder_verdict import judge_files
from scraper.verify import Files, Inspector, opened

__all__ = ["Exported", "Target", "beside", "export"]


_PATIENCE_S: Final = 600.0  # for one instance: a cine of a thousand frames is drawn frame by frame
_DAMAGE: Final = frozenset(
    ("truncated", "truncated-frame", "does-not-decode", "pixel-length", "check-crashed", "check-timed-out")
)


def beside(source: Path, target: Target, *, deidentify: bool = False, each: bool = False) -> Path:
    """Where an export goes by default: next to what it is made of."""
    if deidentify:  # the folder's own name may name the patient
        source = source.with_name("deidentified")
    if each:
        return source.with_name(source.name.removesuffix(".zip") + f"-{target.value}")
    suffix = f".{target.value}" if target in (Target.ZIP, Target.ISO) else f"-{target.value}"
    return source.with_name(source.name.removesuffix(".zip") + suffix)


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What the user chose for an export.

    Attributes:
        deidentify: take out who the patient is.
        key_table: a new file, outside the export, that says who each pseudonym is.
        each: what becomes an export of its own, in a folder; None: all is one.
        most_bytes: of a zip; a larger one is made in parts. 0: no bound.
        extra: more files beside the images.
        page: language of a page to look at them, in a zip (of one part) and on a disc; None: no page.
    """

    deidentify: Deidentification | None = None
    key_table: Path | None = None
    each: ExportUnit | None = None
    most_bytes: int = 0
    extra: tuple[Extra, ...] = ()
    page: Language | None = None

    def options(self) -> dict[str, object]:
        """For the manifest."""
        chosen = self.deidentify
        retained = [] if chosen is None else [option.value for option in sorted(chosen.retain)]
        return {
            "deidentify": chosen is not None,
            "retain": retained,
            "each": self.each.value if self.each else None,
            "max_size": self.most_bytes or None,
        }


@dataclass(frozen=True, slots=True)
class Exported:
    """What was made: the file or folder (not there where ``files`` is 0), what is in it, and what is not.

    ``source`` is the verdict on the folder that it was made from; ``parts`` are the files of an export in several.
    """

    path: Path
    files: int
    source: Result
    problems: tuple[Problem, ...] = ()
    parts: tuple[Path, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """7 where the study is incomplete, or something that should be in the export was left out; 0 else."""
        is_short = not self.files or any(problem.fatal for problem in self.problems)
        return ExitCode.INCOMPLETE if is_short or self.source.exit_code else ExitCode.COMPLETE


NOTHING_SPECIAL: Final = ExportOptions()


async def export(
    source: Path, target: Target, output: Path, wanted: ExportOptions = NOTHING_SPECIAL, *, deidentify: bool = False
) -> Exported:
    """Write the DICOM files of ``source`` to ``output``, a new file or folder.

    Args:
        source: a folder or a zip of DICOM files, from this tool or not.
        target: what to make.
        output: its path, which must not exist yet. It appears only when finished, and not at all if empty.
        wanted: the user's choices.
        deidentify: short for a plain ``Deidentification``.

    Raises:
        UsageError: something lies at ``output``, or the NIfTI converter is not installed.
        NoDicomHere: there is no DICOM file in ``source``.
    """
    chosen = wanted.deidentify or (Deidentification() if deidentify else None)
    wanted = replace(wanted, deidentify=chosen)
    for path in (wanted.key_table, output, _part_of(output, 1)):
        if path is not None and path.exists():
            raise UsageError(f"{path} exists")
    if target is Target.NIFTI:
        nifti.converter()  # before anything is done
    output.parent.mkdir(parents=True, exist_ok=True)
    with opened(source) as files, tempfile.TemporaryDirectory(prefix=".export-", dir=output.parent) as scratch:
        place = Path(scratch)
        listed, left_out = await asyncio.to_thread(gather, files, place / "settled")
        if not listed and not left_out:
            raise NoDicomHere(path=str(source))
        problems = problems_of(left_out)
        async with Inspector(timeout_s=_PATIENCE_S, writable=(place,)) as inspector:
            verdict = await judge_files(str(source), files, inspector)
            if chosen is not None:
                chosen = replace(chosen, key=chosen.key or new_key())
                persons = Persons(chosen.key, chosen.pseudonyms)
                listed, found = await identity.deidentified(listed, place / "plain", chosen, persons, inspector)
                problems += found
            status = "complete" if verdict.exit_code == ExitCode.COMPLETE else "incomplete"
            companions = Companions(target.value, status, wanted.options(), _providers(files), wanted.extra)
            maker = _Maker(target, wanted, companions, inspector, _damaged(verdict))
            made = [(name, await maker.made(group, place / f"made-{name}")) for name, group in _groups(listed, wanted)]
        problems += [problem for _, one in made for problem in one.problems]
        parts = [part for name, one in made for part in _moved(one, output, name, target)]
        if parts and wanted.key_table is not None and chosen is not None:
            private_file(wanted.key_table, persons.table())
    count = sum(one.files for _, one in made)
    return Exported(parts[0] if len(parts) == 1 else output, count, verdict, tuple(problems), tuple(parts))


def _groups(listed: Sequence[InstanceFile], wanted: ExportOptions) -> list[tuple[str, list[InstanceFile]]]:
    """What becomes an export of its own, each with its name; all under an empty one where the user did not part it."""
    found: dict[str, list[InstanceFile]] = {}
    for item in listed:
        match wanted.each:
            case ExportUnit.PATIENT:
                name = item.patient
            case ExportUnit.STUDY:
                name = f"{item.patient}_{item.study}"
            case None:
                name = ""
        found.setdefault(name, []).append(item)
    return list(found.items())


def _part_of(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name.removesuffix(path.suffix)}.part{number}{path.suffix}")


def _moved(made: _Made, output: Path, name: str, target: Target) -> list[Path]:
    """Bring what was made to its place; gives where it lies."""
    if not made.files:
        return []
    suffix = f".{target.value}" if target in (Target.ZIP, Target.ISO) else ""
    whole = output / f"{name}{suffix}" if name else output
    whole.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    places = [whole] if len(made.paths) == 1 else [_part_of(whole, place) for place in range(1, len(made.paths) + 1)]
    for path, place in zip(made.paths, places, strict=True):
        path.chmod(0o700 if path.is_dir() else 0o600)  # a program that uses the library may have any umask
        shutil.move(path, place)
    return places


def _providers(files: Files) -> tuple[str, ...]:
    """The providers that the folder's own reports name."""
    reports = (document.saved_study(path, name) for name, path in files.reports.items())
    return tuple(dict.fromkeys(report.provider for report in reports if report is not None and report.provider))


def _damaged(verdict: Result) -> frozenset[str]:
    """Paths of files whose pixels can't be used."""
    problems = [problem for study in verdict.studies for series in study.series for problem in series.problems]
    return frozenset(
        name for problem in problems if problem.fatal and problem.code in _DAMAGE for name in problem.instances
    )


@dataclass(frozen=True, slots=True)
class _Made:
    """One export, still in the temporary folder."""

    paths: tuple[Path, ...]
    files: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes one export after another of the same kind."""

    target: Target
    wanted: ExportOptions
    companions: Companions
    inspector: Inspector
    damaged: frozenset[str]

    async def made(self, listed: Sequence[InstanceFile], path: Path) -> _Made:
        """Write it, with what stands beside the files."""
        if self.target is Target.ZIP:
            most = self.wanted.most_bytes
            paths, problems = await asyncio.to_thread(media.pack, listed, path, self.companions, most)
            if self.wanted.page is not None and paths and not most:
                await add_to_zip(listed, paths[0], path.with_name(f"{path.name}-page"), self.wanted.page)
            return _Made(tuple(paths), len(listed) if paths else 0, tuple(problems))
        count, problems = await self._folder(listed, path)
        if not count:
            return _Made((), 0, tuple(problems))
        if self.wanted.page is not None and self.target in (Target.DICOMDIR, Target.ISO):
            await add_to_disc(listed, path, self.wanted.page)
        await asyncio.to_thread(self.companions.write, path)
        if self.target is Target.ISO:
            image = path.with_name(f"{path.name}.iso")
            await asyncio.to_thread(disc.burn, path, image)
            path = image
        return _Made((path,), count, tuple(problems))

    async def _folder(self, listed: Sequence[InstanceFile], made: Path) -> tuple[int, list[Problem]]:
        """Write one target; returns the number of files made, and what was left out."""
        match self.target:
            case Target.DICOMDIR | Target.ISO:
                return await asyncio.to_thread(dicomdir.file_set, listed, made)
            case Target.NIFTI:
                return await asyncio.to_thread(nifti.nifti, listed, made, self.damaged)
            case Target.PNG:
                return await pictures.draw(listed, made, ".png", self.inspector)
            case Target.JPG:
                return await pictures.draw(listed, made, ".jpg", self.inspector)
            case Target.TABLE:
                return await asyncio.to_thread(table.tables, listed, made)
            case _:
                raise AssertionError(self.target)
