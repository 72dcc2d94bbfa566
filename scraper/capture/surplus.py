"""What a viewer's page asks for and nobody needs any more, once it is known how the rest of a study is had.

A viewer fetches ahead, often all of a series, and each of these requests would reach the site a second time. What looks like an
image's request is kept waiting; lists, and what keeps the page's session alive, go on.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from scraper.capture.examination import Examination
from scraper.capture.observe.received import FRAMES, asked_by
from scraper.capture.plan import Plan, StrategyKind
from scraper.core.model import OnDemand
from scraper.core.settings import NEWS_BYTES
from scraper.core.sniff import HEAD, sniff
from scraper.session.browser.traffic import IMAGES, Exchange

ALIKE: Final = 3  # answers of some size to requests of one shape: they are entries of one list
KINDS: Final = ("xhr", "fetch", "image", "other")
MOST_SENT: Final = 2000  # characters of a request's body that are compared
_UID: Final = re.compile(r"(?<![\d.])[0-2](?:\.\d+){4,}(?![\d.])")
_WORD: Final = re.compile(r"[\w.+/=-]+")
_LONGEST_WORD: Final = 24  # characters; a longer one is a value

Shape = tuple[str, str, frozenset[tuple[str, str]], str]
"""What requests for the entries of one list have in common: host, path, parameters and body, each without its values."""


def leaves_page_idle(plan: Plan) -> bool:
    """Whether nothing of a plan is left to the page's own doing, apart from requests that it sends for us."""
    if plan.by is not StrategyKind.PRODUCT:
        return True
    return not any(isinstance(item.source, OnDemand) for series in plan.series for item in series.instances)


def surplus(examination: Examination, plan: Plan | None = None) -> Callable[[str, bytes], bool]:
    """Which requests of the page are for images: a function of an address and what is sent there."""
    uids = {item.sop_instance_uid for series in (plan.series if plan else ()) for item in series.instances} - {""}
    shapes = _of_images(examination)

    def is_surplus(url: str, body: bytes) -> bool:
        text = body[:MOST_SENT].decode("utf-8", "replace")
        return not uids.isdisjoint(_UID.findall(f"{url} {text}")) or shape_of(url, text) in shapes

    return is_surplus


def shape_of(url: str, sent: str = "") -> Shape:
    """The shape of a request."""
    parts = urlsplit(url)
    path = "/".join(map(_blanked, parts.path.split("/")))
    parameters = frozenset((name, _blanked(value)) for name, value in parse_qsl(parts.query, keep_blank_values=True))
    return parts.netloc, path, parameters, _WORD.sub(_without_value, sent[:MOST_SENT])


def _without_value(word: re.Match[str]) -> str:
    """A word of a request's body; one with a digit is a value."""
    return "0" if any(map(str.isdecimal, word[0])) else word[0]


def _blanked(value: str) -> str:
    """A part of an address; where it may be a value, its kind of file alone."""
    if len(value) <= _LONGEST_WORD and not any(letter.isdigit() for letter in value):
        return value
    stem, dot, suffix = value.rpartition(".")
    return f"0.{suffix}" if stem and dot and suffix.isalpha() else "0"


def _of_images(examination: Examination) -> set[Shape]:
    """The shapes of requests that were answered by an image, or again and again by something large."""
    origins, found = examination.observations.origins, set[Shape]()
    alike: dict[Shape, set[str]] = defaultdict(set)
    for exchange in examination.session.traffic.exchanges:
        if exchange.kind not in KINDS or not exchange.ok:
            continue
        shape = shape_of(exchange.url, (exchange.request_body or b"")[:MOST_SENT].decode("utf-8", "replace"))
        asked = asked_by(exchange)
        if asked in origins or FRAMES.search(exchange.url) or _is_image(exchange):
            found.add(shape)
        if exchange.size >= NEWS_BYTES:
            alike[shape].add(asked)
    return found | {shape for shape, requests in alike.items() if len(requests) >= ALIKE}


def _is_image(exchange: Exchange) -> bool:
    return exchange.size >= NEWS_BYTES and sniff(exchange.read(HEAD)) in IMAGES
