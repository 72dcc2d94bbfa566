"""One package, fetched and taken apart: its objects by study, and each study collected as fetched instances are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scraper.core.errors import CloudfilmError, CorruptInstance, MissingInstances, NotOriginalDicom
from scraper.core.model import Origin, Package, Problem
from scraper.core.reasons import Reason
from scraper.download.collect import Collected, Collector
from scraper.download.fetch import Fetcher
from scraper.verify import Checked, DirectoryComparison, Inspector, listing


@dataclass(frozen=True, slots=True)
class Contents:
    """What a package holds.

    Attributes:
        studies: Study Instance UID → its objects, each with its name in the package.
        left_out: names of what is no DICOM object.
        broken: names of what could not be taken out or read whole → why.
        listing: what the package's own DICOMDIR names, compared with this.
        listed: the Study Instance UIDs that a DICOMDIR names.
    """

    studies: Mapping[str, Sequence[tuple[str, Checked]]]
    left_out: tuple[str, ...]
    broken: Mapping[str, CloudfilmError]
    listing: DirectoryComparison
    listed: frozenset[str] = frozenset()


async def fetch_contents(package: Package, fetcher: Fetcher, inspector: Inspector, folder: Path, host: str) -> Contents:
    """Fetch a package, take it apart into ``folder``, and inspect each object.

    Raises:
        CorruptInstance, NotOriginalDicom, MissingInstances: there is no DICOM object in it.
        CloudfilmError: as for ``Fetcher.package``.
    """
    members = await fetcher.package(package, folder)
    checked = await inspected(inspector, ((item.name, item.path) for item in members if item.path is not None))
    paths = {member.name: member.directory for member in members if member.directory is not None}
    directories, unreadable = await listing.read_all(inspector, paths)
    listed = listing.compare(directories, [member.name for member in members], dict(checked))
    left_out = [
        member.name for member in members if member.path is None and not member.is_broken and member.directory is None
    ]
    broken = {member.name: CorruptInstance(what=Reason.BROKEN_ZIP) for member in members if member.is_broken}
    studies: dict[str, list[tuple[str, Checked]]] = {}
    for name, item in checked:
        studies.setdefault(item.header.study_instance_uid if item.header else "", []).append((name, item))
    if not studies and broken:
        raise CorruptInstance(what=Reason.BROKEN_ZIP)
    if not studies and any(member.is_picture for member in members):
        raise NotOriginalDicom(host=host)
    if not studies:
        raise MissingInstances(why=Reason.NO_DICOM_OBJECT_IN_ZIP, expected="?", saved=0)
    return Contents(studies, (*left_out, *unreadable), broken, listed)


async def collect_study(contents: Contents, uid: str, package: Package, collector: Collector) -> Collected:
    """Collect one study of a package, and what earlier runs saved of it.

    Raises:
        StoreError: the disk refuses.
    """
    objects, broken = contents.studies[uid], contents.broken
    missing = _missing(contents, uid)
    problems = (*package.problems, *missing)
    counted = len(objects) + len(broken) + sum(len(problem.instances) for problem in missing if problem.fatal)
    if len(contents.studies) == 1 and package.expected is not None:
        if len(objects) < package.expected:
            short = Problem("missing-instances", values={"expected": package.expected, "saved": len(objects)})
            problems = (*problems, short)
        counted = max(counted, package.expected)
    for name, item in objects:
        collector.adopt(name, item)
    await collector.keep_earlier()
    collected = collector.collected()
    return replace(
        collected,
        left_out=contents.left_out,
        problems=(*problems, *collected.problems),
        expected_total=counted,
        failed={**broken, **collected.failed},  # which of several studies they belong to is unknown
    )


async def collect_earlier(collector: Collector) -> Collected | None:
    """The study that an earlier run saved complete; None where anything of it is no longer sound."""
    if not await collector.reuse_all():
        return None
    collected = collector.collected()
    return replace(collected, expected_total=len(collected.saved))


def _missing(contents: Contents, uid: str) -> Sequence[Problem]:
    """What the DICOMDIR names of this study and the package lacks; with the first study, that of no study in it."""
    is_first = uid == min(contents.studies)
    return contents.listing.problems(lambda study: study == uid or (is_first and study not in contents.studies))


async def inspected(inspector: Inspector, files: Iterable[tuple[str, Path]]) -> list[tuple[str, Checked]]:
    """Inspect files; each with its name."""
    named = [*files]
    checked = await asyncio.gather(*(inspector.inspect(path, Origin.ORIGINAL) for _, path in named))
    return [(name, item) for (name, _), item in zip(named, checked, strict=True)]
