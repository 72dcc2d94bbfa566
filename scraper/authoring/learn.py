"""``cloudfilm learn``: watch an unknown viewer once, write a provider for it, and prove that the provider works."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from scraper.authoring.emit import Writer, watched_source
from scraper.authoring.inferred import Identity, InferredProvider
from scraper.authoring.source_guard import UnsafeSource, check_source
from scraper.authoring.trace import NotLearnt, Tracer, document, groups_of, opaque
from scraper.authoring.trial import trial_of
from scraper.capture import By, Capture
from scraper.capture.infer import templates
from scraper.capture.observe.own_headers import own_headers
from scraper.capture.request import wado_uri
from scraper.contract import Discovered, Series, Session, ShareLink, WadoUri
from scraper.core.errors import CloudfilmError, NotOriginalDicom, UnknownViewer
from scraper.core.evidence import Evidence
from scraper.core.leftovers import RunFolder
from scraper.core.model import Header
from scraper.core.questions import QUESTIONS
from scraper.core.reasons import Reason
from scraper.pipeline.run import Run
from scraper.registry import catalogue
from scraper.session.browser.traffic import Exchange

WAYS: Final = {  # how a study was had of which nothing can be asked without its page
    By.MANIFEST: "asked for as its viewer asks, through its page",
    By.PAGE: "asked for by the page's own functions",
    By.VIEWING: "shown by its viewer one after another",
}
SHORTEST_SECRET: Final = 5  # characters; shorter ones stand in any text by chance


@dataclass(frozen=True, slots=True)
class Written:
    """A provider's source and its proof; ``served_by``: an existing provider covers the link, no file is needed."""

    source: str = ""
    name: str = ""
    host: str = ""
    proofs: int = 0  # requests of the viewer that were reproduced
    instances: int = 0  # that the written file lists, asked directly
    served_by: str = ""
    way: str = ""  # in words, how its images come: through the browser, where nothing is asked directly


