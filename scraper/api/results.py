"""What the library's calls return: values with the document of ``--json``, the files, and the series as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scraper.core.errors import CloudfilmError, ExitCode, MissingInstances
from scraper.core.messages import describe, describe_problem
from scraper.core.model import Problem, Result, Status, StudyResult
from scraper.core.settings import Language

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

    from scraper.export import Exported
    from scraper.source.film_codes import Decoded


@dataclass(frozen=True, slots=True, repr=False)
class SourceResult:
    """How one source ended: of ``grab``, ``list`` or ``verify``.

    Attributes:
        result: as the program itself has it.
        language: of the sentences.
        further_films: how many more films the source holds; ``only=2`` takes the second, ``grab_all`` takes all.
    """

    result: Result
    language: Language = Language.EN
    further_films: int = 0

    def __repr__(self) -> str:
        counts = self.result.counts
        return f"<SourceResult {self.status.value}: {counts.saved} instances, {len(self.rows())} series>"

    @property
    def status(self) -> Status:
        """``complete``, ``incomplete`` or ``failed``."""
        return self.result.status

    @property
    def exit_code(self) -> int:
        """The code that the command would end with."""
        return self.result.exit_code

    @property
    def is_complete(self) -> bool:
        """Whether everything is there and verified."""
        return self.result.exit_code == ExitCode.COMPLETE

    @property
    def error(self) -> BaseException | None:
        """What stopped it, if anything did."""
        return self.result.error

    @property
    def studies(self) -> tuple[StudyResult, ...]:
        """The studies, each with its series, problems and folder."""
        return self.result.studies

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that a person should know, of the source, its studies and its series."""
        of_studies = [problem for study in self.studies for problem in study.problems]
        of_series = [problem for study in self.studies for series in study.series for problem in series.problems]
        return (*self.result.problems, *of_studies, *of_series)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The studies' folders; of ``verify``, the folder that was checked."""
        if self.result.of_folder:
            return (Path(self.result.source),) if Path(self.result.source).is_dir() else ()
        return tuple(study.output for study in self.studies if study.output is not None)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every DICOM file, series by series in the order of the slices."""
        from scraper.verify.folder import find

        return tuple(candidate.path for folder in self.folders for candidate in find(folder) if not candidate.left_out)

    def datasets(self) -> Iterator[FileDataset]:
        """Each file as pydicom reads it, one at a time; pixels are read from the disk when they are first touched."""
        from scraper.dicom.reading import lazy_file

        for path in self.files:
            yield lazy_file(path)

    def rows(self) -> list[dict[str, object]]:
        """One row a series."""
        return [
            {
                "study_uid": study.study.uid,
                "study_date": study.study.date,
                "study_description": study.study.description,
                "series_uid": series.uid,
                "number": series.number,
                "description": series.description,
                "modality": series.modality,
                "expected": series.expected,
                "saved": series.saved,
                "origin": series.origin.value,
                "status": series.status,
                "folder": None if study.output is None else str(study.output),
            }
            for study in self.studies
            for series in study.series
        ]

    def frame(self) -> Any:
        """The rows as a pandas data frame.

        Raises:
            ImportError: pandas is not installed.
        """
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]  # optional

        return pd.DataFrame(self.rows())

    def to_dict(self) -> dict[str, Any]:
        """The document that ``--json`` prints."""
        from scraper.pipeline import document

        return document.of(self.result, self.language)

    def sentences(self) -> list[str]:
        """What went wrong and what can be done about it, in words."""
        of_folder = self.result.of_folder
        words = [describe_problem(problem, self.language, of_folder=of_folder) for problem in self.problems]
        if isinstance(self.error, CloudfilmError):
            words.append(describe(self.error, self.language))
        return list(dict.fromkeys(words))

    def raise_for_status(self) -> None:
        """Pass where everything is there and verified.

        Raises:
            CloudfilmError: what stopped it, or that something is missing.
        """
        if isinstance(self.error, CloudfilmError):
            raise self.error
        if not self.is_complete:
            counts = self.result.counts
            raise MissingInstances(expected=counts.expected, saved=counts.saved, count=counts.failed)

    def _repr_html_(self) -> str:
        rows = self.rows()
        heads = ("number", "modality", "description", "saved", "expected", "origin", "status")
        head = "".join(f"<th>{name}</th>" for name in heads)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_shown(row[name]))}</td>" for name in heads) + "</tr>" for row in rows
        )
        problems = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.sentences())
        return f"<p>{escape(repr(self))}</p><table><tr>{head}</tr>{body}</table><ul>{problems}</ul>"


def _shown(value: object) -> str:
    return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class CodesResult:
    """The codes of one photo, scan or PDF."""

    decoded: Decoded

    @property
    def link(self) -> str | None:
        """The film's link, or None."""
        return self.decoded.link

    @property
    def links(self) -> tuple[str, ...]:
        """The links of all films on it."""
        return self.decoded.links

    @property
    def error(self) -> CloudfilmError | None:
        """Why there is no link."""
        return self.decoded.refusal()

    def to_dict(self) -> dict[str, object]:
        """The document that ``decode --json`` prints."""
        from scraper.ui.tables import decoded_json

        return decoded_json(self.decoded)


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export came to."""

    exported: Exported
    language: Language = Language.EN

    @property
    def path(self) -> Path:
        """The file or folder that was made."""
        return self.exported.path

    @property
    def files(self) -> int:
        """How many files are in it."""
        return self.exported.files

    @property
    def is_complete(self) -> bool:
        """Whether the study is whole, and all of it is in the export."""
        return self.exported.exit_code == ExitCode.COMPLETE

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is not in it, and what to mind."""
        return self.exported.problems

    def to_dict(self) -> dict[str, object]:
        """The document that ``export --json`` prints."""
        from scraper.export.outcome import document_of

        return document_of(self.exported, self.language)
