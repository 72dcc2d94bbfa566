"""Joins the stages in order: source → link → provider → found → fetched → verified → placed → result."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from scraper import document, judge, registry, source, verify
from scraper.collect import Collected, Collector, Unwatched, Watcher
from scraper.contract import Found, Package, Provider, Series, Session, ShareLink, Study
from scraper.equipment import Equipment
from scraper.errors import (
    BrowserMissing,
    CloudfilmError,
    CredentialsError,
    ExitCode,
    MissingInstances,
    NoSuchFile,
    NoSuchStudy,
    NotOriginalDicom,
    SessionLapsed,
    SiteChanged,
    StoreError,
    UnknownViewer,
    UnsafeRedirect,
    UnusableLink,
)
from scraper.fetch import Fetcher
from scraper.link import of
from scraper.model import Origin, Problem, Request, Result, Status, StudyResult, Via
from scraper.registry import Owner
from scraper.session import Ask
from scraper.session.http import Http
from scraper.settings import BrowserUse, Settings
from scraper.store import StudyStore, opened
from scraper.verify import Checked, Inspector

if TYPE_CHECKING:
    from scraper.session.browser import Window

T = TypeVar("T")
SHORT_LINK_HOPS = 6
PRECHECK_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class _Opened:
    """A link that was opened: what its site says there is, and how it was spoken to."""

    owner: Owner
    session: Session
    found: tuple[Found, ...]
    via: Via


@dataclass(slots=True)
class _Job:
    """What one source has come to so far; an error along the way loses none of it."""

    source: str
    started: float = field(default_factory=time.monotonic)
    link: str = ""
    provider: str = ""
    via: Via | None = None
    studies: list[StudyResult] = field(default_factory=list)
    received: int = 0
    log: list[dict[str, object]] = field(default_factory=list)

    def result(self, error: CloudfilmError | None = None) -> Result:
        counts, size = judge.totals(self.studies)
        code = error.exit_code if error else _exit_code(self.studies)
        short = Status.INCOMPLETE if counts.saved else Status.FAILED
        status = Status.COMPLETE if code == ExitCode.COMPLETE else short
        return Result(
            self.source, status, int(code), self.provider, self.via, self.link, tuple(self.studies), counts, size,
            round(time.monotonic() - self.started, 1), (), error,
        )  # fmt: skip


def _exit_code(studies: Sequence[StudyResult]) -> ExitCode:
    codes = {problem.code for study in studies for problem in study.problems}
    if "conflicting-bytes" in codes:
        return ExitCode.STORE
    whole = all(
        series.status == "ok" and not any(problem.fatal for problem in study.problems)
        for study in studies
        for series in study.series
    )
    return ExitCode.COMPLETE if whole and studies else ExitCode.INCOMPLETE


class Run:
    """One run over one or many sources, one after another. Several runs at once may share their pace and inspector.

    Args:
        settings: the user's options.
        watcher: is told how things go.
        ask: asks the person at the terminal.
        stdin: gives the text of standard input.
        equipment: browser, pace and so on, open, and closed by the caller; by default the run's own.
    """

    def __init__(
        self,
        settings: Settings,
        watcher: Watcher,
        ask: Ask,
        stdin: Callable[[], str] = str,
        equipment: Equipment | None = None,
    ) -> None:
        self.settings = settings
        self._watcher = watcher
        self._ask = ask
        self._stdin = stdin
        self._own_equipment = equipment is None
        self._equipment = equipment or Equipment(settings)
        self.log: list[dict[str, object]] = []  # of the last source, for its diagnostic

    async def __aenter__(self) -> Run:
        if self._own_equipment:
            await self._equipment.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own_equipment:
            await self._equipment.__aexit__(kind, error, trace)

    # ---- the jobs

    async def grab(self, given: str) -> Result:
        """Bring home every study behind one source; never raises a CloudfilmError."""
        job = _Job(given)
        try:
            async with AsyncExitStack() as stack:
                owner = await self._owner(job)
                (await self._equipment.inspector()).warm()
                opened_link = await self._open(job, owner, stack)
                studies = _by_study(opened_link)
                for key, found in studies.items():
                    try:
                        await self._bring(job, opened_link, key, found)
                    except (StoreError, CredentialsError):
                        raise
                    except CloudfilmError as err:
                        if len(studies) == 1:
                            raise
                        job.studies.append(
                            _lost(found[0].study, err)
                        )  # the other studies are still to be had
        except CloudfilmError as err:
            return job.result(err)
        finally:
            self.log = job.log
        return job.result(_only_error(job.studies, urlsplit(job.link).hostname or ""))

    async def survey(self, given: str) -> Result:
        """Say what there is behind one source; downloads nothing."""
        job = _Job(given)
        try:
            async with AsyncExitStack() as stack:
                opened_link = await self._open(job, await self._owner(job), stack)
                for found in _by_study(opened_link).values():
                    series = [one for one in found if isinstance(one, Series)]
                    job.studies.append(judge.survey(series, found[0].study))
        except CloudfilmError as err:
            return job.result(err)
        finally:
            self.log = job.log
        return replace(job.result(), status=Status.COMPLETE, exit_code=0)

    async def watched(self, given: str, work: Callable[[ShareLink, Session], Awaitable[T]]) -> T:
        """Open one source's link in the browser, whoever owns it, and hand its session to ``work``.

        Raises:
            CloudfilmError: of any kind; what ``grab`` would make a result of.
        """
        share = await asyncio.to_thread(source.read, given, self.settings, self._stdin)
        async with AsyncExitStack() as stack:
            session = await self._session(Owner(registry.universal(), share, listed=False), stack)
            window = await session.window()
            async with window.guard():
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
            session = await self._session(Owner(provider, matched, listed=False), stack)
            return await work(session, await _listed(provider, matched, session))

    # ---- source → link → provider → found

    async def _owner(self, job: _Job) -> Owner:
        """Whose link the source holds; the universal capture's, where no recipe knows it."""
        share = await asyncio.to_thread(source.read, job.source, self.settings, self._stdin)
        job.link = share.redacted
        if not source.is_file(job.source):
            job.source = job.link  # a link, or a text with one: what is shown of it must not open the study
        owner = registry.find(share, self.settings.provider)
        if owner is None:
            share, owner = await self._follow_short_link(share)
        if owner is None:
            if self.settings.browser is BrowserUse.NEVER:
                raise UnknownViewer(link=share.redacted)
            owner = Owner(registry.universal(), share, listed=False)
        elif not owner.listed and not self.settings.provider:
            self._watcher.say(f"{share.host}: {owner.provider.name}")
        owner = Owner(owner.provider, replace(owner.link, said=share.said), owner.listed)
        job.provider = owner.provider.name
        return owner

    async def _open(self, job: _Job, owner: Owner, stack: AsyncExitStack) -> _Opened:
        host = owner.link.host
        session = await self._session(owner, stack)
        job.log = session.log
        found, job.via = await self._found(owner, session)
        chosen = tuple(_chosen(found, self.settings.series))
        if not any(isinstance(one, Package) or one.instances or one.left_out for one in found):
            raise NoSuchStudy(host=host)
        if not chosen:
            raise NoSuchStudy(f"--series {' '.join(self.settings.series)}", host=host)
        return _Opened(owner, session, chosen, job.via)

    async def _follow_short_link(self, share: ShareLink) -> tuple[ShareLink, Owner | None]:
        """Walk an unknown link's redirects one checked hop at a time, until some provider owns where it leads."""
        http = Http(
            replace(self.settings, timeout_s=min(self.settings.timeout_s, PRECHECK_TIMEOUT_S)),
            self._equipment.pace,
        )
        here = share
        try:
            for _ in range(SHORT_LINK_HOPS):
                response = await http.send(Request(here.url.partition("#")[0]), hops=0, limit=16 * 2**20)
                location = response.headers.get("location", "")
                if response.status not in (301, 302, 303, 307, 308) or not location:
                    break
                target = here.join(location)
                await http.check_hop(here.url, target)
                if "#" not in target and here.parts.fragment:
                    target += (
                        "#" + here.parts.fragment
                    )  # a fragment survives a redirect that names none (RFC 9110 10.2.2)
                here = replace(of(target), said=share.said)
                owner = registry.find(here)
                if owner is not None:
                    return here, owner
        except UnsafeRedirect:
            raise
        except CloudfilmError:
            if self.settings.browser is BrowserUse.NEVER:
                raise
        finally:
            await http.close()
        return share, None

    async def _session(self, owner: Owner, stack: AsyncExitStack) -> Session:
        provider = owner.provider
        spool = self._equipment.spool / hashlib.sha256(owner.link.url.encode()).hexdigest()[:12]
        spool.mkdir(mode=0o700, exist_ok=True)

        async def start_window() -> Window:
            browser = await self._equipment.browser()
            return await browser.window(user_agent=provider.user_agent, mobile=provider.mobile)

        session = Session(
            owner.link, self.settings, Http(self.settings, self._equipment.pace, provider.user_agent),
            start_window=start_window, ask=self._ask, spool=spool, tell=self._watcher.say,
        )  # fmt: skip
        stack.push_async_callback(asyncio.to_thread, shutil.rmtree, spool, ignore_errors=True)
        stack.push_async_callback(session.close)
        return session

    async def _found(self, owner: Owner, session: Session) -> tuple[list[Found], Via]:
        """What there is behind the link, directly where the recipe can, else through the browser."""
        provider, use = owner.provider, self.settings.browser
        if not provider.is_web():
            return await _listed(provider, owner.link, session), Via.DIRECT
        if provider.speaks_directly() and use is not BrowserUse.ALWAYS and not self.settings.headed:
            try:
                return await _listed(provider, owner.link, session), Via.DIRECT
            except SiteChanged as changed:
                if use is BrowserUse.NEVER:
                    raise
                try:
                    return await self._watched(owner, session), Via.BROWSER
                except (BrowserMissing, UnknownViewer, SiteChanged):
                    raise changed from None
        if use is BrowserUse.NEVER:
            raise UnknownViewer(link=owner.link.redacted)
        return await self._watched(owner, session), Via.BROWSER

    async def _watched(self, owner: Owner, session: Session) -> list[Found]:
        """What the viewer shows in the browser: the recipe's own steps where it has them, the universal capture's else."""
        self._watcher.say(owner.link.host)
        universal = registry.universal()
        opens = owner.provider if owner.provider.has_viewer() else universal
        watches = owner.provider if owner.provider.watches() else universal
        window = await session.window()
        async with window.guard():
            await opens.open_viewer(owner.link, session)
            return [one async for one in watches.watch(owner.link, session)]

    # ---- found → on the disk

    async def _bring(self, job: _Job, opened_link: _Opened, key: str, found: Sequence[Found]) -> None:
        """One study: fetched, inspected, placed and reported; what arrived is placed also when the rest fails."""
        packages = [one for one in found if isinstance(one, Package)]
        series = [one for one in found if isinstance(one, Series)]
        settings = self.settings
        inspector = await self._equipment.inspector()
        for package in packages:
            await self._bring_package(job, opened_link, key, package)
        if not series:
            return
        for one in series:
            self._watcher.series(
                one.name, _label(one), one.expected if one.expected is not None else len(one.instances)
            )

        def received(size: int) -> None:
            job.received += size
            self._watcher.received(size)

        async with opened(
            settings.output, key, lambda: self._watcher.say("waiting for another cloudfilm")
        ) as store:
            fetcher = Fetcher(opened_link.session, received)
            collector = Collector(store, fetcher, inspector, self._watcher, settings.jobs)
            stopped: StoreError | None = None
            try:
                await self._take_all(collector, opened_link, key, series)
            except StoreError as err:
                stopped = err
            try:
                await self._place(job, store, key, collector.result, series, found[0].study)
            except StoreError as err:
                stopped = stopped or err
            if stopped is not None:
                raise stopped

    async def _take_all(
        self, collector: Collector, opened_link: _Opened, key: str, series: Sequence[Series]
    ) -> None:
        """Fetch; where the session lapses, ask the site anew and go on, as long as that brings anything."""
        left = await collector.take(series)
        while left:
            before = len(collector.result.saved)
            try:
                fresh = await _listed_again(opened_link)
            except CloudfilmError as err:
                collector.give_up(left, err)
                return
            wanted = {job.instance.name for job in left}
            again = [
                replace(
                    one, instances=tuple(instance for instance in one.instances if instance.name in wanted)
                )
                for one in _by_study(replace(opened_link, found=tuple(fresh))).get(key, [])
                if isinstance(one, Series)
            ]
            offered = {instance.name for one in again for instance in one.instances}
            collector.give_up(
                [job for job in left if job.instance.name not in offered], MissingInstances(why="not listed")
            )
            left = await collector.take(again)
            if left and len(collector.result.saved) == before:
                collector.give_up(left, SessionLapsed(host=opened_link.owner.link.host))
                return

    async def _bring_package(self, job: _Job, opened_link: _Opened, key: str, package: Package) -> None:
        """A zip: every study in it gets its own folder."""
        settings, inspector = self.settings, await self._equipment.inspector()

        def received(size: int) -> None:
            job.received += size
            self._watcher.received(size)

        fetcher = Fetcher(opened_link.session, received)
        async with opened(
            settings.output, key, lambda: self._watcher.say("waiting for another cloudfilm")
        ) as store:
            if store.was_complete:
                collector = Collector(store, fetcher, inspector, self._watcher, settings.jobs)
                if await collector.reuse_all():
                    await self._place(job, store, key, collector.result, [], package.study)
                    return
        folder = opened_link.session.spool / "package"
        members = await fetcher.package(package, folder)
        try:
            checked = await asyncio.gather(
                *(
                    _inspected(inspector, member.name, member.path)
                    for member in members
                    if member.path is not None
                )
            )
            left_out = [member.name for member in members if member.path is None]
            groups: dict[str, list[tuple[str, Checked]]] = {}
            for name, one in checked:
                groups.setdefault(one.header.study_instance_uid if one.header else "", []).append((name, one))
            if not groups and any(member.is_picture for member in members):
                raise NotOriginalDicom(host=opened_link.owner.link.host)
            if not groups:
                raise MissingInstances(why="no DICOM object in the zip", expected="?", saved=0)
            for uid, members_of_study in sorted(groups.items()):
                study_key = key if len(groups) == 1 else uid
                async with opened(settings.output, study_key, lambda: None) as store:
                    collector = Collector(store, fetcher, inspector, self._watcher, settings.jobs)
                    collector.result.left_out = left_out
                    collector.result.problems += package.left_out
                    if len(groups) == 1:
                        collector.result.problems += _short(package, members_of_study)
                    self._watcher.series("zip", package.study.description, len(members_of_study))
                    for name, one in members_of_study:
                        collector.adopt(name, one)
                    await self._place(job, store, study_key, collector.result, [], package.study)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _place(
        self,
        job: _Job,
        store: StudyStore,
        key: str,
        collected: Collected,
        series: Sequence[Series],
        told: Study,
    ) -> None:
        """Judge what arrived, put it under its final names, and write the study's report."""
        judged = await asyncio.to_thread(judge.study, collected, series, told)
        if not collected.saved:
            job.studies.append(judged.result)
            return
        folder, placed = await asyncio.to_thread(store.place, judged.result.study, judged.layout)
        result = replace(judged.result, output=folder)
        job.studies.append(result)
        alone = replace(job, studies=[result]).result()
        report = document.study_report(alone, key, placed, judged.found)
        await asyncio.to_thread(store.write_report, report)


