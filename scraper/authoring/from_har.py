"""``learn film.har``: a provider from a browser's recording, tried on what the recording itself holds; no site is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urldefrag, urljoin

from scraper.authoring.deduce import forbidden_values
from scraper.authoring.inferred import InferredProvider
from scraper.authoring.learn import Written, written_source
from scraper.authoring.record import MOST_ENTRIES, Bundle
from scraper.authoring.recording import Recording, learnt_from
from scraper.authoring.trace import TECHNICAL, NotLearnt, without_clock
from scraper.authoring.trial import trial_of
from scraper.capture import recorded
from scraper.capture.har import traffic_in
from scraper.capture.observe.own_headers import own_headers
from scraper.capture.request import dicomweb
from scraper.contract import Question, Series, Session, ShareLink, WadoUri
from scraper.core.errors import CloudfilmError, CredentialsRequired, HarWithoutContent, NoImagesInHar
from scraper.core.questions import QUESTIONS
from scraper.core.reasons import Reason
from scraper.core.text import decode_text
from scraper.registry import catalogue
from scraper.session import Response
from scraper.session.browser.traffic import Exchange

MOST_HOPS: Final = 5


async def learn_har(har: Path, folder: Path, answers: Mapping[str, str], bundle: Path | None = None) -> Written:
    """Learn from a recording, and return the text of a provider that was tried on the recording's own answers.

    Args:
        har: the file.
        folder: an empty one, for bodies and the provider.
        answers: what the person gave the site, by question.
        bundle: where the recording is written with every value of a person replaced, for the provider's emulated site.

    Raises:
        NotLearnt: nothing could be learnt, or the provider asks for what was not recorded.
        CloudfilmError: the file can't be read, or holds no images.
    """
    traffic, left_out, _ = await asyncio.to_thread(traffic_in, har, folder / "har")
    page = recorded.Recording(traffic, folder / "captured").page()
    if page is None:
        raise HarWithoutContent(path=har.name) if left_out else NoImagesInHar(path=har.name)
    exchanges = tuple(traffic.exchanges)
    link = entrance(page, exchanges)
    owner = catalogue.find(link) or catalogue.find(page)
    if owner is not None:
        return Written(served_by=owner.provider.name, host=link.host)
    if dicomweb.root(exchanges) is not None:
        return Written(served_by="dicomweb", host=link.host)
    learnt, observations = await learnt_from(Recording(link, answers, exchanges), folder / "objects")
    learnt = replace(learnt, is_recorded=True)
    example = ""
    if bundle is not None:
        redacted = Bundle(link, exchanges[:MOST_ENTRIES], answers)
        redacted.write(bundle)
        example = redacted.link
    source = written_source(learnt, example)
    if found := next((text for text in forbidden_values(learnt, observations) if text in source), None):
        raise NotLearnt(host=link.host, what=Reason.LONG_VALUE.of(count=len(found)))
    count = await _proven(learnt, source, folder / "trial", RecordedSite(link, exchanges, answers))
    return Written(source, learnt.name, link.host, learnt.rule.proofs, count)


def entrance(page: ShareLink, exchanges: Sequence[Exchange]) -> ShareLink:
    """The address of the same host from which redirects led to a page: that is what a person's link looks like."""
    address = page.url
    for exchange in reversed(exchanges):
        target = exchange.headers.get("location", "")
        if 300 <= exchange.status < 400 and target and _same(urljoin(exchange.url, target), address):
            address = exchange.url
    found = ShareLink(address)
    return found if address != page.url and found.host == page.host else page


def _same(first: str, second: str) -> bool:
    return urldefrag(first).url == urldefrag(second).url


class RecordedSite:
    """Answers a written provider as the site answered the viewer, and refuses what the viewer did not ask.

    Args:
        link: the share link.
        exchanges: what was recorded.
        answers: the person's, by question.
    """

    def __init__(self, link: ShareLink, exchanges: Sequence[Exchange], answers: Mapping[str, str]) -> None:
        self._link = link
        self._exchanges = exchanges
        self._answers = answers

    def answer(self, question: Question) -> str:
        """What the person gave for it."""
        given = self._answers.get(question.name)
        if not given:
            raise CredentialsRequired(question.name, host=self._link.host)
        return given

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Response:
        """The recorded answer to a GET; redirects are followed within the recording."""
        for _ in range(MOST_HOPS):
            response = self._replied("GET", url, headers, None)
            target = response.headers.get("location", "")
            if not (300 <= response.status < 400 and target):
                return response
            url = urljoin(url, target)
        raise NotLearnt(host=self._link.host, what=Reason.WRITTEN_ENDLESS)

    async def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Response:
        """The recorded answer to a POST."""
        body: object = None
        if form is not None:
            body = ("form", dict(form))
        elif data is not None:
            body = ("text", decode_text(data))
        elif json is not None:
            body = ("json", json)
        return self._replied("POST", url, headers, body)

    def _replied(self, method: str, url: str, headers: Mapping[str, str] | None, body: object) -> Response:
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        wanted = without_clock(urldefrag(url).url)
        for exchange in self._exchanges:
            is_it = exchange.method == method and without_clock(urldefrag(exchange.url).url) == wanted
            if is_it and body in _bodies(exchange) and _needed(exchange).items() <= sent.items():
                return Response(exchange.status, exchange.headers, exchange.read(), exchange.url)
        raise NotLearnt(host=self._link.host, what=Reason.WRITTEN_NOT_RECORDED)


def _needed(exchange: Exchange) -> dict[str, str]:
    """The headers that the page added itself: the site may insist on each."""
    return {name: value for name, value in own_headers(exchange).items() if name not in TECHNICAL}


def _bodies(exchange: Exchange) -> list[object]:
    """What was sent, as text, as JSON and as a form."""
    text = decode_text(exchange.request_body or b"")
    if not text:
        return [None]
    found: list[object] = [("text", text)]
    with suppress(ValueError, RecursionError):
        found.append(("json", json.loads(text)))
    if "urlencoded" in exchange.request_headers.get("content-type", ""):
        found.append(("form", dict(parse_qsl(text, keep_blank_values=True))))
    return found


async def _proven(learnt: InferredProvider, source: str, folder: Path, site: RecordedSite) -> int:
    """The number of instances that the written provider lists from the recorded answers: those of the rule, no other.

    Raises:
        NotLearnt: it lists something else, or asks for what was not recorded.
    """
    folder.mkdir(mode=0o700)
    path = folder / f"{learnt.name}.py"
    link = learnt.link.matched(learnt.route) or learnt.link
    path.write_text(source, encoding="utf-8")
    provider = trial_of(path, learnt.name, learnt.route, QUESTIONS)
    try:
        found = [item async for item in cast("Any", provider.discover(link, cast("Session", site)))]
    except NotLearnt:
        raise
    except CloudfilmError as err:
        raise NotLearnt(host=link.host, what=Reason.DIRECTLY_REFUSED.of(code=err.code)) from err
    instances = [instance for series in found if isinstance(series, Series) for instance in series.instances]
    addresses = [instance.source.url for instance in instances if isinstance(instance.source, WadoUri)]
    if sorted(addresses) != sorted(address for every in learnt.rule.addresses.values() for address in every):
        raise NotLearnt(host=link.host, what=Reason.DIRECTLY_OTHER_IMAGES)
    return len(instances)
