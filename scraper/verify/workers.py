"""Work on foreign files in processes that may die: a hostile file ends a worker, never the run.

Each worker is this interpreter running this module, and speaks in length-prefixed pickles on its standard streams: nothing of the
caller's main module is loaded again, as ``multiprocessing`` would, no thread is forked, and a worker ends when its parent does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import IO, ClassVar, Final, ParamSpec, Self, TypeVar

from scraper.model import Origin
from scraper.verify.instance import Checked, failed, instance

P = ParamSpec("P")
R = TypeVar("R")
_MEMORY: Final = 4 << 30  # bytes of address space a worker may take, where the system can limit it
_PER_MEGABYTE_S: Final = 0.5  # added to the time limit for each megabyte of the file
MOST_PROCESSES: Final = 4
_PAYS: Final = 24  # files checked for each process that runs before another one starts
_LENGTH: Final = struct.Struct("<I")


class _Worker:
    """One process; it does one thing at a time, asked from a thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = Lock()

    def start(self) -> subprocess.Popen[bytes]:
        """The running process; started where there is none, or none any more."""
        with self._starting:
            return self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.stop()
            self._process = subprocess.Popen(  # noqa: S603  # this very interpreter
                # -P: the folder that we were called in is no place to import from
                [sys.executable, "-P", "-c", _START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([_HOME, *filter(None, sys.path)])},
            )
        return self._process

    def do(self, work: Callable[P, R], *args: P.args, **more: P.kwargs) -> R | None:
        """Call a function of a module there; None where the process died over it. The next call starts another one."""
        process = self.start()
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018, S101  # made with pipes
        message = pickle.dumps((work, args, more))
        try:
            process.stdin.write(_LENGTH.pack(len(message)) + message)
            process.stdin.flush()
            (length,) = _LENGTH.unpack(_read(process.stdout, _LENGTH.size))
            return pickle.loads(_read(process.stdout, length))  # type: ignore[no-any-return]  # noqa: S301  # our own process
        except (EOFError, OSError, ValueError):  # ValueError: its pipe was closed under us
            self.stop()
            return None

    def kill(self) -> None:
        """End the process, whatever it is at; a thread that waits for its answer is told None."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> None:
        """End the process and wait until it is gone; no thread may be waiting for it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what was still to be written to a dead process
                if pipe is not None:
                    pipe.close()


_HOME: Final = str(Path(__file__).parents[2])
_START: Final = "from scraper.verify.workers import serve; serve()"


class Inspector:
    """A pool of checking processes; they start when there is work for them and are gone when the context ends.

    A process costs about a second of its own, so a further one starts only once as many files were checked as make up
    for that: a small study is checked by one.

    Args:
        processes: how many; by default one a processor, at most ``MOST_PROCESSES`` (each takes some 70 MB).
        timeout_s: time for one small file; larger ones get more.

    Attributes:
        spare: where a program has very many short runs (a test suite), it sets a list here, and idle processes outlive
            their inspector in it; whoever set it stops them.
    """

    spare: ClassVar[list[_Worker] | None] = None

    def __init__(self, processes: int | None = None, timeout_s: float = 60.0) -> None:
        self._count = max(1, processes or min(os.cpu_count() or 1, MOST_PROCESSES))
        self.processes = self._count
        self._timeout_s = timeout_s
        self._workers: list[_Worker] = []
        self._free: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        self._threads = ThreadPoolExecutor(self._count, "inspect")
        self._checked = 0

    async def __aenter__(self) -> Self:
        """Ready; nothing is started yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all processes."""
        idle = [self._free.get_nowait() for _ in range(self._free.qsize())]
        if self.spare is not None:
            self.spare.extend(idle)
        for worker in self._workers:
            if self.spare is None or worker not in idle:
                worker.kill()
        self._threads.shutdown()
        for worker in self._workers:
            if self.spare is None or worker not in idle:
                worker.stop()

    def warm(self) -> None:
        """Have the first process start now, while the site is still being asked what there is."""
        if not self._workers:
            worker = self._hired()
            self._threads.submit(worker.start)
            self._free.put_nowait(worker)

    def _hired(self) -> _Worker:
        worker = self.spare.pop() if self.spare else _Worker()
        self._workers.append(worker)
        return worker

    async def inspect(self, path: Path, origin: Origin) -> Checked:
        """Check one file in a worker; waits for a free one. A dead or hung process becomes a problem."""
        patience_s = self._timeout_s + _size(path) / 1e6 * _PER_MEGABYTE_S
        try:
            return await self._apart(patience_s, instance, path, origin) or failed(
                path, origin, "check-crashed"
            )
        except TimeoutError:
            return failed(path, origin, "check-timed-out")

    async def apart(self, work: Callable[P, R], *args: P.args, **more: P.kwargs) -> R | None:
        """What a function of one of our modules gives, called in a worker; None where it crashed or did not end."""
        try:
            return await self._apart(self._timeout_s, work, *args, **more)
        except TimeoutError:
            return None

    async def _apart(
        self, patience_s: float, work: Callable[P, R], *args: P.args, **more: P.kwargs
    ) -> R | None:
        """None where the process died over it.

        Raises:
            TimeoutError: it did not end in time, and was ended.
        """
        worker = await self._worker()
        asked = asyncio.get_running_loop().run_in_executor(
            self._threads, partial(worker.do, work, *args, **more)
        )
        try:
            done, _ = await asyncio.wait({asked}, timeout=patience_s)
        except asyncio.CancelledError:
            worker.kill()
            worker = _Worker()  # in its place; a thread may still be waiting for the other one to be gone
            self._workers.append(worker)
            raise
        else:
            if done:
                return asked.result()
            worker.kill()
            await asked
            raise TimeoutError
        finally:
            self._checked += 1
            self._free.put_nowait(worker)

    async def _worker(self) -> _Worker:
        """A free process, or one more where they are few for the work."""
        if (
            self._free.empty()
            and len(self._workers) < self._count
            and self._checked >= _PAYS * len(self._workers)
        ):
            return self._hired()
        return await self._free.get()


def _size(path: Path) -> int:
    """Bytes of the file, 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _limit_memory() -> None:
    """A file that asks for more memory than any image fails in its worker."""
    if sys.platform == "win32":
        return
    import resource

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _read(source: IO[bytes], length: int) -> bytes:
    data = source.read(length)
    if len(data) < length:
        raise EOFError
    return data


def serve() -> None:
    """A worker's life: questions in, answers out, until the parent closes the pipe."""
    answers = os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)  # C libraries print where they like
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(0, os.O_BINARY)
        msvcrt.setmode(answers.fileno(), os.O_BINARY)
    warnings.simplefilter("ignore")
    _limit_memory()
    questions = sys.stdin.buffer
    while True:
        try:
            (length,) = _LENGTH.unpack(_read(questions, _LENGTH.size))
            work, args, more = pickle.loads(_read(questions, length))  # noqa: S301 - from our own parent
        except EOFError:
            return
        answer = pickle.dumps(work(*args, **more))
        try:
            answers.write(_LENGTH.pack(len(answer)) + answer)
            answers.flush()
        except OSError:
            return