def _lost(study: Study, err: CloudfilmError) -> StudyResult:
    """One of several studies of which nothing came."""
    name = study.description or study.key or study.date or "?"
    why = err.said or str(err.values.get("why") or err.values.get("what") or err.code)
    return StudyResult(study, None, problems=(Problem("fetch-failed", (name,), {"why": why}),), error=err)


def _short(package: Package, members: Sequence[tuple[str, Checked]]) -> list[Problem]:
    """A zip with fewer objects than the site counts images."""
    if package.expected is None or len(members) >= package.expected:
        return []
    return [Problem("missing-instances", values={"expected": package.expected, "saved": len(members)})]


async def _inspected(inspector: Inspector, name: str, path: Path) -> tuple[str, Checked]:
    return name, await inspector.inspect(path, Origin.ORIGINAL)


async def _listed_again(opened_link: _Opened) -> list[Found]:
    """Directly, where the recipe can; else what the open viewer has to say now.

    Raises:
        SessionLapsed: the universal capture holds bodies, and can't ask anew.
    """
    provider, link, session = opened_link.owner.provider, opened_link.owner.link, opened_link.session
    if provider.speaks_directly():
        return await _listed(provider, link, session)
    if not provider.watches():
        raise SessionLapsed(host=link.host)
    return [one async for one in provider.watch(link, session)]


