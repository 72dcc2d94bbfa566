"""Read a list of sources: its rows, and its unusable rows by line number.

A text file has one source per line, a CSV file or spreadsheet export a header with ``source``, a JSON Lines file one object per
line; a folder stands for the photos and PDFs in it.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from scraper.batch.input import workbook
from scraper.batch.input.headings import FIELDS, KNOWN, columns_of
from scraper.batch.input.text import Line, read_lines
from scraper.core import link
from scraper.core.errors import CloudfilmError, ExitCode, NoSuchFile, UsageError
from scraper.core.safe_text import without_surrogates
from scraper.source.kinds import IMAGES, TEXTS

LONGEST_LINE: Final = 65_536  # characters; a link has 8192 at most, a share message is short
LONGEST_LABEL: Final = 200
MOST_LINES: Final = 40  # that one quoted cell of a CSV may run over
TABLES: Final = frozenset((".csv", ".tsv", ".tab"))
PHOTOS: Final = IMAGES - {".dcm", ".docx", ".pptx", ".xlsx", ".odt"}  # what a folder is looked through for
OBJECTS: Final = frozenset((".jsonl", ".ndjson", ".json"))
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]{1,15}://\S", re.I)
_GUARD: Final = re.compile(
    r"^'(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])"
)  # what ``csv_cell`` puts before what looks like a formula
_FORMULA: Final = re.compile(r'="([^"]*)"')  # how a spreadsheet keeps the zeros at a number's beginning


class ListWithoutSource(UsageError):
    """A CSV file whose header names no column ``source``. Values: ``path``."""


@dataclass(frozen=True, slots=True)
class Row:
    """One source, with the answers that its site will ask for."""

    line: int  # in a folder: the place in it
    source: str = field(repr=False)
    label: str = ""
    answers: Mapping[str, str] = field(default_factory=dict, repr=False)
    expect: int | None = None  # images that there are, by the viewer or the paper
    expect_name: str = field(default="", repr=False)  # whose study it must be
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)  # the user's own columns, for the report

    @property
    def is_file(self) -> bool:
        """Whether it is a file, not a link or a text."""
        return not is_link(self.source)

    @property
    def shown(self) -> str:
        """The file's path, or the redacted link."""
        if self.is_file:
            return self.source
        try:
            return link.parse(self.source).redacted
        except CloudfilmError:
            return self.source.partition("://")[0][-15:].strip() + "://…"

    @property
    def identity(self) -> str:
        """Identity of the source: the link itself, however it is wrapped, or the file's place."""
        if self.is_file:
            return "file:" + _digest(Path(self.source))
        try:
            return of_link(link.parse(self.source))
        except CloudfilmError:
            return "text:" + self.source.strip()


@dataclass(frozen=True, slots=True)
class Refused:
    """An unusable row. ``why`` is a name under ``batch.row.`` in the messages; no content of the row is stored."""

    line: int
    why: str
    exit_code: ExitCode = ExitCode.USAGE
    label: str = ""


@dataclass(frozen=True, slots=True)
class SourceList:
    """The content of a list."""

    rows: tuple[Row, ...] = ()
    refused: tuple[Refused, ...] = ()


def read(path: Path) -> SourceList:
    """Read the sources of a list, or of a folder (recursively, without hidden files, ordered by name).

    Raises:
        NoSuchFile: no such file. ListTooLarge, ListUnreadable: no known kind of list.
        ListWithoutSource: no column of that name.
    """
    if path.is_dir():
        return SourceList(tuple(_photos(path)))
    if not path.is_file():
        raise NoSuchFile(path=str(path))
    suffix = path.suffix.lower()
    is_workbook = suffix == workbook.SUFFIX
    lines = workbook.lines_of(path) if is_workbook else read_lines(path)
    if suffix in TABLES or is_workbook:
        entries: Iterator[Row | Refused] = _table(path, lines)
    elif suffix in OBJECTS:
        entries = (_object(line) for line in lines if line.fault or line.text.strip())
    else:
        entries = _plain(lines)
    rows: list[Row] = []
    refused: list[Refused] = []
    for entry in entries:
        placed = _placed(entry, path.parent) if isinstance(entry, Row) else entry
        if isinstance(placed, Row):
            rows.append(placed)
        else:
            refused.append(placed)
    return SourceList(tuple(rows), tuple(refused))


def _digest(path: Path) -> str:
    """What tells a file from others, wherever copies of it lie; its place where it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return str(path.absolute())


def is_link(source: str) -> bool:
    """Whether a source is an address, not a file name."""
    if _ADDRESS.search(source):
        return True
    try:
        link.parse(source)
    except CloudfilmError:
        return False
    return Path(source).suffix.lower() not in IMAGES | TEXTS


def of_link(share: link.ShareLink) -> str:
    """A link's identity: its address without the default port."""
    return "link:" + share.origin + share.target


# ---- kinds of list


def _photos(folder: Path) -> Iterator[Row]:
    found: list[Path] = []
    for place, folders, names in os.walk(folder):  # follows no link to a folder
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(place) / name for name in names if not name.startswith(".") and Path(name).suffix.lower() in PHOTOS
        ]
    for number, path in enumerate(sorted(found, key=lambda item: str(item).casefold()), start=1):
        yield Row(number, str(path), str(path.relative_to(folder)))


def _plain(lines: Iterable[Line]) -> Iterator[Row | Refused]:
    for line in lines:
        text = line.text.strip()
        if line.fault:
            yield Refused(line.number, line.fault)
        elif text and not text.startswith("#"):
            bare = re.fullmatch(r"(\S+)\s+#\s.*", text)
            yield Row(line.number, bare.group(1) if bare else text)


