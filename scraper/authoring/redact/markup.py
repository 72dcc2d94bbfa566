"""Split a page into tokens, examining each character a bounded number of times.

Malformed parts (a tag, comment or script that is not closed) count as text and are replaced completely.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_SCRIPT: Final = re.compile(r"<script\b", re.IGNORECASE)
_SCRIPT_END: Final = re.compile(r"</script\s*+>", re.IGNORECASE)
_STYLE: Final = re.compile(r"<style\b", re.IGNORECASE)
_STYLE_END: Final = re.compile(r"</style\s*+>", re.IGNORECASE)
_NAME: Final = re.compile(r"</?[a-z_][^\s<>/]*+", re.IGNORECASE)
_REST: Final = re.compile(r"(?:[^<>\"']++|\"[^\"]*+\"|'[^']*+')*+")
_END_OF: Final = {name: re.compile(re.escape(name)) for name in (">", "-->", "]]>")}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a page; ``kind`` is script, style, comment, cdata, tag, declaration or text.

    A script's ``opening`` and ``closing`` are its tags, and ``code`` is the text between them.
    """

    kind: str
    piece: str
    opening: str = ""
    code: str = ""
    closing: str = ""


class _Ends:
    """Positions of closing marks; a mark that was not found is not searched again."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._missing: set[re.Pattern[str]] = set()

    def after(self, end: re.Pattern[str], at: int) -> re.Match[str] | None:
        if end in self._missing:
            return None
        found = end.search(self._text, at)
        if found is None:
            self._missing.add(end)
        return found


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a page, in order; together they are the page."""
    ends, at = _Ends(text), 0
    while at < len(text):
        opening = text.find("<", at)
        if opening != at:
            yield Token("text", text[at : opening if opening > 0 else len(text)])
            if opening < 0:
                return
        token = _marked(text, opening, ends)
        yield token
        at = opening + len(token.piece)


def _marked(text: str, at: int, ends: _Ends) -> Token:
    """The token that begins with the ``<`` at a position."""
    if _SCRIPT.match(text, at) and (script := _script(text, at, ends)) is not None:
        return script
    if _STYLE.match(text, at) and (end := ends.after(_STYLE_END, at)) is not None:
        return Token("style", text[at : end.end()])
    for opening, closing, kind in (("<!--", "-->", "comment"), ("<![CDATA[", "]]>", "cdata")):
        if text[at : at + len(opening)].upper() == opening:
            end = ends.after(_END_OF[closing], at + len(opening))
            if end is not None:
                return Token(kind, text[at : end.end()])
    if text[at + 1 : at + 2] in ("!", "?"):
        end = ends.after(_END_OF[">"], at)
        return Token("declaration", text[at : end.end()]) if end else Token("text", "<")
    return _tag(text, at)


def _script(text: str, at: int, ends: _Ends) -> Token | None:
    opened = ends.after(_END_OF[">"], at)
    closed = ends.after(_SCRIPT_END, opened.end()) if opened else None
    if opened is None or closed is None:
        return None
    start, end = opened.end(), closed.start()
    return Token("script", text[at : closed.end()], text[at:start], text[start:end], closed[0])


def _tag(text: str, at: int) -> Token:
    """A tag; where it is none, the examined text."""
    name = _NAME.match(text, at)
    if name is None:
        return Token("text", "<")
    end = name.end()
    following = text[end : end + 1]
    if following.isspace():
        rest = _REST.match(text, end)
        end = rest.end() if rest else end
    elif following == "/":
        end += 1
    if text[end : end + 1] == ">":
        return Token("tag", text[at : end + 1])
    return Token("text", text[at : max(end, at + 1)])
