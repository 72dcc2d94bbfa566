"""Infer a rule from a single request: an id in it occurs exactly once in a received list.

Most viewers ask for their first image only, until somebody scrolls. What follows from one request is a guess, and is tried
with other values of the list before it is believed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from scraper.capture.infer import counted, templates
from scraper.capture.infer.templates import Path, Record, Rule, Template
from scraper.capture.observe.received import Manifest

SHORTEST_ID: Final = 6  # characters; shorter values stand in any request by chance
Reader = Callable[[Any], Iterable[Record]]
MAX_REQUESTS: Final = 3  # of the viewer's that a rule is sought for


def rules(manifests: Sequence[Manifest], requested: Sequence[str]) -> list[Rule]:
    """Every rule that a single request suggests: of places that a list counts, of ids alone, of short values."""
    counts = partial(counted.places, asked=requested)
    found: dict[tuple[str, ...], Rule] = {}
    kinds: tuple[tuple[Reader, bool], ...] = ((counts, False), (templates.records, True), (templates.records, False))
    for read, is_strict in kinds:
        some = _rules(manifests, requested, read, is_strict=is_strict)
        for rule in sorted(some, key=lambda item: item.count, reverse=True):
            found.setdefault(tuple(rule.records), rule)
    return list(found.values())


def _rules(manifests: Sequence[Manifest], requested: Sequence[str], read: Reader, *, is_strict: bool) -> Iterator[Rule]:
    for url, group in templates.groups(manifests, read):
        if len(group) < 2:
            continue
        once = _once(group)
        for address in requested[-MAX_REQUESTS:]:
            tried: dict[Template, bool] = {}
            for record in group:
                if not any(
                    record.fields[name] in once[name] and _stands(record.fields[name], address) for name in record.own
                ):
                    continue
                rule = _of(_ids(record) if is_strict else record, group, address, url, tried)
                if rule is not None:
                    yield replace(rule, source=url, shape=group[0].shape)


def _once(group: Sequence[Record]) -> dict[str, frozenset[str]]:
    """Field → its values that are an id, and stand in one record alone; in one entry, where its images are counted."""
    names = {name for record in group for name in record.own}
    found = {}
    for name in names:
        entries: dict[str, set[Path]] = defaultdict(set)
        for item in group:
            if name in item.own:
                entries[item.fields[name]].add(item.place[:-2] if counted.PLACES.issubset(item.own) else item.place)
        found[name] = frozenset(
            value for value, places in entries.items() if len(places) == 1 and len(value) >= SHORTEST_ID
        )
    return found


def _stands(value: str, address: str) -> bool:
    spelled = templates.spellings(value) if len(value) <= len(address) else ()
    return any(next(templates.places(address, text), None) is not None for text in spelled)


def _of(record: Record, group: Sequence[Record], address: str, url: str, tried: dict[Template, bool]) -> Rule | None:
    """The rule of one template, where every record of the list fills it, and no two alike; None where it is known already.

    ``tried``: templates of other records of the list, and whether such a rule came of each: a thousand records have but a few.
    """
    for template in templates.templates(record, address, url):
        if tried.get(template):
            return None
        if template in tried:
            continue
        rule = templates.validated(template, group, (address,), 1)
        is_placed = {name for name, _ in template.blanks} & counted.PLACES or not counted.PLACES.issubset(record.own)
        tried[template] = bool(rule is not None and is_placed and rule.count == len(rule.records) > 1)
        if tried[template]:
            return rule
    return None


def _ids(record: Record) -> Record:
    fields = {name: value for name, value in record.fields.items() if len(value) >= SHORTEST_ID}
    return Record(fields, record.own & fields.keys(), record.place)


def trials(rule: Rule, seen: str) -> list[str]:
    """Requests that prove a rule: what follows the one that was seen; the first two and the last two of the longest array.

    Args:
        rule: the guess.
        seen: the request that it was made from.
    """
    keys = list(rule.records)
    longest = max(rule.addresses.values(), key=len)
    following = keys[(keys.index(seen) + 1) % len(keys)]
    found = dict.fromkeys((following, *longest[:2], *longest[-2:]))
    return [key for key in found if key != seen]
