"""One study, from what was found to a verified folder: fetched, inspected, placed under its names, reported."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scraper.contract import Found, Package, Series, Study
from scraper.core.errors import (
    CloudfilmError,
    CorruptInstance,
    MissingInstances,
    NotOriginalDicom,
    SessionLapsed,
    StoreError,
)
from scraper.core.messages import without_addresses
from scraper.core.model import Origin, Problem, StudyResult
from scraper.core.settings import Settings
from scraper.dicom.directory import ListedFile, directory_rows
from scraper.download.collect import Collected, Collector, Watcher
from scraper.download.fetch import Fetcher
from scraper.pipeline import assess, document
from scraper.pipeline.discover import Discovery, by_study, listed_again
from scraper.pipeline.progress import Job
from scraper.pipeline.resources import SharedResources
from scraper.protocols.zip_archive import Member
from scraper.store.place import StudyStore, opened
from scraper.verify import Checked, Inspector, Listing, listing


class Retriever:
    """Brings studies home, one after another.

    Args:
        settings: the user's options.
        watcher: is told how things go.
        resources: what the run's links share.
    """

    def __init__(self, settings: Settings, watcher: Watcher, resources: SharedResources) -> None:
        self._settings = settings
        self._watcher = watcher
        self._resources = resources

    async def retrieve(
        self,
        job: Job,
        opened_link: Discovery,
        key: str,
        found: Sequence[Found],
        leave: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """One study: fetched, inspected, placed and reported; what arrived is placed also when the rest fails.

        Args:
            job: what the source has come to.
            opened_link: the site that is asked.
            key: tells the study on the disk.
            found: its series and packages.
            leave: awaited when the site is asked no more for this study, before it is placed.
        """
        packages = [item for item in found if isinstance(item, Package)]
        series = [item for item in found if isinstance(item, Series)]
        settings = self._settings
        inspector = await self._resources.inspector()
        for package in packages:
            await self._package(job, opened_link, key, package)
        if not series:
            return
        for item in series:
            self._watcher.series(
                item.name, _label(item), item.expected if item.expected is not None else len(item.instances)
            )

        async with opened(settings.output, key, lambda: self._watcher.say("waiting for another cloudfilm")) as store:
            fetcher = Fetcher(opened_link.session, self._watcher.received)
            collector = Collector(store, fetcher, inspector, self._watcher, settings.jobs)
            if settings.expect is not None:  # a person's new count is in the place of an earlier one
                store.known = replace(store.known, stated=None)
            stopped: StoreError | None = None
            try:
                await self._take_all(collector, opened_link, key, series)
            except StoreError as err:
                stopped = err
            try:
                if leave is not None:
                    await leave()
            finally:
                try:
                    own = _copied(collector.result) if settings.series else None
                    await collector.keep_earlier()
                    await asyncio.to_thread(
                        _put_away, job, store, key, _Arrival(collector.result, series, found[0].study, own)
                    )
                except StoreError as err:
                    stopped = stopped or err
            if stopped is not None:
                raise stopped

    async def _take_all(self, collector: Collector, opened_link: Discovery, key: str, series: Sequence[Series]) -> None:
        """Fetch; where the session lapses, ask the site anew and go on, as long as that brings anything."""
        left = await collector.take(series)
        while left:
            before = len(collector.result.saved)
            try:
                fresh = await listed_again(opened_link)
            except CloudfilmError as err:
                collector.give_up(left, err)
                return
            wanted = {job.instance.name for job in left}
            again = [
                replace(item, instances=tuple(instance for instance in item.instances if instance.name in wanted))
                for item in by_study(replace(opened_link, found=tuple(fresh))).get(key, [])
                if isinstance(item, Series)
            ]
            offered = {instance.name for item in again for instance in item.instances}
            collector.give_up(
                [job for job in left if job.instance.name not in offered], MissingInstances(why="not listed")
            )
            left = await collector.take(again)
            if left and len(collector.result.saved) == before:
                collector.give_up(left, SessionLapsed(host=opened_link.owner.link.host))
                return

    async def _package(self, job: Job, opened_link: Discovery, key: str, package: Package) -> None:
        """A zip: every study in it gets its own folder."""
        settings, inspector = self._settings, await self._resources.inspector()

        fetcher = Fetcher(opened_link.session, self._watcher.received)
        async with opened(settings.output, key, lambda: self._watcher.say("waiting for another cloudfilm")) as store:
            if store.was_complete:
                collector = Collector(store, fetcher, inspector, self._watcher, settings.jobs)
                if await collector.reuse_all():
                    await asyncio.to_thread(_put_away, job, store, key, _Arrival(collector.result, [], package.study))
                    return
        folder = opened_link.session.spool / "package"
        members = await fetcher.package(package, folder)
        try:
            checked = await asyncio.gather(
                *(_inspected(inspector, member.name, member.path) for member in members if member.path is not None)
            )
            listed, unreadable = await _listed(inspector, members, checked)
            left_out = [
                member.name
                for member in members
                if member.path is None and not member.is_broken and member.directory is None
            ] + unreadable
            broken = [member.name for member in members if member.is_broken]
            groups: dict[str, list[tuple[str, Checked]]] = {}
            for name, item in checked:
                groups.setdefault(item.header.study_instance_uid if item.header else "", []).append((name, item))
            if not groups and broken:
                raise CorruptInstance(what="a broken zip")
            if not groups and any(member.is_picture for member in members):
                raise NotOriginalDicom(host=opened_link.owner.link.host)
            if not groups:
                raise MissingInstances(why="no DICOM object in the zip", expected="?", saved=0)
            for place, (uid, members_of_study) in enumerate(sorted(groups.items())):
                study_key = key if len(groups) == 1 else uid
                async with opened(settings.output, study_key, lambda: None) as store:
                    collector = Collector(store, fetcher, inspector, self._watcher, settings.jobs)
                    collector.result.left_out = left_out
                    collector.result.problems += package.left_out
                    collector.result.counted = len(members_of_study) + len(broken)
                    missing = listed.problems(_of_this(uid, frozenset(groups), is_first=place == 0))
                    collector.result.problems += missing
                    collector.result.counted += sum(len(problem.instances) for problem in missing if problem.fatal)
                    for name in broken:  # whose of several studies it is, nothing tells: named with each
                        collector.result.lost[name] = CorruptInstance(what="a broken zip")
                    if len(groups) == 1:
                        collector.result.problems += _short(package, members_of_study)
                        collector.result.counted = max(collector.result.counted, package.expected or 0)
                    self._watcher.series("zip", package.study.description, len(members_of_study))
                    for name, item in members_of_study:
                        collector.adopt(name, item)
                    await collector.keep_earlier()
                    await asyncio.to_thread(
                        _put_away, job, store, study_key, _Arrival(collector.result, [], package.study)
                    )
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _copied(collected: Collected) -> Collected:
    """What came so far; what is added to the original later is not in it."""
    return replace(
        collected,
        saved=[*collected.saved],
        problems=[*collected.problems],
        series_of={**collected.series_of},
        uid_of_series={**collected.uid_of_series},
    )


@dataclass(frozen=True, slots=True)
class _Arrival:
    """One study that is fetched: what is there now, of earlier runs too, and how the site describes it.

    ``own`` is what this run alone brought, where it was asked for some series only: it is judged by these.
    """

    collected: Collected
    series: Sequence[Series]
    told: Study
    own: Collected | None = None


def _put_away(job: Job, store: StudyStore, key: str, arrival: _Arrival) -> None:
    """Judge what arrived, put it under its final names, and write the study's report.

    Raises:
        StoreError: the disk refuses.
    """
    judged = assess.study(arrival.collected, arrival.series, arrival.told, store.known)
    result = judged.result
    if arrival.own is not None:
        result = assess.study(arrival.own, arrival.series, arrival.told).result
    if not arrival.collected.saved:
        job.studies.append(result)
        return
    folder, placed = store.place(judged.result.study, judged.layout)
    job.studies.append(replace(result, output=folder))
    alone = replace(job, studies=[replace(judged.result, output=folder)]).result()
    store.write_report(document.study_report(alone, key, placed, judged.found))


def lost(study: Study, err: CloudfilmError) -> StudyResult:
    """One of several studies of which nothing came."""
    name = study.description or study.key or study.date or "?"
    why = without_addresses(err.said or str(err.values.get("why") or err.values.get("what") or err.code))
    return StudyResult(study, None, problems=(Problem("fetch-failed", (name,), {"why": why}),), error=err)


def _short(package: Package, members: Sequence[tuple[str, Checked]]) -> list[Problem]:
    """A zip with fewer objects than the site counts images."""
    if package.expected is None or len(members) >= package.expected:
        return []
    return [Problem("missing-instances", values={"expected": package.expected, "saved": len(members)})]


def _of_this(uid: str, here: frozenset[str], *, is_first: bool) -> Callable[[str], bool]:
    """Whether a DICOMDIR's records of a study are told with this one; those of no study that came, with the first."""
    return lambda study: study == uid or (is_first and study not in here)


async def _listed(
    inspector: Inspector, members: Sequence[Member], checked: Sequence[tuple[str, Checked]]
) -> tuple[Listing, list[str]]:
    """What the package's own DICOMDIR names, held against what is in it; and the names of those that can't be read."""
    directories: dict[str, Sequence[ListedFile]] = {}
    unreadable = []
    for member in members:
        if member.directory is not None:
            rows = await inspector.apart(directory_rows, str(member.directory))
            if rows is None:
                unreadable.append(member.name)
            else:
                directories[member.name] = [ListedFile(*row) for row in rows]
    return listing.compare(directories, [member.name for member in members], dict(checked)), unreadable


async def _inspected(inspector: Inspector, name: str, path: Path) -> tuple[str, Checked]:
    return name, await inspector.inspect(path, Origin.ORIGINAL)


def _label(series: Series) -> str:
    number = "" if series.number is None else f"{series.number} "
    return f"{number}{series.description or series.modality}".strip() or "…"
