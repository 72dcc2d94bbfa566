"""Tabs of a page that each show another part of its list, whatever their markup is called."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from scraper.capture.drive import elements, examination_tabs
from scraper.capture.drive.elements import PageElement
from scraper.capture.drive.wording import HISTORY, is_never

if TYPE_CHECKING:
    from scraper.session.browser import Window

TOOL: Final = re.compile(
    r"放大|缩小|移动|平移|缩放|窗|测量|重置|还原|反[色相]|旋转|翻转|播放|角度|长度|标注|布局|全屏|设置|"
    r"zoom|pan|window|measure|reset|invert|rotate|flip|play|layout|full|length|angle|setting|scroll|wheel",
    re.IGNORECASE,
)
# Rows of what can be pressed, one of which is marked as chosen: tabs, whatever they are called; series are not among them.
_ROWS: Final = (
    "() => {"
    + elements.DEEP
    + elements.MARK
    + """ const chosen = /(^|[-_ ])(active|selected|current|checked|is-on|on|cur)($|[-_ ])/i,
    text = (e, name) => e.getAttribute(name) || "";
  const short = e => (e.innerText || "").trim(), kinds = "button, a, li, [role=tab], [role=button], [onclick]";
  const isChosen = e => chosen.test(text(e, "class")) || ["aria-selected", "aria-current"].some(name => text(e, name) === "true");
  const isPressed = e => e.matches(kinds) || getComputedStyle(e).cursor === "pointer";
  const isTab = e => shown(e) && isPressed(e) && short(e) && short(e).length <= 16 && !e.querySelector("img, canvas, svg, input")
    && !(e.tagName === "A" && e.href && !e.getAttribute("href").startsWith("#") && !e.href.startsWith("javascript:"));
  const rows = new Set(deep("*").filter(e => isChosen(e) && e.parentElement && isTab(e)).map(e => e.parentElement));
  return [...rows].map(row => [...row.children].filter(isTab)).filter(tabs => tabs.length > 1 && tabs.length <= 8
      && tabs.filter(isChosen).length === 1)
    .map(tabs => [...tabs.filter(e => !isChosen(e)), ...tabs.filter(isChosen)].map(e => ({mark: mark(e), text: short(e)}))); }"""
)


_ARROW: Final = (
    "() => {"
    + elements.DEEP
    + elements.MARK
    + r""" const named = /(^|[-_ ])(arrow[-_]?right|right[-_]?arrow|next|chevron[-_]?right|icon[-_]?right)($|[-_ ])/i;
  const isSign = e => /^[>\u203a\u00bb\u2192\u25b6\uff1e]$/.test((e.innerText || "").trim());
  const isPressed = e => e.matches("button, a, [role=button], [onclick]") || getComputedStyle(e).cursor === "pointer";
  const isOff = e => e.disabled || e.getAttribute("aria-disabled") === "true" || /disabled/i.test(e.getAttribute("class") || "");
  const isAway = e => e.tagName === "A" && e.href && !/^(#|javascript:)/.test(e.getAttribute("href"));
  const isOther = e => /检查|患者|病人|报告|study|patient|exam|report/i.test(`${e.title} ${e.getAttribute("aria-label")}`);
  const isArrow = e => isSign(e) || named.test(e.getAttribute("class") || "");
  return deep("button, a, i, span, div, svg, [role=button]").filter(isArrow)
    .filter(e => shown(e) && isPressed(e) && !isOff(e) && !isAway(e) && !isOther(e) && e.children.length < 3).slice(0, 1)
    .map(e => ({mark: mark(e), text: (e.innerText || "").trim()})); }"""
)


async def unchosen(window: Window, names: Collection[str]) -> list[PageElement]:
    """The tabs of each row that are not chosen, and then the one that is: pressed in this order, they show all and end as before.

    Args:
        window: the page's.
        names: of series; a row that bears one is a list of series.
    """
    series = {name.strip() for name in names}
    if await examination_tabs.count(window, series) > 1:
        return []  # each is another study's
    found: list[PageElement] = []
    for frame, row in await elements.in_frames(window, _ROWS, None):
        texts = [item["text"] for item in row]
        if series.isdisjoint(texts) and not any(map(_is_other, texts)):
            found += [PageElement(frame, item["mark"], item["text"]) for item in row]
    return found


async def closed(window: Window) -> list[PageElement]:
    """Closed folders of the page, and tabs that are not shown; no tools."""
    return [item for item in await elements.closed_folders(window) if not _is_other(item.text)]


async def arrow(window: Window) -> PageElement | None:
    """What leads to the next part of something by its sign alone, or by its class; None where there is none."""
    for frame, item in await elements.in_frames(window, _ARROW, None):
        return PageElement(frame, item["mark"], item["text"])
    return None


def _is_other(text: str) -> bool:
    return is_never(text) or any(kind.search(text) is not None for kind in (TOOL, HISTORY))
