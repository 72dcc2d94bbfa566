"""The first sheet of a workbook (.xlsx), as lines of a CSV file; taken apart in a child process."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from scraper.batch.input.text import MAX_LIST, Line, ListTooLarge, ListUnreadable
from scraper.isolation.child import Child, ChildLost, Say, answer_questions
from scraper.isolation.memory_budget import OF_ALL
from scraper.isolation.plain import from_plain

SUFFIX: Final = ".xlsx"
MOST_ROWS: Final = 100_000
MOST_COLUMNS: Final = 200
MOST_UNPACKED: Final = 128 * 2**20  # bytes; a workbook is a zip, and its texts are held together
MEMORY: Final = 1000 << 20  # bytes of the child: those texts as strings, and the lines
PATIENCE_S: Final = 60.0  # a hundred thousand rows take some 20 s
LONGEST: Final = 64 << 20  # bytes of the lines


def lines_of(path: Path) -> list[Line]:
    """Numbered lines, as a spreadsheet would export them; empty rows keep their number.

    Raises:
        ListTooLarge, ListUnreadable: see there.
    """
    child = Child(__name__, patience_s=PATIENCE_S)
    try:
        with OF_ALL.share(MEMORY):
            *_, (answer, written) = child.ask({"path": str(path.absolute())}, longest=LONGEST)
        if answer.get("error") == "large":
            raise ListTooLarge(path=str(path), megabytes=MAX_LIST >> 20)
        if "error" in answer:
            raise ListUnreadable(path=str(path))
        texts: list[str] = from_plain(list[str], json.loads(written))
    except (ChildLost, ValueError, TypeError, RecursionError) as err:
        raise ListUnreadable(path=str(path)) from err
    finally:
        child.close()
    return [Line(number, text) for number, text in enumerate(texts, start=1)]


# ---- the child's side


def serve() -> None:
    """The child's life."""
    answer_questions(_answer, MEMORY)


def _answer(question: dict[str, Any], _: bytes, say: Say) -> None:
    try:
        written = json.dumps(_texts(Path(question["path"]))).encode()
    except (_TooLarge, MemoryError):
        say(error="large")
    except (
        OSError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        SyntaxError,
        RecursionError,
        zipfile.BadZipFile,
    ):
        say(error="unreadable")
    else:
        say(written, end=True)


class _TooLarge(Exception):
    """It unpacks to more than any list has."""


def _texts(path: Path) -> list[str]:
    from openpyxl import load_workbook  # type: ignore[import-untyped]  # no types in the wheel

    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > MOST_UNPACKED or path.stat().st_size > MAX_LIST:
        raise _TooLarge
    book = load_workbook(path, read_only=True, data_only=True)
    try:
        rows = book.worksheets[0].iter_rows(max_row=MOST_ROWS, max_col=MOST_COLUMNS, values_only=True)
        return [_line(row) for row in rows]
    finally:
        book.close()


def _line(cells: tuple[object, ...]) -> str:
    texts = [_text(cell) for cell in cells]
    while texts and not texts[-1]:
        texts.pop()
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(texts)
    return out.getvalue() if texts else ""


def _text(cell: object) -> str:
    """A cell as a person sees it: a number without a fraction has none."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime | date):
        return cell.strftime("%Y%m%d")
    return " ".join(str(cell).split())
