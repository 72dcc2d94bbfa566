"""Decode a text file of unknown encoding into numbered lines; undecodable lines are marked.

Chinese spreadsheets export one of the encodings of ``scraper.core.text``.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scraper.core.errors import UnreadableFile, UsageError
from scraper.core.text import GB, UTF8, is_utf8, marked_codec

MAX_LIST: Final = 64 * 2**20  # bytes; a hundred thousand share messages
LONGEST_LINE: Final = 65_536
_NO_TEXT: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"SQLite format 3")


class ListTooLarge(UsageError):
    """The list has more than ``MAX_LIST`` bytes. Values: ``path``, ``megabytes``."""


class ListUnreadable(UsageError):
    """The file is a workbook, a picture, or otherwise no text. Values: ``path``."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line, numbered from 1. ``fault``: why it is unusable (a name under ``batch.row.``); its text is empty then."""

    number: int
    text: str = field(repr=False)
    fault: str = ""


def read_lines(path: Path) -> list[Line]:
    """Read the lines of a text: UTF-8, UTF-16 or UTF-32 with or without byte order mark, or GB 18030.

    Raises:
        ListTooLarge, ListUnreadable: see there. UnreadableFile: the system refuses it.
    """
    try:
        size = path.stat().st_size
        if size > MAX_LIST:
            raise ListTooLarge(path=str(path), megabytes=MAX_LIST >> 20)
        body = path.read_bytes()
    except OSError as err:
        raise UnreadableFile(path=str(path)) from err
    if body.startswith(_NO_TEXT):
        raise ListUnreadable(path=str(path))
    wide = _wide(body)
    if wide:
        return [_line(number, text) for number, text in enumerate(_split(body.decode(wide, "replace")), 1)]
    if body.count(0) > max(16, len(body) // 100):
        raise ListUnreadable(path=str(path))
    rows = body.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    encoding = _encoding(rows)
    return [_decoded(number, row, encoding) for number, row in enumerate(rows, 1)]


def _wide(body: bytes) -> str:
    """The encoding's name where characters take two or four bytes, by the mark or the position of ASCII's zero bytes."""
    if name := marked_codec(body):
        return "" if name == "utf-8-sig" else name
    head = body[:4096]
    half = len(head) // 2
    if half >= 8:
        for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
            if head[start::2].count(0) > half * 0.4 and head[1 - start :: 2].count(0) == 0:
                decoded = head[: 2 * half].decode(name, "replace")
                return "" if any(char < " " and char not in "\t\r\n" for char in decoded) else name
    return ""


def _encoding(rows: list[bytes]) -> str:
    """UTF-8 if most of the lines outside ASCII are UTF-8, else GB 18030."""
    telling = [row for row in rows if not row.isascii()]
    return UTF8 if 2 * sum(map(is_utf8, telling)) >= len(telling) else GB


def _decoded(number: int, row: bytes, encoding: str) -> Line:
    if len(row) > 4 * LONGEST_LINE:
        return Line(number, "", "too-long")
    try:
        return _line(number, row.decode(encoding))
    except UnicodeDecodeError:
        return Line(number, "", "no-text")


def _split(text: str) -> list[str]:
    return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _line(number: int, text: str) -> Line:
    if len(text) > LONGEST_LINE:
        return Line(number, "", "too-long")
    if "\x00" in text or "\ufffd" in text:
        return Line(number, "", "no-text")
    return Line(number, text)
