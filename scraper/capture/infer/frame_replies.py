"""Match HTTP replies of bare pixels to images: by an id of the image's record, or of its tags' request, in their own request.

A pairing is believed only where a request names one image alone and the pixels are of the size that its tags say; numbers that
are no ids count only where a template made of them reproduces several requests.
Source: protocol page ws_frames, November 2026, for the names of fields; assumed for HTTP.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from scraper.capture.infer import templates
from scraper.capture.infer.drawn_samples import DrawnSamples
from scraper.capture.observe import dicom_names
from scraper.capture.observe.frames import TaggedFrame, TagIndex, uid_of
from scraper.capture.observe.received import SENT, Manifest, Observations, asked_by
from scraper.session.browser.traffic import Exchange

SHORTEST_ID: Final = 6  # characters; a shorter value stands in any request by chance
SHORTEST_BASE64: Final = 400  # characters
SHORTEST_BYTES: Final = 256
MAX_REQUEST: Final = 4000  # characters of a request that are looked at
MAX_RULES: Final = 3
MAX_OBJECTS: Final = 50  # objects of an answer that is about one image
_AROUND: Final = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPClassUID")  # no image's own
_TOKEN: Final = re.compile(r"[^/?&=#;,:\"'{}\[\]\s\0]+")


class FrameReplies:
    """Pairs the pixels that came by HTTP with their tags.

    Args:
        observations: what came; frames that are paired are added to it.
    """

    def __init__(self, observations: Observations) -> None:
        self._observations = observations
        self._index = TagIndex()
        self._pending: list[Exchange] = []
        self._seen = (0, 0, 0)  # replies, lists and samples that were looked into
        self._owners: dict[int, tuple[float, str]] = {}  # reply → when it came, and the image that it is of
        self._drawn = DrawnSamples(observations, self._index)
        self._inline = 0  # lists that were looked into for pixels of their own

    def resolve(self) -> int:
        """Pair what can be paired by now; gives how many frames that are."""
        replies, manifests = self._observations.pixel_replies, self._observations.manifests
        drawn = self._observations.drawn
        if self._seen == (len(replies), len(manifests), len(drawn)):
            return 0
        self._pending += replies[self._seen[0] :]
        self._seen = (len(replies), len(manifests), len(drawn))
        self._index.learn([manifest.value for manifest in manifests])
        before = self._observations.size
        for paired in self._of_lists(manifests[self._inline :]):
            self._observations.add_frame(paired)
        self._inline = len(manifests)
        if self._pending:
            self._pair(manifests)
        if drawn:
            self._drawn.resolve([*self._asked(), *_of_one_image(manifests)], self._ids())
        return self._observations.size - before

    def _asked(self) -> list[tuple[float, str]]:
        """When a reply came that is one image's, and whose; without what the page asked for because it was tried."""
        return [owner for reply, owner in self._owners.items() if reply not in self._observations.undrawn]

    def _pair(self, manifests: Sequence[Manifest]) -> None:
        by_id, by_request = self._ids(), _by_request(manifests)
        by_template = self._by_template(manifests)
        left: list[Exchange] = []
        for reply in self._pending:
            request = asked_by(reply)
            named = {by_id[token] for token in tokens(request) if token in by_id}
            uids = (
                [named.pop()]
                if len(named) == 1
                else [by_request.get(_signature(request), ""), by_template.get(request, "")]
            )
            paired = next((frame for uid in uids if uid and (frame := self._index.fitting(uid, {}, reply))), None)
            if paired is None:
                left.append(reply)
                if any(uids):
                    self._owners[id(reply)] = reply.when, next(filter(None, uids))
            else:
                self._observations.add_frame(paired)
        self._pending = left

    def _ids(self) -> dict[str, str]:
        """Every id that belongs to one image alone → its SOP Instance UID."""
        owners: dict[str, set[str]] = defaultdict(set)
        for uid, fields in self._index.listed.items():
            own = [value for name, value in fields.items() if dicom_names.keyword_of(name) not in _AROUND]
            for value in (uid, *(item for item in own if isinstance(item, (str, int)))):
                if len(str(value)) >= SHORTEST_ID and not isinstance(value, bool):
                    owners[str(value)].add(uid)
        return {value: next(iter(uids)) for value, uids in owners.items() if len(uids) == 1}

    def _by_template(self, manifests: Sequence[Manifest]) -> dict[str, str]:
        """Requests that a template of a list's fields gives → the SOP Instance UID that stands in the same record."""
        requests = list(dict.fromkeys(map(asked_by, self._observations.pixel_replies)))
        if len(requests) < templates.MIN_PROOFS:
            return {}
        found: dict[str, str] = {}
        for rule in templates.rules(manifests, requests)[:MAX_RULES]:
            uids = {request: uid_of(record.fields) for request, record in rule.records.items()}
            is_certain = not rule.is_ambiguous and len(set(uids.values())) == len(uids)
            if is_certain and all(uids.values()):
                found = uids | found
        return found

    def _of_lists(self, manifests: Sequence[Manifest]) -> Iterator[TaggedFrame]:
        """Pixels that stand as base64 beside their tags."""
        for manifest in manifests:
            for fields in dicom_names.contexts(manifest.value):
                uid = uid_of(fields)
                for data in _inline(fields) if uid else ():
                    if paired := self._index.fitting_bytes(uid, fields, data):
                        yield paired


