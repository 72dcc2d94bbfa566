"""One study from what was found to verified files, which wait in the study's locked store to be placed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from scraper.contract import Package, Series, Study
from scraper.core.errors import CloudfilmError, MissingInstances, SessionLapsed, StoreError
from scraper.core.provenance import options_of
from scraper.core.reasons import Reason
from scraper.core.settings import Settings
from scraper.download import on_disk
from scraper.download import package as packages
from scraper.download.collect import Collected, Collector
from scraper.download.fetch import Fetcher
from scraper.download.package import Contents
from scraper.download.watcher import Watcher
from scraper.pipeline.discover import listed_again
from scraper.pipeline.discovery import Discovery, Part, by_study
from scraper.pipeline.local_files import opened_files
from scraper.pipeline.resources import SharedResources
from scraper.store.earlier import EarlierStudy
from scraper.store.place import StudyStore, open_store


@dataclass(frozen=True, slots=True)
class RetrievedStudy:
    """One study whose files are verified and not placed yet.

    Attributes:
        store: its place on the disk, locked until it is closed.
        study: as the site describes it.
        series: as the site describes them; empty for a package.
        collected: all instances on the disk, those of earlier runs included.
        known: what earlier runs recorded of it.
        asked_for: what this run alone retrieved, where it was asked for some series only: it is judged by these.
        options: of the user, for the report.
    """

    store: StudyStore
    study: Study
    series: tuple[Series, ...]
    collected: Collected
    known: EarlierStudy
    asked_for: Collected | None = None
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The studies of one part of a discovery; ``error``: the disk refused the rest."""

    studies: tuple[RetrievedStudy, ...] = ()
    error: StoreError | None = None

    def close(self) -> None:
        """Let another process have the studies' folders."""
        for study in self.studies:
            study.store.close()