def _object(line: Line) -> Row | Refused:
    if line.fault:
        return Refused(line.number, line.fault)
    try:
        value = json.loads(line.text)
    except (ValueError, RecursionError):
        return Refused(line.number, "no-json")
    if isinstance(value, str):
        return Row(line.number, value.strip())
    return _of_object(line, value)


def _of_object(line: Line, value: object) -> Row | Refused:
    if not isinstance(value, dict) or not isinstance(value.get("source"), str):
        return Refused(line.number, "no-source")
    answers_given = value.get("answers")
    given = {**value, **answers_given} if isinstance(answers_given, dict) else value
    if any(isinstance(given.get(name), (dict, list, bool, float)) for name in FIELDS):
        return Refused(line.number, "no-answer")
    answers = {name: str(given[name]) for name in FIELDS if given.get(name) not in (None, "")}
    label = value.get("label")
    expect = _expected(value.get("expect"))
    if expect == 0:
        return Refused(line.number, "no-expect")
    return Row(line.number, value["source"].strip(), label if isinstance(label, str) else "", answers, expect)


def _expected(value: object) -> int | None:
    """The number of images that a row expects; None where it names none, 0 where that is no valid number."""
    if value is None or value == "":
        return None
    is_number = isinstance(value, (int, str)) and not isinstance(value, bool)
    digits = str(value).strip() if is_number else ""
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 7 else 0


def _table(path: Path, lines: list[Line]) -> Iterator[Row | Refused]:
    """The rows of a CSV file, or of a workbook; columns of the user's own are carried along.

    Raises:
        ListWithoutSource: the header has no column ``source``.
    """
    nonempty = [line for line in lines if line.text.strip() and not re.fullmatch(r"sep=.", line.text.strip(), re.I)]
    if not nonempty:
        return iter(())
    first = nonempty[0]
    for delimiter in (",", ";", "\t", "|"):
        header = columns_of(cells_of(first.text, delimiter))
        if "source" in header:
            break
    else:
        raise ListWithoutSource(path=str(path))
    return _of_table(lines[first.number :], header, delimiter)


def _of_table(lines: list[Line], header: list[str], delimiter: str) -> Iterator[Row | Refused]:
    for line in records(lines, delimiter):
        if line.fault:
            yield Refused(line.number, line.fault)
            continue
        cells = plain_cells(line.text, delimiter)
        if not any(cells):
            continue
        if any(cells[len(header) :]):
            yield Refused(line.number, "too-many-cells")  # a value may stand under the wrong name
            continue
        given = dict(zip(header, cells, strict=False))
        if not given.get("source"):
            yield Refused(line.number, "no-source")
            continue
        answers = {name: given[name] for name in FIELDS if given.get(name)}
        expect = _expected(given.get("expect"))
        if expect == 0:
            yield Refused(line.number, "no-expect")
            continue
        extra = {name: given.get(name, "") for name in header if name and name not in KNOWN}
        label, whose = given.get("label", ""), given.get("expect_name", "")
        yield Row(line.number, given["source"], label, answers, expect, whose, extra)


def records(lines: list[Line], delimiter: str) -> Iterator[Line]:
    """Join lines where a quoted cell spans several; a quote that is never closed swallows no other row."""
    place = 0
    while place < len(lines):
        first = lines[place]
        text, ends, used = first.text, _end(first.text, delimiter), 1
        while ends == "quoted" and used < MOST_LINES and place + used < len(lines):
            text += "\n" + lines[place + used].text
            ends = "broken" if lines[place + used].fault else _end(text, delimiter)
            used += 1
        if ends == "quoted" or (ends == "broken" and used > 1) or len(text) > LONGEST_LINE:
            yield Line(first.number, "", first.fault or "open-quote")
            place += 1
        else:
            yield Line(first.number, text, first.fault)
            place += used


def _end(text: str, delimiter: str) -> str:
    """The state at a text's end (RFC 4180): ``quoted`` within a cell; ``broken``: text follows a closing quote."""
    state = "start"
    for char in text:
        match state:
            case "quoted":
                state = "closing" if char == '"' else state
            case "closing" if char == '"':  # two of them stand for one
                state = "quoted"
            case "closing" if char not in (delimiter, "\n"):
                return "broken"
            case "start" if char == '"':
                state = "quoted"
            case _:
                state = "start" if char in (delimiter, "\n") else "plain"
    return state


def plain_cells(text: str, delimiter: str) -> list[str]:
    """The cells of a line, without what spreadsheets put before a value to keep it a text."""
    return [_GUARD.sub("", _FORMULA.sub(r"\1", cell.strip())) for cell in cells_of(text, delimiter)]


def cells_of(text: str, delimiter: str) -> list[str]:
    """The cells of a line as they stand."""
    return next(csv.reader([text], delimiter=delimiter), []) if text else []


def _placed(row: Row, folder: Path) -> Row | Refused:
    """Find a row's file: next to the list first, then in the working folder; a text without an address is refused."""
    row = replace(
        row,
        source=without_surrogates(row.source),
        label=without_surrogates(row.label),
        answers={name: without_surrogates(value) for name, value in row.answers.items()},
    )
    label = " ".join(row.label.split())[:LONGEST_LABEL]
    if len(row.source) > LONGEST_LINE:
        return Refused(row.line, "too-long", label=label)
    if not row.source:
        return Refused(row.line, "no-source", label=label)
    if is_link(row.source):
        return replace(row, label=label)
    for place in (folder, Path()):
        path = place / Path(row.source).expanduser()
        try:
            if path.is_file():
                return replace(row, source=str(path), label=label)
        except (OSError, ValueError):  # a long text is no file name
            break
    is_name = Path(row.source).suffix.lower() in IMAGES | TEXTS
    return (
        Refused(row.line, "no-file", label=label) if is_name else Refused(row.line, "no-link", ExitCode.NO_LINK, label)
    )
