"""The strategy for viewers whose requests follow from the lists they received: infer a model, test it, request by it."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Final

from scraper.capture import completeness
from scraper.capture.drive import entries
from scraper.capture.drive.ask_page import ask_for_more
from scraper.capture.examination import Examination
from scraper.capture.infer import paging, templates
from scraper.capture.infer.models import RequestModel, candidate_models
from scraper.capture.infer.page_made import SIGNATURE, header_texts, made_up
from scraper.capture.infer.preparation import staging
from scraper.capture.infer.tallies import STUDY_KEY, falls_short
from scraper.capture.infer.templates import Rule, Template
from scraper.capture.observe.own_headers import own_headers
from scraper.capture.observe.received import asked_by, with_instances
from scraper.capture.plan import Plan, Strategy, StrategyKind
from scraper.capture.request import socket_replay
from scraper.capture.request.http_replay import HttpReplayer
from scraper.core.errors import CloudfilmError, MissingInstances, SessionLapsed
from scraper.core.model import Header, Instance, OnDemand, Series, Source
from scraper.core.reasons import Reason
from scraper.session.browser.traffic import Exchange

MODALITY: Final = re.compile(r"(?:^|\W|_)modality$", re.IGNORECASE)  # the field of a list that says it
LONGEST_MODALITY: Final = 16  # characters of a Code String (PS3.5 6.2)
PREVIEW: Final = re.compile(  # a part of an address that means a smaller picture
    r"(?:^|[/_=.?&-])(thumb(?:nail)?s?|previews?|small|icons?|mini|low(?:[_-]?res)?|reduced|snapshots?|suolue\w*)(?:$|[/_=.?&-])",
    re.IGNORECASE,
)
MAX_FAILURES: Final = 2  # of one model
MAX_UNKNOWN: Final = 5  # arrays of which nothing came, and of each of which one image is asked for
MAX_ANOTHER: Final = 2  # images that are asked for to see whether headers fit them, too
MAX_TRIALS: Final = 4  # guesses of one request that fail, after which no more are tried: each costs the site a refusal
MAX_REFUSED_TRIALS: Final = 2  # of these that are refused as one without a session is: a signature may cover the value


class ByManifest(Strategy):
    """Asks as the viewer asked, for everything that its lists name or count."""

    by = StrategyKind.MANIFEST

    def __init__(self) -> None:
        self._rejected: set[Template] = set()
        self._failures: Counter[Template] = Counter()
        self._failed_trials = 0
        self._refused_trials = 0

    async def plan(self, examination: Examination) -> Plan | None:
        """What the first model gives that stands its proof."""
        models = candidate_models(examination.observations, examination.session.traffic.exchanges)
        while (model := await asyncio.to_thread(next, models, None)) is not None:
            if not await self._is_worth_trying(model, examination):
                continue
            template = model.rule.template
            try:
                plan = await (
                    _by_socket(model, examination)
                    if model.sample is None
                    else _by_http(model, model.sample, examination)
                )
            except CloudfilmError as err:
                self._failures[template] += 1
                self._failed_trials += bool(model.trials)
                self._refused_trials += bool(model.trials) and isinstance(err, SessionLapsed)
                continue
            if plan and not (model.rule.is_flat and _leaves_out(model.rule, plan.series, examination)):
                return plan
            if not plan:
                self._rejected.add(template)
                self._failed_trials += bool(model.trials)
        return None

    async def _is_worth_trying(self, model: RequestModel, examination: Examination) -> bool:
        """Whether a model was not refuted yet, and gives everything that the viewer lists, in full size."""
        rule = model.rule
        is_tried = self._failed_trials >= MAX_TRIALS or self._refused_trials >= MAX_REFUSED_TRIALS
        if self._failures[rule.template] >= MAX_FAILURES or (model.trials and is_tried):
            return False
        if not examination.is_shown_through and _is_known_later(model, examination):
            return False
        if rule.template in self._rejected or await shows_more(rule, examination):
            return False  # the viewer shows more series than are listed so far: a list of its own for each
        observations = examination.observations
        gives_less = observations.copies.gives_less(model.replies, observations.objects)
        if gives_less or falls_short(rule):
            self._rejected.add(rule.template)
            return False
        return True


def _is_known_later(model: RequestModel, examination: Examination) -> bool:
    """Whether what the viewer still shows may tell that a model is wrong: a list of more pages, previews, a signature."""
    rule = model.rule
    if templates.stated_total(rule.records.values()) > rule.count or any(map(PREVIEW.search, rule.template.literals)):
        return True
    return bool(model.trials) and _is_made_up(model, examination)


def _is_made_up(model: RequestModel, examination: Examination) -> bool:
    """Whether the one request that a model is made from holds a signature or the like, which the site may take but once."""
    session = examination.session
    if model.sample is None:
        return False
    texts = [*model.rule.template.literals, *header_texts(model.sample)]
    lists = [
        item.when for item in examination.observations.manifests if item.url.partition("?")[0] == model.rule.source
    ]
    known = session.link.url, session.page.url
    return made_up(texts, model.sample, session.traffic.exchanges, *known, until=min(lists, default=None))


async def shows_more(rule: Rule, examination: Examination) -> bool:
    """Whether the viewer shows more series than a rule gives, or lists more, of which that rule's is one."""
    if not examination.is_shown_through and paging.unlisted(examination.observations.manifests):
        return True
    tallies = examination.tallies() if rule.is_flat else []
    if any(rule.count in tally and sum(tally) > rule.count for tally in tallies):
        return True
    counts = examination.shown.entries
    if not rule.is_flat and counts and sum(counts) == rule.count:
        return False
    window = await examination.session.window()
    shown = await entries.of_series(window, examination.observations)
    texts = {element.text for element in shown if element.text}
    is_of_images = len(texts) == rule.count and _gives_images(rule, examination)
    # a series that was opened may be shown in the place of the list
    rows = len(texts) if examination.is_shown_through else max(len(texts), examination.shown.rows)
    return not is_of_images and not rule.tells_apart(rows)


