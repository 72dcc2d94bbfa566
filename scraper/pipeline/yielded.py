"""Check what a provider yields before anything is fetched; a provider's mistake is reported with its instance."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from scraper.contract import Discovered, Instance, Package, Provider, Series, Study
from scraper.core.errors import RecipeFault
from scraper.core.reasons import Reason
from scraper.core.safe_text import without_surrogates


def checked(provider: Provider, found: Sequence[object]) -> list[Discovered]:
    """Check what a provider found, so that the rest of the program may rely on it.

    Raises:
        RecipeFault: something that is neither a Series nor a Package, an instance or several series that nothing tells
            apart.
    """
    name = type(provider).__name__
    every: list[Discovered] = []
    nameless: Counter[str] = Counter()
    known: dict[tuple[str, str], set[str]] = defaultdict(set)
    for place, row in enumerate(found, start=1):
        if isinstance(row, Package):
            every.append(replace(row, study=_clean(row.study)))
            continue
        if not isinstance(row, Series):
            raise RecipeFault(what=Reason.NEITHER_SERIES_NOR_PACKAGE.of(provider=name, kind=type(row).__name__))
        study = row.study_instance_uid or row.study.uid or row.study.key
        if not row.name:
            nameless[study] += 1
            if nameless[study] > 1:
                raise RecipeFault(what=Reason.SERIES_UNNAMED.of(provider=name, series=place))
        _check_instances(name, place, row, known[study, row.name])
        every.append(
            replace(
                row,
                description=without_surrogates(str(row.description)),
                modality=without_surrogates(str(row.modality)),
                study=_clean(row.study),
            )
        )
    return every


def _check_instances(name: str, place: int, series: Series, keys: set[str]) -> None:
    """Every instance has a name; a key is unique, as it identifies files (a repeated UID is reported later)."""
    for number, instance in enumerate(series.instances, start=1):
        if not isinstance(instance, Instance):
            raise RecipeFault(
                what=Reason.NO_INSTANCE.of(provider=name, number=number, series=place, kind=type(instance).__name__)
            )
        if not instance.name:
            raise RecipeFault(what=Reason.INSTANCE_UNNAMED.of(provider=name, number=number, series=place))
        if instance.sop_instance_uid:
            continue
        if instance.key in keys:
            raise RecipeFault(what=Reason.KEY_REPEATED.of(provider=name, number=number, series=place, key=instance.key))
        keys.add(instance.key)


def _clean(study: Study) -> Study:
    return replace(
        study,
        date=without_surrogates(study.date),
        modality=without_surrogates(study.modality),
        description=without_surrogates(study.description),
        patient_name=without_surrogates(study.patient_name),
    )
