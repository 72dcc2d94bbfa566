"""Read lists in other notations as JSON values: XML, variables of scripts, attributes, and JSON inside JSON texts.

Scripts are read, never run: what is not a plain literal is passed over.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final
from xml.etree import ElementTree

from scraper.core.bounded_json import parse_json
from scraper.core.html import Page

SHORTEST: Final = 40  # characters; a shorter literal lists nothing
MAX_DEPTH: Final = 40
MAX_TOKENS: Final = 1_000_000  # of one script
READ_AGAIN: Final = 8  # how often all of a script may be read, in all readings that begin at its many places
MAX_TEXT: Final = 32 * 2**20
MAX_ELEMENTS: Final = 500_000
MAX_LENGTH: Final = 16  # bytes of a length, a magic, before a header that is JSON
MIN_LINES: Final = 2  # of a list
MAX_LINES: Final = 100_000
MAX_LINE: Final = 2000  # characters
_NAME_OF_FILE: Final = re.compile(r"(?=[^\w/]*[\w/])[^\s{}()<>;=?]*(?:[?][^\s{}()<>;]*)?")  # a name, a path, an address
_MSGPACK: Final = frozenset((*range(0x80, 0xA0), *range(0xDC, 0xE0)))  # first bytes of a map or an array
_KINDS: Final = (str, bytes, bool, (int, float), list, dict)
MAX_HEADER: Final = 2**18  # bytes of such a header

_OPENING: Final = re.compile(r"[=(]\s*(?=[{\[])")
_PARSED: Final = re.compile(
    r"(?:JSON\.parse|atob)\(\s*(\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')|=\s*(\"[{\[](?:[^\"\\\n]|\\.)*\"|'[{\[](?:[^'\\\n]|\\.)*')"
)
_LONG_TEXT: Final = re.compile(r"([\"'])([A-Za-z0-9+/_-]{400,}={0,2})\1")
_TOKEN: Final = re.compile(
    r"(?:(?P<string>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`[^`$\\]*`)"
    r"|(?P<number>-?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d+)?)|(?P<word>[A-Za-z_$][\w$]*)|(?P<mark>[{}\[\],:]))",
    re.S,
)
_BLANK: Final = re.compile(r"\s++|//[^\n]*+")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.S)
_CONTROL: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": ""}
_WORDS: Final = {"true": True, "false": False, "null": None, "undefined": None}
_BASE64: Final = ("H4s", "eyJ", "ew0", "ewo", "eyA", "W3s", "Wwo", "WyI", "W1s")  # of gzip, of "{", of "["
_STANDARD: Final = str.maketrans("-_", "+/")
_FRAMED: Final = re.compile(r"[^{\[=(<]{0,2000}?(?=[{\[])", re.S)  # what stands before the first value
_SEPARATOR: Final = re.compile(r"[\s,;\x00\x1e]*[\d:]{0,12}(?=[{\[]|$)")


# ---- XML


def from_xml(text: str) -> Any:
    """An XML document as a value: attributes and plain children are fields; what repeats anywhere is an array everywhere.

    None where it is no XML, or declares entities.
    """
    if "<!ENTITY" in text or len(text) > MAX_TEXT:
        return None
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  entities are refused above
    except (ElementTree.ParseError, ValueError):
        return None
    repeated: set[tuple[str, str]] = set()
    for parent in islice(root.iter(), MAX_ELEMENTS):
        counts = Counter(child.tag for child in parent)
        repeated |= {(parent.tag, tag) for tag, count in counts.items() if count > 1}
    return {_bare(root.tag): _element(root, repeated, 0)}


def _element(element: ElementTree.Element, repeated: set[tuple[str, str]], depth: int) -> Any:
    own_text = (element.text or "").strip()
    if depth > MAX_DEPTH or (not len(element) and not element.attrib):
        return own_text
    value: dict[str, Any] = {_bare(name): text for name, text in element.attrib.items()}
    if own_text:
        value["text"] = own_text
    for child in element:
        inner = _element(child, repeated, depth + 1)
        name = _bare(child.tag)
        if (element.tag, child.tag) in repeated:
            value.setdefault(f"{name}[]", []).append(inner)
        else:
            value.setdefault(name, inner)
    return value


def _bare(tag: str) -> str:
    """A name without its namespace."""
    return tag.rpartition("}")[2]


# ---- pages and their scripts


def from_html(text: str) -> Iterator[Any]:
    """What stands in a page's scripts and attributes."""
    if len(text) > MAX_TEXT:
        return
    page = Page(text)
    for script in page.all("script"):
        yield from from_script(script.text())
    for element in islice(page.all("*"), MAX_ELEMENTS):
        for own_text in element.attributes.values():
            value = _packed((own_text or "").strip())
            if value is not None:
                yield value


