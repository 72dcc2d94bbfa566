"""Redact pages, XML and scripts: markup and program stay, their data is replaced."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any, Final

from scraper.authoring.redact.markup import tokens
from scraper.authoring.redact.names import UID
from scraper.authoring.redact.texts import Texts
from scraper.authoring.redact.vocabulary import PATIENT_KEY, is_field, is_on_screen

_ATTRIBUTE: Final = re.compile(r"""(?<![\w:.@-])([\w:.@-]++)(\s*+=\s*+)("[^"]*"|'[^']*'|[^\s"'<>=]+)""")
_UNCHANGED_ATTRIBUTES: Final = re.compile(
    r"class|id|style|type|rel|lang|charset|role|for|width|height|target|method|name|size|cols|rows|colspan|rowspan|viewbox|d|fill|stroke.*|"
    r"xmlns.*|xsi:.*|http-equiv|async|defer|crossorigin|enctype|autocomplete|tabindex|version|encoding|media|accept.*|min|max|step|maxlength",
    re.IGNORECASE,
)
_CODE: Final = re.compile(
    r"(?P<comment>/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)|(?<![:\\\"'/])//[^\n]*)"
    r"|(?P<string>\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)"
    r"|(?P<regex>(?<=[(,=:\[!&|?{};])\s*/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n]){0,200}\]|[^/\\\n\[])++/[a-z]*)"
    r"|(?P<number>(?<![\w.$#])\d{5,}(?![\w.]))",
    re.DOTALL,
)
_KEY: Final = re.compile(r"[\"'`]?([\w$\u3400-\u9fff]{1,80})[\"'`]?\s{0,8}\]?\s{0,8}[:=]\s{0,8}$")
_NUMBER_OF_ONE: Final = re.compile(r"(?:id|no|num|code|uid|phone|card)$", re.IGNORECASE)
_IN_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z_-]+")
_COMPARED: Final = re.compile(r"""(?:===?|!==?|\bcase)\s*["']([A-Za-z][A-Za-z_-]{1,30})["']""")
_VALUES: Final = re.compile(
    rf"(?P<uid>(?<![\w.]){UID.pattern}(?![\w.]))|(?P<number>(?<![\w.])\d{{17}}[\dXx](?!\w)|(?<![\w.])1[3-9]\d{{9}}(?![\w.]))"
    r"|(?P<date>(?<=[\"'`])(?:19|20)\d\d-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])(?=[\"'` T]))"
    r"|(?P<named>[\w$]{2,40})[\"']?\s*[:=]\s*[\"'](?P<given>[^\"'\\\n]{1,80})[\"']|(?P<chinese>[\u3400-\u9fff]+)"
)
_LITERAL_WORD: Final = re.compile(r"(?<=[\"'`])[A-Za-z]{3,}(?=[\"'`])")
_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
_READ_AGAIN: Final = 4  # how often all of a program may be read in vain besides
_READ_AT_LEAST: Final = 2**20  # so many characters


