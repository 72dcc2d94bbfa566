"""Learn from the traffic which requests make a site prepare an image or a series, and repeat them.

Some sites answer 404 until an original was staged. Whatever the page asked beforehand with a value of the list's entry in it,
before each image that came, may be that request; it is repeated only where an image is not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scraper.capture.infer import templates
from scraper.capture.infer.templates import Record, Rule, Template
from scraper.capture.infer.volatile import VolatileParts
from scraper.capture.observe.own_headers import own_headers
from scraper.capture.observe.received import SENT, asked_by
from scraper.core.model import Request
from scraper.protocols.headers import merged
from scraper.session.browser.traffic import Exchange

SHORTEST: Final = 4  # characters of a value that distinguishes entries
MAX_PREPARATIONS: Final = 4
NOT_THERE: Final = (202, 404, 410, 425)  # what sites answer while an image is being staged
NO_CALLS: Final = ("document", "image", "stylesheet", "script", "font", "media", "manifest", "download")


@dataclass(frozen=True, slots=True)
class Preparation:
    """A request that was made before images, with blanks for what their list's entries say; ``sample`` is one of them."""

    template: Template
    sample: Exchange

    def request(self, record: Record, volatile: VolatileParts) -> Request | None:
        """The request for an entry of the list; None where it lacks a value."""
        asked = self.template.fill(record)
        if asked is None:
            return None
        url, _, body = volatile.filled(asked).partition(SENT)
        kind = self.sample.request_headers.get("content-type", "")
        headers = merged(own_headers(self.sample), {"content-type": kind} if kind and body else None)
        return Request(url, self.sample.method, headers, body.encode() if body else None)


@dataclass(frozen=True, slots=True)
class Staging:
    """How a site makes images ready; ``is_late``: one that was not there came at a later try."""

    preparations: tuple[Preparation, ...] = ()
    is_late: bool = False

    def __bool__(self) -> bool:
        """Whether an image that is not there may still come."""
        return bool(self.preparations) or self.is_late


def staging(exchanges: Sequence[Exchange], rule: Rule, replies: Mapping[str, str], volatile: VolatileParts) -> Staging:
    """What the traffic shows of how images are made ready; arguments as for ``preparations``."""
    not_there = {
        volatile.blanked(asked_by(exchange))
        for exchange in exchanges
        if exchange.method and exchange.status in NOT_THERE
    }
    return Staging(tuple(preparations(exchanges, rule, replies, volatile)), not not_there.isdisjoint(replies))


def preparations(
    exchanges: Sequence[Exchange], rule: Rule, replies: Mapping[str, str], volatile: VolatileParts
) -> list[Preparation]:
    """What was asked before each image that came, with something of its own entry in it.

    Args:
        exchanges: everything that the window received, in order.
        rule: what its requests for images follow.
        replies: those of them that returned an image.
        volatile: blanks the volatile parts of requests.
    """
    first: dict[str, int] = {}
    for place, exchange in enumerate(exchanges):
        if exchange.method:
            first.setdefault(volatile.blanked(asked_by(exchange)), place)
    seen = [key for key in rule.records if key in replies and key in first]
    if not seen:
        return []
    constant = _constant(rule)
    found: dict[Template, Preparation] = {}
    record = rule.records[seen[0]]
    for exchange in _calls(exchanges[: first[seen[0]]], rule):
        values = {
            name: value for name, value in record.fields.items() if name not in constant and len(value) >= SHORTEST
        }
        template = templates.filled_by(values, volatile.blanked(asked_by(exchange)))
        if template is not None and template not in found and _precedes_all(template, seen, rule, first):
            found[template] = Preparation(template, exchange)
    return list(found.values())[:MAX_PREPARATIONS]


def _calls(exchanges: Sequence[Exchange], rule: Rule) -> Iterator[Exchange]:
    """Calls of a page that returned neither the list nor an image."""
    for exchange in exchanges:
        is_call = exchange.ok and exchange.method in ("GET", "POST", "PUT") and exchange.kind not in NO_CALLS
        if is_call and exchange.url.partition("?")[0] != rule.source and asked_by(exchange) not in rule.records:
            yield exchange


def _constant(rule: Rule) -> set[str]:
    """The fields that say the same for every image: they tell nothing apart."""
    values_of: dict[str, set[str]] = {}
    for record in rule.records.values():
        for name, value in record.fields.items():
            values_of.setdefault(name, set()).add(value)
    return {name for name, values in values_of.items() if len(values) < 2} if len(rule.records) > 1 else set()


def _precedes_all(template: Template, seen: Sequence[str], rule: Rule, first: Mapping[str, int]) -> bool:
    """Whether such a request came before each of the images that came."""
    for key in seen:
        asked = template.fill(rule.records[key])
        if asked is None or first.get(asked, first[key]) >= first[key]:
            return False
    return True
