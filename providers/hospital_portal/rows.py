"""A row of a portal's list: the examination it shows, and the detail page that it leads to.

facts: fixtures/sites/hospital_portal/README.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from providers.hospital_portal.controls import SCRIPT_LINK
from scraper.contract import parse_int

ARCHIVED = re.compile(r"归档|超过.{0,6}期限|已清理|已过期")


@dataclass(frozen=True, slots=True)
class Examination:
    """One row of the list; ``url`` is its detail page, empty where it has none. ``count``: images, where shown."""

    url: str
    key: str = ""
    date: str = ""
    modality: str = ""
    part: str = ""
    remark: str = ""
    count: int | None = None

    @property
    def name(self) -> str:
        """What a person knows it by; empty where the row says nothing of it."""
        return " ".join(part for part in (self.key, self.date, self.modality, self.part) if part)


def link_of(row: Any, url: str) -> str:
    """The detail page of a row: the link that says so, else its only link."""
    links = []
    for item in row.css("a, input[onclick], button[onclick]"):
        script = SCRIPT_LINK.search(f"{item.attributes.get('onclick') or ''} {item.attributes.get('href') or ''}")
        href = (item.attributes.get("href") or "").strip()
        address = script[1] if script else "" if href.lower().startswith(("javascript:", "#")) else href
        if address:
            links.append((f"{item.text()} {item.attributes.get('value') or ''}", urljoin(url, address)))
    called: list[str] = [address for text, address in links if re.search(r"查看|详情|明细|详细|进入", text)]
    if called:
        return called[0]
    related: list[str] = [
        address for text, address in links if re.search(r"影像|下载|打开", text) and "报告" not in text
    ]
    return (related or [address for _, address in links if len(links) == 1] or [""])[0]


def read_row(url: str, heads: list[str], cells: list[str]) -> Examination:
    """The examination of a row, by the words of the columns' heads."""

    def cell(words: str, but: str = r"$^") -> str:
        for head, text in zip(heads, cells, strict=False):
            if re.search(words, head) and not re.search(but, head):
                return text
        return ""

    text = " ".join(cells)
    date = _day(cell(r"日期|时间")) or _day(text)
    count = _first(r"\d+", cell(r"图像数|影像数|图像|张数|幅数|图片数"))
    return Examination(
        url,
        cell(r"检查号|影像号|检查编号|检查单号|编号|流水号"),
        date,
        _first(r"\b[A-Z]{2}\b", cell(r"设备|类型|类别|模态|检查方式"))
        or _first(r"\b(?:CT|MR|DR|CR|DX|US|MG|PT|NM|XA|RF)\b", text),
        cell(r"部位|项目"),
        next((item for item in cells if ARCHIVED.search(item)), ""),
        parse_int(count),
    )


def _first(words: str, text: str) -> str:
    match = re.search(words, text)
    return match[0] if match else ""


def _day(text: str) -> str:
    """The first day in a text, as DICOM writes it: of 2026-01-12, 2026/1/12, 2026年1月12日, 20260112."""
    match = re.search(r"(?<!\d)((?:19|20)\d\d)(?:\D{1,2}(\d\d?)\D{1,2}(\d\d?)|(\d\d)(\d\d)(?:\d{6})?(?!\d))", text)
    if match is None:
        return ""
    return f"{match[1]}{match[2] or match[4]:0>2}{match[3] or match[5]:0>2}"
