"""Redact texts, values and addresses: everything is replaced that is not known as a page's own structure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote, unquote_to_bytes

from scraper.authoring.redact.names import UID, Names
from scraper.authoring.redact.phrases import Phrases
from scraper.authoring.redact.vocabulary import (
    COUNT_KEY,
    DROPPED_HEADERS,
    PERSONAL_KEY,
    PLAIN,
    UNCHANGED_HEADERS,
    is_on_screen,
)
from scraper.core.text import codec_of

_CJK: Final = "\u3400-\u9fff\uf900-\ufaff"
_TOKEN: Final = re.compile(
    rf"(?P<host>(?<=://)[\w.:\[\]-]+|(?<=^//)[\w.:-]+)|(?P<uid>(?<![\w.]){UID.pattern}(?![\w]))"
    r"|(?P<date>(?<!\d)(?:19|20)\d\d[-/.]?(?:0[1-9]|1[0-2])[-/.]?(?:0[1-9]|[12]\d|3[01])(?!\d))"
    r"|(?P<stamp>(?<!\d)(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d[0-5]\d(?!\d))"
    r"|(?P<time>(?<![\d:])(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?![\d:]))"
    r"|(?P<number>(?<![\w.])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w]))"
    rf"|(?P<chinese>[{_CJK}]+)|(?P<word>[^\W_]+)"
)
_PERCENT: Final = re.compile(r"(?<![\w.~-])[\w.~-]*+(?:%[0-9A-Fa-f]{2}[\w.~-]*+)++")
_PAIR: Final = re.compile(r"(?<![\w%])([A-Za-z_][\w.\[\]-]{0,60})=([^&#;\s\"'<>]*)")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_SECONDS: Final = range(946_684_800, 2_208_988_800)  # 2000 to 2040
MAX_NESTING: Final = 8  # encodings and pairs within each other that are taken apart; deeper ones are words
SHORT: Final = 3  # digits of a number that may stay where nothing says that it is a person's
SHORTEST_OPAQUE: Final = 10  # characters of a code
KNOWN_AT_LEAST: Final = 4  # characters of a replaced value that is looked for in texts that stay


class Texts:
    """Redact texts.

    Over 20 methods because texts nest (a query in JSON in base64 …), and each kind of text leads to every other.

    Args:
        names: makes the replacements.
        hosts: of the sites that were contacted; they stay.
    """

    def __init__(self, names: Names, hosts: frozenset[str] = frozenset()) -> None:
        self.names = names
        self.hosts = hosts
        # words that the viewer's own program uses in addresses and comparisons
        self.program: set[str] = set()
        # words and numbers of the traffic's data; what a program says besides them is the program's own
        self.data: set[str] = set()
        self.in_program = False  # the text stands in a program, not in data that is written as one
        self._nesting = 0
        self._known: Phrases | None = None
        self._known_size = -1

    # ---- what DICOM objects ask for

    def uid(self, original: str) -> str:
        """Replace a UID; anything else is a text."""
        return self.names.uid(original) if UID.fullmatch(original) else self.free(original)

    def date(self, original: str) -> str:
        """Replace a date."""
        return self.names.date(original)

    def time(self, original: str) -> str:
        """Replace a time."""
        return self.names.time(original)

    def noise(self, length: int, salt: str = "") -> bytes:
        """Bytes without meaning."""
        return self.names.noise(length, salt)

    def samples(self, shape: tuple[int, int], top: int, salt: str) -> Any:
        """Pixels without content."""
        return self.names.samples(shape, top, salt)

    def free(self, original: str) -> str:
        """Replace every word of a text about a person."""
        return self.text(original, "patient")

    # ---- texts

    def text(self, text: str, key: str = "", *, lenient: bool = False) -> str:
        """Replace the words of a text.

        Args:
            text: any value, address or sentence.
            key: the field of the value; one that describes a person makes every word a person's.
            lenient: in a program: plain English words stay.
        """
        if not text or text.isspace():
            return text
        if self._nesting >= MAX_NESTING:
            personal = bool(key and PERSONAL_KEY.search(key))
            return _TOKEN.sub(lambda match: self._token(match, key, personal=personal, lenient=lenient), text)
        self._nesting += 1
        try:
            return self._nested(text, key, lenient=lenient)
        finally:
            self._nesting -= 1

    def _nested(self, text: str, key: str, *, lenient: bool) -> str:
        """The same, with packed, encoded or paired values inside it processed separately."""
        personal = bool(key and PERSONAL_KEY.search(key))
        packed = self._packed(text)
        if packed is not None:
            return packed
        if "=" in text and not personal and _PAIR.search(text):
            return _PAIR.sub(
                lambda match: f"{match[1]}={self.text(match[2], match[1], lenient=lenient)}",
                self._between(text, lenient),
            )
        if "%" in text and _PERCENT.search(text):
            return self._around(_PERCENT, text, lambda run: self._unquoted(run, key, lenient), key, lenient)
        return _TOKEN.sub(lambda match: self._token(match, key, personal=personal, lenient=lenient), text)

    def _between(self, text: str, lenient: bool) -> str:  # noqa: FBT001  # handed on
        """Redact the text between its ``name=value`` pairs."""
        out, at = [], 0
        for match in _PAIR.finditer(text):
            out += [self._plain(text[at : match.start()], lenient=lenient), match.group()]
            at = match.end()
        return "".join([*out, self._plain(text[at:], lenient=lenient)])

    def _plain(self, text: str, *, lenient: bool) -> str:
        return self.text(text, lenient=lenient) if text and "=" not in text else text

    def _around(
        self,
        pattern: re.Pattern[str],
        text: str,
        inside: Callable[[str], str],
        key: str,
        lenient: bool,  # noqa: FBT001
    ) -> str:
        out, at = [], 0
        for match in pattern.finditer(text):
            before = text[at : match.start()]
            out += [self.text(before, key, lenient=lenient) if "%" not in before else before, inside(match.group())]
            at = match.end()
        rest = text[at:]
        return "".join([*out, self.text(rest, key, lenient=lenient) if "%" not in rest else rest])

    def _unquoted(self, run: str, key: str, lenient: bool) -> str:  # noqa: FBT001
        """Decode a percent-encoded run, redact it, and encode it with the same characters left plain."""
        codec = codec_of(unquote_to_bytes(run))
        plain = unquote(run, encoding=codec, errors="replace")
        shown = self.text(plain, key, lenient=lenient) if plain != run else run
        encoded = quote(shown, safe="~", encoding=codec, errors="replace")
        return encoded.replace("%", "%25") if "%25" in run and "%25" not in encoded else encoded

    def _packed(self, text: str) -> str | None:
        """Redact base64 of readable text."""
        stripped = text.strip()
        if not _BASE64.fullmatch(stripped) or len(stripped) % 4 == 1 or stripped.isalpha() or stripped.isdigit():
            return None
        try:
            raw = base64.b64decode(
                stripped.translate(str.maketrans("-_", "+/")) + "=" * (-len(stripped) % 4), validate=True
            )
            inside = raw.decode("utf-8")
        except (binascii.Error, ValueError):
            return None
        if not inside.isprintable() or len(inside) < 6:
            return None
        shown = base64.b64encode(self.free(inside).encode()).decode()
        shown = shown if stripped.endswith("=") or len(stripped) % 4 == 0 else shown.rstrip("=")
        if "-" in stripped or "_" in stripped:
            shown = shown.translate(str.maketrans("+/", "-_"))
        self.names.given[stripped] = shown
        self.names.given[stripped.rstrip("=")] = shown.rstrip("=")
        return text.replace(stripped, shown)

    def _token(self, match: re.Match[str], key: str, *, personal: bool, lenient: bool) -> str:
        word, kind = match.group(), match.lastgroup or ""
        simple: dict[str, Callable[[str], str]] = {
            "host": str,
            "uid": self.names.uid,
            "date": self.names.date,
            "time": self.names.time,
        }
        if kind in simple:
            return simple[kind](word)
        if kind == "stamp":
            return self.names.date(word[:8]) + self.names.time(word[8:])
        if not lenient:
            self.data.add(word)
        elif self.in_program and kind in ("number", "word") and not personal and self._is_the_programs(word):
            return word
        if kind == "number":
            return self._number(word, key, personal=personal)
        if kind == "chinese":
            return self._chinese(word, personal=personal)
        return self._word(word, personal=personal, lenient=lenient)

    def _is_the_programs(self, word: str) -> bool:
        """Whether a word of a program is its own: too short to reveal anything, or neither in the data nor like a secret."""
        if word in self.names.personal:
            return False
        return len(word) < KNOWN_AT_LEAST or (word not in self.data and not _is_opaque(word))

    def _number(self, word: str, key: str, *, personal: bool) -> str:
        whole = word.partition(".")[0]
        if not personal and (len(whole) <= SHORT or (COUNT_KEY.search(key) and len(whole) < 10) or "." in word):
            return word
        if whole == word and len(word) in (10, 13) and int(word) // (1000 if len(word) == 13 else 1) in _SECONDS:
            return str(self.names.instant(int(word), 1000 if len(word) == 13 else 1))
        if personal and len(word) >= KNOWN_AT_LEAST:
            self.names.personal.add(word)
        return self.names.word(word)

    def _chinese(self, word: str, *, personal: bool) -> str:
        if not personal and word not in self.names.personal and is_on_screen(word):
            return word
        if personal:
            self.names.personal.add(word)
        return self.names.word(word)

    def _word(self, word: str, *, personal: bool, lenient: bool) -> str:
        if personal:
            if len(word) > 2 and word.lower() not in PLAIN:
                self.names.personal.add(word)
            return self.names.word(word)
        if word in self.names.personal:
            return self.names.word(word)
        plain = (
            word.lower() in PLAIN or word in self.program or (len(word) < SHORT and word.isascii() and word.isalpha())
        )
        if (
            plain
            or (lenient and _is_of_a_program(word))
            or word.lower() in {part for host in self.hosts for part in host.split(".")}
        ):
            return word
        return self.names.word(word)

    # ---- headers and addresses

    def url(self, url: str) -> str:
        """Redact an address; its host stays."""
        return self.text(url)

    def header(self, name: str, value: str) -> str:
        """Redact a header's value."""
        if name in UNCHANGED_HEADERS or name.startswith(("access-control-", "sec-")):
            return value
        if name in ("cookie", "set-cookie"):
            return "\n".join(self._cookie(line, is_set=name == "set-cookie") for line in value.split("\n"))
        if name == "authorization":
            scheme, blank, rest = value.partition(" ")
            return scheme + blank + self.text(rest, "token") if blank else self.text(value, "token")
        return self.text(value, "" if name in ("referer", "origin", "location", "host") else name)

    def _cookie(self, line: str, *, is_set: bool) -> str:
        pairs = line.split(";")
        out = []
        for place, pair in enumerate(pairs):
            name, equals, value = pair.partition("=")
            is_value = not is_set or place == 0
            if is_value and equals:
                out.append(f"{name}={self.text(value, 'token')}")
            elif name.strip().lower() != "expires":
                out.append(pair)
        return ";".join(out)

    # ---- what stays must hold nothing that was replaced elsewhere

    def known(self, text: str) -> str:
        """Replace in an otherwise unchanged text every value that was replaced elsewhere."""
        given = self.names.given
        if not text.isascii() and self._known_size != len(given):
            wanted = [item for item in given if _is_telling(item, self.names)]
            self._known_size = len(given)
            chinese = [item for item in wanted if not item.isascii()]
            self._known = Phrases(chinese) if chinese else None
        if self._known is not None and not text.isascii():
            text = self._known.replaced(text, given.__getitem__)
        return _KNOWN.sub(lambda match: self._telling(match.group()), text)

    def _telling(self, word: str) -> str:
        shown = self.names.given.get(word)
        return shown if shown is not None and _is_telling(word, self.names) else word


