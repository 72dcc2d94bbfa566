"""An event loop in a thread of its own: the library works where another loop already runs (Jupyter), and on every system."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")
Call = Callable[P, Coroutine[Any, Any, T]]
GRACE_S: Final = 10.0  # for a browser to close and files to be let go after Ctrl-C


class LoopThread:
    """A loop that starts at the first call, and ends with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, and wait; Ctrl-C closes first what it has opened."""
        future, closed = self._begin(work)
        try:
            return future.result()
        except BaseException:
            if not future.done():
                future.cancel()
                closed.wait(GRACE_S)
            raise

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The same for a program that runs a loop of its own; where its task is cancelled, the work is."""
        future, closed = self._begin(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.cancel()
            await asyncio.to_thread(closed.wait, GRACE_S)
            raise

    def _begin(self, work: Coroutine[Any, Any, T]) -> tuple[Future[T], threading.Event]:
        closed = threading.Event()

        async def closing() -> T:
            try:
                return await work
            finally:
                closed.set()

        return asyncio.run_coroutine_threadsafe(closing(), self._running()), closed

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._process != os.getpid():  # a thread does not survive a fork
                self._loop, self._process = _new_loop(), os.getpid()
                threading.Thread(target=self._loop.run_forever, name="cloudfilm", daemon=True).start()
            return self._loop


def _new_loop() -> asyncio.AbstractEventLoop:
    """A loop that can start programs, as a browser needs; ipykernel chooses one on Windows that can't."""
    if sys.platform == "win32":
        return asyncio.ProactorEventLoop()
    return asyncio.new_event_loop()


loop: Final = LoopThread()


def in_thread(call: Call[P, T]) -> Call[P, T]:
    """A call for programs that run an event loop; its work is done in the thread of ``loop``."""

    @wraps(call)
    async def waiting(*values: P.args, **options: P.kwargs) -> T:
        return await loop.wait(call(*values, **options))

    return waiting


def blocking(call: Call[P, T]) -> Callable[P, T]:
    """The same call, made by ``in_thread``, for programs without an event loop: it returns when the work is done."""
    work: Call[P, T] = call.__dict__["__wrapped__"]

    @wraps(call)
    def run(*values: P.args, **options: P.kwargs) -> T:
        return loop.run(work(*values, **options))

    run.__name__ = run.__qualname__ = call.__name__.removesuffix("_async")
    return run
