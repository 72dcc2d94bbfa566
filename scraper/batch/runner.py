"""Run a plan: several sources at once, spread over the hosts, each claimed in the ledger before it begins.

Whatever ends the run, the next one resumes from the ledger.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from typing import Final, Generic, Protocol

from scraper.batch import plan
from scraper.batch.input.rows import of_link
from scraper.batch.ledger import Ledger, State
from scraper.batch.plan import Item, Plan
from scraper.batch.workers.protocol import Job, Outcome, R, Worker, WorkerLost, combined, keyed_results
from scraper.core.errors import CloudfilmError, SiteUnreachable
from scraper.core.link import ShareLink
from scraper.core.model import Result, Status
from scraper.core.reasons import Reason
from scraper.source import resolve

LOOKED_AT: Final = 200  # waiting sources among which the least busy host is looked for
OTHERS_EVERY_S: Final = 0.5  # how often sources of another process are looked after
LOST_AT_MOST: Final = 1  # times that a source whose worker was lost is given to another


class ProgressListener(Protocol):
    """Receives the batch's progress."""

    def started(self, item: Item) -> None:
        """Work on a source began."""

    def ended(self, item: Item, outcome: Outcome, *, now: bool) -> None:
        """A source has ended, in this run (``now``) or in an earlier one or another process."""


