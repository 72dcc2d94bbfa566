"""Have the viewer ask for one more image, while its requests are kept waiting: what it renews by that, it renews itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final

from scraper.capture.drive import elements
from scraper.capture.drive.scroll import StackScroller
from scraper.capture.drive.steps import Glance
from scraper.capture.surplus import surplus

if TYPE_CHECKING:
    from scraper.capture.examination import Examination
    from scraper.session.browser import Window

MAX_GESTURES: Final = 12
GESTURES_S: Final = 20.0
ANSWER_S: Final = 5.0  # for what a gesture has the page ask
LOOK_S: Final = 0.05
RELOADED_S: Final = 15.0  # for a page that is loaded again to ask for an image


async def ask_for_more(examination: Examination, is_enough: Callable[[], bool]) -> None:
    """Go to neighbouring images, until a condition holds; where nothing moves the viewer, have it load again, once.

    Raises:
        CloudfilmError: the page has ended.
    """
    window = await examination.session.window()
    was_held = window.requests.is_on
    await window.requests.end()
    try:
        if not is_enough() and not await _by_gestures(examination, window, is_enough):
            await examination.session.screen.reload()
            with suppress(TimeoutError):
                async with asyncio.timeout(RELOADED_S):
                    while not is_enough():
                        await window.traffic.after(len(window.traffic.exchanges), timeout_s=LOOK_S)
    finally:
        if was_held:
            await window.requests.begin(surplus(examination))


async def _by_gestures(examination: Examination, window: Window, is_enough: Callable[[], bool]) -> bool:
    """Go to the next image, and the next; then to the one before."""
    stage = await elements.find_viewport(window)
    if stage is None:
        return False
    timings = examination.session.settings.timings.drive
    scroller = StackScroller(window, examination.observations, time.monotonic() + GESTURES_S, timings)
    for forward in (True, False):
        left = MAX_GESTURES
        async with aclosing(scroller.scroll_to_end(stage, forward=forward)) as steps:
            async for step in steps:
                if isinstance(step, Glance):
                    await window.traffic.after(step.seen, timeout_s=step.up_to_s)
                give_up = time.monotonic() + ANSWER_S
                while window.is_waiting and not is_enough() and time.monotonic() < give_up:
                    await window.traffic.after(len(window.traffic.exchanges), timeout_s=LOOK_S)
                await examination.take()
                if is_enough():
                    return True
                left -= 1
                if not left:
                    break
    return False
