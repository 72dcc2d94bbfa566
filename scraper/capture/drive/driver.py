"""Makes a viewer show everything, as a person would: enter it, fill its form, press its download, click and scroll its series.

What is clicked is told by its wording and its place. Nothing that logs out, pays, deletes or leaves for another study is.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from scraper.capture.drive import elements, entries, stated_counts
from scraper.capture.drive.download_button import PackageDownload
from scraper.capture.drive.elements import PageElement
from scraper.capture.drive.login_form import Form
from scraper.capture.drive.scroll import StackScroller
from scraper.capture.drive.wording import (
    CHOICE,
    ENTRY,
    EXPIRED,
    HISTORY,
    NEVER,
    NEXT_SERIES,
    NOTICE,
    SUBMIT,
    WAITING,
    is_never,
)
from scraper.capture.observe.received import Observations
from scraper.core.errors import CloudfilmError
from scraper.session import Session

if TYPE_CHECKING:
    from scraper.session.browser import Window

FIRST_S: Final = 40.0  # a viewer that has asked for nothing by then waits for a person
QUIET_S: Final = 2.0
OPENED_S, LONGEST_S = 0.8, 20.0  # of silence after a series was opened, and until it is silent
PATIENCE_S: Final = 10.0  # a page that shows nothing to press may be silent this long
RECALL_S: Final = 120.0  # for a site to fetch a study from its archive
LOOK_S: Final = 0.5  # between two looks at what can be pressed
MAX_DOORS: Final = 8  # pages, forms and buttons between the link and the viewer
DRIVE_S: Final = 1200.0
PERSON_S: Final = 600.0
MAX_SERIES: Final = 80
VAIN: Final = 2  # entries that bring nothing, after which a list is none of series
LONGEST_WORDING: Final = 30  # characters of what can be pressed
_DATE: Final = re.compile(r"(19|20)\d\d[-/.年]?[01]?\d[-/.月]?[0-3]?\d")


class Driver:
    """Drives one window.

    Args:
        session: the link's conversation.
        window: its window.
        catch: takes what comes.
        enough: asked after each bit of progress whether the rest can be had in another way.
        turn: which of several examinations is entered, where the page lets one choose; from 0.

    Attributes:
        choices: how many examinations the page let one choose from; 0 where it did not.
    """

    def __init__(
        self,
        session: Session,
        window: Window,
        catch: Observations,
        enough: Callable[[], Awaitable[bool]],
        turn: int = 0,
    ) -> None:
        self._session = session
        self._window = window
        self._catch = catch
        self._enough = enough
        self._clicked: set[str] = set()
        self._until = self._end = time.monotonic() + DRIVE_S
        self._scroller = StackScroller(window, self.look, enough, self._until)
        self._form = Form(session, window, self.text)
        self._packager = PackageDownload(window, self.look, self._words, self._click, self.text)
        self.choices = 0
        self._is_held = False
        self._is_vain = False  # a stack was leafed through, and nothing came
        self._turn = turn
        self.entries: list[int] = []  # how many images the entries of its series list say that there are
        self.rows = 0  # entries of its series list
        self.stated = 0  # the largest number of images that its page states in so many words
        self.totals: dict[str, int] = {}  # Series Instance UID -> the viewer's own "1/60"
        self.scrolled: set[str] = set()  # Series Instance UIDs of stacks that were scrolled to both ends

    async def look(self) -> int:
        """Take in what came; gives how much of it is new."""
        return await self._catch.take(self._window.traffic.exchanges)

    async def settle(self, quiet_s: float = QUIET_S, up_to_s: float = FIRST_S) -> bool:
        """Wait until it is quiet, or until there is enough; True where there is."""
        give_up = time.monotonic() + up_to_s
        while time.monotonic() < give_up:
            quiet = await self._window.traffic.settled(quiet_s, min(quiet_s * 2, up_to_s))
            await self.look()
            if await self._enough():
                return True
            if quiet:
                return False
        return False

    async def _came(self) -> bool:
        """Wait for what was just asked for; True where there is enough."""
        self._window.traffic.touch()  # the page's silence counts from here
        return await self.settle(OPENED_S, LONGEST_S)

    # ---- in

    async def enter(self) -> bool:
        """Bring the viewer up: answer its form, press what says "look at the images". True where there is enough."""
        for _ in range(MAX_DOORS):
            if await self.settle():
                return True
            if self._catch.size and not await self._form.is_secret():
                return False
            if await self._press(NOTICE) or await self._answer_form() or await self._choose():
                continue
            if EXPIRED.search(await self.text()):
                return False
            if not await self._comes():
                break
        if not self._catch.size and self._session.settings.headed:
            return await self._wait_for_a_person()
        return await self.settle()

    async def _comes(self) -> bool:
        """Wait for more: a large viewer's program is still being read, or the site still looks the study up.

        An entry that can't be pressed yet, or a page that says so, is waited for longer. False where nothing comes.
        """
        seen = len(self._window.traffic.exchanges)
        still = self._window.stillness()
        give_up = time.monotonic() + PATIENCE_S
        longest = time.monotonic() + RECALL_S
        while (now := time.monotonic()) < give_up:
            if await self._window.traffic.after(seen, timeout_s=LOOK_S):
                return True
            if self._is_held and any(
                not mark.held and ENTRY.search(mark.text.strip()) for mark in await self._marks("words")
            ):
                return True
            is_still = await still.lasts_s() >= self._session.settings.still_s
            if (self._is_held or WAITING.search(await self.text())) and now < longest and not is_still:
                give_up = now + min(PATIENCE_S, self._session.settings.still_s)
        return False

    async def _wait_for_a_person(self) -> bool:
        give_up = time.monotonic() + PERSON_S
        while time.monotonic() < give_up and not self._catch.size:
            await self._window.traffic.settled(QUIET_S, QUIET_S * 2)
            await self.look()
            if await self._enough():
                return True
        return False

    async def _answer_form(self) -> bool:
        """Fill in what a form asks, and send it; False where there is none.

        Raises:
            CredentialsRequired, CaptchaRequired: not given, and nobody can be asked.
            CredentialsRefused: the same form shows again.
        """
        filled = await self._form.fill()
        if filled is None:
            return False
        frame, field = filled
        before = len(self._window.traffic.exchanges)
        with self._window.quietly():
            await frame.press(f'[data-cloudfilm-field="{field["mark"]}"]', "Enter", timeout=2000)
        self._window.traffic.touch()  # the page's silence counts from here
        await self._window.traffic.settled(1.0, 1.5)
        if not self._was_sent(before) and await self._form.is_there(filled):
            await self._press(SUBMIT)
        return True

    def _was_sent(self, before: int) -> bool:
        """Whether the page asked for something that it had not asked for before: an answer is never sent twice."""
        exchanges = self._window.traffic.exchanges
        asked = [(exchange.method, exchange.url.partition("?")[0]) for exchange in exchanges]
        if any(item[0] and item not in asked[:before] for item in asked[before:]):
            return True
        said = [
            unquote(exchange.url) + (exchange.request_body or b"").decode("utf-8", "replace")
            for exchange in exchanges[before:]
        ]
        return any(answer and answer in text for answer in self._form.given for text in said)

    # ---- what can be pressed

    async def _marks(self, mode: str) -> list[PageElement]:
        return await elements.found(self._window, mode)

    async def series_shown(self) -> int:
        """How many entries of a series list the viewer shows; 0 where it shows none."""
        return len({mark.text for mark in await self._series() if mark.text})

    async def _choose(self) -> bool:
        """Press what leads to the images; where a list has several such entries, the one whose turn it is."""
        shown = [item for item in await self._marks("words") if len(item.text.strip()) <= LONGEST_WORDING]
        self._is_held = any(item.held and ENTRY.search(item.text.strip()) for item in shown)
        shown = [item for item in shown if not item.held]
        for wording in (ENTRY, CHOICE):
            for entry in sorted(shown, key=lambda mark: len(mark.text)):
                text = entry.text.strip()
                if not wording.search(text) or NEVER.search(text) or text in self._clicked:
                    continue
                alike = [item for item in shown if item.text.strip() == text and not HISTORY.search(item.around)]
                if wording is CHOICE and not any(_DATE.search(item.around) for item in alike):
                    continue
                if len({item.who for item in alike}) > 1:
                    alike = alike[:1]  # a list of several people's
                if self.choices < 2 <= len(alike):
                    self.choices = len(alike)
                    chosen = alike[min(self._turn, len(alike) - 1)]
                else:
                    chosen = entry
                self._clicked.add(text)
                if await self._click(chosen):
                    return True
        return False

    async def _press(self, wording: re.Pattern[str], never: re.Pattern[str] = NEVER) -> bool:
        """Click the first thing of that wording that was not clicked before; False where there is none."""
        for item in sorted(await self._marks("words"), key=lambda mark: len(mark.text)):
            text = item.text.strip()
            if len(text) > LONGEST_WORDING or not wording.search(text) or never.search(text) or text in self._clicked:
                continue
            self._clicked.add(text)
            if await self._click(item):
                return True
        return False

    async def _click(self, mark: PageElement) -> bool:
        return await elements.click(self._window, mark)

    async def download(self) -> bool:
        """Press a button that gives the images as files, and wait for them; True where DICOM came of it."""
        return bool(await self._packager.bring(NEVER))

    @property
    def refusal(self) -> CloudfilmError | None:
        """What the page said instead of giving its package."""
        return self._packager.refusal

    async def _words(self) -> list[PageElement]:
        return await self._marks("words")

    # ---- through

    async def play(self) -> None:
        """Show every series and scroll through it, until there is enough or nothing new comes.

        The first one of the list is mostly shown already: where its entry brings nothing, it has its turn at the end.
        """
        await elements.unfold(self._window)
        await self._note_entries()
        if not self._catch.size:  # nothing came by itself: one thorough look, then a glance at each entry
            self._until = self._scroller.until = min(self._until, time.monotonic() + self._session.settings.vain_s)
        if not (await self._scroll() or await self._play_listed() or await self._play_chosen()):
            await self._play_next()
            if self._catch.size and not self._scroller.works:
                await self._scroll()
        await self._note_entries()

    async def _play_listed(self) -> bool:
        """The series of a list, one after another; True where there is enough."""
        opened = entries.Opened()
        first: PageElement | None = None
        for _ in range(MAX_SERIES):
            fresh = opened.fresh(series for series in await self._series() if not series.away)
            if not fresh or time.monotonic() > self._until:
                break
            before, face = self._catch.size, await self._face()
            asked = len(self._window.traffic.exchanges)
            mark, place = fresh[0]
            opened.note(mark, place)
            if await self._open(mark, is_first=len(opened) == 1):
                return True
            if len(opened) == 1 and self._catch.size == before:
                first = mark
                continue
            is_dead = len(self._window.traffic.exchanges) == asked and face == await self._face()
            if not is_dead and await self._scroll(mark.text):
                return True
        if first is not None and await self._click(first):
            return await self._came() or await self._scroll(first.text)
        return False

    async def _play_chosen(self) -> bool:
        """The series of a drop-down list; one whose entries bring nothing is another kind of list."""
        vain: Counter[str] = Counter()
        for choice in await elements.choices(self._window):
            if vain[choice.mark] >= VAIN or time.monotonic() > self._until:
                continue
            before = self._catch.size
            if await elements.choose(self._window, choice) and await self._came():
                return True
            if self._catch.size == before:
                vain[choice.mark] += 1
            else:
                vain[choice.mark] = 0
                if await self._scroll():
                    return True
        return False

    async def _play_next(self) -> None:
        """The series that a button leads to, one after another."""
        vain = 0
        while vain < VAIN and time.monotonic() < self._until:
            before = self._catch.size
            button = next((mark for mark in await self._words() if NEXT_SERIES.search(mark.text.strip())), None)
            if button is None or not await self._click(button) or await self._came():
                return
            if self._catch.size == before:
                vain += 1
            elif await self._scroll():
                return

    async def _open(self, mark: PageElement, *, is_first: bool) -> bool:
        """Have a series shown: by a click, else by two, else by drawing it to the picture; True where there is enough.

        The first one is shown already, as a rule: no more is done about it than a click.
        """
        before = self._catch.size
        stage = await self.stage()
        for way in (1, 2, 0)[: 1 if self._is_vain or (is_first and before) else 3]:
            if way:
                done = await elements.click(self._window, mark, times=way)
            else:
                done = stage is not None and await elements.drag(self._window, mark, stage["x"], stage["y"])
            if done and await self._came():
                return True
            if self._catch.size > before:
                self._go_on()
                break
        return False

    def _go_on(self) -> None:
        """Something came after all."""
        self._until = self._scroller.until = max(self._until, self._end)
        self._is_vain = False

    async def _scroll(self, entry: str = "") -> bool:
        """Forward to the end of the stack, then back to its beginning; True where there is enough.

        Args:
            entry: the wording of the list's entry that was just opened.
        """
        stage = await self.stage()
        if stage is None or (self._is_vain and not self._catch.size):
            return False
        before = set(self._catch.objects)
        is_whole = True  # scrolled to both ends
        total = await self._total()
        count = total if total is not None else entries.count_of(entry) if entry else next(iter(self.entries), None)
        for forward in (True, False):
            if await self._scroller.scroll_to_end(stage, forward=forward, count=count):
                return True
            is_whole = is_whole and self._scroller.is_at_end
            if self._begins_at_one(before):
                break  # the stack was shown from its first image on: there is nothing before that
        self._is_vain = not self._catch.size
        await self._note_total(before)
        if is_whole and (shown := self._shown(before)):
            self.scrolled.add(shown)
        return False

    def _shown(self, before: set[str]) -> str:
        """The Series Instance UID of the series that is shown: that of what came since, else of what came last."""
        objects = self._catch.objects
        fresh = {item.header.series_instance_uid for uid, item in objects.items() if uid not in before}
        if not fresh and objects:
            fresh = {next(reversed(objects.values())).header.series_instance_uid}
        return fresh.pop() if len(fresh) == 1 else ""

    def _begins_at_one(self, before: set[str]) -> bool:
        """Whether what was just shown bears the numbers from 1 on without a gap."""
        fresh = [item.header for uid, item in self._catch.objects.items() if uid not in before]
        shown = {head.series_instance_uid for head in fresh}
        if len(shown) != 1:
            return False
        everything = [item.header for item in self._catch.objects.values() if item.header.series_instance_uid in shown]
        return {head.instance_number for head in everything} == set(range(1, len(everything) + 1))

    async def stage(self) -> elements.Stage | None:
        """Where the largest picture stands, in the page's coordinates."""
        return await elements.stage(self._window)

    async def _face(self) -> tuple[str, bytes]:
        """What the page looks like about its picture: with another series shown, it looks another way."""
        stage = await self.stage()
        return await self._scroller.face(stage["x"], stage["y"]) if stage else ("", b"")

    async def _series(self) -> list[PageElement]:
        """The entries of the viewer's series list, whatever their tags."""
        found = await elements.found(self._window, "series", entries.names(self._catch))
        return [mark for mark in found if not is_never(mark.text)]

    async def _note_entries(self) -> None:
        """The counts that stand with the series in the viewer's own list; those of other studies do not count."""
        shown, page = await self._series(), await self.text()
        self.rows = max(self.rows, len({mark.text for mark in shown if mark.text and not mark.away}))
        self.entries = entries.counts(shown, page) or self.entries
        self.stated = max(self.stated, stated_counts.largest(page))

    async def _total(self) -> int | None:
        """The viewer's own count of the series that it shows, where it says one; of several, the largest."""
        return max(stated_counts.totals(await self.text()), default=None)

    async def _note_total(self, before: set[str]) -> None:
        """The viewer's own count of the series that was just shown."""
        total, shown = await self._total(), self._shown(before)
        if total is not None and shown:
            self.totals[shown] = max(total, self.totals.get(shown, 0))

    async def text(self) -> str:
        """What the page says, with its frames."""
        return await elements.text(self._window)