_KNOWN: Final = re.compile(rf"{UID.pattern}|\d{{4}}[-/.]\d\d[-/.]\d\d|\d\d:\d\d(?::\d\d)?|[^\W_]+")


def _is_telling(word: str, names: Names) -> bool:
    """Whether a replaced word would reveal something anywhere: no plain English word, no short number."""
    if word in names.personal:
        return len(word) > 1
    if word.isascii() and (word.isalpha() or len(word) < KNOWN_AT_LEAST):
        return False
    if word.isascii() and word.isdigit():  # no size that a program may speak of
        number = int(word)
        return len(word) > 5 and number % 1000 != 0 and number & (number - 1) != 0 and number & (number + 1) != 0
    return len(word) > 1


def _is_opaque(word: str) -> bool:
    """Long, with letters among digits, or digits alone: a code that may open something."""
    digits = sum(char.isdigit() for char in word)
    return len(word) >= SHORTEST_OPAQUE and digits >= 2


def _is_of_a_program(word: str) -> bool:
    """English letters, or letters with a digit or two: an identifier, no code."""
    return word.isascii() and (
        word.isalpha()
        or re.fullmatch(r"[A-Za-z]{2,}\d{1,2}[A-Za-z]*|[A-Fa-f0-9]{3}|[A-Fa-f0-9]{6}|\d+px", word) is not None
    )


def headers(texts: Texts, given: Mapping[str, str]) -> dict[str, str]:
    """The headers that describe the body or the request, without those of one transfer."""
    return {name: texts.header(name, value) for name, value in given.items() if name not in DROPPED_HEADERS}
