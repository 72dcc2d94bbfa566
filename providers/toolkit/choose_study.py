"""Several studies behind one link: each is listed by itself; one that fails is reported, and the others are kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from scraper.contract import (
    CloudfilmError,
    NoSuchStudy,
    Problem,
    Reason,
    Series,
    SiteChanged,
    SiteUnreachable,
    StudyGone,
)

Listing = Callable[[], Awaitable[list[Series]]]


async def list_all(studies: Mapping[str, Listing], *, has_documents: bool = False) -> list[Series]:
    """The series of every study.

    Args:
        studies: a name that a person knows the study by (never a patient's) → what lists it.
        has_documents: the link leads to documents too; one without images (NoSuchStudy) is nothing missing.

    Raises:
        CloudfilmError: the first study's error, where no study is listed; a lapsed session or a refused answer ends all.
    """
    found, problems, errors = list[Series](), list[Problem](), list[CloudfilmError]()
    for name, series in studies.items():
        try:
            found += await series()
        except (SiteChanged, SiteUnreachable, StudyGone) as err:
            errors.append(err)
            if has_documents and isinstance(err, NoSuchStudy):
                problems.append(Problem("left-out", (name,), {"what": Reason.WITHOUT_IMAGES}, fatal=False))
            else:
                why = err.detail or err.cause
                problems.append(Problem("fetch-failed", (name,), {"why": str(why)}))
    if not found and errors:
        raise errors[0]
    return [replace(item, problems=(*item.problems, *problems)) for item in found[:1]] + found[1:]
