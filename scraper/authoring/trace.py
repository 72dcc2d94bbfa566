"""Trace where the values of a viewer's request come from: the link, the user's answers, an earlier response, or the program.

A request is split into literals and references, so that it can be made again for another link. A value that looks like
a secret or a person's and whose origin is not found is an error: it is never written as a literal.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from scraper.authoring.source_guard import identifier
from scraper.capture.infer import templates
from scraper.capture.observe.own_headers import own_headers
from scraper.core.bounded_json import parse_json
from scraper.core.errors import SiteError
from scraper.core.link import ShareLink
from scraper.core.reasons import Reason
from scraper.core.text import decode_text
from scraper.session.browser.traffic import EVENT, WEBSOCKET_IN, WEBSOCKET_OUT, Exchange

SHORTEST: Final = 3  # characters of a value of the link that are looked for elsewhere
MAX_CALLS: Final = 8
MAX_TEXT: Final = 8 * 2**20
_WORD: Final = re.compile(r"[\w.%~+-]+")
_NAME_BEFORE: Final = re.compile(r"(?<![\w.-])([\w.-]+)=$")
MAX_NAME: Final = 128  # characters of a parameter's name that are looked at
_PLAIN: Final = re.compile(
    r"[A-Za-z]{1,32}(?:[_.-][A-Za-z]{1,32})*[_.-]?\d{0,2}(?:\.[A-Za-z]{1,5}\d?)?|\d{1,4}(?:\.\d{1,4}){0,2}|\W+"
)
_CLOCK: Final = re.compile(r"1[5-9]\d{8}(?:\d{3})?")  # seconds or milliseconds since 1970, in this half of the century
TECHNICAL: Final = (
    "user-agent",
    "proxy-connection",
    "referer",
    "origin",
    "priority",
    "x-requested-with",
    "pragma",
    "cache-control",
    "upgrade",
)
PERSONAL_KEYS: Final = re.compile(
    r"patient|name|phone|mobile|birth|idcard|id_?no|sex|gender|age$|xingming|xm$|sfz|姓名|电话|身份证", re.IGNORECASE
)


class NotLearnt(SiteError):
    """The origin of a viewer's request could not be learnt. Values: ``host``, ``what`` (a place, never a value)."""


@dataclass(frozen=True, slots=True)
class FromLink:
    """A named group of the route."""

    group: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The user's answer to a question."""

    question: str


@dataclass(frozen=True, slots=True)
class FromReply:
    """A field of an earlier call's response."""

    call: int
    path: tuple[str | int, ...]


Reference = FromLink | Answered | FromReply


@dataclass(frozen=True, slots=True)
class Part:
    """A reference within a text; ``quoted``: percent-encoded there."""

    reference: Reference
    quoted: bool = False