class Runner(Generic[R]):
    """Run one plan.

    Args:
        ledger: open.
        worker: does the jobs; opened and closed here.
        audience: receives the progress.
        parallel: jobs that use a site at once; almost as many again may be storing their results.
    """

    def __init__(self, ledger: Ledger, worker: Worker[R], audience: ProgressListener, parallel: int) -> None:
        self._ledger = ledger
        self._worker = worker
        self._audience = audience
        self._parallel = parallel
        self._running: dict[asyncio.Task[Outcome], Item] = {}
        self._asking: set[str] = set()  # keys of the items of which the sites are asked
        self._leave_event = asyncio.Event()
        self._busy: Counter[str] = Counter()
        self._stopped = ""
        self.settled: set[str] = set()  # keys of the sources that have ended, now or before

    async def run(self, todo: Plan) -> None:
        """Carry out the plan, and wait for what another process does of it.

        Raises:
            StoreError: the ledger can't be written.
        """
        self._ledger.enroll((item.job.key, item.job.shown, item.row.label) for item in todo.items)
        self._ledger.take_up()
        for item in todo.unchanged:
            record = todo.before.get(item.job.key)
            if record is not None and record.outcome is not None and record.state not in (State.QUEUED, State.RUNNING):
                self._settle(item, record.outcome, now=False)
        waiting, elsewhere = list(todo.todo), list[Item]()
        async with self._worker:
            try:
                while self._running or (not self._stopped and (waiting or elsewhere)):
                    self._fill(waiting, elsewhere)
                    if self._running:
                        await self._next()
                    elif elsewhere and not waiting:
                        await asyncio.sleep(OTHERS_EVERY_S)
                    if not self._running or self._stopped:
                        self._look_after(elsewhere, waiting)
            finally:
                await self._let_go()

    # ---- one after another

    def _fill(self, waiting: list[Item], elsewhere: list[Item]) -> None:
        """Start as many as may run at once; the least busy host comes first."""
        while waiting and not self._stopped and self._has_room():
            near = range(min(len(waiting), LOOKED_AT))
            item = waiting.pop(min(near, key=lambda place: (self._busy[waiting[place].host], place)))
            if not self._ledger.claim(item.job.key, item.again, item.attempts):
                elsewhere.append(item)
                continue
            self._busy[item.host] += 1
            self._asking.add(item.job.key)
            self._audience.started(item)
            self._running[asyncio.create_task(self._run_item(item))] = item

    def _has_room(self) -> bool:
        return len(self._asking) < self._parallel and len(self._running) < 2 * self._parallel - 1

    def _leave_site(self, item: Item) -> None:
        """Note that the item makes no more requests to its site."""
        if item.job.key in self._asking:
            self._asking.remove(item.job.key)
            self._busy[item.host] -= 1
            self._leave_event.set()

    async def _next(self) -> None:
        """Wait until another may begin, and settle what has ended."""
        site_freed = asyncio.create_task(self._leave_event.wait())
        try:
            await asyncio.wait({site_freed, *self._running}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            site_freed.cancel()
        for task in [entry for entry in self._running if entry.done()]:
            item = self._running.pop(task)
            self._leave_site(item)
            outcome = task.result()
            self._ledger.finish(item.job.key, outcome, item.answers)
            self._settle(item, outcome, now=True)
            self._stopped = self._stopped or next(iter(plan.STOPPED_BY_THE_DISK & plan.problem_codes(outcome)), "")
        self._leave_event.clear()

    def _settle(self, item: Item, outcome: Outcome, *, now: bool) -> None:
        self.settled.add(item.job.key)
        if not now:
            outcome = plan.relocate(outcome, item.job.settings.output)
        self._audience.ended(item, outcome, now=now)

    def _look_after(self, elsewhere: list[Item], waiting: list[Item]) -> None:
        """Watch sources that another process took: settled there, or free again because it is gone."""
        self._ledger.take_up()
        for item in tuple(elsewhere):
            record = self._ledger.record(item.job.key)
            if record is None or record.state is State.RUNNING:
                continue
            elsewhere.remove(item)
            if record.state is State.QUEUED or record.outcome is None:
                waiting.append(replace(item, attempts=record.attempts))
            else:
                self._settle(item, record.outcome, now=False)

    async def _let_go(self) -> None:
        """End what still runs; it waits for the next run."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        for item in self._running.values():
            self._ledger.release(item.job.key)
        self._running.clear()

    # ---- one source

    async def _run_item(self, item: Item) -> Outcome:
        started = time.monotonic()
        job = item.job
        try:
            held = await asyncio.to_thread(resolve.read_all, job.source, job.settings, str)
        except CloudfilmError as err:
            if item.row.is_file:
                return refused(job, err, started)
            return await self._film(item, job, item.row.identity, started)
        if not item.row.is_file and len(held.links) == 1:
            return await self._film(item, job, item.row.identity, started)
        outcomes = []
        for share in held.links:  # one after another: the source holds one place
            identity = of_link(share)
            outcome = await self._film(item, _of_photo(job, share), identity, started)
            outcomes.append((self._ledger.hashed(identity), outcome))
        return combined(outcomes)

    async def _film(self, item: Item, job: Job, identity: str, started: float) -> Outcome:
        """Run one film of a source."""
        if same := await self._same_link(item, identity):
            return same
        for _ in range(1 + LOST_AT_MOST):
            try:
                retrieved = await self._worker.retrieve(job)
                self._leave_site(item)
                return await self._worker.place(retrieved)
            except WorkerLost:
                continue
        return refused(job, SiteUnreachable(host=item.host or job.shown, why=Reason.WORKERS_LOST), started)

    async def _same_link(self, item: Item, identity: str) -> Outcome | None:
        """The outcome of another source that leads to the same link, where that is done."""
        link = self._ledger.hashed(identity)
        while (owner := self._ledger.own_link(link, item.job.key)) != item.job.key:
            record = self._ledger.record(owner)
            if record is not None and record.state is State.DONE and record.outcome is not None:
                parts = keyed_results(record.outcome)
                same = next((part for key, part in parts if key == link), record.outcome)
                return Outcome(
                    {**same.document, "source": item.job.shown},
                    same.words,
                    same.diagnostic,
                    self._ledger.thumbnails(owner),
                )
            await asyncio.sleep(OTHERS_EVERY_S)
            self._ledger.take_up()
        return None


def _of_photo(job: Job, share: ShareLink) -> Job:
    """The job with the link in place of the photo; a saved page stays unchanged."""
    if share.saved:
        return job
    settings = replace(job.settings, answers={**share.answers, **job.settings.answers})
    return replace(job, source=share.url, settings=settings)


def refused(job: Job, error: CloudfilmError, started: float) -> Outcome:
    """The outcome of a source that was refused before any request."""
    from scraper.batch.workers.local import outcome

    seconds = round(time.monotonic() - started, 1)
    return outcome(job, Result(job.shown, Status.FAILED, int(error.exit_code), seconds=seconds, error=error))