async def _listed(provider: Provider, share: ShareLink, session: Session) -> list[Found]:
    return [one async for one in provider.discover(share, session)]


def _label(series: Series) -> str:
    number = "" if series.number is None else f"{series.number} "
    return f"{number}{series.description or series.modality}".strip() or "…"


def _chosen(found: Sequence[Found], patterns: Sequence[str]) -> list[Found]:
    """The series that ``--series`` asks for: by number, or by a pattern or part of the description."""
    if not patterns:
        return list(found)
    return [
        one
        for one in found
        if isinstance(one, Package) or any(_matches(one, pattern) for pattern in patterns)
    ]


def _matches(series: Series, pattern: str) -> bool:
    lowered, description = pattern.lower(), series.description.lower()
    return (
        str(series.number) == pattern
        or fnmatch(description, lowered)
        or (lowered in description and lowered != "")
    )


def _by_study(opened_link: _Opened) -> Mapping[str, list[Found]]:
    """What was found, by the key that tells its study on the disk."""
    grouped: dict[str, list[Found]] = {}
    provider = opened_link.owner.provider.name
    for one in opened_link.found:
        uid = one.study.uid if isinstance(one, Package) else one.study_instance_uid or one.study.uid
        link = hashlib.sha256(opened_link.owner.link.url.encode()).hexdigest()[:16]
        grouped.setdefault(uid or f"{provider}:{one.study.key or link}", []).append(one)
    return grouped


