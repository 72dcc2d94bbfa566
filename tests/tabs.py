"""A tab of a person's own browser for tests without an event loop: the shared browser's, each call waited for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Any, Final

from playwright import async_api

from scraper.core.settings import Settings
from scraper.session.browser import find_browser
from scraper.session.browser.process import FLAGS
from scraper.testing import borrowed_browser, wait_in_browser_loop

PATIENCE_MS: Final = 120_000
NO_PROXY: Final = {
    "server": "socks5://127.0.0.1:9",
    "bypass": "127.0.0.1",
}  # the shared browser's own leads to sites alone


class Waiting:
    """An object of Playwright's asynchronous interface, used like one of its synchronous interface."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.target, name)
        return partial(_result, value) if callable(value) else _waiting(value)


def _result(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
    async def call() -> Any:
        result = work(*args, **options)
        return await result if inspect.isawaitable(result) else result

    return _waiting(wait_in_browser_loop(call))


def _waiting(value: Any) -> Any:
    if isinstance(value, list):
        return [_waiting(item) for item in value]
    return Waiting(value) if type(value).__module__.startswith("playwright.") else value


def expect(locator: Waiting) -> Any:
    """Playwright's ``expect``."""
    return Waiting(async_api.expect(locator.target))


@contextmanager
def browser_page(address: str, *, width: int = 1200, arguments: Sequence[str] | None = None) -> Iterator[Any]:
    """A page with that address; at its end no script of it may have failed.

    Args:
        address: of this machine.
        width: of the window.
        arguments: of a browser of its own, which is started for it.
    """
    stack, faults, view = AsyncExitStack(), list[str](), {"width": width, "height": 900}

    async def opened() -> async_api.Page:
        lent = await stack.enter_async_context(borrowed_browser(Settings()))
        if arguments is None:
            context = await lent.context(viewport=view, proxy=NO_PROXY)
        else:
            words = ["--no-sandbox", *FLAGS, *arguments]
            browser = await (await lent.kind()).launch(executable_path=find_browser(), args=words)
            stack.push_async_callback(browser.close)
            context = await browser.new_context(viewport=view)
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: faults.append(str(error)))
        await page.goto(address)
        await page.wait_for_selector("h1:not(:empty)")
        return page

    try:
        yield Waiting(wait_in_browser_loop(opened))
        assert faults == []
    finally:
        wait_in_browser_loop(stack.aclose)
