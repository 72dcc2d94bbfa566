"""The stages in order: source → link → provider → discovery → retrieved studies → placed studies → result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TypeVar
from urllib.parse import urlsplit

from scraper.contract import Discovered, Provider, Session, ShareLink
from scraper.core.errors import (
    CloudfilmError,
    CredentialsError,
    ExitCode,
    NothingNew,
    SiteChanged,
    StoreError,
    UnusableLink,
    first_of_groups,
)
from scraper.core.link import redact
from scraper.core.model import Result, Status, StudyResult
from scraper.core.settings import BrowserUse, Settings
from scraper.download.watcher import SilentWatcher, Watcher
from scraper.pipeline import expectation, local_files
from scraper.pipeline.discover import Discoverer, listed
from scraper.pipeline.discovery import Discovery, Part, by_study, parts, surveyed
from scraper.pipeline.folder_verdict import verify_folder
from scraper.pipeline.place import failed_study, judge_by_count, place
from scraper.pipeline.resources import SharedResources, explained, probe
from scraper.pipeline.result import Film, Films, SourceInfo, has_saved, only_error, result_of
from scraper.pipeline.retrieve import Retrieved, Retriever
from scraper.registry import catalogue
from scraper.registry.catalogue import Owner
from scraper.session import Ask
from scraper.source import kinds

__all__ = ["Run", "grab", "verify_folder"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """What is known of a source once its link was opened: a discovery, or the error that prevented it."""

    info: SourceInfo
    discovery: Discovery | None = None
    error: CloudfilmError | None = None


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What was retrieved of one source.

    Attributes:
        info: what is known of the source.
        placed: results of studies that are placed already, or could not be fetched.
        last: what is still to be placed.
        error: what stopped the retrieval.
    """

    info: SourceInfo
    placed: tuple[StudyResult, ...] = ()
    last: Retrieved = field(default_factory=Retrieved)
    error: CloudfilmError | None = None

    @property
    def has_files(self) -> bool:
        """Whether any instance is on the disk, placed or still to be placed."""
        return has_saved(self.placed) or any((study.asked_for or study.collected).saved for study in self.last.studies)


