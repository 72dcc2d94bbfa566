"""The rows of a list that lack an answer, with just the columns to fill in: a list that is given back."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scraper.batch.input.rows import Row
from scraper.batch.report import table
from scraper.core.safe_text import csv_cell
from scraper.core.settings import Language
from scraper.registry import catalogue

NAME: Final = "needs.csv"
_HEADINGS: Final = {
    "source": "链接",
    "label": "姓名",
    "password": "密码",
    "access_code": "安全码",
    "phone": "手机号",
    "phone_last4": "手机后四位",
    "id_last4": "身份证后四位",
    "id_last6": "身份证后六位",
    "account": "账号",
}


def write(path: Path, rows: Sequence[tuple[Row, str]], language: Language) -> None:
    """Write them: what each platform asks for is a column, empty where nothing was given, or what was given was refused.

    Raises:
        DiskFull, NotWritable: the disk refuses.
    """
    columns: list[str] = []
    for _, provider in rows:
        columns += [name for name in _asked(provider) if name not in columns]
    own = list(dict.fromkeys(name for row, _ in rows for name in row.extra))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    names = ["source", "label", *columns]
    writer.writerow(
        [_HEADINGS.get(name, name) if language is Language.ZH else name for name in names] + list(map(csv_cell, own))
    )
    for row, _ in rows:
        source = str(Path(row.source).absolute()) if row.is_file else row.source
        cells = (source, row.label, *("" for _ in columns), *(row.extra.get(name, "") for name in own))
        writer.writerow(map(csv_cell, cells))
    table.write(path, ["\ufeff" + out.getvalue()])


def _asked(provider: str) -> list[str]:
    found = catalogue.named(provider)
    return [question.name for question in found.asks] if found is not None and found.asks else ["password"]