@dataclass(frozen=True, slots=True)
class _Watched:
    """A study that came whole, and can only be had through its page: by what, and how many images."""

    link: ShareLink
    by: By
    instances: int
    questions: tuple[str, ...]
    why: NotLearnt

    def written(self) -> Written:
        """A provider that names the platform and leaves its viewer to be watched."""
        route, groups = groups_of(self.link)
        name = _name(self.link)
        source = watched_source(self.link, name, route, self.questions, WAYS[self.by])
        check_source(source)
        if any(len(value) >= SHORTEST_SECRET and value in source for value in groups.values()):
            raise self.why
        return Written(source, name, self.link.host, instances=self.instances, way=WAYS[self.by])


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the window showed: the description, and values that must not appear in the file."""

    learnt: InferredProvider
    forbidden: frozenset[str]
    series: tuple[int, ...]  # instances of each
    watched: _Watched | None  # the same through the page, where it came whole


async def learn_link(run: Run, given: str) -> Written:
    """Open a link, learn from its viewer, and return the text of a provider that was tried on the link itself.

    Raises:
        NotLearnt: nothing could be learnt, or the result does not work outside the browser.
        CloudfilmError: the link can't be opened, as for ``grab``.
    """
    seen = await run.watched(given, _watch)
    if isinstance(seen, Written):
        return seen
    if isinstance(seen, _Watched):
        return seen.written()
    try:
        return await _directly(run, seen)
    except NotLearnt as err:
        if seen.watched is None:
            raise
        return replace(seen.watched, why=err).written()


async def _directly(run: Run, seen: _Seen) -> Written:
    """A provider that asks without a browser, tried on the link itself.

    Raises:
        NotLearnt: it bears a value of the link, or does not work.
    """
    link = seen.learnt.link
    source = written_source(seen.learnt)
    if found := next((text for text in seen.forbidden if text in source), None):
        raise NotLearnt(host=link.host, what=Reason.LONG_VALUE.of(count=len(found)))
    count = await _proven(run, source, seen)
    return Written(source, seen.learnt.name, link.host, seen.learnt.rule.proofs, count)


def written_source(learnt: InferredProvider) -> str:
    """The provider's text, checked against the allowed syntax of such a file.

    Raises:
        NotLearnt: a value of the site can't be written safely.
    """
    try:
        source = Writer(learnt).text()
        check_source(source)
    except UnsafeSource as err:
        raise NotLearnt(host=learnt.link.host, what=Reason.NOT_WRITABLE_SAFELY) from err
    return source


async def _watch(link: ShareLink, session: Session) -> _Seen | _Watched | Written:
    owner = catalogue.find(link)
    if owner is not None:
        return Written(served_by=owner.provider.name, host=link.host)
    capture = Capture(link, session, (By.DICOMWEB, By.MANIFEST, By.PAGE))
    try:
        listed = await capture.run()
    except (UnknownViewer, NotOriginalDicom) as err:
        raise NotLearnt(host=link.host, what=Reason.NO_DICOM_OBJECT_CAME) from err
    if capture.by is By.DICOMWEB:
        return Written(served_by="dicomweb", host=link.host)
    try:
        rule = capture.rule
        if rule is None or capture.by is not By.MANIFEST:
            what = "no list that it received explains its requests for images"
            raise NotLearnt(host=link.host, what=what)
        if sum(len(series.instances) for series in listed) < rule.count:
            raise NotLearnt(host=link.host, what=Reason.LIST_OF_OTHER_STUDIES)
        cookies = await (await session.window()).cookies()
        seen = _described(link, session, capture, rule, visits=bool(cookies))
    except NotLearnt as err:
        if not _is_whole(listed):
            raise
        return _watched(link, session, capture, listed, err)
    return replace(seen, watched=_watched(link, session, capture, listed, None) if _is_whole(listed) else None)


def _is_whole(found: Sequence[Series]) -> bool:
    """Whether every series came with all that something other than sight says it has."""
    return bool(found) and all(
        series.instances
        and not series.problems
        and series.evidence is not Evidence.SIGHT
        and (series.expected is None or len(series.instances) >= series.expected)
        for series in found
    )


def _watched(
    link: ShareLink, session: Session, capture: Capture, found: Sequence[Series], why: NotLearnt | None
) -> _Watched:
    count = sum(len(series.instances) for series in found)
    given = tuple(name for name, value in session.answers.items() if value)
    return _Watched(link, capture.by, count, given, why or NotLearnt(host=link.host, what=Reason.NOT_WRITABLE_SAFELY))


def _described(link: ShareLink, session: Session, capture: Capture, rule: templates.Rule, *, visits: bool) -> _Seen:
    """The data that a provider is written from.

    Raises:
        NotLearnt: the origin of a value is unknown, the list is no JSON, or it names other studies as well.
    """
    exchanges = session.traffic.exchanges
    lists = [
        exchange
        for exchange in exchanges
        if exchange.url.partition("?")[0] == rule.source and document(exchange) is not None
    ]
    if not lists:
        raise NotLearnt(host=link.host, what=Reason.LIST_NO_JSON)
    if len({(exchange.url, exchange.request_body) for exchange in lists}) > 1:
        raise NotLearnt(host=link.host, what=Reason.LIST_IN_SEVERAL_ANSWERS)
    observations, listing = capture.observations, lists[0]
    images = [exchange for exchange in exchanges if exchange.url in observations.origins]
    headers_of = {
        url: observations.objects[uid].header
        for url, uid in observations.origins.items()
        if uid in observations.objects
    }
    if len({head.study_instance_uid for head in headers_of.values()}) > 1:
        raise NotLearnt(host=link.host, what=Reason.LIST_OF_OTHER_STUDIES)
    route, groups = groups_of(link)
    answers = {name: value for name, value in session.answers.items() if value}
    tracer = Tracer(link, groups, answers, exchanges)
    _log_in(tracer, exchanges, answers)
    number = tracer.call(listing)
    sample = document(listing)
    literals = tuple(tracer.text(text, None, "the address of an image") for text in rule.template.literals)
    headers = tuple(
        (name.title(), tracer.text(value, None, f"the header {name}"))
        for name, value in own_headers(images[0]).items()
        if name in ("authorization", "token", "x-token", "x-access-token")
    )
    learnt = InferredProvider(
        link,
        route,
        _name(link),
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
    lengths = tuple(len(address) for address in rule.addresses.values())
    return _Seen(learnt, _forbidden(link, groups, answers, headers_of, sample, learnt), lengths, None)


def _log_in(tracer: Tracer, exchanges: list[Exchange], answers: Mapping[str, str]) -> None:
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


def _forbidden(
    link: ShareLink,
    groups: Mapping[str, str],
    answers: Mapping[str, str],
    headers: Mapping[str, Header],
    sample: Any,
    learnt: InferredProvider,
) -> frozenset[str]:
    """Values that belong to this link, this patient or this session."""
    values = {*groups.values(), *answers.values()}
    for head in headers.values():
        values |= {
            head.patient_id,
            head.patient_name,
            head.sop_instance_uid,
            head.series_instance_uid,
            head.study_instance_uid,
            head.study_date,
            head.study_description,
        }
    for record in templates.records([sample]):
        values |= {word for name in record.own for word in opaque(record.fields[name], name)}
    known = {learnt.name, link.host, learnt.month, *re.findall(r"\w+", learnt.route)}
    return frozenset(
        text for text in values if len(text) >= SHORTEST_SECRET and text not in known and text not in link.origin
    )


def _name(link: ShareLink) -> str:
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


async def _proven(run: Run, source: str, seen: _Seen) -> int:
    """The number of instances that the written provider lists without the browser; its first and last must be DICOM.

    Raises:
        NotLearnt: it finds something else than the viewer.
    """
    link = seen.learnt.link

    async def check(session: Session, found: list[Discovered]) -> int:
        series = [item for item in found if isinstance(item, Series)]
        if sorted(len(item.instances) for item in series) != sorted(seen.series):
            raise NotLearnt(host=link.host, what=Reason.DIRECTLY_OTHER_IMAGES)
        for instance in (series[0].instances[0], series[-1].instances[-1]):
            if isinstance(instance.source, WadoUri) and not await wado_uri.is_dicom(session, instance.source):
                raise NotLearnt(host=link.host, what=Reason.DIRECTLY_NO_IMAGE)
        return sum(len(item.instances) for item in series)

    with RunFolder() as folder:
        path = Path(folder) / f"{seen.learnt.name}.py"
        path.write_text(source, encoding="utf-8")
        try:
            return await run.discovered(trial_of(path, seen.learnt.name, seen.learnt.route, QUESTIONS), link, check)
        except NotLearnt:
            raise
        except CloudfilmError as err:
            raise NotLearnt(host=link.host, what=Reason.DIRECTLY_REFUSED.of(code=err.code)) from err