class Run:
    """One run over one or many sources, one after another. Several runs at once may share their pace and inspector.

    Args:
        settings: the user's options.
        watcher: receives progress events.
        ask: asks the person at the terminal.
        stdin: gives the text of standard input, or a file with what came there.
        resources: browser, pace and so on, open, and closed by the caller; by default the run's own.

    Attributes:
        hold: a person's pause of it.
        log: of the last source, for its diagnostic.
    """

    def __init__(
        self,
        settings: Settings,
        watcher: Watcher,
        ask: Ask,
        stdin: Callable[[], str | Path] = str,
        resources: SharedResources | None = None,
    ) -> None:
        self.settings = settings
        self._watcher = watcher
        self._ask = ask
        self._owns_resources = resources is None
        self._resources = resources or SharedResources(settings)
        self._discoverer = Discoverer(settings, watcher, ask, stdin, self._resources)
        self._retriever = Retriever(settings, watcher, self._resources)
        self.hold = self._resources.pace.hold
        self.log: list[dict[str, object]] = []

    async def __aenter__(self) -> Run:
        if self._owns_resources:
            await self._resources.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._owns_resources:
            await self._resources.__aexit__(kind, error, trace)

    async def films(self, source: str) -> Films:
        """The films that one source holds; each has a result of its own. Never raises a CloudfilmError."""
        try:
            held = await asyncio.to_thread(self._discoverer.held, source)
        except CloudfilmError as err:
            return Films((), error=err)
        return Films(tuple(Film(share, held.unread) for share in held.links))

    def refused(self, source: str, error: CloudfilmError) -> Result:
        """The result of a source that holds no film."""
        is_shown = kinds.is_file(source) or "://" not in source
        return result_of(SourceInfo.begin(source if is_shown else redact(source)), error=error)

    # ---- one source, start to end

    async def grab(self, source: str, *, film: Film | None = None) -> Result:
        """Save every study behind one source; never raises a CloudfilmError.

        Args:
            source: a photo, a PDF, a text, a link.
            film: which of those that it holds; by default the first.
        """
        return await self.place(await self.retrieve(source, film=film))

    async def retrieve(self, source: str, *, film: Film | None = None) -> Retrieval:
        """Fetch and verify every study behind one source, and leave its site; never raises a CloudfilmError.

        Where a provider lists a study and can fetch nothing of it because its site has changed, the site's own page may
        still show the study: it is captured.
        """
        retrieval = await self._retrieve(source, film)
        if not retrieval.has_files:
            retrieval = await self._placed(retrieval)  # nothing waits to be placed, and now it is known why
        if not self._is_site_changed(retrieval):
            return retrieval
        settings = replace(self.settings, provider=catalogue.UNIVERSAL)
        universal = Run(settings, self._watcher, self._ask, resources=self._resources)
        captured = await universal.retrieve(source, film=film)
        if not captured.has_files:
            captured.last.close()
            return retrieval
        self.log = universal.log
        return replace(captured, info=replace(captured.info, started=retrieval.info.started))

    def _is_site_changed(self, retrieval: Retrieval) -> bool:
        """Whether a provider saved nothing because its site has changed, and the site's page may be opened instead."""
        is_changed = isinstance(retrieval.error, SiteChanged) and not retrieval.has_files
        is_provider = not self.settings.provider and retrieval.info.provider not in ("", catalogue.UNIVERSAL)
        return is_changed and is_provider and self.settings.browser is not BrowserUse.NEVER

    async def _retrieve(self, source: str, film: Film | None) -> Retrieval:
        """Open the link, discover what it holds, and retrieve that part by part."""
        retrieval = Retrieval(SourceInfo.begin(source, film))
        try:
            with first_of_groups():
                probe(self.settings.output)
                async with AsyncExitStack() as stack:
                    opened = await self._open(retrieval.info, film, stack, is_listing=False)
                    retrieval = Retrieval(opened.info, error=opened.error)
                    if opened.discovery is None:
                        return retrieval
                    every = parts(opened.discovery)
                    is_single = len({part.key for part in every}) == 1
                    for part in every:
                        # placed before the next part is fetched: one study's folder is locked at a time
                        ready, retrieval = retrieval.last, replace(retrieval, last=Retrieved())
                        retrieval = await _place_part(ready, retrieval, self.settings)
                        if retrieval.error is None:
                            retrieval = await self._retrieve_part(
                                opened.discovery, part, retrieval, is_single=is_single
                            )
                        if retrieval.error is not None:
                            break
        except CloudfilmError as err:
            return replace(retrieval, error=explained(err))
        except BaseException:
            retrieval.last.close()
            raise
        return retrieval

    async def _retrieve_part(
        self, discovery: Discovery, part: Part, retrieval: Retrieval, *, is_single: bool
    ) -> Retrieval:
        """The retrieval with one more part, still to be placed; or, of several studies, with the reason why one failed."""
        try:
            last = await self._retriever.retrieve(discovery, part)
        except (StoreError, CredentialsError) as err:
            return replace(retrieval, error=explained(err))
        except CloudfilmError as err:
            if is_single and not (isinstance(err, NothingNew) and has_saved(retrieval.placed)):
                return replace(retrieval, error=explained(err))
            return replace(retrieval, placed=(*retrieval.placed, failed_study(part.study, err)))
        return replace(retrieval, last=last, error=last.error)

    async def place(self, retrieval: Retrieval) -> Result:
        """Put what was retrieved under its final names, and say how the source ended; no site is asked."""
        settings, placed = self.settings, await self._placed(retrieval)
        studies, error = placed.placed, placed.error
        result = result_of(retrieval.info, studies, error)
        if error is not None:
            return result
        if settings.expect is not None and studies:
            result = await asyncio.to_thread(judge_by_count, result, settings.expect, is_partial=bool(settings.series))
        if settings.expect_name:
            result = expectation.named(result, settings.expect_name)
        return result

    async def _placed(self, retrieval: Retrieval) -> Retrieval:
        """The retrieval with nothing left to place, and with the reason why nothing arrived where nothing did."""
        info = retrieval.info
        placement = await asyncio.to_thread(place, info, retrieval.last, self.settings)
        studies = (*retrieval.placed, *placement.studies)
        error = retrieval.error or placement.error or only_error(studies, urlsplit(info.link).hostname or "")
        return Retrieval(info, studies, error=error)

    async def survey(self, source: str, *, film: Film | None = None) -> Result:
        """Say what there is behind one source, or one of its films; downloads nothing."""
        info, studies = SourceInfo.begin(source, film), list[StudyResult]()
        try:
            with first_of_groups():
                async with AsyncExitStack() as stack:
                    opened = await self._open(info, film, stack, is_listing=True)
                    info = opened.info
                    if opened.discovery is None:
                        return result_of(info, error=opened.error)
                    studies = await self._surveyed(opened.discovery)
                    if self.settings.expect is not None:
                        studies = expectation.announced(studies, self.settings.expect)
        except CloudfilmError as err:
            return result_of(info, studies, explained(err))
        is_whole = not any(problem.fatal for study in studies for problem in study.problems)
        status = (Status.COMPLETE, ExitCode.COMPLETE) if is_whole else (Status.INCOMPLETE, ExitCode.INCOMPLETE)
        return replace(result_of(info, studies), status=status[0], exit_code=int(status[1]))

    async def _surveyed(self, discovery: Discovery) -> list[StudyResult]:
        link = discovery.owner.link
        if isinstance(discovery.owner.provider, local_files.LocalFiles):
            return await local_files.surveyed(kinds.path_of(link), discovery.session, self._resources)
        return [surveyed(discovery, found) for found in by_study(discovery).values()]

    async def _open(
        self, info: SourceInfo, film: Film | None, stack: AsyncExitStack, *, is_listing: bool
    ) -> OpenedSource:
        """Source → link → provider → session → discovery; if a step fails, what was known by then, and the error."""
        discoverer, source = self._discoverer, info.source
        try:
            with first_of_groups():
                share = film.share if film else await discoverer.read(source)
                # of a link, or a text with one, nothing may be shown that opens the study
                shown = source if kinds.is_file(source) or share.scheme in ("file", "listen") else share.redacted
                info = replace(info, source=shown, link=share.redacted)
                known = film.provider if film else None
                owner = Owner(known, share) if known else await discoverer.owner(share)
                info = replace(info, provider=owner.provider.name)
                if not is_listing:
                    (await self._resources.inspector()).warm()
                session = await discoverer.session(owner, stack)
                self.log = session.direct.log
                discovery = await discoverer.discover(owner, session)
                info = replace(info, via=discovery.via)
                return OpenedSource(info, discoverer.chosen(discovery))
        except CloudfilmError as err:
            return OpenedSource(info, error=explained(err))

    # ---- a person's count

    def may_ask(self, result: Result) -> bool:
        """Whether to ask a person how many images there are: nothing else counts them."""
        is_open = self.settings.interactive and self.settings.expect is None
        return is_open and result.error is None and expectation.is_open(result.studies)

    def expected(self, result: Result, count: int) -> Result:
        """The result, and the reports on the disk, judged by how many images a person says there are.

        Raises:
            DiskFull, NotWritable: the disk refuses.
        """
        return judge_by_count(result, count, is_partial=bool(self.settings.series))

    # ---- a session for other work

    async def link_of(self, source: str) -> ShareLink:
        """The link that a source holds; the first of several.

        Raises:
            CloudfilmError: no file, no picture, no link in it.
        """
        return await self._discoverer.read(source)

    async def watched(
        self, source: str, work: Callable[[ShareLink, Session], Awaitable[T]], provider: Provider | None = None
    ) -> T:
        """Open one source's link in the browser, whoever owns it, and hand its session to ``work``.

        Args:
            source: a photo, a PDF, a text, a link.
            work: is given the link and its session.
            provider: whose browser it is to be (a phone's, WeChat's); by default the universal capture's.

        Raises:
            CloudfilmError: of any kind; what ``grab`` would make a result of.
        """
        share = await self.link_of(source)
        async with AsyncExitStack() as stack:
            owner = Owner(provider or catalogue.universal(), share, listed=False)
            session = await self._discoverer.session(owner, stack)
            window = await session.window()
            async with window.guard():
                await window.look_into_memory()
                await session.open(share.url)
                return await work(share, session)

    async def discovered(
        self, provider: Provider, share: ShareLink, work: Callable[[Session, list[Discovered]], Awaitable[T]]
    ) -> T:
        """Have a provider speak to the site directly, in a session of its own, and hand what it found to ``work``.

        Raises:
            UnusableLink: its route does not match the link. CloudfilmError: whatever it raises.
        """
        matched = provider.reads(share)
        if matched is None:
            raise UnusableLink(link=share.redacted)
        async with AsyncExitStack() as stack:
            session = await self._discoverer.session(Owner(provider, matched, listed=False), stack)
            return await work(session, await listed(provider, matched, session))


async def _place_part(ready: Retrieved, retrieval: Retrieval, settings: Settings) -> Retrieval:
    """The retrieval with one retrieved part placed."""
    placement = await asyncio.to_thread(place, retrieval.info, ready, settings)
    return replace(retrieval, placed=(*retrieval.placed, *placement.studies), error=placement.error)


async def grab(source: str, settings: Settings = Settings(), watcher: Watcher = SilentWatcher()) -> Result:  # noqa: B008  both frozen
    """Save one source as a verified study on disk, for other programs; no person is asked (see ``settings.answers``).

    Args:
        source: the path of a photo, scan or PDF; a link; or a text that contains one.
        settings: the options of the command line.
        watcher: receives progress events.

    Returns:
        how it ended; errors are in its ``error`` and ``problems``.
    """
    async with Run(settings, watcher, lambda *_: None) as run:
        return await run.grab(source)
