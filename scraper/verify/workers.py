"""Check files in child processes that may crash: a hostile file ends a worker, never the run.

Each worker is a ``scraper.isolation.child``: nothing of the caller's main module is loaded again, as ``multiprocessing`` would,
no thread is forked, nothing that a worker sends becomes code, and a worker ends when its parent does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar, cast

from scraper.core.log import quiet_libraries
from scraper.core.model import Origin
from scraper.isolation import memory_budget
from scraper.isolation.child import Child, ChildLate, ChildLost, Say, answer_questions
from scraper.isolation.process import LONGEST_ANSWER, MOST_FILE, MOST_MEMORY, answer_of, answered, memory_for, question
from scraper.verify.instance import CRASHED, TIMED_OUT, Checked, check_instance, failed

P = ParamSpec("P")
R = TypeVar("R")
_PER_MEGABYTE_S: Final = 0.5  # added to the time limit for each megabyte of the file
MOST_PROCESSES: Final = 4
_PAYS: Final = 24  # files checked for each process that runs before another one starts
# pydicom loads requests where it finds it, for test files of its own that nobody fetches here: a tenth of a start
NEVER_NEEDED: Final = ("requests",)


@dataclass(slots=True, eq=False)
class _Task:
    """One task for a worker. ``patience_s`` counts from its start; ``answer`` is None where the process crashed."""

    work: partial[object]
    patience_s: float
    answer: Future[object] = field(default_factory=Future)


class _Worker:
    """One process; it does one task at a time, is asked from one thread, and can be ended from another."""

    def __init__(self, writable: Sequence[Path] = ()) -> None:
        self.child = Child("scraper.verify.workers", [str(path) for path in writable], without=NEVER_NEEDED)
        self._lock = Lock()  # over what it is at
        self._task: _Task | None = None

    def do(self, task: _Task) -> None:
        """Do a task and set its answer: TimeoutError where it took too long, None where the process crashed."""
        try:
            answer = self._asked(task)
        except ChildLate:
            task.answer.set_exception(TimeoutError())
        except ChildLost:
            task.answer.set_result(None)
        else:
            task.answer.set_result(answer)

    def _asked(self, task: _Task) -> object:
        work = task.work
        message = question(work.func, work.args, work.keywords)
        try:
            with memory_budget.OF_ALL.share(memory_for([*work.args, *work.keywords.values()])):
                self.child.start()
                with self._lock:
                    self._task = task
                *_, (_, answer) = self.child.ask({}, message, longest=LONGEST_ANSWER, patience_s=task.patience_s)
            return answer_of(work.func, answer)
        except (ValueError, TypeError, RecursionError) as err:  # whatever the process is, it no longer does our work
            self.child.close()
            raise ChildLost from err
        finally:
            with self._lock:
                self._task = None

    def abandon(self, task: _Task | None = None) -> None:
        """End the process where it works on this task (or, by default, on any)."""
        with self._lock:
            if self._task is not None and task in (None, self._task):
                self.child.kill()


class Inspector:
    """A pool of checking processes; they start when there is work for them and end with the context.

    Starting a process costs about a second, so a further one starts only once enough files were checked to make up
    for that: one process suffices for a small study.

    Args:
        processes: how many; by default one for each processor, at most ``MOST_PROCESSES`` (each takes some 70 MB).
        timeout_s: time for one small file; larger ones get more.
        writable: existing folders that its processes may write into; none by default.
    """

    def __init__(self, processes: int | None = None, timeout_s: float = 60.0, writable: Sequence[Path] = ()) -> None:
        self._writable = tuple(writable)
        self._count = max(1, processes or min(os.cpu_count() or 1, MOST_PROCESSES))
        self.processes = self._count
        self._timeout_s = timeout_s
        self._workers: list[_Worker] = []
        self._threads: list[Thread] = []
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()  # None ends a thread
        self._given = 0

    async def __aenter__(self) -> Self:
        """Enter; starts nothing yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all processes."""
        with contextlib.suppress(Empty):
            while (task := self._tasks.get_nowait()) is not None:
                task.answer.cancel()
        for _ in self._threads:
            self._tasks.put(None)
        for worker, thread in zip(self._workers, self._threads, strict=True):
            while thread.is_alive():
                worker.abandon()
                thread.join(0.1)
        for worker in self._workers:
            worker.child.close()

    def warm(self, processes: int = 1) -> None:
        """Start so many processes now, or as many as there may be, while the site is still being listed."""
        while len(self._workers) < min(processes, self._count):
            self._hire()

    def _hire(self) -> None:
        """Start one more process, and its thread."""
        worker = _Worker(self._writable)
        self._workers.append(worker)
        self._threads.append(Thread(target=_employ, args=(worker, self._tasks), name="inspect", daemon=True))
        self._threads[-1].start()

    async def inspect(self, path: Path, origin: Origin) -> Checked:
        """Check one file in a worker, waiting for a free one. A crashed or hung process becomes a problem."""
        patience_s = self._timeout_s + _size(path) / 1e6 * _PER_MEGABYTE_S
        try:
            checked = await self._apart(patience_s, partial(check_instance, path, origin))
        except TimeoutError:
            return failed(path, origin, TIMED_OUT)
        return checked or failed(path, origin, CRASHED)

    async def apart(self, work: Callable[P, R], *args: P.args, **more: P.kwargs) -> R | None:
        """Call a function of one of our modules in a worker; None where it crashed or did not end."""
        try:
            return await self._apart(self._timeout_s, partial(work, *args, **more))
        except TimeoutError:
            return None

    async def _apart(self, patience_s: float, work: partial[R]) -> R | None:
        """The same; None where the process crashed.

        Raises:
            TimeoutError: it exceeded its time and was ended.
        """
        task = _Task(cast("partial[object]", work), patience_s)
        self._tasks.put(task)
        self._given += 1
        if not self._workers or self._has_too_few():
            self._hire()
        try:
            return cast("R | None", await asyncio.wrap_future(task.answer))
        except asyncio.CancelledError:
            for worker in self._workers:
                worker.abandon(task)
            raise

    def _has_too_few(self) -> bool:
        """Whether tasks wait, and there are enough of them to make up for the cost of another process."""
        return len(self._workers) < self._count and self._given > _PAYS * len(self._workers) and not self._tasks.empty()


def _employ(worker: _Worker, tasks: SimpleQueue[_Task | None]) -> None:
    """Run one task after another in a thread, independent of the event loop, which may be late."""
    with contextlib.suppress(OSError):  # said to the first task
        worker.child.start()
    while (task := tasks.get()) is not None:
        if task.answer.set_running_or_notify_cancel():
            try:
                worker.do(task)
            except Exception as err:  # noqa: BLE001  # who asked must hear of it
                task.answer.set_exception(err)


def _size(path: Path) -> int:
    """Size of the file in bytes, 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def serve() -> None:
    """Run as a worker: do tasks until the parent closes the pipe."""
    warnings.simplefilter("ignore")
    quiet_libraries()
    writable = [Path(folder) for folder in sys.argv[1:]]

    def work(_: object, asked: bytes, say: Say) -> None:
        say(answered(asked), end=True)

    answer_questions(work, MOST_MEMORY, writable, MOST_FILE if writable else 0)