def _gives_images(rule: Rule, examination: Examination) -> bool:
    """Whether two requests of one flat list gave images of one series: its entries, and those of the page, are images."""
    observations = examination.observations
    uids = {observations.origins[key] for key in rule.records if key in observations.origins}
    series = [observations.objects[uid].header.series_instance_uid for uid in uids if uid in observations.objects]
    return (
        rule.is_flat and templates.stated_total(rule.records.values()) <= rule.count and len(set(series)) < len(series)
    )


def _leaves_out(rule: Rule, found: Sequence[Series], examination: Examination) -> bool:
    """Whether lists name series that one list of images does not give, while the viewer may still show theirs."""
    if examination.is_shown_through:
        return False
    observations = examination.observations
    study = examination.study_of(observations.studies())
    received = {series.series_instance_uid for series in found} | values_of_records(rule)
    lists = completeness.lists(observations.manifests, observations, study)
    return bool(completeness.missing(study, lists, received))


async def _by_http(model: RequestModel, sample: Exchange, examination: Examination) -> Plan | None:
    """The series, asked for as the viewer asked; None where the model fails its trials."""
    session, observations = examination.session, examination.observations
    before = staging(session.traffic.exchanges, model.rule, model.replies, model.volatile)
    replayer = HttpReplayer(
        session,
        sample,
        observations.new_file,
        model.volatile,
        model.rule.records,
        before,
        ask_page=partial(ask_for_more, examination),
    )
    if not model.trials and not await _may_repeat_headers(model, replayer, examination):
        return None
    await replayer.prepare()
    if not await _passes_trials(model, replayer, examination):
        return None
    headers = await _of_unknown_studies(model, replayer, examination)
    series = series_by_model(model, model.replies, replayer.source, examination, headers)
    return Plan(StrategyKind.MANIFEST, tuple(series), model, replayer, headers) if series else None


