"""A rule from a single request: an id in it stands exactly once in a list that came.

Most viewers ask for their first image only, until somebody scrolls. What follows from one request is a guess, and is tried
with other values of the list before it is believed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from scraper.capture import learn
from scraper.capture.catch import Manifest
from scraper.capture.learn import Record, Rule

SHORTEST_ID: Final = 6  # characters; shorter values stand in any request by chance
MAX_REQUESTS: Final = 3  # of the viewer's that a rule is sought for


def rules(manifests: Sequence[Manifest], requested: Sequence[str]) -> list[Rule]:
    """Every rule that a single request suggests, those with ids alone before those with short values, the largest first."""
    found: dict[tuple[str, ...], Rule] = {}
    for is_strict in (True, False):
        some = _rules(manifests, requested, is_strict=is_strict)
        for rule in sorted(some, key=lambda one: one.count, reverse=True):
            found.setdefault(tuple(rule.records), rule)
    return list(found.values())


def _rules(manifests: Sequence[Manifest], requested: Sequence[str], *, is_strict: bool) -> Iterator[Rule]:
    for url, group in learn.groups(manifests, learn.records):
        if len(group) < 2:
            continue
        once = _once(group)
        for address in requested[-MAX_REQUESTS:]:
            for record in group:
                if not any(
                    record.fields[name] in once[name] and _stands(record.fields[name], address)
                    for name in record.own
                ):
                    continue
                rule = _of(record, group, address, url, is_strict=is_strict)
                if rule is not None:
                    yield replace(rule, source=url, shape=group[0].shape)


def _once(group: Sequence[Record]) -> dict[str, frozenset[str]]:
    """Field → its values that are an id, and stand in one record alone."""
    names = {name for record in group for name in record.own}
    counts = {name: Counter(one.fields[name] for one in group if name in one.own) for name in names}
    return {
        name: frozenset(value for value, times in count.items() if times == 1 and len(value) >= SHORTEST_ID)
        for name, count in counts.items()
    }


def _stands(value: str, address: str) -> bool:
    return any(next(learn.places(address, text), None) is not None for text in learn.spellings(value))


def _of(record: Record, group: Sequence[Record], address: str, url: str, *, is_strict: bool) -> Rule | None:
    """The rule of one template, where every record of the list fills it, and no two alike."""
    for template in learn.templates(_ids(record) if is_strict else record, address, url):
        rule = learn.proven(template, group, (address,), 1)
        if rule is not None and rule.count == len(rule.records) > 1:
            return rule
    return None


def _ids(record: Record) -> Record:
    fields = {name: value for name, value in record.fields.items() if len(value) >= SHORTEST_ID}
    return Record(fields, record.own & fields.keys(), record.place)


def trials(rule: Rule, seen: str) -> list[str]:
    """Requests of a rule that prove it: the one after what was seen, and one of another array.

    Args:
        rule: the guess.
        seen: the request that it was made from.
    """
    keys = list(rule.records)
    at = keys.index(seen) if seen in keys else -1
    found = [keys[(at + 1) % len(keys)]]
    mine = rule.records[seen].array if seen in rule.records else None
    found += [key for key, record in rule.records.items() if record.array != mine][-1:]
    return list(dict.fromkeys(key for key in found if key != seen))


__all__ = ["rules", "trials"]
