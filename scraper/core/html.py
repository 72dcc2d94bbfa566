"""Read a page's HTML and scripts: forms, texts, and the variables that its scripts set."""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urljoin

from selectolax.lexbor import LexborHTMLParser, LexborNode

_VARIABLE = re.compile(
    r"(?:\bvar\s+|\blet\s+|\bconst\s+|\bwindow\.|[;\s,{])([A-Za-z_$][\w$.]*)\s*=\s*(\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.S)
_TAG = re.compile(r"<(/?)([A-Za-z][^\s/>]*)")
_ENDED_BY_THE_NEXT = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "source",
        "track",
        "wbr",
        "p",
        "li",
        "dt",
        "dd",
        "option",
        "optgroup",
        "tr",
        "td",
        "th",
        "thead",
        "tbody",
        "tfoot",
        "rp",
        "rt",
    ]
)
DEEPEST = 2_000  # elements within each other; a browser makes 512 of more (Blink's limit)
_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}


@dataclass(frozen=True, slots=True)
class Form:
    """A form: where it goes, and its fields as the page fills them (name → value), in order."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class Page:
    """One HTML page; selectors are CSS. Broken HTML is read as a browser reads it.

    Args:
        text: the HTML.
        url: where it came from; links are joined to it.
    """

    def __init__(self, text: str, url: str = "") -> None:
        self.text = text
        self.url = url

    @cached_property
    def _tree(self) -> LexborHTMLParser:
        return LexborHTMLParser(_as_deep_as_it_may(self.text))

    @cached_property
    def _variables(self) -> dict[str, str]:
        return variables(self.text)

    def find(self, selector: str) -> LexborNode | None:
        """The first element, or None."""
        return self._tree.css_first(selector)

    def all(self, selector: str) -> list[LexborNode]:
        """Every element."""
        return self._tree.css(selector)

    def words(self, selector: str) -> str:
        """The first element's text in one line, or nothing."""
        found = self.find(selector)
        return "" if found is None else " ".join(found.text().split())

    def attribute(self, selector: str, name: str) -> str:
        """The first element's attribute, or nothing."""
        found = self.find(selector)
        return "" if found is None else found.attributes.get(name) or ""

    def form(self, selector: str = "form") -> Form | None:
        """The first form with its hidden and pre-filled fields, or None."""
        found = self.find(selector)
        if found is None:
            return None
        fields = {}
        for node in found.css("input, select, textarea"):
            kind, name = (node.attributes.get("type") or "text").lower(), node.attributes.get("name") or ""
            if name and (
                kind not in ("radio", "checkbox", "submit", "button", "image") or "checked" in node.attributes
            ):
                fields[name] = node.attributes.get("value") or ""
        action = urljoin(self.url, found.attributes.get("action") or self.url)
        return Form(action, (found.attributes.get("method") or "get").lower(), fields)

    def variable(self, name: str) -> str | None:
        """The text that a script gives a variable (``var NAME = "…"``, ``window.NAME = '…'``), or None."""
        return self._variables.get(name)


def _as_deep_as_it_may(text: str) -> str:
    """The HTML up to where it nests deeper than any page does.

    For each start tag the parser looks through all elements that are open (HTML, 13.2.4.2): 400 KB of ``<div>`` took it ten
    seconds. A closing tag of nothing closes nothing, and of what is left open in scripts and by mistake there are some dozens.
    """
    if text.count("<") <= DEEPEST:
        return text
    depth, still_open = 0, Counter[str]()
    for match in _TAG.finditer(text):
        name = match.group(2).lower()
        if name in _ENDED_BY_THE_NEXT:
            continue
        if not match.group(1):
            depth, still_open[name] = depth + 1, still_open[name] + 1
        elif still_open[name]:
            depth, still_open[name] = depth - 1, still_open[name] - 1
        if depth > DEEPEST:
            return text[: match.start()]
    return text


def variables(text: str) -> dict[str, str]:
    """Every text that scripts assign, by name (``window.`` left off); of several, the first that is not empty."""
    found: dict[str, str] = {}
    for match in _VARIABLE.finditer(text):
        name = match.group(1).removeprefix("window.")
        if not found.get(name):
            found[name] = _unquoted(match.group(2))
    return found


def _unquoted(literal: str) -> str:
    def plain(match: re.Match[str]) -> str:
        code = match.group(1) or match.group(2)
        return chr(int(code, 16)) if code else _CONTROL.get(match.group(3), match.group(3))

    return _ESCAPE.sub(plain, literal[1:-1])


def unescape_html(text: str) -> str:
    """HTML entities as characters, also where they were escaped twice."""
    return html.unescape(html.unescape(text))