class Retriever:
    """Retrieves studies, one part of a discovery after another.

    Args:
        settings: the user's options.
        watcher: receives progress events.
        resources: what the run's links share.
    """

    def __init__(self, settings: Settings, watcher: Watcher, resources: SharedResources) -> None:
        self._settings = settings
        self._options = options_of(settings)
        self._watcher = watcher
        self._resources = resources

    async def retrieve(self, discovery: Discovery, part: Part) -> Retrieved:
        """Fetch and inspect one part of what was found; nothing more is requested from its site afterwards.

        Raises:
            CloudfilmError: nothing of it could be fetched.
        """
        match part.found:
            case (Package(zip=Path() as path),):
                return await self._local(discovery, part, path)
            case (Package() as package,):
                return await self._package(discovery, part, package)
            case series:
                return await self._series(discovery, part, series)

    # ---- series

    async def _series(self, discovery: Discovery, part: Part, series: Sequence[Series]) -> Retrieved:
        for item in series:
            expected = item.expected if item.expected is not None else len(item.instances)
            self._watcher.series(item.name, _label(item), expected)
        with ExitStack() as closing:
            store = await self._opened(part.key, closing)
            collector = await self._collector(store, self._fetcher(discovery))
            error: StoreError | None = None
            try:
                await self._fetch_all(collector, discovery, part.key, series)
            except StoreError as err:
                error = err  # what arrived is placed all the same
            asked_for = collector.collected() if self._settings.series else None
            try:
                await collector.keep_earlier()
            except StoreError as err:
                raise error or err from None
            known = store.known
            if self._settings.expect is not None:  # a person's new count replaces an earlier one
                known = replace(known, stated=None)
            study = RetrievedStudy(
                store, part.study, tuple(series), collector.collected(), known, asked_for, self._options
            )
            closing.pop_all()
            return Retrieved((study,), error)

    async def _fetch_all(self, collector: Collector, discovery: Discovery, key: str, series: Sequence[Series]) -> None:
        """Fetch all; if the session lapses, list again and go on, as long as more instances arrive."""
        left = await collector.take(series)
        while left:
            before = collector.saved_count
            try:
                found = await listed_again(discovery)
            except CloudfilmError as err:
                collector.give_up(left, err)
                return
            wanted = {item.instance.name for item in left}
            again = [
                replace(item, instances=tuple(instance for instance in item.instances if instance.name in wanted))
                for item in by_study(replace(discovery, found=tuple(found))).get(key, [])
                if isinstance(item, Series)
            ]
            offered = {instance.name for item in again for instance in item.instances}
            collector.give_up(
                [item for item in left if item.instance.name not in offered], MissingInstances(why=Reason.NOT_LISTED)
            )
            left = await collector.take(again)
            if left and collector.saved_count == before:
                collector.give_up(left, SessionLapsed(host=discovery.owner.link.host))
                return

    # ---- packages

    async def _package(self, discovery: Discovery, part: Part, package: Package) -> Retrieved:
        """Retrieve a package; every study in it gets its own folder."""
        earlier = await self._earlier(discovery, part)
        if earlier is not None:
            return Retrieved((earlier,))
        inspector, host = await self._resources.inspector(), discovery.owner.link.host
        fetcher, folder = self._fetcher(discovery), discovery.session.spool / "package"
        studies: list[RetrievedStudy] = []
        try:
            contents = await packages.fetch_contents(package, fetcher, inspector, folder, host)
            for uid in sorted(contents.studies):  # sorted, so that no two runs wait for each other's locks
                studies.append(await self._study_of_package(part, package, contents, uid, fetcher))
        except StoreError as err:
            return Retrieved(tuple(studies), err)
        except BaseException:
            Retrieved(tuple(studies)).close()
            raise
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return Retrieved(tuple(studies))

    async def _study_of_package(
        self, part: Part, package: Package, contents: Contents, uid: str, fetcher: Fetcher
    ) -> RetrievedStudy:
        with ExitStack() as closing:
            store = await self._opened(part.key if len(contents.studies) == 1 else uid, closing)
            self._watcher.series("zip", part.study.description, len(contents.studies[uid]))
            collected = await packages.collect_study(contents, uid, package, await self._collector(store, fetcher))
            closing.pop_all()
            return RetrievedStudy(store, part.study, (), collected, store.known, None, self._options)

    async def _local(self, discovery: Discovery, part: Part, path: Path) -> Retrieved:
        """Retrieve the user's own folder or archive; what no DICOMDIR lists is judged by its instance numbers."""
        folder, inspector = discovery.session.spool / "files", await self._resources.inspector()
        studies: list[RetrievedStudy] = []
        try:
            with ExitStack() as closing:
                files = await opened_files(path, discovery.session, closing)
                contents = await on_disk.contents_of(path, files, inspector, folder)
                package = Package(path, part.study, problems=on_disk.notes_on(files))
                for uid in sorted(contents.studies):
                    named = replace(part, key=uid or part.key)
                    study = await self._study_of_package(named, package, contents, uid, self._fetcher(discovery))
                    if uid not in contents.listed:
                        series, collected = on_disk.judged_by_numbers(study.collected)
                        study = replace(study, series=series, collected=collected)
                    studies.append(study)
        except StoreError as err:
            return Retrieved(tuple(studies), err)
        except BaseException:
            Retrieved(tuple(studies)).close()
            raise
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return Retrieved(tuple(studies))

    async def _earlier(self, discovery: Discovery, part: Part) -> RetrievedStudy | None:
        """The study as an earlier run saved it, where that was complete and still is."""
        with ExitStack() as closing:
            store = await self._opened(part.key, closing)
            if not store.was_complete:
                return None
            collector = await self._collector(store, self._fetcher(discovery))
            collected = await packages.collect_earlier(collector)
            if collected is None:
                return None
            closing.pop_all()
            return RetrievedStudy(store, part.study, (), collected, store.known, None, self._options)

    async def _opened(self, key: str, closing: ExitStack) -> StudyStore:
        store = await open_store(self._settings.output, key, lambda: self._watcher.say("waiting for another cloudfilm"))
        closing.callback(store.close)
        return store

    def _fetcher(self, discovery: Discovery) -> Fetcher:
        return Fetcher(discovery.session, self._watcher.received)

    async def _collector(self, store: StudyStore, fetcher: Fetcher) -> Collector:
        return Collector(store, fetcher, await self._resources.inspector(), self._watcher, self._settings.jobs)


def _label(series: Series) -> str:
    number = "" if series.number is None else f"{series.number} "
    return f"{number}{series.description or series.modality}".strip() or "…"
