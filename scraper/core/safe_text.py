"""Make text that a site, a file or a code wrote harmless where it is shown: terminal, log, HTML, CSV, JSON.

A terminal obeys control characters (ECMA-48: ESC, the C1 set; OSC 8 and OSC 52), a reader's eye obeys bidirectional overrides
(Unicode UAX #9), a spreadsheet takes a cell that begins with ``=`` for a formula. Nothing is dropped without a sign: each such
character becomes a visible mark.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Final

FIRST_STRONG_ISOLATE, POP_ISOLATE = "\u2068", "\u2069"
_ISOLATES: Final = frozenset("\u2066\u2067\u2068")
# Controls (C0, DEL, C1), bidirectional marks and overrides, line and paragraph separators, invisible operators, byte order
# marks, interlinear annotations, tags, lone surrogates. Line feed, tab and the isolates are looked at apart.
_RISKY: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_UNSAFE_IN_JSON: Final = re.compile(
    "[\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_RIGHT_TO_LEFT: Final = frozenset(("R", "AL", "AN"))
_FORMULA: Final = re.compile(r"[\t\r]|[\s\x00-\x1f]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_FORMULA_BEHIND: Final = re.compile(r"(;\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")


def visible(text: object, *, keep: str = "") -> str:
    """One value without anything that a terminal or a reader's eye would obey.

    Args:
        text: from anywhere; lone surrogates become U+FFFD.
        keep: control characters that may stay, such as a line feed of our own.

    Returns:
        The same with visible marks (``␛``, ``<U+202E>``); text that is written from right to left is isolated from what
        stands around it. Applied twice it changes nothing more.
    """
    shown = str(text)
    if shown.isascii() and shown.isprintable():
        return shown
    open_or_alone, covered = _isolates(shown)
    marked = _RISKY.sub(
        lambda found: (
            found.group()
            if found.group() in keep
            or (found.group() in _ISOLATES | {POP_ISOLATE} and found.start() not in open_or_alone)
            else _mark(found.group())
        ),
        shown,
    )
    if not keep and any(
        unicodedata.bidirectional(char) in _RIGHT_TO_LEFT and not covered[place] for place, char in enumerate(shown)
    ):
        return FIRST_STRONG_ISOLATE + marked + POP_ISOLATE
    return marked


def visible_lines(text: str) -> str:
    """A whole text of ours, its line feeds kept; each value in it was made visible before, or is now."""
    return visible(text, keep="\n")


def one_line(text: str) -> str:
    """A site's sentence on one line: blanks and line breaks of any kind become single blanks."""
    return " ".join(text.split())


def without_surrogates(text: str) -> str:
    """A text that can be written as UTF-8."""
    return _SURROGATES.sub("\ufffd", text)


def json_text(value: object) -> str:
    """One JSON document on one line: any script as it is, and no character that a terminal would obey.

    What is escaped (RFC 8259 section 7) reads as the same value; lone surrogates, which are no characters, become U+FFFD.
    """
    return escaped_json(json.dumps(value, ensure_ascii=False))


def escaped_json(text: str) -> str:
    """A JSON text with the escapes of ``json_text``, for files that somebody may look at in a terminal."""
    return _UNSAFE_IN_JSON.sub(lambda found: _escaped(found.group()), without_surrogates(text))


def csv_cell(value: object) -> str:
    """One cell of a table: a number as it is, a text never a formula."""
    if value is None:
        return ""
    if isinstance(value, int | float):
        return str(value)
    text = _FORMULA_BEHIND.sub(r"\1'", visible(value))  # a spreadsheet may split a line at semicolons
    return f"'{text}" if _FORMULA.match(str(value).lstrip(FIRST_STRONG_ISOLATE)) else text


def _isolates(text: str) -> tuple[set[int], list[bool]]:
    """Places of isolates without their partner, and for each character whether an isolate covers it."""
    opened: list[int] = []
    alone: set[int] = set()
    covered = [False] * len(text)
    if POP_ISOLATE not in text and not any(char in text for char in _ISOLATES):
        return alone, covered
    for place, char in enumerate(text):
        if char in _ISOLATES:
            opened.append(place)
        elif char == POP_ISOLATE:
            if not opened:
                alone.add(place)
                continue
            begin = opened.pop()
            if not opened:
                covered[begin:place] = [True] * (place - begin)
    return alone | set(opened), covered


def _mark(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"<U+{code:04X}>"


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