def _of_one_image(manifests: Sequence[Manifest]) -> Iterator[tuple[float, str]]:
    """When tags of a single image came, and which."""
    for manifest in manifests:
        uids = {uid for fields in islice(dicom_names.contexts(manifest.value), MAX_OBJECTS) if (uid := uid_of(fields))}
        if len(uids) == 1:
            yield manifest.when, uids.pop()


def _inline(fields: Mapping[str, Any]) -> Iterator[bytes]:
    """The long runs of bytes that stand in some fields, or that their texts hold as base64."""
    for value in fields.values():
        if isinstance(value, bytes) and len(value) >= SHORTEST_BYTES:
            yield value
        elif isinstance(value, str) and len(value) >= SHORTEST_BASE64:
            with suppress(binascii.Error, ValueError):
                yield base64.b64decode(value.partition(",")[2] if value.startswith("data:") else value)


def _by_request(manifests: Sequence[Manifest]) -> dict[tuple[str, ...], str]:
    """Numbers and ids in a request → the one SOP Instance UID of the tags that were its reply."""
    found: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for manifest in manifests:
        signature = _signature(manifest.request or manifest.url)
        if signature:
            found[signature] |= {uid for fields in dicom_names.contexts(manifest.value) if (uid := uid_of(fields))}
    return {signature: next(iter(uids)) for signature, uids in found.items() if len(uids) == 1}


def _signature(request: str) -> tuple[str, ...]:
    """The numbers and ids of a request in their order, those of its query and form with their names; its host's are left out."""
    address, _, body = request[:MAX_REQUEST].partition(SENT)
    parts = urlsplit(address)
    found = [unquote(step) for step in parts.path.split("/")]
    found += [f"{name}={value}" for name, value in (*parse_qsl(parts.query), *parse_qsl(body))]
    with suppress(ValueError, RecursionError):
        found += [f"{name}={value}" for name, value in _leaves(json.loads(body))]
    return tuple(token for token in found if any(map(str.isdigit, token.partition("=")[2] or token)))


def tokens(request: str) -> list[str]:
    """The words of a request: steps of its path, names and values of its query, leaves of its JSON body."""
    address, _, body = request[:MAX_REQUEST].partition(SENT)
    found = [unquote(token) for token in _TOKEN.findall(address)]
    with suppress(ValueError, RecursionError):
        return found + [value for _, value in _leaves(json.loads(body))]
    return found + [unquote(token) for token in _TOKEN.findall(body)]


def _leaves(value: Any) -> Iterator[tuple[str, str]]:
    """The plain values of a JSON value, each with its field's name."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        name, inner = waiting.pop(0)
        if isinstance(inner, Mapping):
            waiting += [(str(key), item) for key, item in inner.items()]
        elif isinstance(inner, list):
            waiting += [(name, item) for item in inner]
        elif isinstance(inner, (str, int)) and not isinstance(inner, bool):
            yield name, str(inner)
