"""Tabs of a page that each show another examination of the person: every one of them is a study of the link."""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from scraper.capture.drive import elements
from scraper.capture.drive.elements import PageElement
from scraper.capture.drive.wording import HISTORY, NEVER

if TYPE_CHECKING:
    from scraper.session.browser import Window

MAX_TABS: Final = 8
APPEAR_S: Final = 15.0  # for the tabs of a page that was just opened
QUIET_S: Final = 1.0  # without a request, after which the first examination has come
LOOK_S: Final = 0.2
EXAMINATION: Final = re.compile(
    r"(?<![A-Za-z])(CTA?|MR[IA]?|DR|CR|DX|PET|ECT|SPECT|DSA|MG)(?![A-Za-z])|超声|彩超|核磁|磁共振|钼靶|X[线光]|造影",
    re.IGNORECASE,
)
# The wordings of each row of tabs; marks the tabs.
_TABS: Final = (
    "() => {"
    + elements.DEEP
    + elements.MARK
    + """ const rows = new Map(), all = deep('[role=tab], [class~="tab" i], [class*="tab-item" i], [class*="tabs" i] > *,'
    + '[class*="tabbar" i] > *');
  for (const e of all) { const text = (e.innerText || "").trim();
    if (!shown(e) || !text || text.length > 40 || all.some(o => o !== e && holds(e, o))) continue;
    const row = above(e); if (!rows.has(row)) rows.set(row, []);
    rows.get(row).push(e); }
  return [...rows.values()].filter(row => row.length > 1).map(row => row.map(e => [mark(e), e.innerText.trim()])); }"""
)


async def count(window: Window, series: Collection[str]) -> int:
    """How many examinations the page lets one choose from by tabs; 0 where it has none.

    Args:
        window: its window.
        series: descriptions of the series that came; tabs that bear these names are of series.
    """
    tabs = await _row(window)
    return 0 if {tab.text for tab in tabs} & {name.strip() for name in series} else len(tabs)


async def press(window: Window, index: int) -> bool:
    """Press the tab of an examination once the tabs are there; False where they are not in time."""
    give_up = time.monotonic() + APPEAR_S
    while time.monotonic() < give_up:
        tabs = await _row(window)
        if index < len(tabs) and await window.traffic.settled(QUIET_S, max(give_up - time.monotonic(), QUIET_S)):
            return await elements.click(window, tabs[index])
        await window.traffic.after(len(window.traffic.exchanges), timeout_s=LOOK_S)
    return False


async def _row(window: Window) -> list[PageElement]:
    """The tabs of the first row whose wordings are all of examinations."""
    for frame in window.page.frames:
        rows: list[list[tuple[str, str]]] = []
        with window.quietly():
            rows = await frame.evaluate(_TABS)
        for row in rows:
            texts = [text for _, text in row]
            are_examinations = all(EXAMINATION.search(text) and not _is_other(text) for text in texts)
            if are_examinations and len(set(texts)) == len(texts) <= MAX_TABS:
                return [PageElement(frame, mark, text) for mark, text in row]
    return []


def _is_other(text: str) -> bool:
    return NEVER.search(text) is not None or HISTORY.search(text) is not None
