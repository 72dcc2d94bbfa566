"""Checking in processes that may die: a hostile file ends a worker, never the run.

Each worker is this interpreter running this module, and speaks in length-prefixed pickles on its standard streams: nothing of the
caller's main module is loaded again, as ``multiprocessing`` would, no thread is forked, and a worker ends when its parent does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import struct
import sys
import warnings
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from scraper.model import Origin
from scraper.verify.instance import Checked, failed, instance

_MEMORY: Final = 4 << 30  # bytes of address space a worker may take, where the system can limit it
_PER_MEGABYTE_S: Final = 0.5  # added to the time limit for each megabyte of the file
MOST_PROCESSES: Final = 4
_PAYS: Final = 24  # files checked for each process that runs before another one starts
_LENGTH: Final = struct.Struct("<I")


class _Worker:
    """One process; it checks one file at a time."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def check(self, path: Path, origin: Origin, timeout_s: float) -> Checked:
        """Check one file; a dead or hung process becomes a problem, and is replaced on the next call."""
        if self._process is None or self._process.returncode is not None:
            await self.stop()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the folder that we were called in is no place to import from
                "-c",
                _START,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([_HOME, *filter(None, sys.path)])},
            )
        process = self._process
        try:
            return await asyncio.wait_for(self._ask(process, path, origin), timeout_s)
        except TimeoutError:
            await self.stop()
            return failed(path, origin, "check-timed-out")
        except (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError):
            await self.stop()
            return failed(path, origin, "check-crashed")
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def _ask(self, process: asyncio.subprocess.Process, path: Path, origin: Origin) -> Checked:
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018, S101 - made with pipes
        message = pickle.dumps((path, origin))
        process.stdin.write(_LENGTH.pack(len(message)) + message)
        await process.stdin.drain()
        (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
        answer = pickle.loads(await process.stdout.readexactly(length))  # noqa: S301 - from our own process
        if not isinstance(answer, Checked):
            raise TypeError(type(answer))
        return answer

    async def stop(self) -> None:
        """End the process and wait until it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.communicate()  # to the end of its output: only then are its pipes closed
        if process.stdin is not None:
            process.stdin.close()
            with contextlib.suppress(OSError):
                await process.stdin.wait_closed()


_HOME: Final = str(Path(__file__).parents[2])
_START: Final = "from scraper.verify.workers import serve; serve()"


class Inspector:
    """A pool of checking processes; they start when there is work for them and are gone when the context ends.

    A process costs about a second of its own, so a further one starts only once as many files were checked as make up
    for that: a small study is checked by one.

    Args:
        processes: how many; by default one a processor, at most ``MOST_PROCESSES`` (each takes some 70 MB).
        timeout_s: time for one small file; larger ones get more.
    """

    def __init__(self, processes: int | None = None, timeout_s: float = 60.0) -> None:
        self._count = max(1, processes or min(os.cpu_count() or 1, MOST_PROCESSES))
        self.processes = self._count
        self._timeout_s = timeout_s
        self._workers: list[_Worker] = []
        self._free: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        self._checked = 0

    async def __aenter__(self) -> Self:
        """Ready; nothing is started yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all processes."""
        await asyncio.shield(asyncio.gather(*(worker.stop() for worker in self._workers)))

    async def inspect(self, path: Path, origin: Origin) -> Checked:
        """Check one file in a worker; waits for a free one."""
        worker = await self._worker()
        try:
            size = _size(path)
            return await worker.check(path, origin, self._timeout_s + size / 1e6 * _PER_MEGABYTE_S)
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
            worker = _Worker()
            self._workers.append(worker)
            return worker
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


def _read(source: BinaryIO, length: int) -> bytes:
    data = source.read(length)
    if len(data) < length:
        raise EOFError
    return data


def serve() -> None:
    """A worker's life: files in, findings out, until the parent closes the pipe."""
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
            path, origin = pickle.loads(_read(questions, length))  # noqa: S301 - from our own parent
        except EOFError:
            return
        answer = pickle.dumps(instance(path, origin))
        try:
            answers.write(_LENGTH.pack(len(answer)) + answer)
            answers.flush()
        except OSError:
            return
