"""A plan for a recording: all that its lists name by rules which the recorded requests prove; nothing is asked for."""

from __future__ import annotations

from typing import Final

from scraper.capture.by_manifest import series_by_model
from scraper.capture.examination import Examination
from scraper.capture.infer import claims
from scraper.capture.infer.models import candidate_models
from scraper.capture.observe.received import with_instances
from scraper.capture.plan import By, Plan
from scraper.capture.request import wado_uri
from scraper.core.errors import MissingInstances
from scraper.core.model import Instance, OnDemand, PixelParts, Series
from scraper.core.reasons import Reason

MAX_MODELS: Final = 20


async def _is_not_there() -> PixelParts:
    raise MissingInstances(why=Reason.NOT_IN_RECORDING)


NOT_RECORDED: Final = OnDemand(_is_not_there)


def plan_of(examination: Examination) -> Plan | None:
    """What lists name of the study whose objects were received: by WADO-URI addresses, else by an inferred rule."""
    return _by_wado_uri(examination) or _by_manifest(examination)


def _by_wado_uri(examination: Examination) -> Plan | None:
    exchanges, lists, objects = examination.exchanges, examination.lists, examination.observations.objects
    named = wado_uri.named_objects(exchanges, lists)
    found = wado_uri.wado_uris(exchanges, examination.session.page.url, lists)
    study = examination.study_of({study: len(instances) for (study, _), instances in found.items()})
    series = []
    for (uid_of_study, uid), instances in found.items():
        if uid_of_study == study:
            rows = [Instance(item.sop_instance_uid, NOT_RECORDED, item.key) for item in instances]
            series.append(with_instances(Series(study, uid, key="" if uid else "wado"), rows, len(rows)))
    every = {item.sop_instance_uid for row in series for item in row.instances}
    is_proven = bool(named) and not every.isdisjoint(objects)
    return Plan(By.WADO_URI, tuple(series)) if is_proven else None


def _by_manifest(examination: Examination) -> Plan | None:
    observations = examination.observations
    for count, model in enumerate(candidate_models(observations, examination.exchanges)):
        if count >= MAX_MODELS:
            break
        gives_less = observations.copies.gives_less(model.replies, observations.objects)
        if model.trials or gives_less or claims.falls_short(model.rule):
            continue  # what would have to be tried proves nothing here
        series = series_by_model(model, model.replies, lambda _: NOT_RECORDED, examination)
        if series:
            return Plan(By.MANIFEST, tuple(series), model)
    return None


__all__ = ["NOT_RECORDED", "plan_of"]
