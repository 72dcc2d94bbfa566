"""What a site has behind a link: chosen by ``--series``, grouped by study, and divided into what is retrieved at one time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch

from scraper.contract import Discovered, Package, Series, Session, Study
from scraper.core.errors import CloudfilmError, NothingNew
from scraper.core.model import Problem, StudyResult, Via
from scraper.pipeline import assess
from scraper.registry.catalogue import Owner


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a site has behind a link, and the way in; ``via`` is None if there is no site."""

    owner: Owner
    session: Session
    found: tuple[Discovered, ...]
    via: Via | None


@dataclass(frozen=True, slots=True)
class Part:
    """What is retrieved at one time: a package, or the series of one study; ``key`` identifies the study on the disk."""

    key: str
    study: Study
    found: tuple[Package] | tuple[Series, ...]


def cut_short(error: CloudfilmError) -> Problem:
    """The problem that says: the listing was ended, and the study may have more."""
    if isinstance(error, NothingNew):
        return Problem("given-up", values={"give_up_s": error.values.get("give_up_s", "?")})
    return Problem("viewer-ended", values={"why": error.cause})


def marked(found: Sequence[Discovered], error: CloudfilmError | None) -> list[Discovered]:
    """Add ``cut_short`` to the first item of each study, if the listing was ended."""
    if error is None:
        return list(found)
    marked, studies = list[Discovered](), set[str]()
    for item in found:
        uid = "" if isinstance(item, Package) else item.study_instance_uid
        study = uid or item.study.uid or item.study.key
        is_first = study not in studies
        marked.append(replace(item, problems=(*item.problems, cut_short(error))) if is_first else item)
        studies.add(study)
    return marked


def select(found: Sequence[Discovered], patterns: Sequence[str]) -> list[Discovered]:
    """Select the series that ``--series`` asks for: by number, or by a pattern or part of the description.

    If the site lists neither numbers nor descriptions, all series are selected.
    """
    is_described = any(
        series.number is not None or series.description for series in found if isinstance(series, Series)
    )
    if not patterns or not is_described:
        return list(found)
    return [item for item in found if isinstance(item, Package) or any(_matches(item, pattern) for pattern in patterns)]


def _matches(series: Series, pattern: str) -> bool:
    lowered, description = pattern.lower(), series.description.lower()
    return str(series.number) == pattern or fnmatch(description, lowered) or (lowered in description and lowered != "")


def by_study(discovery: Discovery) -> Mapping[str, list[Discovered]]:
    """Group what was found by the key that identifies its study on the disk."""
    grouped: dict[str, list[Discovered]] = {}
    link = hashlib.sha256(discovery.owner.link.url.encode()).hexdigest()[:16]
    for item in discovery.found:
        uid = item.study.uid if isinstance(item, Package) else item.study_instance_uid or item.study.uid
        key = uid or f"{discovery.owner.provider.name}:{item.study.key or link}"
        grouped.setdefault(key, []).append(item)
    return grouped


def surveyed(discovery: Discovery, found: Sequence[Discovered]) -> StudyResult:
    """The result of a listing of one study; nothing was fetched."""
    study = assess.survey([item for item in found if isinstance(item, Series)], found[0].study)
    ended = discovery.session.patience.ended
    return replace(study, problems=(*study.problems, cut_short(ended))) if ended else study


def parts(discovery: Discovery) -> list[Part]:
    """Divide what was found into what is retrieved at one time: each package, and the series of each study."""
    found: list[Part] = []
    for key, items in by_study(discovery).items():
        found += [Part(key, item.study, (item,)) for item in items if isinstance(item, Package)]
        series = tuple(item for item in items if isinstance(item, Series))
        if series:
            found.append(Part(key, series[0].study, series))
    return found
