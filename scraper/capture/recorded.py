"""What somebody else's viewer received, as studies: recognised, paired and judged as a live capture; nothing is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from scraper.capture import other_studies
from scraper.capture.by_manifest import series_by_model
from scraper.capture.examination import Examination
from scraper.capture.infer.frame_replies import FrameReplies
from scraper.capture.infer.models import RequestModel, candidate_models
from scraper.capture.infer.tallies import falls_short
from scraper.capture.observe.received import SENT, Observations, asked_by, with_instances
from scraper.capture.plan import Plan, StrategyKind
from scraper.capture.request import wado_uri
from scraper.capture.series import series_of
from scraper.core import link as links
from scraper.core.errors import CloudfilmError, MissingInstances
from scraper.core.link import ShareLink
from scraper.core.model import Instance, OnDemand, PixelParts, Series, Source, WadoUri
from scraper.core.reasons import Reason
from scraper.session import Session
from scraper.session.browser.traffic import Traffic

MAX_MODELS: Final = 20


async def _is_not_there() -> PixelParts:
    raise MissingInstances(why=Reason.NOT_IN_RECORDING)


NOT_RECORDED: Final = OnDemand(_is_not_there)


@dataclass(frozen=True, slots=True)
class _Page:
    """The page that was recorded."""

    url: str


@dataclass(frozen=True, slots=True)
class _Conversation:
    """What of a session the recognition looks at: the traffic and the page's address."""

    traffic: Traffic
    page: _Page


class Recording:
    """A traffic that a person's own browser had, whole or as it comes.

    Args:
        traffic: what was received until now.
        folder: for objects that are put together.
        fetch_missing: plan requests without the session (no cookie, no header) for what lists name and the recording lacks.
    """

    def __init__(self, traffic: Traffic, folder: Path, *, fetch_missing: bool = False) -> None:
        self._lacking = _by_address if fetch_missing else _not_recorded
        self.observations = Observations(folder)
        self._traffic = traffic
        self._frame_replies = FrameReplies(self.observations)

    async def observe(self) -> int:
        """Take in what came since the last time; gives how much more there is now."""
        new = await self.observations.take(self._traffic.exchanges)
        return new + await asyncio.to_thread(self._frame_replies.resolve)

    async def series(self) -> list[Series]:
        """Every series of every study of which an image came, and a problem where a list names a study of which none did."""
        page = self.page()
        if page is None:
            return []
        conversation = cast("Session", _Conversation(self._traffic, _Page(page.url)))
        found: list[Series] = []
        first: tuple[Examination, Plan | None] | None = None
        for study in self.observations.studies() or {"": 0}:
            examination = Examination(page, conversation, self.observations, study=study)
            plan = await asyncio.to_thread(plan_of, examination, self._lacking)
            found += await asyncio.to_thread(series_of, examination, plan)
            first = first or (examination, plan)
        return await other_studies.further(*first, found, may_ask=False) if first else found

    def page(self) -> ShareLink | None:
        """The address of the page whose viewer it was: of those opened, the last before the first image."""
        exchanges = self._traffic.exchanges
        origins = self.observations.origins
        first = next((place for place, item in enumerate(exchanges) if asked_by(item) in origins), len(exchanges))
        pages = [item.url for item in exchanges[:first] if item.kind == "document" and item.ok]
        for url in (*reversed(pages), *(item.url for item in exchanges)):
            try:
                return links.parse_url(url)
            except CloudfilmError:
                continue
        return None


Lacking = Callable[[str], Source]
"""Gives the source of an image that is not in the recording, by its request."""


def _not_recorded(asked: str) -> Source:
    del asked
    return NOT_RECORDED


def _by_address(asked: str) -> Source:
    """A plain GET of the address; a request with a body is bound to its page."""
    return WadoUri(asked) if SENT not in asked and asked.startswith(("http://", "https://")) else NOT_RECORDED


def plan_of(examination: Examination, lacking: Lacking = _not_recorded) -> Plan | None:
    """What lists name of the study whose objects were received: by WADO-URI addresses, else by an inferred rule."""
    return _by_wado_uri(examination, lacking) or _by_manifest(examination, lacking)


def _by_wado_uri(examination: Examination, lacking: Lacking) -> Plan | None:
    exchanges, lists, objects = examination.exchanges, examination.lists, examination.observations.objects
    named = wado_uri.named_objects(exchanges, lists)
    found = wado_uri.wado_uris(exchanges, examination.session.page.url, lists)
    study = examination.study_of({study: len(instances) for (study, _), instances in found.items()})
    series = []
    for (uid_of_study, uid), instances in found.items():
        if uid_of_study == study:
            rows = [Instance(item.sop_instance_uid, lacking(_address(item)), item.key) for item in instances]
            series.append(with_instances(Series(study, uid, key="" if uid else "wado"), rows, len(rows)))
    every = {item.sop_instance_uid for row in series for item in row.instances}
    is_proven = bool(named) and not every.isdisjoint(objects)
    return Plan(StrategyKind.WADO_URI, tuple(series)) if is_proven else None


def _address(instance: Instance) -> str:
    return instance.source.url if isinstance(instance.source, WadoUri) else ""


def _by_manifest(examination: Examination, lacking: Lacking) -> Plan | None:
    observations = examination.observations
    for count, model in enumerate(candidate_models(observations, examination.exchanges)):
        if count >= MAX_MODELS:
            break
        gives_less = observations.copies.gives_less(model.replies, observations.objects)
        if model.trials or gives_less or falls_short(model.rule):
            continue  # what would have to be tried proves nothing here
        received = _received(model, observations)
        series = series_by_model(model, received, lambda _: NOT_RECORDED, examination)
        if series and not _leaves_out(series, observations):
            return Plan(StrategyKind.MANIFEST, tuple(series), replace(model, replies=received))
    return None


def _received(model: RequestModel, observations: Observations) -> dict[str, str]:
    """Request → SOP Instance UID of what is there of it: its own reply, or what came in a block of several images.

    A field of the list is the SOP Instance UID where it is that of every reply that came alone.
    """
    records, replies, objects = model.rule.records, model.replies, observations.objects
    alone = [(records[key].fields, uid) for key, uid in replies.items() if key in records]
    names = {name for fields, uid in alone for name, value in fields.items() if value == uid}
    name = next((name for name in sorted(names) if all(fields.get(name) == uid for fields, uid in alone)), None)
    named = {key: str(record.fields.get(name, "")) for key, record in records.items()} if name is not None else {}
    return {key: uid for key, uid in named.items() if uid in objects} | dict(replies)


def _leaves_out(found: Sequence[Series], observations: Observations) -> bool:
    """Whether an image that came has no place in a rule's series: the rule is not how this viewer gets its images."""
    studies = {series.study_instance_uid for series in found}
    placed = {instance.sop_instance_uid for series in found for instance in series.instances}
    every = observations.objects.items()
    return any(uid not in placed for uid, item in every if item.header.study_instance_uid in studies)
