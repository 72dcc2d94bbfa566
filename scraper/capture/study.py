"""Capture one study in a loop: observe what the viewer receives, plan the rest from it, drive the viewer on.

Each round, the driver does something to the page and pauses; what came is observed; the strategies are asked for a plan, known
protocols first, then what was inferred from lists. With a plan, driving ends. Without one, what the viewer showed is the study.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Collection
from contextlib import aclosing, suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from scraper.capture import other_studies
from scraper.capture.by_manifest import with_later_replies
from scraper.capture.by_page import ByPage
from scraper.capture.drive import elements, examination_tabs, stated_counts
from scraper.capture.drive.download_button import PackageDownload
from scraper.capture.drive.driver import Driver
from scraper.capture.drive.entrance import Entrance
from scraper.capture.drive.further_look import FurtherLook
from scraper.capture.drive.steps import Glance, Pause, Settle, Step, Steps
from scraper.capture.drive.wording import EXPIRED, LONGEST_MESSAGE, NEVER, PHONE_ONLY
from scraper.capture.examination import Examination
from scraper.capture.later_lists import wait_for_lists
from scraper.capture.plan import Plan, Strategy, StrategyKind
from scraper.capture.series import series_of
from scraper.capture.surplus import leaves_page_idle, surplus
from scraper.core.errors import (
    CloudfilmError,
    CorruptInstance,
    LinkExpired,
    NotCheckedInTime,
    NotOriginalDicom,
    UnknownViewer,
)
from scraper.core.model import Series
from scraper.core.reasons import Reason
from scraper.core.refusals import refusal_kind
from scraper.core.settings import MOST_AHEAD_BYTES

if TYPE_CHECKING:
    from scraper.session.browser import Window

STREAM_LOOK_S: Final = 0.1  # between two looks at a stream that is read
EARLY_S: Final = 0.5  # between two looks at a page that still asks for more
OFTEN: Final = 12  # times that the strategies are asked after each step
MOST_ON_ITS_WAY_S: Final = 3.0  # waited for answers to what the page has asked for
MAX_PLANS: Final = 4  # one after another, each knowing a later list
GROWTH: Final = 1.25  # of what came, until they are asked again after that
PHONE_SCREEN: Final = (390, 844)  # CSS pixels
STAGE_PIXELS: Final = 200 * 200  # a picture shown smaller than this is no film


class Outcome(Enum):
    """The effect of one step of the driver."""

    NOTHING_NEW = auto()
    SOMETHING_NEW = auto()
    ENOUGH = auto()  # there is a plan for the rest, or the study is one that was captured before


class StudyCapture:
    """Captures one examination.

    Over 20 methods because the steps of the loop share what it knows; most are a few lines.

    Args:
        examination: what is captured; nothing came yet.
        strategies: asked for a plan, in this order.
        known: studies that were captured before; coming upon one of them is enough.
        phone: how a phone's browser names itself, to a page that is for phones only; empty: such a page is given up.
    """

    def __init__(
        self, examination: Examination, strategies: Collection[Strategy], known: Collection[str] = (), phone: str = ""
    ) -> None:
        self.examination = examination
        self.plan: Plan | None = None
        self.examination_count = 0  # how many examinations the page let one choose from
        self.by_tabs = False  # it lets one choose by tabs
        self._strategies = strategies
        self._known = frozenset(known)
        self._phone = phone
        self._further_look = FurtherLook()
        self._session = examination.session
        self._observations = examination.observations
        self._planned_from = (0, 0)  # exchanges and observations that the strategies were asked with
        self._asked_with = (0, 0)  # the same of lists and observations
        self._asked = 0
        self._is_slowed = False  # it was found out whether the page must fetch all that it fetches

    @property
    def by(self) -> StrategyKind:
        """What completeness is judged by."""
        return self.plan.by if self.plan else StrategyKind.VIEWING

    async def run(self) -> list[Series]:
        """Every series of the study.

        Raises:
            NotOriginalDicom: only pictures were shown. UnknownViewer: nothing was. LinkExpired, ShareCancelled,
            NoSuchStudy: the page says so.
            CredentialsRequired, CredentialsRefused: its form asks for more.
        """
        refusal = await self._drive()
        if self.examination_count < 2 and not self.examination.index:
            names = {series.description for series in self.series()}
            self.examination_count = await examination_tabs.count(await self._session.window(), names)
            self.by_tabs = self.examination_count > 1
        if self._observations.size and self._is_stuck():
            await self._ask_from_load()
        found = self.series()
        if self._phone and (self._is_stuck() if found else await self._is_for_phones()):
            window = await self._session.window()
            await window.as_phone(self._phone, *PHONE_SCREEN)
            await window.open(self.examination.link.url)
            refusal = await self._drive()
            found = self.series()
        if not found:
            raise await self._failure(refusal)
        return await other_studies.further(self.examination, self.plan, found)

    def series(self) -> list[Series]:
        """What is known of the study until now."""
        return series_of(self.examination, self.plan)

    def _is_stuck(self) -> bool:
        """Whether no gesture moved a viewer that says that it has more: it may take a finger, and a phone alone."""
        shown = self.examination.shown
        is_short = shown.count > len(self._observations.objects) + len(self._observations.frames)
        return self.plan is None and not shown.has_moved and is_short

    async def _ask_from_load(self) -> None:
        """Have the page load again, and learn how it asks for its first image."""
        for strategy in self._strategies:
            if self.plan is None and isinstance(strategy, ByPage):
                with suppress(CloudfilmError):
                    self.plan = await strategy.from_load(self.examination)
                    if self.plan is not None:
                        await self._rest(self.plan)

    # ---- the loop

    async def _drive(self) -> CloudfilmError | None:
        """Open the viewer and show all of it, until there is enough; returns the page's refusal of its package, if any."""
        window = await self._session.window()
        await window.requests.end()
        window.traffic.most_earned, self._is_slowed = MOST_AHEAD_BYTES, False
        entrance = Entrance(self._session, window, self._observations, self.examination.index)
        if self.by_tabs and self.examination.index:
            await examination_tabs.press(window, self.examination.index)
            self._observations.consumed = self.examination.first_exchange = len(window.traffic.exchanges)
        is_enough = await self._follow(entrance.steps(), window)
        self.examination_count = entrance.examination_count
        if is_enough:
            await Driver(self._session, window, self._observations, self.examination.shown).note_entries()
            return None
        await self._let_it_fetch(window)
        before, package = (
            self._observations.size,
            PackageDownload(window, self._observations, self._session.settings.timings.drive),
        )
        await self._follow(package.steps(NEVER), window)
        self.examination.lacks_list = package.is_partial
        if self._observations.size > before and len(self._observations.objects) > 1:
            return package.refusal  # a single object is no package of a study
        await self._further_look.turn_back(self.examination)
        driver = Driver(self._session, window, self._observations, self.examination.shown)
        self.examination.is_driven = True
        await self._follow(driver.steps(), window)
        self.examination.is_driven = False
        for strategy in self._strategies:
            await strategy.close()
        await driver.note_entries()
        self.examination.is_shown_through, self._planned_from = True, (0, 0)
        await self._is_enough()
        return package.refusal

    async def _follow(self, steps: Steps, window: Window) -> bool:
        """Take one step after another, until there is enough; False where the steps end before."""
        async with aclosing(steps):
            async for step in steps:
                await self._session.unpaused()  # the page stays as the last step left it
                if await self._observe(step, window) is Outcome.ENOUGH:
                    return True
        return False

    async def _observe(self, step: Step, window: Window) -> Outcome:
        """Wait for the effect of a step, and take it in."""
        before = self._observations.size
        match step:
            case Settle():
                is_enough = await self._settle(step, window)
            case Glance():
                is_enough = await self._glance(step, window)
            case Pause():
                await window.traffic.settled(step.quiet_s, step.up_to_s)
                await self.examination.take()
                is_enough = False
        if is_enough:
            return Outcome.ENOUGH
        return Outcome.SOMETHING_NEW if self._observations.size > before else Outcome.NOTHING_NEW

    async def _settle(self, step: Settle, window: Window) -> bool:
        """Wait until it is quiet; True where there is enough before that."""
        give_up = time.monotonic() + step.up_to_s
        ask_at = time.monotonic() + step.quiet_s * 2  # of a page that does not come to rest
        while (now := time.monotonic()) < give_up:
            is_quiet = await window.traffic.settled(step.quiet_s, min(EARLY_S, give_up - now))
            await self.examination.take()
            await self._slow_down(window)
            if window.traffic.is_streaming:
                await asyncio.sleep(STREAM_LOOK_S)  # a list that comes piece by piece is none yet
                continue
            is_due = is_quiet or time.monotonic() >= min(ask_at, give_up)
            if await (self._is_enough() if is_due else self._is_enough_early()):
                return True
            if is_quiet and not window.requests.is_on:
                break
            if is_due and window.requests.is_on:
                await self._let_it_fetch(window)
            ask_at = time.monotonic() + step.quiet_s * 2 if is_due else ask_at
        return False

    async def _slow_down(self, window: Window) -> None:
        """Let a page that fetches much ahead wait with that, once, until the strategies were asked for a plan."""
        is_ahead = window.traffic.image_bytes > MOST_AHEAD_BYTES
        if is_ahead and not self._is_slowed and not self.examination.is_driven:
            self._is_slowed = True
            await window.requests.begin(surplus(self.examination))

    async def _let_it_fetch(self, window: Window) -> None:
        """There is no plan: the page must show all images itself, and keeps them."""
        self._is_slowed, window.traffic.most_earned = True, sys.maxsize
        await window.requests.end(is_needed=True)

    async def _glance(self, step: Glance, window: Window) -> bool:
        """Wait until something of use came; True where there is enough then."""
        seen, give_up = step.seen, time.monotonic() + step.up_to_s
        while (left := give_up - time.monotonic()) > 0:
            seen += len(await window.traffic.after(seen, timeout_s=left))
            if await self.examination.take():
                return await self._is_enough()
        return False

    async def _is_enough_early(self) -> bool:
        """Whether there is a plan already that nothing can change which the page still asks for."""
        for strategy in self._strategies:
            with suppress(CloudfilmError):
                plan = await strategy.early_plan(self.examination)
                if plan is not None:
                    self.plan = plan
                    await self._rest(plan)
                    return True
        return False

    async def _is_enough(self) -> bool:
        """Whether there is a plan; the strategies are asked again only after something new came."""
        if self.plan is not None or not self._known.isdisjoint(self._observations.studies()):
            return True
        state = (len(self._session.traffic.exchanges), self._observations.size)
        if state == self._planned_from or not self._is_worth_asking():
            return False
        await self._further_look.take(self.examination)
        self._planned_from, self._asked = state, self._asked + 1
        self._asked_with = (len(self._observations.manifests), self._observations.size)
        return await self._has_plan()

    async def _has_plan(self) -> bool:
        """Whether a strategy has a plan that knows all lists that come without a further gesture."""
        for _ in range(MAX_PLANS):
            planned_from = len(self._observations.manifests)
            self.plan = await _first_plan(self._strategies, self.examination)
            if self.plan is None:
                return False
            await self._rest(self.plan)
            if not await wait_for_lists(self.examination, self.plan, planned_from):
                break
        return True

    def _is_worth_asking(self) -> bool:
        """Whether so much came that the strategies may know more: the hundredth image tells no more than the tenth."""
        if (
            self._asked < OFTEN
            or not self.examination.is_driven
            or any(item.is_learning() for item in self._strategies)
        ):
            return True
        lists, size = self._asked_with
        return len(self._observations.manifests) > lists or self._observations.size >= size * GROWTH

    async def _rest(self, plan: Plan) -> None:
        """Keep the page from asking for what is asked for by the plan, and take in what is on its way already."""
        if leaves_page_idle(plan):
            window = await self._session.window()
            await window.requests.begin(surplus(self.examination, plan))
            await window.answered(MOST_ON_ITS_WAY_S)
            await self.examination.take()
            self.plan = with_later_replies(plan, self.examination)

    # ---- where nothing came

    async def _failure(self, refusal: CloudfilmError | None) -> CloudfilmError:
        """Why there is no study."""
        window, link = await self._session.window(), self.examination.link
        page = await elements.page_text(window)
        if EXPIRED.search(page):
            return LinkExpired(host=link.host)
        if refusal is not None:
            return refusal
        message = " ".join(page.split())
        if len(message) <= LONGEST_MESSAGE and (kind := refusal_kind(message)) is not None:
            return kind(message, host=link.host)
        if broken := self._observations.broken:
            is_late = Reason.NOT_READ_IN_TIME in broken
            return NotCheckedInTime() if is_late else CorruptInstance(what=broken[0])
        if await self._shows_pictures(page, window):
            return NotOriginalDicom(host=link.host)
        return UnknownViewer(link=link.redacted)

    async def _shows_pictures(self, page: str, window: Window) -> bool:
        """Whether the page shows a film, and what it received for that is no DICOM.

        A page that counts images shows them on whatever stage it has; of any other page the stage must be large.
        """
        stage, pictures, shown = (
            await elements.find_viewport(window),
            self._observations.pictures,
            self.examination.shown,
        )
        if stage is None:
            return False
        if shown.entries or shown.stated or stated_counts.totals(page):
            return bool(pictures.real or pictures.small or pictures.opaque)
        return bool(pictures.real) and stage["size"] >= STAGE_PIXELS

    async def _is_for_phones(self) -> bool:
        """Whether the page says that it is for phones, refuses a computer, or shows it nothing at all."""
        page = (await elements.page_text(await self._session.window())).strip()
        is_refused = any(
            exchange.kind == "document" and exchange.status == 403 for exchange in self._session.traffic.exchanges
        )
        return not EXPIRED.search(page) and (not page or is_refused or PHONE_ONLY.search(page) is not None)


async def _first_plan(strategies: Collection[Strategy], examination: Examination) -> Plan | None:
    """The plan of the first strategy that has one; one that the site does not answer may have it later."""
    for strategy in strategies:
        with suppress(CloudfilmError):
            plan = await strategy.plan(examination)
            if plan is not None:
                return plan
    return None
