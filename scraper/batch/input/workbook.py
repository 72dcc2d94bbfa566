"""The first sheet of a workbook (.xlsx), as lines of a CSV file."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Final

from scraper.batch.input.text import MAX_LIST, Line, ListTooLarge, ListUnreadable

SUFFIX: Final = ".xlsx"
MOST_ROWS: Final = 100_000
MOST_COLUMNS: Final = 200
MOST_UNPACKED: Final = 128 * 2**20  # bytes; a workbook is a zip, and its texts are held together


def lines_of(path: Path) -> list[Line]:
    """Numbered lines, as a spreadsheet would export them; empty rows keep their number.

    Raises:
        ListTooLarge, ListUnreadable: see there.
    """
    from openpyxl import load_workbook  # type: ignore[import-untyped]  # no types in the wheel

    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MOST_UNPACKED or path.stat().st_size > MAX_LIST:
            raise ListTooLarge(path=str(path), megabytes=MAX_LIST >> 20)
        book = load_workbook(path, read_only=True, data_only=True)
        try:
            rows = book.worksheets[0].iter_rows(max_row=MOST_ROWS, max_col=MOST_COLUMNS, values_only=True)
            return [Line(number, _line(row)) for number, row in enumerate(rows, start=1)]
        finally:
            book.close()
    except (
        OSError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        SyntaxError,
        zipfile.BadZipFile,
    ) as err:
        raise ListUnreadable(path=str(path)) from err


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
