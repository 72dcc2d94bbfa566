"""A list that gives DICOM values for each study: which study by its UID or its folder, which value by the column's heading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scraper.batch.input import workbook
from scraper.batch.input.rows import cells_of, plain_cells, records
from scraper.batch.input.text import read_lines
from scraper.core.errors import NoSuchFile, UsageError
from scraper.core.messages import say
from scraper.core.settings import Language
from scraper.dicom.outgoing import keyword_of, value_of

UID: Final = frozenset(
    ("studyinstanceuid", "study_uid", *(say("batch.csv.study_uid", language).lower() for language in Language))
)
FOLDER: Final = frozenset(("output", *(say("batch.csv.folder", language).lower() for language in Language)))


@dataclass(frozen=True, slots=True)
class ValuesByStudy:
    """Keyword → value, by Study Instance UID and by the name of the study's folder."""

    by_uid: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    by_folder: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)


def read(path: Path) -> ValuesByStudy:
    """Read a CSV file or workbook, for example a batch's ``report.csv`` with the list's own columns.

    Columns whose heading is the keyword or tag of an attribute that may be set are taken, the others are not looked at; an empty
    cell sets nothing.

    Raises:
        NoSuchFile: no such file. ListTooLarge, ListUnreadable: no table. UsageError: it names no study, or no attribute, or two
            columns are of one attribute, two rows give one study different values, a row is broken, or a value is none that its
            attribute can have.
    """
    if not path.is_file():
        raise NoSuchFile(path=str(path))
    lines = workbook.lines_of(path) if path.suffix.lower() == workbook.SUFFIX else read_lines(path)
    lines = [line for line in lines if line.text.strip() or line.fault]
    for delimiter in (",", ";", "\t", "|"):
        header = [cell.strip().lstrip("\ufeff") for cell in cells_of(lines[0].text, delimiter)] if lines else []
        if any(name.lower() in UID | FOLDER for name in header):
            break
    else:
        raise UsageError(f"--set-from {path.name}: study_uid, folder")
    keywords = {name: keyword for name in header if (keyword := _keyword(name))}
    if not keywords:
        raise UsageError(f"--set-from {path.name}: PatientID, AccessionNumber, …")
    named = [keywords[name] for name in header if name in keywords]
    if len(set(named)) < len(named):  # one attribute, two columns
        raise UsageError(f"--set-from {path.name}: {', '.join(sorted(name for name in header if name in keywords))}")
    by_uid: dict[str, dict[str, str]] = {}
    by_folder: dict[str, dict[str, str]] = {}
    for line in records(lines[1:], delimiter):
        cells = plain_cells(line.text, delimiter)
        if line.fault or any(
            cells[len(header) :]
        ):  # a study would be sent as it is, or a value stands in another's column
            raise UsageError(f"--set-from {path.name}:{line.number}")
        given = dict(zip(header, cells, strict=False))
        try:
            values = {keywords[name]: value_of(keywords[name], given[name]) for name in keywords if given.get(name)}
        except UsageError as err:
            raise UsageError(f"--set-from {path.name}:{line.number}: {err.detail.removeprefix('--set ')}") from err
        for table, names in ((by_uid, UID), (by_folder, FOLDER)):
            for key in (given[name] for name in header if name.lower() in names and given.get(name)):
                known = table.setdefault(Path(key).name if table is by_folder else key, values)
                if known != values:
                    raise UsageError(f"--set-from {path.name}:{line.number}: {key}")
    return ValuesByStudy(by_uid, by_folder)


def _keyword(heading: str) -> str:
    """The attribute that a heading names; empty where it names none, or one that is never set."""
    try:
        return keyword_of(heading)
    except UsageError:
        return ""


__all__ = ["ValuesByStudy", "read"]