def from_script(text: str) -> Iterator[Any]:
    """Every literal that a script assigns or hands to a function: an object or array, or a text that holds JSON."""
    if len(text) > MAX_TEXT:
        return
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, (list, dict)):
        yield value
        return
    at, reader = 0, _Literals(text)
    while opening := _OPENING.search(text, at):
        at = opening.end()
        try:
            value, at = reader.read(at)
        except ValueError:
            continue
        if at - opening.end() >= SHORTEST and _lists_something(value):
            yield value
    for match in _PARSED.finditer(text):
        value = _packed(_unquoted(match[1] or match[2]))
        if value is not None:
            yield value
    for match in _LONG_TEXT.finditer(text):
        value = _packed(match[2])
        if value is not None:
            yield value


class _Literals:
    """Reads literals of a script's text; all of its readings share one budget, of tokens and of characters."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._left = MAX_TOKENS
        self._characters = READ_AGAIN * len(text) + 2**16
        self._last_comment = text.rfind("*/")
        self._at = 0

    def read(self, at: int) -> tuple[Any, int]:
        """The literal that begins there, and where it ends.

        Raises:
            ValueError: not a literal, or nested too deep.
        """
        self._at = at
        return self._value(self._next(), 0), self._at

    def _next(self) -> re.Match[str]:
        self._left -= 1
        start = self._at
        self._skip_blanks()
        found = _TOKEN.match(self._text, self._at)
        self._characters -= (found.end() if found else self._at) - start
        if found is None or self._left < 0 or self._characters < 0:
            raise ValueError
        self._at = found.end()
        return found

    def _skip_blanks(self) -> None:
        """Go behind blanks and comments; an unclosed comment is not skipped."""
        while True:
            blank = _BLANK.match(self._text, self._at)
            if blank is not None:
                self._at = blank.end()
            elif self._text.startswith("/*", self._at) and self._at + 2 <= self._last_comment:
                self._at = self._text.index("*/", self._at + 2) + 2
            else:
                return

    def _value(self, token: re.Match[str], depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError
        if token["string"]:
            return _unquoted(token["string"])
        if token["number"]:
            plain = token["number"]
            return int(plain) if plain.lstrip("-").isdecimal() and len(plain) < 30 else float(plain)
        if token["word"]:
            if token["word"] not in _WORDS:
                raise ValueError
            return _WORDS[token["word"]]
        if token["mark"] == "[":
            return self._array(depth)
        if token["mark"] == "{":
            return self._object(depth)
        raise ValueError

    def _array(self, depth: int) -> list[Any]:
        found: list[Any] = []
        token = self._next()
        while token["mark"] != "]":
            found.append(self._value(token, depth + 1))
            token = self._next()
            if token["mark"] == ",":
                token = self._next()
            elif token["mark"] != "]":
                raise ValueError
        return found

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        token = self._next()
        while token["mark"] != "}":
            name = token["word"] or token["number"] or (token["string"] and _unquoted(token["string"]))
            if name is None or self._next()["mark"] != ":":
                raise ValueError
            found[name] = self._value(self._next(), depth + 1)
            token = self._next()
            if token["mark"] == ",":
                token = self._next()
            elif token["mark"] != "}":
                raise ValueError
        return found


def _unquoted(literal: str) -> str:
    def plain(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        return chr(int(code, 16)) if code else _CONTROL.get(match[3], match[3])

    return _ESCAPE.sub(plain, literal[1:-1])


def _lists_something(value: Any) -> bool:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list) and item:
            return True
        if isinstance(item, Mapping):
            waiting.extend(item.values())
    return False


# ---- JSON in a protocol's own envelope


def from_envelope(text: str) -> list[Any]:
    """The JSON values of a message that frames them in its own way: after an event's digits, a header, or one after another.

    Nothing, where what follows the first value is neither JSON nor a separator. (socket.io, SignalR, STOMP; page ws_frames)
    """
    opening = _FRAMED.match(text)
    if opening is None or len(text) > MAX_TEXT:
        return []
    found, at, decoder = list[Any](), opening.end(), json.JSONDecoder()
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return []
        found.append(value)
        between = _SEPARATOR.match(text, at)
        at = between.end() if between else len(text) + 1
    return found if at == len(text) else []


def from_lines(text: str) -> list[Any]:
    """A list with one name a line, or with the same number of fields in each line (by comma, semicolon, tab or bar).

    Nothing where a line is a sentence, or the text is a program.
    """
    if "{" in text or "}" in text:
        return []
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not MIN_LINES <= len(lines) <= MAX_LINES or any(len(line) > MAX_LINE for line in lines):
        return []
    for separator in ("\t", ",", ";", "|"):
        rows = [[field.strip().strip('"') for field in line.split(separator)] for line in lines]
        widths = {len(row) for row in rows}
        if len(widths) == 1 and widths != {1} and not any(" " in field for row in rows for field in row[:1]):
            return [[{f"c{place}": field for place, field in enumerate(row)} for row in rows]]
    is_list = all(_NAME_OF_FILE.fullmatch(line) for line in lines) and len(set(lines)) == len(lines)
    return [lines] if is_list else []


def from_msgpack(data: bytes) -> Any:
    """A MessagePack body that is one map or array to its very end, texts as texts, bytes as bytes; else None."""
    if not data or len(data) > MAX_TEXT or data[0] not in _MSGPACK:
        return None
    import msgpack  # loaded where a site uses it

    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException):  # TypeError: a map or an array as the name of a value
        return None
    return value if isinstance(value, (list, dict)) and value else None


def with_named_places(value: Any, depth: int = 0) -> Any:
    """A value whose arrays of values of several kinds (MessagePack's way to write an object without names) are objects.

    ``c0`` is the first place. An array of one kind is a list, and stays one.
    """
    if isinstance(value, Mapping):
        return (
            {name: with_named_places(inner, depth + 1) for name, inner in value.items()} if depth < MAX_DEPTH else value
        )
    if not isinstance(value, list) or depth >= MAX_DEPTH:
        return value
    inner = [with_named_places(item, depth + 1) for item in value]
    kinds = {next((kind for kind in _KINDS if isinstance(item, kind)), None) for item in inner if item is not None}
    return {f"c{place}": item for place, item in enumerate(inner)} if len(kinds) > 1 else inner


def leading_json(data: bytes) -> tuple[Any, int] | None:
    """The JSON object that a binary body begins with, perhaps behind its length, and where it ends, or None."""
    begin = data.find(b"{", 0, MAX_LENGTH)
    if begin < 0:
        return None
    text = data[begin : begin + MAX_HEADER].decode("latin-1")
    try:
        _, end = json.JSONDecoder().raw_decode(text)
        return json.loads(data[begin : begin + end]), begin + end
    except (ValueError, RecursionError):
        return None


# ---- JSON inside texts


def unfolded(value: Any) -> Any:
    """A value whose texts that hold JSON themselves (plain, or gzip in base64) are replaced by what they hold."""
    return _unfolded(value, 0)


def _unfolded(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        return value
    if isinstance(value, Mapping):
        return {name: _unfolded(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_unfolded(inner, depth + 1) for inner in value]
    if isinstance(value, str) and len(value) >= SHORTEST:
        inner = _packed(value.strip())
        return value if inner is None else _unfolded(inner, depth + 1)
    return value


def packed(text: str) -> Any:
    """The list that a text holds: JSON or a script's literal, plain or in base64, or gzip in base64; None where it holds none."""
    return _packed(text.strip())


def _packed(text: str) -> Any:
    value: Any = None
    if SHORTEST <= len(text) <= MAX_TEXT:
        if text[0] in "{[":
            value = _literal(text)
        elif text.startswith(_BASE64):
            value = _from_base64(text)
    return value if isinstance(value, (list, dict)) else None


def _literal(text: str) -> Any:
    try:
        return parse_json(text)
    except (ValueError, RecursionError):
        pass
    try:
        value, end = _Literals(text).read(0)
    except ValueError:
        return None
    return value if end >= len(text.rstrip("; \n")) else None


def _from_base64(text: str) -> Any:
    try:
        data = base64.b64decode("".join(text.split()).translate(_STANDARD) + "==")
        if data[:2] == b"\x1f\x8b":
            data = zlib.decompressobj(47).decompress(data, MAX_TEXT)
        return parse_json(data)
    except (binascii.Error, ValueError, RecursionError, zlib.error):
        return None
