"""Make a viewer show everything, as a person would: click and scroll its series, one after another.

What is clicked is found by its wording and its place. Nothing that logs out, pays, deletes or leaves for another study is.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Set
from functools import partial
from typing import TYPE_CHECKING, Final

from scraper.capture.drive import elements, entries, stated_counts
from scraper.capture.drive.elements import PageElement
from scraper.capture.drive.file_buttons import ImageButtons
from scraper.capture.drive.scroll import Face, StackScroller
from scraper.capture.drive.shown import ShownImages, places
from scraper.capture.drive.steps import Settle, Steps
from scraper.capture.drive.wording import BACK, HISTORY, MORE, NEXT_PAGE, NEXT_SERIES, is_never
from scraper.capture.observe.received import Observations
from scraper.session import Session

if TYPE_CHECKING:
    from scraper.session.browser import Window

MAX_SERIES: Final = 80
MAX_FOLDED: Final = 40  # folders and tabs of one list
MAX_PAGES: Final = 40  # of one list
MAX_LINKED: Final = 60  # pages without a script that are gone to
ENOUGH_SINGLE: Final = 3  # such entries after which the list's are taken for images, and not scrolled through
ENOUGH_DEAD: Final = 3  # entries in a row that did nothing, after which further ones are only clicked
MAX_EMPTY_ENTRIES: Final = 2  # useless entries after which a list is not taken for a list of series


class Driver:
    """Drives one window.

    Over 20 methods because each way to show more of a viewer is one.

    Args:
        session: the link's conversation.
        window: its window.
        observations: what came.
        shown: what the viewer's page says of its study is noted there.
    """

    def __init__(self, session: Session, window: Window, observations: Observations, shown: ShownImages) -> None:
        self._session = session
        self._window = window
        self._observations = observations
        timings = session.settings.timings.drive
        self._until = self._end = time.monotonic() + timings.all_s
        self._scroller = StackScroller(window, observations, self._until, timings)
        self._opening = Settle(timings.opened_quiet_s, timings.opened_s)  # after a series was opened
        self._opened = entries.OpenedEntries()
        self._single_entries = 0  # entries in a row that showed one image each, and no gesture a further one
        self._buttons = ImageButtons(window, observations)
        self._has_seen_links = True  # no page that another one leads to was left
        self._dead_entries = 0  # entries in a row that neither asked for anything nor changed the picture
        self._is_vain = False  # a stack was scrolled through, and nothing came
        self.shown = shown

    async def steps(self) -> Steps:
        """Show every series and scroll through it, until nothing new comes.

        The first series is mostly shown already: if clicking its entry shows nothing new, it is tried again at the end.
        """
        await elements.unfold(self._window)
        await self.note_entries()
        if not self._observations.size:  # nothing came by itself: one thorough look, then a glance at each entry
            until = min(self._until, time.monotonic() + self._session.settings.vain_s)
            self._until = self._scroller.until = until
        async for step in self._extend():
            yield step
        await self.note_entries()  # of all pages
        ways = (
            # a page that was driven before shows its first series again, whatever came last
            partial(self._scroll, is_last=not self.shown.totals),
            self._show_listed,
            self._show_chosen,
            self._show_folded,
            self._show_more,
            self._show_next,
            self._show_by_key,
            self._show_linked,
        )
        for way in ways:
            async for step in way():
                yield step
        if self._has_seen_links and await self._more(is_page=True) is None:
            self._buttons.note_totals(self.shown)
        if (
            self._observations.size
            and not self._scroller.works
            and not _is_all(await self._total(), self.shown, self._observations.size)
        ):
            async for step in self._scroll(is_last=False):  # it may be the first series again
                yield step

    async def _extend(self) -> Steps:
        """Extend a list that came a page at a time, before anything of it is shown: then its rule covers all of it."""
        for _ in range(MAX_PAGES):
            came = entries.of_pages(self._observations)
            if came is None or time.monotonic() > self._until:
                return
            button = await self._more(is_page=False)
            is_done = await self._click(button) if button else await elements.scroll_lists(self._window)
            if not is_done:
                return
            yield self._opening
            if entries.of_pages(self._observations) == came:
                return

    async def _more(self, *, is_page: bool) -> PageElement | None:
        """The button that extends a list, or, if ``is_page``, shows its next page; none of earlier examinations."""
        shown = await elements.find_elements(self._window, "words")
        fitting = (item for item in shown if MORE.search(item.words) and not _is_of_earlier(item))
        button = next((item for item in fitting if is_page or not NEXT_PAGE.search(item.words)), None)
        return None if button is None or button.is_disabled else button

    async def _show_listed(self) -> Steps:
        """Show the series of a list, one after another."""
        opened, first = self._opened, None
        address, is_away = self._window.page.url, False
        for _ in range(MAX_SERIES):
            unopened = opened.unopened(element for element in await self._series() if not element.navigates_away)
            if not unopened and is_away and await self._return_to_list(address):
                is_away = False
                yield self._opening
                unopened = opened.unopened(element for element in await self._series() if not element.navigates_away)
            if not unopened or time.monotonic() > self._until:
                break
            before, face = self._observations.size, await self._face()
            there = set(places(self._observations))
            asked = len(self._window.traffic.exchanges)
            element, place = unopened[0]
            opened.note(element, place)
            is_away = True
            async for step in self._open(element, is_first=len(opened) == 1):
                yield step
            if len(opened) == 1 and self._observations.size == before:
                first = element
                continue
            is_dead = len(self._window.traffic.exchanges) == asked and face == await self._face()
            self._dead_entries = self._dead_entries + 1 if is_dead else 0
            opened_size = self._observations.size
            is_single = opened_size == before + 1 and (entries.count_of(element.text) or 1) == 1
            if is_dead or (is_single and self._single_entries >= ENOUGH_SINGLE):
                continue
            async for step in self._scroll(element.text, opened=places(self._observations).keys() - there):
                yield step
            is_single = is_single and self._observations.size == opened_size and not self._scroller.works
            self._single_entries = self._single_entries + 1 if is_single else 0
        if first is not None and await self._click(first):
            yield self._opening
            async for step in self._scroll(first.text, is_last=False):
                yield step

    async def _return_to_list(self, address: str) -> bool:
        """Go back to the list in whose place an opened series is shown; False where it still shows, or nothing leads to it.

        Args:
            address: the page's, as it showed the list.
        """
        if self._window.page.url != address:
            with self._window.quietly():
                await self._window.page.go_back(wait_until="commit")
            self._window.traffic.touch()
            return True
        if self._opened.are_among(await self._series()):
            return False
        shown = await elements.find_elements(self._window, "words")
        button = next((item for item in shown if BACK.search(item.words) and not item.navigates_away), None)
        return button is not None and await self._click(button)

    async def _show_chosen(self) -> Steps:
        """Show the series of a drop-down list; one whose entries show nothing new is another kind of list."""
        empty: Counter[str] = Counter()
        for choice in await elements.dropdown_options(self._window):
            if empty[choice.mark] >= MAX_EMPTY_ENTRIES or time.monotonic() > self._until:
                continue
            before = self._observations.size
            if await elements.choose_option(self._window, choice):
                self._window.traffic.touch()  # the page's silence counts from here
                yield self._opening
            if self._observations.size == before:
                empty[choice.mark] += 1
                continue
            empty[choice.mark] = 0
            async for step in self._scroll():
                yield step

    async def _show_folded(self) -> Steps:
        """Open the folders and tabs of the list, one after another, and show what is in each."""
        pressed = set[tuple[int, str]]()
        for _ in range(MAX_FOLDED):
            found = await elements.closed_folders(self._window)
            unpressed = [item for item in found if (id(item.frame), item.mark) not in pressed]
            unpressed = [item for item in unpressed if not is_never(item.text)]
            if not unpressed or time.monotonic() > self._until:
                return
            pressed.add((id(unpressed[0].frame), unpressed[0].mark))
            before, asked = self._observations.size, len(self._window.traffic.exchanges)
            if not await self._click(unpressed[0]):
                continue
            yield self._opening
            async for step in self._show_listed():
                yield step
            if self._observations.size > before and len(self._window.traffic.exchanges) > asked:
                async for step in self._scroll():
                    yield step

    async def _show_more(self) -> Steps:
        """Extend the list by its button or its next page, as long as entries are added; show them."""
        for _ in range(MAX_PAGES):
            button = await self._more(is_page=True)
            if button is None or time.monotonic() > self._until:
                return
            before, opened = self._observations.size, len(self._opened)
            if not await self._click(button):
                return
            yield self._opening
            async for step in self._show_listed():
                yield step
            async for step in self._buttons.press_each(self._until):
                yield step
            if self._observations.size == before and len(self._opened) == opened:
                return

    async def _show_next(self) -> Steps:
        """Show the series that a button leads to, one after another."""
        empty = 0
        while empty < MAX_EMPTY_ENTRIES and time.monotonic() < self._until:
            before = self._observations.size
            shown = await elements.find_elements(self._window, "words")
            button = next((element for element in shown if NEXT_SERIES.search(element.text.strip())), None)
            if button is None or not await self._click(button):
                return
            yield self._opening
            if self._observations.size == before:
                empty += 1
                continue
            async for step in self._scroll():
                yield step

    async def _show_by_key(self) -> Steps:
        """Show the series that a key leads to, one after another."""
        for key in self._scroller.other_keys:
            for _ in range(MAX_SERIES):
                before = self._observations.size
                with self._window.quietly():
                    await self._window.page.keyboard.press(key)
                self._window.traffic.touch()
                yield self._opening
                if self._observations.size == before or time.monotonic() > self._until:
                    break
                async for step in self._scroll():
                    yield step

    async def _show_linked(self) -> Steps:
        """Go to the pages that the link's page leads to, where nothing else showed an image: it may have no script."""
        if self._observations.size:
            return
        seen, waiting = {self._window.page.url.partition("#")[0]}, await elements.linked_pages(self._window)
        self._until = self._scroller.until = self._end
        while waiting:
            address = waiting.pop(0)
            if address in seen:
                continue
            if len(seen) > MAX_LINKED or time.monotonic() > self._until:
                self._has_seen_links = False
                return
            seen.add(address)
            with self._window.quietly():
                await self._window.page.evaluate("address => { location.href = address; }", address)
            self._window.traffic.touch()
            yield self._opening
            linked = await elements.linked_pages(self._window)
            self.shown.rows = max(self.shown.rows, len(seen) + len(waiting) - 1)
            async for step in self._show_listed():
                yield step
            async for step in self._scroll():
                yield step
            waiting = [*linked, *waiting]

    async def _click(self, element: PageElement) -> bool:
        """Press an element; the page's silence counts from then on."""
        is_clicked = await elements.click(self._window, element)
        self._window.traffic.touch()
        return is_clicked

    async def _open(self, element: PageElement, *, is_first: bool) -> Steps:
        """Have a series shown: by a click, else by two, else by dragging it to the picture.

        The first one is shown already, as a rule: no more is done about it than a click.
        """
        before = self._observations.size
        stage = await self.stage()
        is_click_only = self._is_vain or (is_first and before) or self._dead_entries >= ENOUGH_DEAD
        for clicks in (1,) if is_click_only else (1, 2, 0):
            if clicks:
                is_done = await elements.click(self._window, element, times=clicks)
            else:
                is_done = stage is not None and await elements.drag(self._window, element, stage["x"], stage["y"])
            if is_done:
                self._window.traffic.touch()
                yield self._opening
            if self._observations.size > before:
                self._until = self._scroller.until = max(self._until, self._end)  # something came after all
                self._is_vain = False
                break

    async def _scroll(self, entry: str = "", *, is_last: bool = True, opened: Set[str] = frozenset()) -> Steps:
        """Scroll forward to the end of the stack, then back to its beginning, unless all of it is there by then.

        Args:
            entry: the wording of the list's entry that was just opened.
            is_last: it shows the series that came last, where nothing new comes.
            opened: SOP Instance UIDs of what came as it was opened.
        """
        async for step in self._buttons.press_each(self._until):
            yield step
        stage = await self.stage()
        if stage is None or (self._is_vain and not self._observations.size):
            return
        before = set(places(self._observations))
        is_whole = True  # scrolled to both ends
        total, listed = await self._total(), next(iter(self.shown.entries), None)
        count = total if total is not None else entries.count_of(entry) if entry else listed
        for forward in (True, False):
            async for step in self._scroller.scroll_to_end(stage, forward=forward, count=count):
                yield step
            is_whole = is_whole and self._scroller.is_at_end
            self.shown.has_moved = self.shown.has_moved or self._scroller.works
            # else the series that was opened, or the only one that there is, may have come as a whole
            starts = (before, before - opened, set[str]()) if self._scroller.is_full(count) else (before,)
            if any(map(self._begins_at_one, starts)):
                break  # the stack was shown from its first image on: there is nothing before that
        self._is_vain = not self._observations.size
        total, series = await self._total(), self._shown_series(before, is_last=is_last)
        if total is not None and series:
            self.shown.add_total(series, total)
        if is_whole and series:
            self.shown.scrolled.add(series)

    def _shown_series(self, before: set[str], *, is_last: bool) -> str:
        """The Series Instance UID of the series that is shown: that of what came since, else of what came last, if it is that."""
        objects = self._observations.objects
        shown = {item.header.series_instance_uid for uid, item in objects.items() if uid not in before}
        if (
            not shown
            and objects
            and (is_last or len({item.header.series_instance_uid for item in objects.values()}) == 1)
        ):
            shown = {next(reversed(objects.values())).header.series_instance_uid}
        return shown.pop() if len(shown) == 1 else ""

    def _begins_at_one(self, before: set[str]) -> bool:
        """True if the newly shown instances are numbered 1…n without gaps."""
        found = places(self._observations)
        shown = {series for uid, (series, _) in found.items() if uid not in before}
        numbers = [number for series, number in found.values() if series in shown]
        return len(shown) == 1 and set(numbers) == set(range(1, len(numbers) + 1))

    async def stage(self) -> elements.Viewport | None:
        """Where the largest picture stands, in the page's coordinates."""
        return await elements.find_viewport(self._window)

    async def _face(self) -> Face:
        """What the page looks like about its picture: with another series shown, it looks another way."""
        stage = await self.stage()
        return await self._scroller.face(stage["x"], stage["y"]) if stage else ("", b"")

    async def _series(self) -> list[PageElement]:
        return await entries.of_series(self._window, self._observations)

    async def note_entries(self) -> None:
        """Note the counts that stand with the series in the viewer's own list; those of other studies do not count."""
        series, page = await self._series(), await elements.page_text(self._window)
        rows = len({element.text for element in series if element.text and not element.navigates_away})
        self.shown.rows = max(self.shown.rows, rows)
        self.shown.entries = entries.counts(series, page) or self.shown.entries
        self.shown.stated = max(self.shown.stated, stated_counts.largest(page))
        self.shown.of_all = stated_counts.of_all(page)

    async def _total(self) -> int | None:
        """The viewer's own count of the series that it shows, where it says one; of several, the largest."""
        return max(stated_counts.totals(await elements.page_text(self._window)), default=None)


def _is_all(total: int | None, shown: ShownImages, came: int) -> bool:
    """Whether as many images came as the page says that there are."""
    return total is not None and came >= max(total, shown.stated, sum(shown.entries))


def _is_of_earlier(element: PageElement) -> bool:
    """Whether an element stands with a person's earlier examinations."""
    return HISTORY.search(element.context) is not None
