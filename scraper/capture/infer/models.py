"""Models that explain the viewer's requests, by HTTP or over a WebSocket: the simplest first, each with its proof.

A list may name its images, or only count them; a request may also contain volatile parts, such as a clock or a nonce.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from scraper.capture.infer import counted, single_request, socket_replies, templates
from scraper.capture.infer.templates import Rule
from scraper.capture.infer.volatile import VolatileParts
from scraper.capture.observe.received import SENT, Observations, asked_by
from scraper.session.browser.traffic import Exchange

MAX_TRIED = 3  # of the rules of one kind


@dataclass(frozen=True, slots=True)
class RequestModel:
    """A rule, the replies that its requests had already (request → SOP Instance UID), and the volatile parts of its requests."""

    rule: Rule
    replies: Mapping[str, str]
    volatile: VolatileParts
    sample: Exchange | None  # None: over a WebSocket
    trials: tuple[str, ...] = ()  # requests that must each return an image before the rule is believed

    @property
    def is_plain(self) -> bool:
        """Whether the rule is of addresses alone, and of what a list names: such a one can be written down."""
        literals, blanks = self.rule.template.literals, self.rule.template.blanks
        is_named = not any(name in counted.PLACES or name.startswith(templates.ENCLOSING) for name, _ in blanks)
        return is_named and not self.volatile and not any(SENT in literal for literal in literals)


def candidate_models(observations: Observations, exchanges: Sequence[Exchange]) -> Iterator[RequestModel]:
    """Every rule worth trying, the best first.

    Args:
        observations: what came, with the manifests.
        exchanges: everything that the window received, in order.
    """
    by_http = {
        key: exchange for exchange in exchanges if exchange.ok and (key := asked_by(exchange)) in observations.origins
    }
    asked = [*by_http, *socket_replies.sent_messages(exchanges, observations)]
    yield from _of_kind(observations, exchanges, by_http, asked, VolatileParts(()))
    if volatile := VolatileParts(asked):
        yield from _of_kind(observations, exchanges, by_http, asked, volatile)
    yield from _of_one_request(observations, by_http)


def _of_one_request(observations: Observations, by_http: Mapping[str, Exchange]) -> Iterator[RequestModel]:
    """What a single request suggests; to be tried."""
    for rule in single_request.rules(observations.manifests, list(by_http))[:MAX_TRIED]:
        seen = [record for record in rule.records if record in by_http]
        replies = {text: observations.origins[text] for text in seen}
        if seen and is_sound(rule, replies, observations):
            trials = tuple(single_request.trials(rule, seen[-1]))
            yield RequestModel(rule, replies, VolatileParts(()), by_http[seen[-1]], trials)


def _of_kind(
    observations: Observations,
    exchanges: Sequence[Exchange],
    by_http: Mapping[str, Exchange],
    asked: Sequence[str],
    volatile: VolatileParts,
) -> Iterator[RequestModel]:
    sources: dict[str, str] = {}
    for source, uid in ((text, observations.origins[text]) for text in by_http):
        if sources.setdefault(volatile.blanked(source), uid) != uid:
            return  # what seemed volatile distinguishes images
    samples = {volatile.blanked(text): exchange for text, exchange in by_http.items()}
    requests = list(dict.fromkeys(map(volatile.blanked, asked)))
    counts = partial(counted.places, asked=requests)
    found = templates.rules(observations.manifests, requests)[:MAX_TRIED]
    for name in sorted(counted.PLACES):
        found += templates.rules(observations.manifests, requests, counts, frozenset((name,)))[:MAX_TRIED]
    for rule in found:
        sample = next((samples[record] for record in rule.records if record in samples), None)
        replies = {record: sources[record] for record in rule.records if record in sources}
        if sample is None:
            replies, _ = socket_replies.matched_replies(exchanges, observations, rule, volatile)
        if is_sound(rule, replies, observations):
            yield RequestModel(rule, replies, volatile, sample)


def is_sound(rule: Rule, replies: Mapping[str, str], observations: Observations, asked: Collection[str] = ()) -> bool:
    """Whether what came agrees with the rule: it gives series whole, and no image for two places.

    Rules that cover only one image per series (thumbnail strips) are rejected: no two received images are of one series.

    Args:
        rule: what is to be judged.
        replies: request → SOP Instance UID of what it gave.
        observations: what came.
        asked: requests of which it is not known what they gave.
    """
    is_counted = any(name in counted.PLACES for name, _ in rule.template.blanks)
    if is_counted and (
        len(set(replies.values())) < len(replies) or _is_shifted(rule, {*replies, *asked}, observations)
    ):
        return False
    several, earlier = False, set[str]()
    for addresses in rule.addresses.values():
        came = [observations.objects.get(replies.get(address, "")) for address in addresses]
        series = [item.header.series_instance_uid for item in came if item is not None]
        if is_counted and not rule.is_flat and (len(set(series)) > 1 or not earlier.isdisjoint(series)):
            return False  # two series in one entry that counts its images, or one in two: series and place are mixed up
        earlier.update(series)
        if len(rule.addresses) > 1 and any(item in text for item in series if item for text in rule.template.literals):
            return False  # one series' own name in the requests for all
        several = several or len(series) > len(set(series))
    return several or len(replies) <= len(rule.addresses)


def _is_shifted(rule: Rule, asked: Collection[str], observations: Observations) -> bool:
    """Whether a rule counts places from 0 where the Instance Numbers say that it must be from 1, or the other way round.

    A few requests from the middle of a series fit both; a wrong one may end the site's session.
    """
    numbers: dict[str, set[int]] = defaultdict(set)
    for item in observations.objects.values():
        numbers[item.header.series_instance_uid].add(item.header.instance_number or 0)
    step = -1 if any(name == counted.FROM_0 for name, _ in rule.template.blanks) else 1
    as_counted = otherwise = 0
    for addresses in rule.addresses.values():
        places = {place for place, address in enumerate(addresses, 1) if address in asked}
        others = {place + step for place in places}
        as_counted += max((len(places & some) for some in numbers.values()), default=0)
        otherwise += max((len(others & some) for some in numbers.values()), default=0)
    return otherwise > as_counted
