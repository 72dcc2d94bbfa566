"""The browser library's driver, a process of its own: started so that it also ends where its start is called off."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from scraper.session.browser.failures import within

if TYPE_CHECKING:
    from playwright.async_api import Playwright

END_S: Final = 10.0  # for a driver whose start was called off to start and end


async def start_driver() -> Playwright:
    """Start the driver.

    Until the library has started it, nobody can end it: where the caller is cancelled meanwhile, it is waited for, and ended.
    """
    from playwright.async_api import async_playwright

    library = async_playwright()
    starting = asyncio.ensure_future(library.start())
    try:
        playwright = await asyncio.shield(starting)
    except asyncio.CancelledError:
        with suppress(OSError):  # it did not start
            await within(END_S, _ended(starting, library))
        raise
    _let_it_end(library)
    return playwright


async def _ended(starting: asyncio.Future[Playwright], library: Any) -> None:
    playwright = await starting
    _let_it_end(library)
    await playwright.stop()


def _let_it_end(library: Any) -> None:
    """Note that the driver has ended; otherwise the library prints a warning about it."""

    def noted(end: asyncio.Future[None]) -> None:
        if not end.cancelled():
            end.exception()

    for holder in ("_client", "_connection"):  # the library's own insides; without them there is the report, no more
        with suppress(AttributeError):
            getattr(library, holder)._transport.on_error_future.add_done_callback(noted)