def _only_error(studies: Sequence[StudyResult], host: str) -> CloudfilmError | None:
    """Where nothing at all arrived: the reason that every instance failed for; or nothing is given out but pictures."""
    if any(series.saved for study in studies for series in study.series):
        return None
    errors = [study.error for study in studies if isinstance(study.error, CloudfilmError)]
    if errors:
        return errors[0]
    problems = [one for study in studies for one in study.problems]
    problems += [one for study in studies for series in study.series for one in series.problems]
    is_left_out = any(one.code == "left-out" for one in problems) and not any(one.fatal for one in problems)
    return NotOriginalDicom(host=host) if is_left_out else None


async def grab(given: str, settings: Settings = Settings(), watcher: Watcher = Unwatched()) -> Result:  # noqa: B008  both frozen
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


async def verify_folder(path: Path, watcher: Watcher) -> Result:
    """Check any folder (or zip) of DICOM files; changes nothing.

    Raises:
        NoSuchFile: nothing there. UnreadableFile: neither a folder nor a zip.
    """
    started = time.monotonic()
    if not path.exists():
        raise NoSuchFile(path=str(path))
    saved_before = document.saved_before(path)
    watcher.series("verify", "DICOM", None)
    report = await verify.check_folder(
        path, saved_before.expected, told=lambda _: watcher.arrived("verify", reused=False)
    )
    studies = judge.folder(report.checked, report.problems, saved_before.sha256)
    counts, size = judge.totals(studies)
    code = _exit_code(studies) if studies else ExitCode.INCOMPLETE
    problems = [] if studies else [Problem("no-dicom-files")]
    if report.left_out:
        kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(report.left_out.items()))
        problems.append(Problem("not-dicom", values={"kinds": kinds}, fatal=False))
    status = Status.COMPLETE if code == ExitCode.COMPLETE else Status.INCOMPLETE
    seconds = round(time.monotonic() - started, 1)
    return Result(
        str(path), status, int(code), studies=studies, counts=counts, size=size, seconds=seconds,
        problems=tuple(problems),
    )  # fmt: skip
