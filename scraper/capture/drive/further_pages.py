"""Turn the pages of the viewer's list before anything is planned from it: what its first page names may not be all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from scraper.capture.drive import elements, entries, list_tabs
from scraper.capture.drive.wording import HISTORY, MORE

if TYPE_CHECKING:
    from scraper.capture.examination import Examination
    from scraper.session.browser import Window

MAX_PAGES: Final = 60
PAGE_S: Final = 3.0  # for the next page of a list to come
QUIET_S: Final = 0.4  # without a request, after which the page shows it
LOOK_S: Final = 0.1
MAX_IDLE: Final = 2  # entries of one kind that bring no list, after which the others are left alone
SCROLLED_S: Final = 0.5  # for a page that was scrolled to ask for more


async def turn_pages(examination: Examination) -> bool:
    """Show more of a list as long as another list comes of it: by its button, by scrolling, by tabs; whether the page changed.

    Raises:
        CloudfilmError: the page has ended.
    """
    window = await examination.session.window()
    is_turned = False
    for _ in range(MAX_PAGES):
        if not (await _press(window) and await _brings_list(examination, PAGE_S)):
            break
        is_turned = True
    for _ in range(MAX_PAGES):
        if not (await elements.scroll_lists(window) and await _brings_list(examination, SCROLLED_S)):
            break
    await elements.scroll_back(window)
    for tab in await list_tabs.unchosen(window, entries.names(examination.observations)):
        is_turned = await _is_of_list(examination, await elements.click(window, tab)) or is_turned
    return await _open_groups(examination) or is_turned


async def _open_groups(examination: Examination) -> bool:
    """Open what is closed of the list, choose what is not chosen, and press the arrow to its next part; whether a list came."""
    window, is_turned = await examination.session.window(), False
    idle = 0
    for folder in await list_tabs.closed(window):
        is_new = idle < MAX_IDLE and await _is_of_list(examination, await elements.click(window, folder))
        is_turned, idle = is_turned or is_new, 0 if is_new else idle + 1
    idle = 0
    for choice in await elements.dropdown_options(window):
        is_new = idle < MAX_IDLE and await _is_of_list(examination, await elements.choose_option(window, choice))
        is_turned, idle = is_turned or is_new, 0 if is_new else idle + 1
    for _ in range(MAX_PAGES):
        arrow = await list_tabs.arrow(window)
        if arrow is None or not await _is_of_list(examination, await elements.click(window, arrow)):
            break
        is_turned = True
    return is_turned


async def _is_of_list(examination: Examination, is_done: bool) -> bool:  # noqa: FBT001  # whether the gesture was made
    (await examination.session.window()).traffic.touch()
    return is_done and await _brings_list(examination, SCROLLED_S)


async def _brings_list(examination: Examination, within_s: float) -> bool:
    """Whether another list comes: a request for it within some seconds, its answer a while later."""
    window, observations = await examination.session.window(), examination.observations
    came, asked = len(observations.manifests), len(window.unanswered())
    soon, late = time.monotonic() + within_s, time.monotonic() + max(within_s, PAGE_S)
    while len(observations.manifests) == came and time.monotonic() < late:
        if time.monotonic() > soon and len(window.unanswered()) <= asked:
            return False
        await window.traffic.after(len(window.traffic.exchanges), timeout_s=LOOK_S)
        await examination.take()
    if len(observations.manifests) == came:
        return False  # it turns images, not a list
    await window.traffic.settled(QUIET_S, PAGE_S)  # the page has it later than we do
    return True


async def _press(window: Window) -> bool:
    """Press the first such button; False where there is none."""
    for item in await elements.find_elements(window, "words"):
        if MORE.search(item.words) and not item.is_disabled and not HISTORY.search(item.context):
            return await elements.click(window, item)
    return False
