"""Run jobs in this process: each slot has its own browser; all share the pace and the inspecting processes.

A job holds its slot while it makes requests; its results are stored while the next job starts.

A source that hangs, crashes its browser or meets a bug of ours affects no other. Browser and processes are replaced before
they grow.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

from scraper.batch.report.thumbnails import of_studies
from scraper.batch.workers.protocol import Job, Outcome
from scraper.core.errors import CloudfilmError, ExitCode, SiteUnreachable, single_errors
from scraper.core.messages import describe, say
from scraper.core.model import Result, Status
from scraper.core.reasons import Reason
from scraper.core.settings import Settings
from scraper.download.watcher import SilentWatcher, Watcher
from scraper.pipeline import document
from scraper.pipeline.resources import SharedResources
from scraper.pipeline.run import Retrieval, Run
from scraper.session import Ask
from scraper.session.http.pace import Pace
from scraper.ui.report import write_diagnostic
from scraper.verify import Inspector

T = TypeVar("T")

LINKS_A_BROWSER: Final = 25  # then it is replaced
LINKS_AN_INSPECTOR: Final = 200
PATIENCE: Final = 30  # times ``--timeout`` without a sign of life: 30 minutes by default
LOOK_EVERY_S: Final = 1.0
LETTING_GO_S: Final = 30.0  # for a source that was given up to close what it opened
LIFE_BYTES: Final = 2**20  # received bytes that count as a sign of life: a trickle does not


class Heartbeat:
    """Forward progress to a Watcher, and remember when it last moved.

    Args:
        watcher: receives the progress.
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._bytes = 0
        self._last = time.monotonic()

    @property
    def silent_s(self) -> float:
        """Seconds since the last sign of life."""
        return time.monotonic() - self._last

    def series(self, name: str, label: str, expected: int | None) -> None:
        """Forward that a series begins."""
        self._last = time.monotonic()
        self._watcher.series(name, label, expected)

    def arrived(self, series: str, *, reused: bool) -> None:
        """Count an instance on the disk."""
        self._last = time.monotonic()
        self._watcher.arrived(series, reused=reused)

    def saved(self, series: str, path: Path) -> None:
        """Forward where an instance lies."""
        self._watcher.saved(series, path)

    def received(self, size: int) -> None:
        """Count received bytes; a whole megabyte is a sign of life."""
        self._bytes += size
        if self._bytes >= LIFE_BYTES:
            self._bytes = 0
            self._last = time.monotonic()
        self._watcher.received(size)

    def say(self, name: str, **values: object) -> None:
        """Forward a short line for a person."""
        self._last = time.monotonic()
        self._watcher.say(name, **values)


class _Silent(Exception):
    """There was no sign of life for too long."""


@dataclass(slots=True)
class _InspectorLease:
    """The inspecting processes for some hundred links, ended after the last of these."""

    inspector: Inspector
    given: int = 0
    in_use: int = 0


class _Slot:
    """A place for one job at a time, with its own browser."""

    def __init__(self, settings: Settings, pace: Pace) -> None:
        self._settings = settings
        self._pace = pace
        self._resources: SharedResources | None = None
        self._links = 0

    async def resources(self, inspector: Inspector) -> SharedResources:
        """A recent browser, and the other resources."""
        if self._links >= LINKS_A_BROWSER:
            await self.close()
        if self._resources is None:
            self._resources = await SharedResources(self._settings, pace=self._pace).__aenter__()
            self._links = 0
        self._links += 1
        self._resources.use(inspector)
        return self._resources

    async def close(self) -> None:
        """End what the slot started."""
        resources, self._resources = self._resources, None
        if resources is not None:
            await resources.__aexit__(None, None, None)


@dataclass(frozen=True, slots=True)
class LocalRetrieval:
    """What one job retrieved, or how it failed; its inspecting processes stay until it is placed."""

    job: Job
    started: float
    run: Run
    heartbeat: Heartbeat
    lease: _InspectorLease
    ended: Retrieval | Result


