"""The columns of a list by their headings, in English and in Chinese, and an empty list to fill in."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Final

from scraper.core.errors import UsageError
from scraper.core.questions import QUESTIONS
from scraper.core.settings import Language

FIELDS: Final = tuple(question.name for question in QUESTIONS)
KNOWN: Final = ("source", "label", "expect", "expect_name", *FIELDS)
_CHINESE: Final = {
    "链接": "source",
    "网址": "source",
    "照片": "source",
    "图片": "source",
    "文件": "source",
    "来源": "source",
    "影像链接": "source",
    "姓名": "label",
    "标签": "label",
    "张数": "expect",
    "幅数": "expect",
    "核对姓名": "expect_name",
    "密码": "password",
    "安全码": "access_code",
    "访问码": "access_code",
    "提取码": "access_code",
    "手机": "phone",
    "手机号": "phone",
    "手机后四位": "phone_last4",
    "手机号后四位": "phone_last4",
    "身份证后四位": "id_last4",
    "身份证号后四位": "id_last4",
    "身份证后六位": "id_last6",
    "身份证号后六位": "id_last6",
    "账号": "account",
}
_ENGLISH: Final = {"link": "source", "url": "source", "photo": "source", "file": "source"}
_TEMPLATE: Final = {
    Language.ZH: ("链接", "姓名", "密码", "安全码", "手机后四位", "身份证后四位", "张数", "备注"),
    Language.EN: ("source", "label", "password", "access_code", "phone_last4", "id_last4", "expect", "remark"),
}


def column_of(heading: str) -> str:
    """The column that a heading names; a heading of the user's own stays as it is."""
    bare = re.sub(r"[\s*：:（(].*", "", heading.strip())
    known = _CHINESE.get(bare) or _ENGLISH.get(bare.lower()) or bare.lower()
    return known if known in KNOWN else heading.strip()


def columns_of(headings: list[str]) -> list[str]:
    """The columns of a header; a second heading of the same meaning is the user's own."""
    found: list[str] = []
    for heading in headings:
        column = column_of(heading)
        found.append(heading.strip() if column in found else column)
    return found


def write_template(path: Path, language: Language) -> None:
    """Write an empty list, a CSV file or a workbook by its suffix.

    Raises:
        UsageError: something lies there, or another kind of file is named.
    """
    if path.exists():
        raise UsageError(f"{path} exists")
    headings = _TEMPLATE[language]
    if path.suffix.lower() == ".xlsx":
        from openpyxl import Workbook  # type: ignore[import-untyped]  # no types in the wheel

        book = Workbook()
        book.active.append(headings)
        for column in book.active.columns:
            for cell in column:
                cell.number_format = "@"
            book.active.column_dimensions[column[0].column_letter].width = 18
        book.save(path)
    elif path.suffix.lower() == ".csv":
        with path.open("w", encoding="utf-8-sig", newline="") as out:
            csv.writer(out).writerow(headings)
    else:
        raise UsageError(f"--template {path.name}: .csv, .xlsx")
