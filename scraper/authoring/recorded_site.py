"""What an emulated site answers, taken from a recording: the calls on the way to the images, and the images' addresses.

It is data, for ``fixtures.sites.recorded``; no line of it is code. Long lists are cut, and the images are invented ones.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from scraper.authoring.deduce import headers_by_address
from scraper.authoring.inferred import InferredProvider
from scraper.authoring.trace import Answered, Call, FromLink, FromReply, Part, Reference, Text, document
from scraper.capture.infer import templates
from scraper.capture.observe.received import Observations

MOST_IMAGES: Final = 8  # of one series
MOST_SERIES: Final = 3
UID_ROOT: Final = "2.25."  # PS3.5 B.2: derived from a number of 128 bits


def answers_of(learnt: InferredProvider, observations: Observations) -> dict[str, Any]:
    """The site's data: ``link``, ``other_link``, ``answers``, ``calls``, ``study``, ``series``, ``image_headers``, ``cookie``."""
    sample = _shortened(learnt.sample, list(learnt.rule.shape[1:]))
    tracer = learnt.tracer
    calls = []
    for number, call in enumerate(tracer.calls):
        calls.append(
            {
                "method": call.exchange.method,
                "url": _value(call.url, learnt),
                "headers": {name: _value(value, learnt) for name, value in call.headers if name != "Content-Type"},
                "body": _body(call, learnt),
                "answer": sample if number == learnt.listing else document(call.exchange),
            }
        )
    study, series = _series(learnt, observations, sample)
    return {
        "link": tracer.link.url,
        "other_link": _other_link(learnt),
        "answers": dict(tracer.answers),
        "calls": calls,
        "study": study,
        "series": series,
        "image_headers": {name: _value(value, learnt) for name, value in learnt.headers},
        "cookie": "recorded" if learnt.visits else "",
    }


def _value(text: Text, learnt: InferredProvider) -> str:
    """A request's text as it was recorded."""
    return "".join(
        part if isinstance(part, str) else _quoted(_referenced(part.reference, learnt), part) for part in text
    )


def _quoted(value: str, part: Part) -> str:
    return quote(value, safe="") if part.quoted else value


def _referenced(reference: Reference, learnt: InferredProvider) -> str:
    match reference:
        case FromLink(group):
            return learnt.tracer.groups[group]
        case Answered(question):
            return learnt.tracer.answers[question]
        case FromReply(call, path):
            value: Any = document(learnt.tracer.calls[call].exchange)
            for step in path:
                value = value[step]
            return str(value)


def _body(call: Call, learnt: InferredProvider) -> Any:
    """What was sent: the value of JSON, the pairs of a form, else text; None where nothing was."""
    if call.json is not None:
        return {name: _value(value, learnt) if isinstance(value, tuple) else value for name, value in call.json.items()}
    if call.form is not None:
        return {name: _value(value, learnt) for name, value in call.form.items()}
    if call.body is None:
        return None
    text = _value(call.body, learnt)
    try:
        return json.loads(text)
    except ValueError:
        return text


def _shortened(value: Any, steps: Sequence[str | int]) -> Any:
    """The list with its first series, and of these their first images."""
    if not steps:
        return value
    if isinstance(value, list):
        count = MOST_SERIES if "*" in steps[1:] else MOST_IMAGES
        return [_shortened(item, steps[1:]) for item in value[:count]]
    if isinstance(value, Mapping) and steps[0] in value:
        return {**value, steps[0]: _shortened(value[steps[0]], steps[1:])}
    return value


def _series(learnt: InferredProvider, observations: Observations, sample: Any) -> tuple[str, dict[str, dict[str, str]]]:
    """Study Instance UID, and Series Instance UID → address of an image → its SOP Instance UID."""
    headers, found = headers_by_address(observations), defaultdict[str, dict[str, str]](dict)
    study = next((header.study_instance_uid for header in headers.values()), "") or _uid(learnt.link.url)
    for address, record in _records(learnt, sample):
        header, fields, names = headers.get(address), record.fields, learnt.identity
        series = header.series_instance_uid if header else fields.get(names.series_instance_uid, "")
        series = series or _series_of_list(learnt, headers, record)
        uid = header.sop_instance_uid if header else fields.get(names.sop_instance_uid, "")
        found[series or _uid(repr(record.array))][address] = uid or _uid(address)
    return study, dict(found)


def _series_of_list(learnt: InferredProvider, headers: Mapping[str, Any], record: templates.Record) -> str:
    """The series of what came of the same list; empty where nothing came."""
    of_list = learnt.rule.addresses.get(record.array, ())
    return next((headers[item].series_instance_uid for item in of_list if item in headers), "")


def _records(learnt: InferredProvider, sample: Any) -> Iterator[tuple[str, templates.Record]]:
    for record in templates.records([sample]):
        address = learnt.rule.template.fill(record) if record.shape == learnt.rule.shape else None
        if address is not None:
            yield address, record


def _other_link(learnt: InferredProvider) -> str:
    """The link with another value in a place that a call takes from it; empty where no call takes any."""
    texts = [text for call in learnt.tracer.calls for text in call.texts]
    parts = [part.reference for text in texts for part in text if isinstance(part, Part)]
    for group in (reference.group for reference in parts if isinstance(reference, FromLink)):
        value, url = learnt.tracer.groups[group], learnt.link.url
        head, mark, tail = url.rpartition(value)
        other = "".join(map(_next, value))
        if mark and other != value:
            return f"{head}{other}{tail}"
    return ""


def _next(char: str) -> str:
    """Another character of the same kind."""
    for first, last in ("09", "az", "AZ"):
        if first <= char <= last:
            return first if char == last else chr(ord(char) + 1)
    return char


def _uid(text: str) -> str:
    return UID_ROOT + str(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16]))