class LocalWorker:
    """Up to ``parallel`` jobs that use a site at once, in this process.

    Args:
        settings: the options that all jobs have in common.
        parallel: jobs at once.
        ask: asks the person at the terminal.
        watched: returns each job's watcher.
        patience_s: give a source up after so many seconds without a sign of life; by default from ``--timeout``.
    """

    def __init__(
        self,
        settings: Settings,
        parallel: int,
        *,
        ask: Ask = lambda *_: None,
        watched: Callable[[Job], Watcher] = lambda _: SilentWatcher(),
        patience_s: float | None = None,
    ) -> None:
        self._settings = settings
        self._ask = ask
        self._watched = watched
        self._patience_s = patience_s or PATIENCE * settings.timeout_s
        pace = Pace(settings.jobs, settings.rate)
        self._slots = [_Slot(settings, pace) for _ in range(parallel)]
        self._free: asyncio.LifoQueue[_Slot] = asyncio.LifoQueue()
        for slot in self._slots:
            self._free.put_nowait(slot)
        self._lease: _InspectorLease | None = None
        self._abandoned: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        """Enter; starts nothing yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the browsers and the processes."""
        async with AsyncExitStack() as stack:
            if self._lease is not None:
                stack.push_async_exit(self._lease.inspector)
            for slot in self._slots:
                stack.push_async_callback(slot.close)

    async def retrieve(self, job: Job) -> LocalRetrieval:
        """Retrieve one source; a slot is taken until that is done."""
        slot = await self._free.get()
        try:
            lease = await self._take_inspector()
            try:
                started, heartbeat = time.monotonic(), Heartbeat(self._watched(job))
                run = Run(job.settings, heartbeat, self._ask, resources=await slot.resources(lease.inspector))
                ended = await self._attempt(job, run.retrieve(job.source), heartbeat, started)
                if isinstance(ended, Result):
                    await _renew_browser(slot)
                return LocalRetrieval(job, started, run, heartbeat, lease, ended)
            except BaseException:
                await self._return_inspector(lease)
                raise
        finally:
            self._free.put_nowait(slot)

    async def place(self, retrieved: LocalRetrieval) -> Outcome:
        """Place what was retrieved; every failure is an outcome."""
        job, result = retrieved.job, retrieved.ended
        try:
            if isinstance(result, Retrieval):
                placing = retrieved.run.place(result)
                result = await self._attempt(job, placing, retrieved.heartbeat, retrieved.started)
            return await self._outcome(retrieved, result)
        finally:
            await self._return_inspector(retrieved.lease)

    async def _attempt(
        self, job: Job, work: Coroutine[Any, Any, T], heartbeat: Heartbeat, started: float
    ) -> T | Result:
        """What the work gives; a failed result where it shows no sign of life, or has a bug."""
        try:
            return await self._within(work, heartbeat)
        except _Silent:
            given_up = SiteUnreachable(
                host=urlsplit(job.shown).hostname or job.shown,
                why=Reason.NO_SIGN_OF_LIFE.of(seconds=f"{self._patience_s:.0f}"),
            )
            return _failed(job, given_up, ExitCode.SITE, started)
        except Exception as err:  # noqa: BLE001  # a bug of ours ends its own source, not the thousand others
            return _failed(job, err, ExitCode.BUG, started)

    async def _outcome(self, retrieved: LocalRetrieval, result: Result) -> Outcome:
        job, inspector = retrieved.job, retrieved.lease.inspector
        if result.error is not None and result.exit_code in (ExitCode.BUG, ExitCode.SITE):
            folder = job.settings.output / "diagnostics"
            path = write_diagnostic(folder, result.error, result.link, result.provider, retrieved.run.log)
            result = replace(result, diagnostic=path)
        folders = [study.output for study in result.studies if study.output is not None]
        drawn = await inspector.apart(of_studies, folders) if folders else None
        try:
            return outcome(job, result, drawn)
        except Exception as err:  # noqa: BLE001  # as above
            return outcome(job, _failed(job, err, ExitCode.BUG, retrieved.started))

    async def _within(self, work: Coroutine[Any, Any, T], heartbeat: Heartbeat) -> T:
        """Wait as long as there are signs of life.

        Raises:
            _Silent: none for too long; the work was cancelled, and is abandoned where it does not end.
        """
        task = asyncio.create_task(work)
        try:
            while not (await asyncio.wait({task}, timeout=min(LOOK_EVERY_S, self._patience_s / 4)))[0]:
                if heartbeat.silent_s > self._patience_s:
                    raise _Silent
        except (asyncio.CancelledError, _Silent):
            await self._called_off(task)
            raise
        if task.cancelled():  # from within: it must not look as if the user had stopped the batch
            raise RuntimeError("called off by itself")
        return task.result()

    async def _called_off(self, task: asyncio.Task[T]) -> None:
        task.cancel()
        _, hanging = await asyncio.wait({task}, timeout=LETTING_GO_S)
        if hanging:
            self._abandoned.add(task)
            task.add_done_callback(self._abandoned.discard)
        elif not task.cancelled():
            task.exception()  # seen, and of no interest any more

    async def _take_inspector(self) -> _InspectorLease:
        if self._lease is None or self._lease.given >= LINKS_AN_INSPECTOR:
            old = self._lease
            self._lease = _InspectorLease(await Inspector().__aenter__())
            if old is not None and not old.in_use:
                await old.inspector.__aexit__(None, None, None)
        self._lease.given += 1
        self._lease.in_use += 1
        return self._lease

    async def _return_inspector(self, lease: _InspectorLease) -> None:
        lease.in_use -= 1
        if lease is not self._lease and not lease.in_use:
            await lease.inspector.__aexit__(None, None, None)


async def _renew_browser(slot: _Slot) -> None:
    """Give the slot's next job a fresh browser."""
    with contextlib.suppress(Exception, TimeoutError):
        async with asyncio.timeout(LETTING_GO_S):
            await slot.close()


def outcome(job: Job, result: Result, thumbnails: Mapping[str, bytes] | None = None) -> Outcome:
    """A result as the ledger stores it and ``--json`` prints it; the source is redacted."""
    language = job.settings.language
    shown_document = {**document.of(result, language), "source": job.shown}
    words = ""
    if isinstance(result.error, CloudfilmError):
        words = describe(result.error, language)
    elif result.error is not None:
        names = ", ".join(dict.fromkeys(type(error_inside).__name__ for error_inside in single_errors(result.error)))
        words = say("bug", language, name=names)
        shown_document["problems"] = [{"code": "bug", "message": words, "instances": []}]
    diagnostic = "" if result.diagnostic is None else str(result.diagnostic)
    return Outcome(shown_document, words, diagnostic, thumbnails or {})


def _failed(job: Job, error: Exception, code: ExitCode, started: float) -> Result:
    seconds = round(time.monotonic() - started, 1)
    shown = job.shown if "://" in job.shown else ""
    return Result(job.shown, Status.FAILED, int(code), link=shown, seconds=seconds, error=error)