Text = tuple[str | Part, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, split up. ``keys`` are the fields of a JSON or form body; ``body`` is any other one."""

    exchange: Exchange
    url: Text
    headers: tuple[tuple[str, Text], ...] = ()
    json: Mapping[str, Text | float | None] | None = None
    form: Mapping[str, Text] | None = None
    body: Text | None = None

    @property
    def texts(self) -> Iterator[Text]:
        """Everything in it that may hold a reference."""
        yield self.url
        yield from (text for _, text in self.headers)
        yield from (text for text in (self.json or {}).values() if isinstance(text, tuple))
        yield from (self.form or {}).values()
        if self.body is not None:
            yield self.body


@dataclass(slots=True)
class Tracer:
    """Splits requests into literals and references.

    Args:
        link: the share link.
        groups: the parts of the link that become named groups of the route, by group.
        answers: the user's answers, by question.
        exchanges: everything the window received, in order.
    """

    link: ShareLink
    groups: Mapping[str, str]
    answers: Mapping[str, str]
    exchanges: Sequence[Exchange]
    calls: list[Call] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)

    def call(self, exchange: Exchange) -> int:
        """The number of the call for this exchange; the calls that it depends on come before it.

        Raises:
            NotLearnt: the origin of a value is unknown.
        """
        for number, known in enumerate(self.calls):
            if known.exchange is exchange:
                return number
        if len(self.calls) >= MAX_CALLS:
            raise NotLearnt(host=self.link.host, what=Reason.TOO_MANY_CALLS)
        url = self.text(self._timeless(exchange.url), exchange, "the address")
        headers = tuple(
            (_canonical(name), self.text(value, exchange, f"the header {name}"))
            for name, value in own_headers(exchange).items()
            if name not in TECHNICAL
        )
        json_, form, body = self._body(exchange)
        self.calls.append(Call(exchange, url, headers, json_, form, body))
        return len(self.calls) - 1

    def _timeless(self, url: str) -> str:
        shorter = without_clock(url)
        if shorter != url:
            self.assumed.append("a time stamp in an address is not needed")
        return shorter

    def _body(self, exchange: Exchange) -> tuple[Any, Any, Text | None]:
        sent = exchange.request_body
        if not sent:
            return None, None, None
        body_text = decode_text(sent)
        try:
            value = json.loads(body_text)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and all(
            isinstance(item, (str, int, float, bool, type(None))) for item in value.values()
        ):
            return (
                {
                    name: self.text(text, exchange, f"the field {name}", key=name)
                    if isinstance(text, str)
                    else self._number(text, exchange, name)
                    for name, text in value.items()
                },
                None,
                None,
            )
        if "urlencoded" in exchange.request_headers.get("content-type", ""):
            pairs = dict(parse_qsl(body_text, keep_blank_values=True))
            return (
                None,
                {name: self.text(pair, exchange, f"the field {name}", key=name) for name, pair in pairs.items()},
                None,
            )
        return None, None, self.text(body_text, exchange, "the body")

    def _number(self, value: Any, exchange: Exchange, name: str) -> Any:
        if isinstance(value, bool) or value is None or abs(value) < 10_000:
            return value
        return self.text(str(value), exchange, f"the field {name}", key=name)

    # ---- texts

    def text(self, text: str, until: Exchange | None, place: str, *, key: str = "") -> Text:
        """A text with its known parts replaced by references.

        Args:
            text: of a request.
            until: the request itself; earlier responses are searched. None: all of them.
            place: a description of the text, for the message.
            key: the name of its field.

        Raises:
            NotLearnt: a part looks like a secret or a person's, and its origin is unknown.
        """
        known: list[tuple[str, Reference]] = [
            (value, FromLink(group)) for group, value in self.groups.items() if len(value) >= SHORTEST
        ]
        known += [(value, Answered(name)) for name, value in self.answers.items() if value]
        parts: list[str | Part] = [text]
        for value, reference in sorted(known, key=lambda pair: -len(pair[0])):
            parts = _put(parts, value, reference)
        for word in [word for part in parts if isinstance(part, str) for word in opaque(part, key)]:
            if any(isinstance(part, str) and word in part for part in parts):
                for value, reference in self._origins(unquote(word), until, place):
                    parts = _put(parts, value, reference)
        return tuple(part for part in parts if part != "")

    def _origins(self, word: str, until: Exchange | None, place: str) -> Iterator[tuple[str, Reference]]:
        """The earlier responses that contain a word, or each of its parts."""
        reference = self._origin(word, until)
        if reference is not None:
            yield word, reference
            return
        inner = [item for item in re.split(r"[^0-9A-Za-z]", word) if item and not _PLAIN.fullmatch(item)]
        for item in inner if inner != [word] else []:
            reference = self._origin(item, until)
            if reference is None:
                raise NotLearnt(host=self.link.host, what=place)
            yield item, reference
        if inner in ([], [word]):
            raise NotLearnt(host=self.link.host, what=place)

    def _origin(self, value: str, until: Exchange | None) -> FromReply | None:
        """The earlier response that contains the value."""
        for exchange in self.exchanges:
            if exchange is until:
                break
            if exchange.kind in (WEBSOCKET_IN, WEBSOCKET_OUT, EVENT) or not exchange.ok or exchange.size > MAX_TEXT:
                continue
            path = _find(document(exchange), value)
            if path is not None:
                if any(isinstance(step, int) for step in path):
                    self.assumed.append("where an answer lists several, the first is meant")
                return FromReply(self.call(exchange), path)
        return None


def without_clock(url: str) -> str:
    """The address without parameters that are the current time, which only bypass caches."""
    head, mark, query = url.partition("?")
    others = [pair for pair in query.split("&") if not _CLOCK.fullmatch(pair.partition("=")[2])]
    if len(others) == len(query.split("&")):
        return url
    return head + (mark if others else "") + "&".join(others)


def groups_of(link: ShareLink) -> tuple[str, dict[str, str]]:
    """The route for the link's shape, and its named groups with their values.

    Plain words of the path stay; every other segment, and every parameter's value, becomes a group.
    """
    found: dict[str, str] = {}
    used: Counter[str] = Counter()

    def group(name: str, value: str, kind: str) -> str:
        plain = identifier(name)
        plain = "code" if plain == "field" else plain
        used[plain] += 1
        name = plain if used[plain] == 1 else f"{plain}{used[plain]}"
        found[name] = value
        return f"(?P<{name}>{kind})"

    def pairs(query: str, kind: str) -> str:
        out = []
        for pair in query.split("&"):
            name, equals, value = pair.partition("=")
            out.append(re.escape(name) + "=" + group(name, value, kind) if equals else group("code", pair, kind))
        return "&".join(out)

    def path(text: str, kind: str) -> str:
        segments = text.split("/")
        return "/".join(
            re.escape(segment) if is_plain(segment, last=place == len(segments) - 1) else group("code", segment, kind)
            for place, segment in enumerate(segments)
        )

    parts = link.parts
    route = path(parts.path or "/", "[^/?#]+")
    if parts.query:
        route += r"\?" + pairs(parts.query, "[^&#]*")
    if parts.fragment:
        head, mark, tail = parts.fragment.partition("?")
        route += "#" + (pairs(head, "[^&]*") if "=" in head else path(head, "[^/?]+"))
        route += (r"\?" + pairs(tail, "[^&]*")) if mark else ""
    return route, found


def is_plain(segment: str, *, last: bool) -> bool:
    """Whether a path segment is a word of the platform and no value of this link."""
    return ShareLink(f"https://h.test/{segment}" + ("" if last else "/x")).redacted.split("/")[3] == segment


def opaque(text: str, key: str = "") -> Iterator[str]:
    """The words of a text that look like a secret, a name or a number of one person or study."""
    if key and PERSONAL_KEYS.search(key) and text:
        yield text
        return
    scheme, mark, after = text.partition("://")
    is_address = bool(mark) and scheme in ("http", "https", "ws", "wss")
    for name, word in _named(after.partition("/")[2] if is_address else text):
        if (name and word and PERSONAL_KEYS.search(name)) or not _is_plain(word):
            yield word


def _is_plain(word: str) -> bool:
    return all(_PLAIN.fullmatch(piece) for piece in re.split(r"[/,;:+ ]", unquote(word)) if piece)


def _named(text: str) -> Iterator[tuple[str, str]]:
    """Words, each with the name of the parameter that holds it."""
    for match in _WORD.finditer(text):
        before = _NAME_BEFORE.search(text[max(match.start() - MAX_NAME, 0) : match.start()])
        is_name = text[match.end() : match.end() + 1] == "="
        word = match.group().strip("._~+-")
        if word and not is_name:
            yield (before[1] if before else ""), word


def document(exchange: Exchange) -> Any:
    """The JSON value of a response; None where it is none."""
    if exchange.size > MAX_TEXT or not exchange.read(64).lstrip().startswith((b"{", b"[")):
        return None
    try:
        return parse_json(decode_text(exchange.read()))
    except (ValueError, RecursionError):
        return None


def _find(value: Any, wanted: str) -> tuple[str | int, ...] | None:
    """The position of a text or number in a JSON value, the shallowest of several; in arrays only the first entry counts."""
    waiting: list[tuple[Any, tuple[str | int, ...]]] = [(value, ())]
    for item, path in waiting:
        inner = item.items() if isinstance(item, dict) else enumerate(item[:1]) if isinstance(item, list) else ()
        for step, below in inner:
            if isinstance(below, (dict, list)):
                if len(path) < templates.MAX_DEPTH:
                    waiting.append((below, (*path, step)))
            elif not isinstance(below, bool) and below is not None and str(below) == wanted:
                return (*path, step)
    return None


def _put(parts: Sequence[str | Part], value: str, reference: Reference) -> list[str | Part]:
    """Replace whole-word occurrences of a value in the literals."""
    out: list[str | Part] = []
    for part in parts:
        if isinstance(part, Part):
            out.append(part)
            continue
        rest = part
        for text, quoted in dict.fromkeys(((value, False), (quote(value, safe=""), quote(value, safe="") != value))):
            at = next(templates.places(rest, text), None)
            if at is not None:
                before, after = rest[:at], rest[at + len(text) :]
                out += [*_put([before], value, reference), Part(reference, quoted), *_put([after], value, reference)]
                break
        else:
            out.append(rest)
    return out


def _canonical(name: str) -> str:
    return "-".join(word.capitalize() for word in name.split("-"))


def host_of(link: ShareLink) -> str:
    """The host as a deployment's row names it: with its port unless that is the scheme's default."""
    return urlsplit(link.origin).netloc