class Scripts:
    """Redact pages and scripts.

    Args:
        texts: redacts texts.
        value: redacts JSON values.
    """

    def __init__(self, texts: Texts, value: Callable[[Any], Any]) -> None:
        self._texts = texts
        self._value = value

    # ---- pages

    def page(self, text: str, *, is_xml: bool = False) -> str:
        """Redact a page, or any XML: element and attribute names stay."""
        out: list[str] = []
        inside = [""]
        for token in tokens(text):
            kind, piece = token.kind, token.piece
            if kind == "script":
                shown = self._data(token.code) if "json" in token.opening.lower() else self.script(token.code)
                out += [self._tag(token.opening), shown, token.closing]
            elif kind == "comment":
                out.append("<!-- -->")
            elif kind == "style":
                out.append(self._texts.known(piece))
            elif kind == "cdata":
                out.append(f"<![CDATA[{self._redact_text(piece[9:-3], inside[-1])}]]>")
            elif kind == "tag":
                self._enter(piece, inside)
                out.append(self._tag(piece, is_xml=is_xml))
            elif kind == "declaration":
                out.append(piece)
            else:
                out.append(self._redact_text(piece, inside[-1] if is_xml else ""))
        return "".join(out)

    def _enter(self, tag: str, inside: list[str]) -> None:
        """The element that following text belongs to."""
        name = re.match(r"</?([\w:.-]+)", tag)
        if tag.startswith("</"):
            if len(inside) > 1:
                inside.pop()
        elif name and not tag.endswith("/>"):
            inside.append(name[1].rpartition(":")[2])

    def _data(self, code: str) -> str:
        try:
            return json.dumps(self._value(json.loads(code)), ensure_ascii=False)
        except ValueError:
            return self.script(code)

    def _redact_text(self, text: str, key: str) -> str:
        """Redact text between tags; entities are decoded before, and encoded after."""
        plain = html.unescape(text)
        shown = self._texts.known(self._texts.text(plain, key))
        return text if shown == plain else html.escape(shown, quote=False)

    def _tag(self, tag: str, *, is_xml: bool = False) -> str:
        return _ATTRIBUTE.sub(lambda match: self._attribute(match, is_xml=is_xml), tag)

    def _attribute(self, match: re.Match[str], *, is_xml: bool) -> str:
        name, equals, given = match.groups()
        quoted = given[:1] in "\"'"
        plain = html.unescape(given[1:-1] if quoted else given)
        if name.lower().startswith("on"):
            shown = self.script(plain)
        elif not is_xml and _UNCHANGED_ATTRIBUTES.fullmatch(name):
            shown = self._texts.text(plain, lenient=True)
        elif name.lower().startswith("xmlns"):
            shown = plain
        else:
            shown = self._texts.text(plain, name if is_xml else "")
        if not name.lower().startswith("on"):
            shown = self._texts.known(shown)
        mark = given[0] if quoted else ""
        return name + equals + (given if shown == plain else mark + html.escape(shown) + mark)

    # ---- scripts

    def learn(self, code: str) -> None:
        """Learn the words of a program's addresses and comparisons."""
        self._texts.program |= set(_COMPARED.findall(code))
        for match in _CODE.finditer(code):
            string = match["string"]
            if string and len(string) < 300 and ("/" in string or "?" in string or "=" in string):
                words = {word for word in _IN_ADDRESS.findall(string) if len(word) > 1}
                self._texts.program |= words | {part for word in words for part in re.split(r"[_-]", word) if part}

    def script(self, code: str) -> str:
        """Redact a program, or data written as one: possible values are replaced, comments removed.

        Inside a program only values that also occur in the traffic's data are replaced: it has to run.
        """
        outer, self._texts.in_program = self._texts.in_program, _is_program(code)
        try:
            return self._script(code)
        finally:
            self._texts.in_program = outer

    def _script(self, code: str) -> str:
        out: list[str] = []
        at = 0
        for start, end, value in _data_in(code):
            out += [self._program(code[at:start]), json.dumps(self._value(value), ensure_ascii=False)]
            at = end
        out.append(self._program(code[at:]))
        return "".join(out)

    def program(self, code: str) -> str:
        """Redact a script of the viewer's own: only certain values are replaced, so that it still runs.

        A script without a function is data, written as a script.
        """
        if not _is_program(code):
            return self.script(code)
        shown = _VALUES.sub(self._value_in, code)
        return self._known_in(shown)

    def _value_in(self, match: re.Match[str]) -> str:
        if match["given"] is None:
            return self._texts.text(match.group())
        named, given = match["named"], match["given"]
        shown = self._texts.text(given, "patient") if PATIENT_KEY.search(named) and _is_a_value(given) else given
        return (
            match.group()[: match.start("given") - match.start()]
            + shown
            + match.group()[match.end("given") - match.start() :]
        )

    def _known_in(self, code: str) -> str:
        """Replace values that were replaced elsewhere; plain-letter words of a person only where they are a whole literal."""
        names = self._texts.names
        plain = {word for word in names.personal if word.isascii() and word.isalpha()}
        held, names.personal = names.personal, names.personal - plain
        try:
            shown = self._texts.known(code)
        finally:
            names.personal = held
        return _LITERAL_WORD.sub(
            lambda match: names.word(match.group()) if match.group() in plain else match.group(), shown
        )

    def _program(self, code: str) -> str:
        return _CODE.sub(lambda match: self._literal(match, code), code)

    def _literal(self, match: re.Match[str], code: str) -> str:
        piece = match.group()
        if match["comment"]:
            return " " if "\n" not in piece else "\n"
        if match["regex"]:
            return piece
        named = _KEY.search(code[max(match.start() - 80, 0) : match.start()])
        key = named[1] if named else ""
        if match["number"]:
            of_one = PATIENT_KEY.search(key) or _NUMBER_OF_ONE.search(key)
            return self._texts.text(piece, key) if of_one else self._texts.known(piece)
        inside = piece[1:-1]
        plain = _ESCAPE.sub(lambda item: chr(int(item[1] or item[2], 16)), inside) if "\\" in inside else inside
        personal = bool(key) and PATIENT_KEY.search(key) is not None and _is_a_value(plain)
        shown = self._texts.known(self._texts.text(plain, key if personal else "", lenient=True))
        return piece if shown == plain else piece[0] + shown + piece[-1]


def _is_program(code: str) -> bool:
    return "function" in code or "=>" in code


def _is_a_value(text: str) -> bool:
    """Whether a literal assigned to a person's field may be a value: no label, no field name, no markup."""
    if is_on_screen(text) or re.search(r"[<>{}#/()]", text) or re.fullmatch(r"[a-z]++(?:[A-Z_-][A-Za-z_-]*+)?", text):
        return False
    return not is_field(text) or text[:1].isupper()


def _data_in(code: str) -> list[tuple[int, int, Any]]:
    """JSON objects and arrays embedded in a program: start, end, value."""
    found = []
    at = 0
    left = _READ_AGAIN * len(code) + _READ_AT_LEAST  # characters that may be read in vain
    decoder = json.JSONDecoder()
    for match in re.finditer(r"[=(:,]\s*(?=[\[{]\s*[\"{\[])", code):
        if match.end() < at or left < 0:
            continue
        try:
            value, end = decoder.raw_decode(code, match.end())
        except json.JSONDecodeError as err:
            left -= err.pos - match.end()
            continue
        except (ValueError, RecursionError):
            left -= _READ_AT_LEAST // 64
            continue
        if value and (isinstance(value, dict) or isinstance(value[0], (dict, list))):
            found.append((match.end(), end, value))
            at = end
    return found
