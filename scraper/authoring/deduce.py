"""From a viewer's traffic, live or recorded, to the data that a provider is written from."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from scraper.authoring.inferred import Identity, InferredProvider
from scraper.authoring.trace import NotLearnt, Tracer, document, groups_of, opaque
from scraper.capture.infer import templates
from scraper.capture.observe.own_headers import own_headers
from scraper.capture.observe.received import Observations
from scraper.core.link import ShareLink
from scraper.core.model import Header
from scraper.core.reasons import Reason
from scraper.registry import catalogue
from scraper.session.browser.traffic import Exchange

SHORTEST_SECRET: Final = 5  # characters; shorter ones stand in any text by chance
_TOKEN_HEADERS: Final = ("authorization", "token", "x-token", "x-access-token")


def inferred_provider(
    link: ShareLink,
    exchanges: Sequence[Exchange],
    answers: Mapping[str, str],
    observations: Observations,
    rule: templates.Rule,
    *,
    visits: bool,
) -> InferredProvider:
    """The data that a provider is written from.

    Args:
        link: the share link.
        exchanges: everything that its window received, in order.
        answers: the user's, by question.
        observations: what was recognised in the exchanges.
        rule: how the addresses of images follow from a list.
        visits: the page itself must be asked first, for its cookie.

    Raises:
        NotLearnt: the origin of a value is unknown, the list is no JSON, or it names other studies as well.
    """
    lists = [
        exchange
        for exchange in exchanges
        if exchange.url.partition("?")[0] == rule.source and document(exchange) is not None
    ]
    if not lists:
        raise NotLearnt(host=link.host, what=Reason.LIST_NO_JSON)
    if len({(exchange.url, exchange.request_body) for exchange in lists}) > 1:
        raise NotLearnt(host=link.host, what=Reason.LIST_IN_SEVERAL_ANSWERS)
    listing = lists[0]
    images = [exchange for exchange in exchanges if exchange.url in observations.origins]
    headers_of = headers_by_address(observations)
    if len({head.study_instance_uid for head in headers_of.values()}) > 1:
        raise NotLearnt(host=link.host, what=Reason.LIST_OF_OTHER_STUDIES)
    route, groups = groups_of(link)
    tracer = Tracer(link, groups, answers, exchanges)
    _log_in(tracer, exchanges, answers)
    number = tracer.call(listing)
    sample = document(listing)
    literals = tuple(tracer.text(text, None, "the address of an image") for text in rule.template.literals)
    headers = tuple(
        (name.title(), tracer.text(value, None, f"the header {name}"))
        for name, value in own_headers(images[0]).items()
        if name in _TOKEN_HEADERS
    )
    return InferredProvider(
        link,
        route,
        name_of(link),
        tracer,
        number,
        rule,
        literals,
        headers,
        sample,
        _identity(rule, sample, headers_of),
        visits=visits,
        month=time.strftime("%Y-%m"),
    )


def headers_by_address(observations: Observations) -> dict[str, Header]:
    """The header of each object that came, by the address that it came from."""
    return {
        url: observations.objects[uid].header
        for url, uid in observations.origins.items()
        if uid in observations.objects
    }


def forbidden_values(learnt: InferredProvider, observations: Observations) -> frozenset[str]:
    """Values that belong to this link, this patient or this session, and must not stand in what is written."""
    link, tracer = learnt.link, learnt.tracer
    values = {*tracer.groups.values(), *tracer.answers.values()}
    for head in headers_by_address(observations).values():
        values |= {
            head.patient_id,
            head.patient_name,
            head.sop_instance_uid,
            head.series_instance_uid,
            head.study_instance_uid,
            head.study_date,
            head.study_description,
        }
    for record in templates.records([learnt.sample]):
        values |= {word for name in record.own for word in opaque(record.fields[name], name)}
    known = {learnt.name, link.host, learnt.month, *re.findall(r"\w+", learnt.route)}
    return frozenset(
        text for text in values if len(text) >= SHORTEST_SECRET and text not in known and text not in link.origin
    )


def _log_in(tracer: Tracer, exchanges: Sequence[Exchange], answers: Mapping[str, str]) -> None:
    """Include the calls that carry the user's answers, whether or not their responses are used."""
    for exchange in exchanges:
        sent = (exchange.request_body or b"").decode("utf-8", "replace") + exchange.url
        if (
            exchange.ok
            and exchange.kind != "document"
            and any(len(value) > 2 and value in sent for value in answers.values())
        ):
            tracer.call(exchange)


def _identity(rule: templates.Rule, sample: Any, headers: Mapping[str, Header]) -> Identity:
    """The fields that hold DICOM attributes in every record whose object was received."""
    names: dict[str, set[str]] = {}
    for record in templates.records([sample]):
        head = headers.get(rule.template.fill(record) or "") if record.shape == rule.shape else None
        if head is None:
            continue
        for attribute in Identity.__dataclass_fields__:
            same = {name for name, value in record.fields.items() if name and value == getattr(head, attribute)}
            names[attribute] = names.get(attribute, same) & same
    return Identity(**{attribute: min(found) for attribute, found in names.items() if found})


def name_of(link: ShareLink) -> str:
    """A name for the platform, from its host, distinct from existing ones."""
    labels = [
        text for text in link.host.split(".") if text not in ("www", "com", "cn", "net", "org", "gov", "edu", "test")
    ]
    plain = re.sub(
        r"[^a-z0-9]+", "_", "_".join(labels[-1:] if labels and not labels[-1].isdigit() else labels) or "site"
    )
    name, number = plain.strip("_") if not plain[0].isdigit() else f"site_{plain}", 1
    unique = name
    while unique in catalogue.known().by_name:
        number += 1
        unique = f"{name}_{number}"
    return unique
