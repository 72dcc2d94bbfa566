"""Joins the stages in order: source → link → provider → found → fetched → verified → placed → result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import TypeVar
from urllib.parse import urlsplit

from scraper.contract import Found, Provider, Series, Session, ShareLink
from scraper.core.errors import (
    CloudfilmError,
    CredentialsError,
    ExitCode,
    NothingNew,
    StoreError,
    UnusableLink,
    leaves,
)
from scraper.core.link import redact
from scraper.core.model import Result, Status
from scraper.core.settings import Settings
from scraper.download.collect import SilentWatcher, Watcher
from scraper.pipeline import assess, document, expectation
from scraper.pipeline.discover import Discoverer, by_study, cut_short, listed
from scraper.pipeline.folder_verdict import verify_folder
from scraper.pipeline.progress import Film, Films, Job, only_error
from scraper.pipeline.resources import SharedResources, explained, probe
from scraper.pipeline.retrieve import Retriever, lost
from scraper.registry import catalogue
from scraper.registry.catalogue import Owner
from scraper.session import Ask
from scraper.source import resolve
from scraper.store.place import REPORT, disk, write_whole

__all__ = ["Run", "grab", "verify_folder"]

T = TypeVar("T")


class Run:
    """One run over one or many sources, one after another. Several runs at once may share their pace and inspector.

    Args:
        settings: the user's options.
        watcher: is told how things go.
        ask: asks the person at the terminal.
        stdin: gives the text of standard input.
        resources: browser, pace and so on, open, and closed by the caller; by default the run's own.
    """

    def __init__(
        self,
        settings: Settings,
        watcher: Watcher,
        ask: Ask,
        stdin: Callable[[], str] = str,
        resources: SharedResources | None = None,
    ) -> None:
        self.settings = settings
        self._owns_resources = resources is None
        self._resources = resources or SharedResources(settings)
        self._discoverer = Discoverer(settings, watcher, ask, stdin, self._resources)
        self._retriever = Retriever(settings, watcher, self._resources)
        self.log: list[dict[str, object]] = []  # of the last source, for its diagnostic

    async def __aenter__(self) -> Run:
        if self._owns_resources:
            await self._resources.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._owns_resources:
            await self._resources.__aexit__(kind, error, trace)

    # ---- the jobs

    async def films(self, given: str) -> Films:
        """The films that one source holds; each is a job of its own. Never raises a CloudfilmError."""
        try:
            held = await asyncio.to_thread(self._discoverer.held, given)
        except CloudfilmError as err:
            return Films((), error=err)
        return Films(tuple(Film(share, held.unread) for share in held.links))

    def refused(self, given: str, error: CloudfilmError) -> Result:
        """The result of a source that holds no film."""
        is_shown = resolve.is_file(given) or "://" not in given
        return Job(given if is_shown else redact(given)).result(error)

    async def grab(self, given: str, left: Callable[[], None] = lambda: None, *, film: Film | None = None) -> Result:
        """Bring home every study behind one source; never raises a CloudfilmError.

        Args:
            given: the source.
            film: which of those that it holds; by default the first.
            left: called where the site is asked no more, its session closed, and only the last study's placing is left.
        """
        job = Job(given, film=film)
        try:
            async with AsyncExitStack() as stack:

                async def leave() -> None:
                    await stack.aclose()
                    left()

                probe(self.settings.output)
                owner = await self._discoverer.owner(job)
                (await self._resources.inspector()).warm()
                opened_link = await self._discoverer.open(job, owner, stack)
                studies = by_study(opened_link)
                for place, (key, found) in enumerate(studies.items(), 1):
                    is_last = place == len(studies)
                    try:
                        await self._retriever.retrieve(job, opened_link, key, found, leave if is_last else None)
                    except (StoreError, CredentialsError):
                        raise
                    except CloudfilmError as err:
                        if len(studies) == 1 and not (isinstance(err, NothingNew) and job.has_saved):
                            raise
                        job.studies.append(lost(found[0].study, err))  # the other studies are still to be had
        except CloudfilmError as err:
            return job.result(explained(err))
        except ExceptionGroup as group:
            return job.result(explained(_first_of(group)))
        finally:
            self.log = job.log
        error = only_error(job.studies, urlsplit(job.link).hostname or "")
        if error is None and self.settings.expect is not None and job.studies:
            is_partial = bool(self.settings.series)
            await asyncio.to_thread(_expect, job, self.settings.expect, is_partial=is_partial)
        return job.result(error)

    def may_ask(self, result: Result) -> bool:
        """Whether a person could say how many images there are, and nobody else does."""
        is_open = self.settings.interactive and self.settings.expect is None
        return is_open and result.error is None and expectation.is_open(result.studies)

    def expected(self, result: Result, count: int) -> Result:
        """The result, and the reports on the disk, judged by how many images a person says there are.

        Raises:
            DiskFull, NotWritable: the disk refuses.
        """
        job = Job(
            result.source,
            link=result.link,
            provider=result.provider,
            via=result.via,
            studies=list(result.studies),
        )
        _expect(job, count, is_partial=bool(self.settings.series))
        return replace(job.result(), seconds=result.seconds)

    async def survey(self, given: str, *, film: Film | None = None) -> Result:
        """Say what there is behind one source, or one of its films; downloads nothing."""
        job = Job(given, film=film)
        try:
            async with AsyncExitStack() as stack:
                opened_link = await self._discoverer.open(job, await self._discoverer.owner(job), stack)
                for found in by_study(opened_link).values():
                    series = [item for item in found if isinstance(item, Series)]
                    study = assess.survey(series, found[0].study)
                    if ended := opened_link.session.patience.ended:
                        study = replace(study, problems=(*study.problems, cut_short(ended)))
                    job.studies.append(study)
                if self.settings.expect is not None and job.studies:
                    job.studies = expectation.announced(job.studies, self.settings.expect)
        except CloudfilmError as err:
            return job.result(explained(err))
        except ExceptionGroup as group:
            return job.result(explained(_first_of(group)))
        finally:
            self.log = job.log
        is_whole = not any(problem.fatal for study in job.studies for problem in study.problems)
        status = (Status.COMPLETE, ExitCode.COMPLETE) if is_whole else (Status.INCOMPLETE, ExitCode.INCOMPLETE)
        return replace(job.result(), status=status[0], exit_code=int(status[1]))

    async def watched(self, given: str, work: Callable[[ShareLink, Session], Awaitable[T]]) -> T:
        """Open one source's link in the browser, whoever owns it, and hand its session to ``work``.

        Raises:
            CloudfilmError: of any kind; what ``grab`` would make a result of.
        """
        share = await asyncio.to_thread(self._discoverer.read, given)
        async with AsyncExitStack() as stack:
            session = await self._discoverer.session(Owner(catalogue.universal(), share, listed=False), stack)
            window = await session.window()
            async with window.guard():
                await window.look_into_memory()
                await session.open(share.url)
                return await work(share, session)

    async def discovered(
        self, provider: Provider, share: ShareLink, work: Callable[[Session, list[Found]], Awaitable[T]]
    ) -> T:
        """Have a provider speak to the site directly, in a session of its own, and hand what it found to ``work``.

        Raises:
            UnusableLink: its route does not match the link. CloudfilmError: whatever it raises.
        """
        matched = share.matched(provider.route)
        if matched is None:
            raise UnusableLink(link=share.redacted)
        async with AsyncExitStack() as stack:
            session = await self._discoverer.session(Owner(provider, matched, listed=False), stack)
            return await work(session, await listed(provider, matched, session))


def _first_of(group: ExceptionGroup) -> CloudfilmError:
    """The first of a group of our own errors; a group with anything else in it is raised again."""
    every = leaves(group)
    known = [leaf for leaf in every if isinstance(leaf, CloudfilmError)]
    if len(known) < len(every):
        raise group
    return known[0]


def _expect(job: Job, count: int, *, is_partial: bool) -> None:
    """Judge a source by how many images a person says there are, and say so in the reports on the disk.

    Where only some series were asked for, the number is of these, and the reports, which are of all, stay.
    """
    job.studies = expectation.held(job.studies, count)
    for study in job.studies:
        if study.output is not None and not is_partial:
            path = study.output / REPORT
            with disk(path):
                write_whole(path, document.amended(path, replace(job, studies=[study]).result()))


async def grab(given: str, settings: Settings = Settings(), watcher: Watcher = SilentWatcher()) -> Result:  # noqa: B008  both frozen
    """One source to a verified study on disk, for other programs; nobody is asked, ``settings.answers`` must hold all.

    Args:
        given: the path of a photo, scan or PDF; a link; or a text that contains one.
        settings: the options of the command line.
        watcher: is told how things go.

    Returns:
        how it ended; what went wrong stands in its ``error`` and ``problems``.
    """
    async with Run(settings, watcher, lambda *_: None) as run:
        return await run.grab(given)
