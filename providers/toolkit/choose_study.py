"""Several studies behind one link: each is listed by itself, and one that fails is named beside those that come."""

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


async def listed(studies: Mapping[str, Listing], *, has_documents: bool = False) -> list[Series]:
    """The series of every study.

    Args:
        studies: what a person knows each by, no name of a patient → what lists it.
        has_documents: the link leads to documents, too; NoSuchStudy says that one has no images, and nothing is missing.

    Raises:
        CloudfilmError: as the first study's, where none comes; a lapsed session or a refused answer ends all.
    """
    found, named, errors = list[Series](), list[Problem](), list[CloudfilmError]()
    for name, series in studies.items():
        try:
            found += await series()
        except (SiteChanged, SiteUnreachable, StudyGone) as err:
            errors.append(err)
            if has_documents and isinstance(err, NoSuchStudy):
                named.append(Problem("left-out", (name,), {"what": Reason.WITHOUT_IMAGES}, fatal=False))
            else:
                why = err.said or err.cause
                named.append(Problem("fetch-failed", (name,), {"why": str(why)}))
    if not found and errors:
        raise errors[0]
    return [replace(item, left_out=(*item.left_out, *named)) for item in found[:1]] + found[1:]


__all__ = ["listed"]
