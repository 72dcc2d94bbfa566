"""Match socket replies to requests by an ID in the header or in the preceding text message.

A header that is JSON or words is read as such; only what is no text may hold a binary number.

Source: protocol page ws_frames: answers may come out of order; an id in the header, or the order text → binary, ties them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from scraper.capture.observe.recognise import MAX_HEADER
from scraper.session.browser.traffic import WEBSOCKET_IN, Exchange

MAX_TEXT: Final = 2000  # characters of a text that are looked at
MAX_NAMED: Final = 160  # bytes of a header that may hold a UID
MAX_LENGTH: Final = 16  # bytes of a length, a magic, before a header that is JSON
RANKS: Final = ("json", "text", "word", "header")  # what is believed first: a number that is only bytes, last
_TEXT_RUN: Final = re.compile(rb"[\t\r\n\x20-\x7e]{4,}")
_WORD: Final = re.compile(r"[\w.-]+", re.ASCII)

FieldPath = tuple[str, int, str]
"""A place in an answer: ``json`` with the field's path, ``header`` with offset and kind of number, ``word`` or ``text`` with
the number of the word."""


def id_fields(exchanges: Sequence[Exchange], place: int) -> dict[FieldPath, str]:
    """What stands in each place of one answer that may say whose it is.

    Args:
        exchanges: everything that came, in order.
        place: the answer's.
    """
    item = exchanges[place]
    if item.is_text:
        return _of_text(item)
    found = _of_json(item)
    head = item.read(MAX_HEADER)
    texts = [match.span() for match in _TEXT_RUN.finditer(item.read(MAX_TEXT)) if any(map(_tells, match[0]))]
    for number, word in enumerate(_WORD.findall(item.read(MAX_NAMED).decode("latin-1"))):
        found["word", number, ""] = word
    for width, name in ((1, "byte"), (2, "short"), (4, "long")):
        for at in range(len(head) - width + 1):
            if any(at < end and at + width > begin for begin, end in texts):
                continue  # a digit's byte is no number
            for order in ("little", "big") if width > 1 else ("little",):
                number = int.from_bytes(head[at : at + width], "little" if order == "little" else "big")
                found["header", at, f"{name} {order}"] = str(number)
    before = next(
        (
            exchange
            for exchange in reversed(exchanges[:place])
            if exchange.kind == WEBSOCKET_IN and exchange.url == item.url
        ),
        None,
    )
    return found | _of_text(before) if before is not None and before.is_text else found


def _of_json(one: Exchange) -> dict[FieldPath, str]:
    """The plain values of a JSON object that a message begins with, perhaps behind its length."""
    text = one.read(MAX_TEXT).decode("latin-1")
    at = text.find("{", 0, MAX_LENGTH)
    if at < 0:
        return {}
    try:
        value, _ = json.JSONDecoder().raw_decode(text, at)
    except (ValueError, RecursionError):
        return {}
    found: dict[FieldPath, str] = {}
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        name, inner = waiting.pop()
        if isinstance(inner, Mapping):
            waiting += [(f"{name}/{key}", item) for key, item in inner.items()]
        elif isinstance(inner, (str, int)) and not isinstance(inner, bool):
            found["json", 0, name] = str(inner)
    return found


def _tells(byte: int) -> bool:
    """Whether a byte of a text may be a part of a number or of JSON."""
    return chr(byte) in "0123456789{:="


def _of_text(one: Exchange) -> dict[FieldPath, str]:
    text = one.read(MAX_TEXT).decode("utf-8", "replace")
    return {("text", number, ""): word for number, word in enumerate(_WORD.findall(text))}


def find(answers: Iterable[tuple[Mapping[FieldPath, str], str]], values: Mapping[str, str]) -> FieldPath | None:
    """The place that names each answer's own request; None where no place does so for all of them.

    Args:
        answers: the id fields of a reply, and the SOP Instance UID of its image.
        values: an id in a request → the request.
    """
    listed = list(answers)
    if len({uid for _, uid in listed}) < 2:
        return None  # one answer alone agrees with anything
    common = set.intersection(*(set(where) for where, _ in listed))
    for slot in sorted(common, key=lambda slot: (RANKS.index(slot[0]), slot)):
        pairs = {(where[slot], uid) for where, uid in listed}
        names, uids = {name for name, _ in pairs}, {uid for _, uid in pairs}
        if len(names) == len(uids) == len(pairs) and names <= values.keys():
            return slot
    return None
