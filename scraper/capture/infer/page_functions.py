"""Infer which of the page's functions load images, and with which arguments they load the others.

A call is written as a request is, ``call:PLACE`` and its arguments; a list's values that stand in them are its blanks.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from scraper.capture.infer import counted, single_request, templates
from scraper.capture.infer.models import RequestModel, is_sound
from scraper.capture.infer.volatile import VolatileParts
from scraper.capture.observe.received import SENT, Manifest, Observations
from scraper.session.browser.page_calls import PageCall

MAX_RULES: Final = 2  # of one function
MAX_PER_LOOK: Final = 6  # calls for what one step loaded; a function that is called more often is a helper


@dataclass(frozen=True, slots=True)
class StepCalls:
    """One step of the driver: the calls that it led to, in order, and the SOP Instance UIDs that were received after it."""

    calls: Sequence[PageCall]
    received: frozenset[str]


@dataclass(frozen=True, slots=True)
class PageFunction:
    """A function that loads images: how its arguments follow from a list, a call of the page's own, and all that were seen."""

    model: RequestModel
    sample: PageCall
    seen: frozenset[str] = frozenset()


def text_of(call: PageCall) -> str:
    """A call as rules know it."""
    return f"call:{call.place}{SENT}{json.dumps(json.loads(call.arguments), ensure_ascii=False)}"


def arguments_of(asked: str) -> str:
    """What a rule says that the function is called with, as JSON."""
    return asked.partition(SENT)[2]


def candidates(
    looks: Sequence[StepCalls], observations: Observations, addresses: Collection[str] = ()
) -> Iterator[PageFunction]:
    """Functions worth a trial: those next to the request first.

    Args:
        looks: what was seen, one step after another.
        observations: what came, with the lists.
        addresses: all that the page was answered under, also before it was watched.
    """
    by_place = _by_place(looks)
    for place in sorted(by_place, key=lambda name: by_place[name].depth, reverse=True):
        seen = by_place[place]
        texts = [*seen.texts, *_called_before(seen.texts, addresses)]
        for rule in _rules(texts, observations):
            replies = {text: uid for text, uid in seen.replies.items() if text in rule.records}
            if _is_worded(rule.template) and is_sound(rule, replies, observations, texts):
                trials = () if len(seen.texts) > 1 else tuple(single_request.trials(rule, seen.texts[-1]))
                yield PageFunction(
                    RequestModel(rule, replies, VolatileParts(()), None, trials), seen.sample, frozenset(texts)
                )


@dataclass(frozen=True, slots=True)
class _Seen:
    """The calls of one function: as texts, the reply of each where that is known, one of them, how late it is called."""

    texts: Sequence[str]
    replies: Mapping[str, str]
    sample: PageCall
    depth: float


def _by_place(looks: Sequence[StepCalls]) -> dict[str, _Seen]:
    """The functions that were called in every look, a few times."""
    texts: dict[str, dict[str, None]] = defaultdict(dict)
    replies: dict[str, dict[str, str]] = defaultdict(dict)
    samples, depths = dict[str, PageCall](), dict[str, float]()
    counts: dict[str, list[int]] = defaultdict(list)
    for look in looks:
        calls: dict[str, list[PageCall]] = defaultdict(list)
        for number, call in enumerate(look.calls):
            calls[call.place].append(call)
            depths[call.place] = number / len(look.calls)
        for place, some in calls.items():
            counts[place].append(len(some))
            for call in some:
                with suppress(ValueError, RecursionError):
                    texts[place].setdefault(text_of(call))
                    samples[place] = call
            if len(some) == len(look.received) == 1 and texts[place]:
                replies[place][text_of(some[0])] = next(iter(look.received))
    every = [place for place, some in counts.items() if len(some) == len(looks) and max(some) <= MAX_PER_LOOK]
    return {
        place: _Seen(list(texts[place]), replies[place], samples[place], depths[place])
        for place in every
        if texts[place]
    }


def _is_worded(template: templates.Template) -> bool:
    """Whether an entry's index stands as a number by itself: within an address a series has a number of its own."""
    around = zip(template.literals, template.blanks, template.literals[1:], strict=False)
    return all(
        name != counted.INDEX or (before.endswith(("[", " ")) and after.startswith((",", "]", "}")))
        for before, (name, _), after in around
    )


def _called_before(texts: Sequence[str], addresses: Collection[str]) -> list[str]:
    """Calls of a function that differ in an address alone, for each address that was requested before it was watched."""
    calls = [(text.partition(SENT)[0], json.loads(arguments_of(text))) for text in texts]
    if len(calls) < 2 or not all(isinstance(given, list) and len(given) == len(calls[0][1]) for _, given in calls):
        return []
    name, sample = calls[0]
    varied = [at for at in range(len(sample)) if any(given[at] != sample[at] for _, given in calls)]
    values = [given[varied[0]] for _, given in calls] if len(varied) == 1 else []
    if not values or not all(isinstance(value, str) and "/" in value for value in values):
        return []
    bases = {address.removesuffix(value) for value in values for address in addresses if address.endswith(value)}
    base = next(iter(bases), "")
    if len(bases) != 1:
        return []
    before = [address.removeprefix(base) for address in addresses if address.startswith(base)]
    made = [[*sample[: varied[0]], value, *sample[varied[0] + 1 :]] for value in dict.fromkeys(before)]
    return [text for given in made if (text := f"{name}{SENT}{json.dumps(given, ensure_ascii=False)}") not in texts]


def _rules(texts: Sequence[str], observations: Observations) -> list[templates.Rule]:
    """What explains the calls of one function; a single call only suggests it."""
    manifests = _distinct(observations.manifests)
    if len(texts) == 1:
        return single_request.rules(manifests, texts)[:MAX_RULES]
    counts = partial(counted.places, asked=texts, has_index=True)
    found = templates.rules(manifests, texts)[:MAX_RULES]
    for name in sorted(counted.PLACES):
        found += templates.rules(manifests, texts, counts, frozenset((name,)))[:MAX_RULES]
    return found


def _distinct(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Each list once, however often the page was loaded."""
    found: list[Manifest] = []
    for manifest in manifests:
        if not any(other.request == manifest.request and other.value == manifest.value for other in found):
            found.append(manifest)
    return found


def again(model: RequestModel, observations: Observations) -> RequestModel:
    """The same with all that its list names by now: one answer for each series comes one after another."""
    rule, seen = model.rule, list(model.replies)
    is_counted = any(name in counted.PLACES for name, _ in rule.template.blanks)
    read = partial(counted.places, asked=list(rule.records), has_index=True) if is_counted else templates.records
    for url, group in templates.groups(_distinct(observations.manifests), read):
        if url == rule.source and group[0].shape == rule.shape:
            found = templates.validated(rule.template, group, seen, min(len(seen), 1))
            if found is not None:
                return replace(model, rule=replace(found, source=url, shape=rule.shape))
    return model
