"""Joins the stages in order: source → link → provider → found → fetched → verified → placed → result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TypeVar
from urllib.parse import urlsplit

from scraper import document, expectation, judge, registry, verify
from scraper.bring import Bringer, lost
from scraper.collect import Unwatched, Watcher
from scraper.contract import Found, Provider, Series, Session, ShareLink
from scraper.equipment import Equipment
from scraper.errors import CloudfilmError, CredentialsError, ExitCode, NoSuchFile, StoreError, UnusableLink
from scraper.job import Job, exit_code, only_error
from scraper.model import Problem, Result, Status
from scraper.opening import Opener, by_study, listed
from scraper.registry import Owner
from scraper.session import Ask
from scraper.settings import Settings
from scraper.store import REPORT, disk, write_whole

T = TypeVar("T")


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
        self._own_equipment = equipment is None
        self._equipment = equipment or Equipment(settings)
        self._opener = Opener(settings, watcher, ask, stdin, self._equipment)
        self._bringer = Bringer(settings, watcher, self._equipment)
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

    async def grab(self, given: str, left: Callable[[], None] = lambda: None) -> Result:
        """Bring home every study behind one source; never raises a CloudfilmError.

        Args:
            given: the source.
            left: called where the site is asked no more, its session closed, and only the last study's placing is left.
        """
        job = Job(given)
        try:
            async with AsyncExitStack() as stack:

                async def leave() -> None:
                    await stack.aclose()
                    left()

                owner = await self._opener.owner(job)
                (await self._equipment.inspector()).warm()
                opened_link = await self._opener.open(job, owner, stack)
                studies = by_study(opened_link)
                for place, (key, found) in enumerate(studies.items(), 1):
                    is_last = place == len(studies)
                    try:
                        await self._bringer.bring(job, opened_link, key, found, leave if is_last else None)
                    except (StoreError, CredentialsError):
                        raise
                    except CloudfilmError as err:
                        if len(studies) == 1:
                            raise
                        job.studies.append(lost(found[0].study, err))  # the other studies are still to be had
        except CloudfilmError as err:
            return job.result(err)
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

    async def survey(self, given: str) -> Result:
        """Say what there is behind one source; downloads nothing."""
        job = Job(given)
        try:
            async with AsyncExitStack() as stack:
                opened_link = await self._opener.open(job, await self._opener.owner(job), stack)
                for found in by_study(opened_link).values():
                    series = [one for one in found if isinstance(one, Series)]
                    job.studies.append(judge.survey(series, found[0].study))
                if self.settings.expect is not None and job.studies:
                    job.studies = expectation.announced(job.studies, self.settings.expect)
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
        share = await asyncio.to_thread(self._opener.read, given)
        async with AsyncExitStack() as stack:
            session = await self._opener.session(Owner(registry.universal(), share, listed=False), stack)
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
            session = await self._opener.session(Owner(provider, matched, listed=False), stack)
            return await work(session, await listed(provider, matched, session))


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
    code = exit_code(studies) if studies else ExitCode.INCOMPLETE
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
