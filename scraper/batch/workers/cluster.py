"""Run jobs on a Dask cluster: each worker process has its own browser; outcomes come back, the ledger stays here.

A job travels sealed: neither the scheduler's pages nor its log show a link, an answer or a name. Task keys are random.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast
from urllib.parse import urlsplit

from distributed import Client, KilledWorker, get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from scraper import __version__
from scraper.batch.target import Delivering, Target
from scraper.batch.workers.local import LocalWorker
from scraper.batch.workers.local import outcome as outcome_of
from scraper.batch.workers.protocol import Job, Outcome, Worker, WorkerLost, done
from scraper.core.errors import SiteUnreachable, WorkersUnfit
from scraper.core.leftovers import RunFolder
from scraper.core.model import Result, Status
from scraper.core.reasons import Reason
from scraper.core.settings import Settings, browser_from_environment
from scraper.source import kinds

STARTS_AT_MOST: Final = 2  # of one job: the second where the first one's worker was lost
CONNECT_S: Final = 30.0
CLOSE_S: Final = 60.0  # for a worker process to end its browser


@dataclass(frozen=True, slots=True)
class OpaquePickle:
    """A pickled object whose representation shows nothing of it."""

    content: bytes

    @classmethod
    def of(cls, thing: object) -> OpaquePickle:
        """Seal an object."""
        return cls(pickle.dumps(thing))

    def open(self) -> Any:
        """The object; a task comes from someone who could run any program on this worker anyway."""
        return pickle.loads(self.content)  # noqa: S301  # see there

    def __repr__(self) -> str:
        """Its size."""
        return f"<sealed, {len(self.content)} bytes>"


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """One job for another computer, with its source's file, if it is one."""

    job: Job
    earlier: tuple[str, ...] = ()
    name: str = ""
    content: bytes = b""


class Host(WorkerPlugin):
    """The state of one worker process between jobs: an event loop in a thread, and the worker with its browser.

    Args:
        name: of this batch.
        target: the URL that studies go to; nothing: each job's own output folder.
        patience_s: as for ``LocalWorker``.
    """

    def __init__(self, name: str, target: str, patience_s: float | None) -> None:
        self.name = name
        self._target = target
        self._patience_s = patience_s
        self._slots = 1

    def setup(self, worker: Any) -> None:
        """Set up the plug-in in the worker process; starts nothing yet."""
        self._slots = int(worker.state.nthreads)
        self._begin = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._worker: Worker[Any] | None = None
        self._earlier: dict[str, tuple[str, ...]] = {}

    async def teardown(self, worker: Any) -> None:
        """Cancel what is under way and close the browser at the end of the batch."""
        del worker
        await asyncio.to_thread(self._close)

    def do(self, order: RemoteJob) -> Outcome:
        """Retrieve one source; blocks."""
        with self._begin:
            if self._loop is None or self._worker is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name=self.name, daemon=True)
                self._thread.start()
                self._worker = self._made(_at_home(order.job).settings)
        self._earlier[order.job.key] = order.earlier
        try:
            with RunFolder() as folder:
                job = _at_home(order.job)
                if order.name:
                    path = Path(folder) / order.name
                    path.write_bytes(order.content)
                    job = replace(job, source=str(path))
                return asyncio.run_coroutine_threadsafe(done(self._worker, job), self._loop).result()
        finally:
            del self._earlier[order.job.key]

    def _made(self, settings: Settings) -> Worker[Any]:
        local = LocalWorker(settings, self._slots, patience_s=self._patience_s)
        if not self._target:
            return local
        return Delivering(local, Target(self._target), lambda job: self._earlier.get(job.key, ()))

    def _close(self) -> None:
        loop, worker = self._loop, self._worker
        if loop is None or worker is None or self._thread is None:
            return

        async def end() -> None:
            running = [task for task in asyncio.all_tasks(loop) if task is not asyncio.current_task()]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await worker.__aexit__(None, None, None)

        try:
            asyncio.run_coroutine_threadsafe(end(), loop).result(CLOSE_S)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join(CLOSE_S)
            self._loop = self._worker = None


def _at_home(job: Job) -> Job:
    """The job with settings that only this computer knows, such as its browser."""
    return replace(job, settings=replace(job.settings, browser_path=browser_from_environment()))


def _work(sealed: OpaquePickle, name: str, key: str) -> OpaquePickle:
    """The task itself, in a worker process."""
    worker = get_worker()
    worker.log_event(name, key)  # that it has begun; a job whose workers are lost one after another is given up
    host = cast(Host, worker.plugins[name])
    try:
        return OpaquePickle.of(host.do(sealed.open()))
    except Exception as err:  # noqa: BLE001  # its words may hold a link, and would be logged
        raise RuntimeError(type(err).__name__) from None


def _version() -> str:
    return __version__


