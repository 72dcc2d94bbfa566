"""Which constants of a provider a page no longer has, and which values of its scripts and requests could have taken their place.

A constant that stands in no script, in no usual notation (text, Base64, hexadecimal, a list of numbers), has changed or was never
there. A candidate has the same length and the same kinds of characters, and is no other constant of the provider.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from scraper.registry.constants import Value, fits, is_path

PARAMETER: Final = "_PARAMETER"  # the end of the name of a constant that names a parameter of a call
SHORTEST_KEY: Final = 8  # characters or bytes; shorter ones stand in any script by chance
_QUOTED: Final = r"[\"'`]({}{{{}}})[\"'`]"
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_]{1,31}")
_KINDS: Final = (r"[a-z]", r"[A-Z]", r"[0-9]", r"[^A-Za-z0-9]")
_NUMBER: Final = r"\s*(?:0[xX][0-9a-fA-F]{1,2}|\d{1,3})\s*"


@dataclass(frozen=True, slots=True)
class Page:
    """What came of a page: the texts of its documents and scripts, and its own calls to the link's host."""

    texts: tuple[str, ...]
    calls: tuple[tuple[str, bytes], ...] = ()  # address and body

    def has(self, text: str) -> bool:
        """Whether a document, a script or the address of a call holds a text."""
        return any(text in held for held in self.texts) or any(text in url for url, _ in self.calls)


Changes = dict[str, Value]


def hypotheses(known: Mapping[str, Value], page: Page, program: str) -> list[Changes]:
    """New values to try, the likeliest first: all that may have changed at once, then each alone.

    Args:
        known: the provider's constants.
        page: what came of its page.
        program: the text of the provider's modules; a parameter that it names already is no new name.
    """
    found = {name: candidates for name, value in known.items() if (candidates := _candidates(name, known, page, value))}
    names = {name: str(value) for name, value in known.items() if name.endswith(PARAMETER)}
    found |= {name: candidates for name, value in names.items() if (candidates := _names(value, page, program))}
    if not found:
        return []
    together = [dict(zip(found, values, strict=True)) for values in product(*found.values())]
    alone = [{name: value} for name, values in found.items() for value in values] if len(found) > 1 else []
    return together + alone


def _candidates(name: str, known: Mapping[str, Value], page: Page, value: Value) -> list[Value]:
    """The values that could have replaced a key, a salt or a path; none where the page still has it."""
    if name.endswith(PARAMETER) or any(page.has(text) for text in _notations(value)):
        return []
    if is_path(value):
        found: Iterator[Value] = _paths(str(value), page)
    elif _is_key(value):
        found = _keys(value, page)
    else:
        return []
    return [other for other in dict.fromkeys(found) if other not in known.values() and fits(value, other)]


def _is_key(value: Value) -> bool:
    """Whether it looks as a key does: long, no words, no address."""
    if len(value) < SHORTEST_KEY:
        return False
    if isinstance(value, bytes):
        return True
    kinds = _kinds(value)
    return "[0-9]" in kinds and re.fullmatch(r"[!-~]+", value) is not None and not re.search(r"://|\\|\(\?", value)


def _kinds(text: str) -> set[str]:
    return {kind for kind in _KINDS if re.search(kind, text)}


def _notations(value: Value) -> list[str]:
    """How a script may write a value."""
    if isinstance(value, str):
        return [value]
    found = [base64.b64encode(value).decode(), value.hex(), value.hex().upper(), ",".join(map(str, value))]
    found.append(", ".join(map(str, value)))
    if _is_printable(value):
        found.append(value.decode("ascii"))
    return found


def _is_printable(value: bytes) -> bool:
    return all(33 <= byte < 127 for byte in value)


def _keys(value: Value, page: Page) -> Iterator[Value]:
    """Texts of the scripts with the length and the kinds of characters of a key, as its type has them."""
    if isinstance(value, str) or _is_printable(value):
        text = value if isinstance(value, str) else value.decode("ascii")
        alphabet = "[0-9a-fA-F]" if re.fullmatch(r"[0-9a-fA-F]+", text) else "[!#-&(-_a-~]"
        for found in _quoted(page, alphabet, len(text)):
            if _kinds(found) == _kinds(text):
                yield found if isinstance(value, str) else found.encode("ascii")
        return
    packed = base64.b64encode(value).decode()
    for found in _quoted(page, "[A-Za-z0-9+/=]", len(packed)):
        with suppress(binascii.Error):
            if len(_kinds(found)) >= 3 or (found.isalnum() and len(found) < 16):
                yield base64.b64decode(found, validate=True)
    for found in _quoted(page, "[0-9a-fA-F]", 2 * len(value)):
        yield bytes.fromhex(found)
    numbers = re.compile(rf"[\[(]({_NUMBER}(?:,{_NUMBER}){{{len(value) - 1}}})[\])]")
    for text in page.texts:
        for match in numbers.finditer(text):
            row = [int(number, 0) for number in re.sub(r"\b0+(?=\d)", "", match[1]).split(",")]
            if max(row) < 256:
                yield bytes(row)


def _quoted(page: Page, alphabet: str, length: int) -> Iterator[str]:
    """The texts in quotes of one length; a quote may end one text and begin another, so each is looked at."""
    pattern = re.compile(f"(?={_QUOTED.format(alphabet, length)})")
    for text in page.texts:
        for match in pattern.finditer(text):
            yield match[1]


def _paths(value: str, page: Page) -> Iterator[str]:
    """The paths of the page's own calls with as many parts, of which the first or the last is the same."""
    parts = value.strip("/").split("/")
    for url, _ in page.calls:
        path = urlsplit(url).path
        others = path.strip("/").split("/")
        if len(others) == len(parts) > 1 and (others[0] == parts[0] or others[-1] == parts[-1]):
            yield path


def _names(value: str, page: Page, program: str) -> list[Value]:
    """The names of parameters in the page's own calls, where none of them has the name that is known."""
    found: list[str] = []
    for url, body in page.calls:
        sent = parse_qsl(urlsplit(url).query, keep_blank_values=True)
        sent += parse_qsl(body[:4096].decode("utf-8", "replace"), keep_blank_values=True) if b"=" in body[:256] else []
        found += [name for name, _ in sent if _WORD.fullmatch(name)]
    return [] if value in found else [name for name in dict.fromkeys(found) if f'"{name}"' not in program]