async def _may_repeat_headers(model: RequestModel, replayer: HttpReplayer, examination: Examination) -> bool:
    """Whether the site takes one image's headers with another, where the page sent others with each.

    What is called a signature and was made by the page is not even tried; of anything else, one image that did not come yet is
    asked for before any is asked for a second time.

    Raises:
        CloudfilmError: the site gives none.
    """
    session = examination.session
    exchanges = [
        exchange
        for exchange in session.traffic.exchanges
        if exchange.ok and model.volatile.blanked(asked_by(exchange)) in model.replies
    ]
    sent = [own_headers(exchange) for exchange in exchanges]
    varied = {name for headers in sent for name in headers if len({other.get(name) for other in sent}) > 1}
    known = session.link.url, session.page.url
    for name in filter(SIGNATURE.search, varied):
        if len({headers.get(name) for headers in sent}) == len(sent):
            return False  # one for each image
        if made_up([sent[-1].get(name, "")], exchanges[-1], session.traffic.exchanges, *known):
            return False
    try:
        if varied:
            await _try_another(model, replayer)
    except SessionLapsed:
        return False
    return True


async def _try_another(model: RequestModel, replayer: HttpReplayer) -> None:
    """Ask for one image that did not come yet, of two at most, before anything is asked for a second time.

    Raises:
        CloudfilmError: the site refuses both, or one for its headers.
    """
    left = [key for key in model.rule.records if key not in model.replies][:MAX_ANOTHER]
    for place, key in enumerate(left, 1):
        try:
            await replayer.header_of(key)
        except CloudfilmError as err:
            if place == len(left) or isinstance(err, SessionLapsed):
                raise
        else:
            return


async def _of_unknown_studies(
    model: RequestModel, replayer: HttpReplayer, examination: Examination
) -> dict[str, Header]:
    """The header of the first image of each array of which nothing came, where the list does not name studies.

    None are asked for where there are many: what belongs to another study is then found when it is fetched.
    """
    objects, rule, study = examination.observations.objects, model.rule, _study_of(examination)
    names = {name for record in rule.records.values() for name in record.fields}
    if any(STUDY_KEY.search(name) for name in names) or study in values_of_records(rule):
        return {}
    unknown = [
        keys[0] for keys in rule.addresses.values() if all(model.replies.get(key) not in objects for key in keys)
    ]
    found = {}
    for key in unknown if len(unknown) <= MAX_UNKNOWN else ():
        with suppress(CloudfilmError):
            found[key] = await replayer.header_of(key)
    return found


async def _passes_trials(model: RequestModel, replayer: HttpReplayer, examination: Examination) -> bool:
    """Test the model: other values of the list must each return a new image of this study, two of them of one series.

    If every entry returns an image of another series, it is a list of series, with one preview each.
    """
    objects = examination.observations.objects
    headers = [objects[uid].header for uid in set(model.replies.values()) if uid in objects]
    ours = {header.study_instance_uid for header in headers}
    if not model.trials:
        return True
    for key in model.trials:
        header = await replayer.header_of(key)
        if any(header.sop_instance_uid == known.sop_instance_uid for known in headers):
            return False
        headers.append(header)
    series = [header.series_instance_uid for header in headers if header.study_instance_uid in ours]
    return len(set(series)) < len(series)


async def _by_socket(model: RequestModel, examination: Examination) -> Plan | None:
    """The series, asked for by messages; everything is asked for at once: who knows how long a socket stays open."""
    window = await examination.session.window()
    replayer = socket_replay.SocketReplayer(
        examination.session, window, examination.observations, model.rule, model.volatile
    )
    received = await replayer.ask_for_all()
    if len(received) <= len(model.replies) < len(model.rule.records):
        return None  # the site does not answer us

    async def fails() -> bytes:
        raise MissingInstances(why=Reason.NO_ANSWER)

    series = series_by_model(model, received, lambda _: OnDemand(fails), examination)
    headers = headers_of(received, examination)
    return Plan(StrategyKind.MANIFEST, tuple(series), model, headers=headers) if series else None