class ClusterWorker:
    """Send jobs to a Dask cluster.

    Args:
        scheduler: its address, ``tcp://host:port``.
        target: the URL that studies go to; nothing: the output folder, which all workers see under the same path.
        timeout_s: for the scheduler to answer.
        patience_s: as for ``LocalWorker``.
        earlier: the URLs that an earlier run uploaded a job's studies to.
    """

    def __init__(
        self,
        scheduler: str,
        target: str = "",
        *,
        timeout_s: float = CONNECT_S,
        patience_s: float | None = None,
        earlier: Callable[[Job], Sequence[str]] = lambda _: (),
    ) -> None:
        self._scheduler = scheduler
        self._timeout_s = min(timeout_s, CONNECT_S)
        self._host = Host(f"cloudfilm-{uuid.uuid4().hex[:12]}", target, patience_s)
        self._earlier = earlier
        self._client: Any = None
        self._starts: Counter[str] = Counter()
        self._spent: dict[str, asyncio.Event] = {}
        self._at_host: Counter[str] = Counter()
        self._processes = 1
        self._slots = 1

    async def __aenter__(self) -> Self:
        """Connect to the scheduler, and prepare every present and future worker.

        Raises:
            SiteUnreachable: no scheduler there. WorkersUnfit: its workers lack this tool, or have another version of it.
        """
        for name in ("distributed", "distributed.client", "distributed.core"):
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            connected: Any = Client  # untyped
            self._client = await connected(
                self._scheduler, asynchronous=True, set_as_default=False, timeout=self._timeout_s, name="cloudfilm"
            )
        except (OSError, ValueError) as err:  # no scheduler; no address
            raise SiteUnreachable(host=self._scheduler, why=Reason.NO_SCHEDULER) from err
        try:
            await self._prepared()
        except BaseException:
            await self._client.close()
            raise
        return self

    async def _prepared(self) -> None:
        try:
            versions = set((await self._client.run(_version)).values())
            await self._client.register_plugin(self._host, name=self._host.name)
        except OSError as err:
            raise SiteUnreachable(host=self._scheduler, why=Reason.SCHEDULER_GONE) from err
        except Exception as err:  # what a worker could not import comes as a plain Exception
            raise WorkersUnfit(host=self._scheduler, version=__version__) from err
        if versions - {__version__}:
            raise WorkersUnfit(host=self._scheduler, version=__version__)
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        self._processes = max(1, len(workers))
        self._slots = max(1, sum(int(worker["nthreads"]) for worker in workers))
        self._client.subscribe_topic(self._host.name, self._on_started)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Have the workers close their browsers, and disconnect."""
        try:
            await self._client.unregister_worker_plugin(name=self._host.name)
        except (OSError, KeyError, ValueError, RuntimeError):
            logging.getLogger(__name__).debug("the scheduler is gone")
        finally:
            await self._client.close()

    async def _on_started(self, event: tuple[float, str]) -> None:
        key = event[1]
        self._starts[key] += 1
        if self._starts[key] > STARTS_AT_MOST and key in self._spent:
            self._spent[key].set()

    async def retrieve(self, job: Job) -> Outcome:
        """Run a whole job in the cluster; a worker's slot is taken until its studies are placed.

        Raises:
            WorkerLost: the scheduler gave up, as its worker was lost.
            SiteUnreachable: the scheduler is gone.
        """
        host = urlsplit(job.shown).hostname or ""
        self._at_host[host] += 1
        key = f"cloudfilm-{uuid.uuid4().hex}"
        try:
            earlier = tuple(self._earlier(job))
            order = await asyncio.to_thread(self._order, job, earlier, min(self._at_host[host], self._slots))
            return await self._ended(key, order, job)
        finally:
            self._at_host[host] -= 1
            self._starts.pop(key, None)

    async def place(self, retrieved: Outcome) -> Outcome:
        """Nothing is left to do."""
        return retrieved

    async def _ended(self, key: str, order: RemoteJob, job: Job) -> Outcome:
        spent = self._spent[key] = asyncio.Event()
        future = self._client.submit(
            _work, OpaquePickle.of(order), self._host.name, key, key=key, pure=False, retries=0
        )
        result = asyncio.ensure_future(_result(future))
        given_up = asyncio.ensure_future(spent.wait())
        try:
            await asyncio.wait({result, given_up}, return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                lost = SiteUnreachable(host=job.shown, why=Reason.WORKERS_LOST)
                return outcome_of(job, Result(job.shown, Status.FAILED, int(lost.exit_code), error=lost))
            sealed: OpaquePickle = result.result()
            outcome: Outcome = sealed.open()
            return outcome
        except KilledWorker as err:
            raise WorkerLost from err
        except CancelledError as err:
            raise SiteUnreachable(host=self._scheduler, why=Reason.SCHEDULER_GONE) from err
        finally:
            del self._spent[key]
            given_up.cancel()
            if not result.done():
                result.cancel()
                await self._client.cancel([future], force=True)
            future.release()

    def _order(self, job: Job, earlier: tuple[str, ...], at_host: int) -> RemoteJob:
        """The job for another computer, with each host's rate divided among the workers."""
        settings = job.settings
        settings = replace(
            settings,
            output=settings.output.absolute(),
            interactive=False,
            jobs=max(1, settings.jobs // at_host),
            rate=None if settings.rate is None else settings.rate / self._processes,
        )
        job = replace(job, settings=settings)
        if not kinds.is_file(job.source):
            return RemoteJob(job, earlier)
        path = Path(job.source)
        return RemoteJob(job, earlier, path.name, path.read_bytes())


async def _result(future: Any) -> OpaquePickle:
    sealed: OpaquePickle = await future
    return sealed
