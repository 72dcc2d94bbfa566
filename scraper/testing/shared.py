"""One browser process for all the tests of a worker: a thread's event loop, where each test gets windows of its own.

A browser costs two seconds of processor time to start. Its loop is a thread's own, so that it outlives those of the tests.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from scraper.core.settings import Settings

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, BrowserType

    from scraper.pipeline.resources import SharedResources
    from scraper.session.browser import Browser, Window
    from scraper.session.door import Door

P = ParamSpec("P")
T = TypeVar("T")

USES_A_BROWSER: Final = 60  # then another process: one that has run for long grows
CLOSE_S: Final = 60.0  # for a shared browser to end


@contextmanager
def shared_browser() -> Iterator[None]:
    """Inside this block all cases share one browser process, each with a fresh window of its own; the first one starts it."""
    shared = SharedBrowser.current = SharedBrowser()
    try:
        yield
    finally:
        SharedBrowser.current = None
        shared.stop()


def in_browser_loop(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Run an asynchronous test in the shared browser's loop, as ``borrowed_browser`` asks for."""

    @functools.wraps(test)
    async def in_loop(*args: P.args, **kwargs: P.kwargs) -> T:
        return await _current().call(lambda: test(*args, **kwargs))

    return in_loop


def wait_in_browser_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do the same for a test without a loop of its own: the thread waits."""
    return _current().submit(work).result()


@asynccontextmanager
async def borrowed_browser(settings: Settings) -> AsyncIterator[LentBrowser]:
    """Lend the shared browser to a test that runs in its loop; windows that the test leaves open are closed after it.

    Args:
        settings: of the windows. Which browser it is, and whether it is visible, decide which process is lent.
    """
    shared = _current()
    lent = LentBrowser(await (await shared.resources(settings)).browser(), settings)
    try:
        yield lent
    finally:
        await lent.close()


class LentBrowser:
    """Opens windows in a process that others use after it.

    Args:
        process: the shared browser.
        settings: of the windows.
    """

    def __init__(self, process: Browser, settings: Settings) -> None:
        self.process = process
        self._settings = settings
        self._opened = AsyncExitStack()

    async def window(
        self, *, user_agent: str = "", mobile: bool = False, door: Door | None = None, settings: Settings | None = None
    ) -> Window:
        """As ``Browser.window``."""
        settings = settings or self._settings
        window = await self.process.window(user_agent=user_agent, mobile=mobile, door=door, settings=settings)
        self._opened.push_async_callback(window.close)
        return window

    async def context(self, **options: Any) -> BrowserContext:
        """A context by Playwright itself, which nothing records: for what a person's own browser would do.

        Args:
            options: of Playwright's ``new_context``. Without ``proxy`` only files can be opened.
        """
        context = await (await self.process.started()).new_context(**options)
        self._opened.push_async_callback(context.close)
        return context

    async def kind(self) -> BrowserType:
        """What starts another process of the same kind, for a test that gives it arguments of its own, and ends it."""
        return (await self.process.started()).browser_type

    async def close(self) -> None:
        """Close the windows and contexts; the process goes on."""
        await self._opened.aclose()


@dataclass(slots=True)
class _Lent:
    """Resources with a browser, and how often they have been lent."""

    resources: SharedResources
    uses: int = 0


class SharedBrowser:
    """A thread's event loop with the resources that tests share."""

    current: SharedBrowser | None = None

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lent: dict[tuple[object, ...], _Lent] = {}  # what a browser is started with → its resources

    async def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do ``work`` in the thread's loop."""
        return await asyncio.wrap_future(self.submit(work))

    def submit(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Start ``work`` in the thread's loop."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="shared browser", daemon=True)
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work(), self._loop)

    async def with_resources(self, settings: Settings, work: Callable[[SharedResources], Coroutine[Any, Any, T]]) -> T:
        """Do ``work`` with the shared resources; the caller runs in the thread's loop."""
        return await work(await self.resources(settings))

    async def resources(self, settings: Settings) -> SharedResources:
        """The resources with the browser that such settings start; the caller runs in the thread's loop."""
        from scraper.pipeline.resources import SharedResources
        from scraper.session.http.pace import Pace

        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("the shared browser's windows are used in its loop alone: in_browser_loop")
        wanted = (settings.headed, settings.browser_path)
        lent = self._lent.get(wanted)
        if lent is not None and lent.uses >= USES_A_BROWSER:
            await self._lent.pop(wanted).resources.__aexit__(None, None, None)
            lent = None
        if lent is None:
            lent = self._lent[wanted] = _Lent(await SharedResources(settings).__aenter__())
        lent.uses += 1
        lent.resources.pace = Pace(settings.jobs, settings.rate)  # what slowed one case is no matter of the next
        return lent.resources

    async def _close(self) -> None:
        while self._lent:
            _, lent = self._lent.popitem()
            await lent.resources.__aexit__(None, None, None)

    def stop(self) -> None:
        """End the browsers, the loop and the thread."""
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(CLOSE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_S)
        self._loop.close()


def _current() -> SharedBrowser:
    if SharedBrowser.current is None:
        raise RuntimeError("no browser is shared here: shared_browser")
    return SharedBrowser.current