def with_later_replies(plan: Plan, examination: Examination) -> Plan:
    """The plan, knowing also what came for the page's own requests after it was made: that need not be fetched again."""
    model, replay = plan.model, plan.replay
    if plan.by is not StrategyKind.MANIFEST or model is None or model.sample is None or replay is None:
        return plan
    replies: dict[str, str] = {}
    for asked, uid in examination.observations.origins.items():
        if replies.setdefault(model.volatile.blanked(asked), uid) != uid:
            return plan
    known = {key: uid for key, uid in replies.items() if key in model.rule.records} | dict(model.replies)
    series = series_by_model(model, known, replay.source, examination, plan.headers)
    return replace(plan, series=tuple(series)) if series else plan


def headers_of(received: Mapping[str, str], examination: Examination) -> dict[str, Header]:
    """Request → header of its reply; ``received`` has the SOP Instance UIDs."""
    objects = examination.observations.objects
    return {key: objects[uid].header for key, uid in received.items() if uid in objects}


def _study_of(examination: Examination) -> str:
    return examination.study_of(examination.observations.studies())


def series_by_model(
    model: RequestModel,
    received: Mapping[str, str],
    source: Callable[[str], Source],
    examination: Examination,
    headers: Mapping[str, Header] = MappingProxyType({}),
) -> list[Series]:
    """The series that a model gives; those of another study, by the list or by what came, are left to ``other_studies``.

    Args:
        model: how the requests follow from lists.
        received: request → SOP Instance UID of its reply.
        source: gives the source of a request's image.
        examination: what came.
        headers: request → header of what it gave when it was tried.
    """
    rule, observations = model.rule, examination.observations
    objects, study = observations.objects, _study_of(examination)
    heads = dict(headers) | headers_of(received, examination)
    ours = [record for key, record in rule.records.items() if key in heads and heads[key].study_instance_uid == study]
    series_fields = {  # those with the UID of the series
        name
        for key, uid in received.items()
        if key in rule.records and uid in objects
        for name, value in rule.records[key].fields.items()
        if value == objects[uid].header.series_instance_uid
    }
    found = []
    for place, every in enumerate(rule.addresses.values(), 1):
        keys = [key for key in every if not completeness.of_another(rule.records[key], ours, study)]
        known = [heads[key] for key in keys if key in heads]
        if not keys or (known and known[0].study_instance_uid != study):
            continue  # the page lists another study as well
        instances = [
            Instance(received.get(key, ""), source(key), key=f"{place}/{number}", number=number)
            for number, key in enumerate(keys, 1)
        ]
        uid = next(iter(_common_values(rule, keys, series_fields)), "")
        modality_fields = {name for name in rule.records[keys[0]].fields if MODALITY.search(name)}
        modality = next(iter(_common_values(rule, keys, modality_fields)), "")
        about = Series(study, uid, key=f"list-{place}", modality=modality if len(modality) <= LONGEST_MODALITY else "")
        if known:
            uid = known[0].series_instance_uid
            of_study = (series for series in observations.series(study) if series.series_instance_uid == uid)
            about = next(
                of_study, Series(study, uid, description=known[0].series_description, modality=known[0].modality)
            )
        # one list of everything may hold several series: then its length is no series' count
        count = None if rule.is_flat else len(instances)
        found.append(replace(with_instances(about, instances, count), key=f"list-{place}"))
    return found


def values_of_records(rule: Rule) -> set[str]:
    """Every value that stands in a list with what a rule gives."""
    return {value for record in rule.records.values() for value in record.fields.values()}


def _common_values(rule: Rule, keys: Sequence[str], fields: Collection[str]) -> set[str]:
    """What some fields say of the instances of one list, where they agree."""
    found = {rule.records[key].fields[name] for key in keys for name in fields if name in rule.records[key].fields}
    return found if len(found) == 1 else set()
