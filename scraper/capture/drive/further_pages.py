"""Turn the pages of the viewer's list before anything is planned from it: what its first page names may not be all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from scraper.capture.drive import elements
from scraper.capture.drive.wording import HISTORY, MORE

if TYPE_CHECKING:
    from scraper.capture.examination import Examination
    from scraper.session.browser import Window

MAX_PAGES: Final = 60
PAGE_S: Final = 3.0  # for the next page of a list to come
QUIET_S: Final = 0.4  # without a request, after which the page shows it
LOOK_S: Final = 0.1


async def turn_pages(examination: Examination) -> bool:
    """Press what shows more of a list, as long as another list comes of it; whether one came.

    Raises:
        CloudfilmError: the page has ended.
    """
    window, observations = await examination.session.window(), examination.observations
    for number in range(MAX_PAGES):
        came = len(observations.manifests)
        if not await _press(window):
            return number > 0
        give_up = time.monotonic() + PAGE_S
        while len(observations.manifests) == came and time.monotonic() < give_up:
            await window.traffic.after(len(window.traffic.exchanges), timeout_s=LOOK_S)
            await examination.take()
        if len(observations.manifests) == came:
            return number > 0  # it turns images, not a list
        await window.traffic.settled(QUIET_S, PAGE_S)  # the page has it later than we do
    return True


async def _press(window: Window) -> bool:
    """Press the first such button; False where there is none."""
    for item in await elements.find_elements(window, "words"):
        if MORE.search(item.words) and not item.is_disabled and not HISTORY.search(item.context):
            return await elements.click(window, item)
    return False
