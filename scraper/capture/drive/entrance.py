"""Get from the link to the viewer: close notices, fill the form, choose the examination, and wait in between."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from scraper.capture.drive import elements
from scraper.capture.drive.elements import PageElement
from scraper.capture.drive.login_form import Form
from scraper.capture.drive.steps import Settle, Steps
from scraper.capture.drive.wording import BY_HAND, CHOICE, ENTRY, EXPIRED, HISTORY, NEVER, NOTICE, SUBMIT, WAITING
from scraper.capture.observe.received import Observations
from scraper.core.errors import CaptchaRequired
from scraper.core.questions import CAPTCHA
from scraper.core.reasons import Reason
from scraper.session import Session

if TYPE_CHECKING:
    from scraper.session.browser import Window

MAX_DOORS: Final = 8  # pages, forms and buttons between the link and the viewer
LONGEST_WORDING: Final = 30  # characters of what can be pressed
ANSWERED_S: Final = 6.0  # for a site to answer a form that still shows
_DATE: Final = re.compile(r"(19|20)\d\d[-/.年]?[01]?\d[-/.月]?[0-3]?\d")


class Entrance:
    """Opens the viewer in one window.

    Args:
        session: the link's conversation.
        window: its window.
        observations: what came.
        examination_index: which of several examinations is entered, where the page lets one choose; from 0.

    Attributes:
        examination_count: how many examinations the page let one choose from; 0 where it did not.
    """

    def __init__(
        self, session: Session, window: Window, observations: Observations, examination_index: int = 0
    ) -> None:
        self._session = session
        self._window = window
        self._observations = observations
        self._form = Form(session, window)
        self._timings = session.settings.timings.drive
        self._examination_index = examination_index
        self.examination_count = 0
        self._clicked: set[str] = set()
        self._is_entry_disabled = False

    async def steps(self) -> Steps:
        """Answer the page's form, press what says "look at the images", until the viewer is up.

        Raises:
            CaptchaRequired: a check that only a person passes in the page itself, and none is there.
            CredentialsRequired, CredentialsRefused: as for the page's form.
        """
        loaded = Settle(self._timings.quiet_s, self._timings.first_s)
        for _ in range(MAX_DOORS):
            yield loaded
            if self._observations.size and not await self._form.is_secret():
                return
            if await self._is_for_person():
                break
            if await self._press(NOTICE) or await self._answer_form() or await self._choose():
                continue
            if EXPIRED.search(await elements.page_text(self._window)):
                return
            if not await self._is_more_coming():
                break
        if self._observations.size:
            yield loaded
        elif self._session.settings.headed:
            async for step in self._beside_person():
                yield step
        elif BY_HAND.search(await elements.page_text(self._window)):
            raise CaptchaRequired(CAPTCHA.name, host=self._session.link.host, label=Reason.DRAGGED_BY_HAND)
        else:
            yield loaded

    async def _beside_person(self) -> Steps:
        """Wait while a person works in the visible window, and press what leads from there to the images."""
        self._session.tell("person")
        self._session.patience.renew(self._timings.person_s)
        give_up = time.monotonic() + self._timings.person_s
        while time.monotonic() < give_up and not self._observations.size:
            if not await self._is_for_person():
                await self._choose()
            yield Settle(self._timings.quiet_s, self._timings.quiet_s * 2)

    async def _is_for_person(self) -> bool:
        """Whether the page shows what a person at the visible window is to do: nothing of it is pressed under their hands."""
        if not self._session.settings.headed:
            return False
        return await self._form.is_left_to_person() or bool(BY_HAND.search(await elements.page_text(self._window)))

    async def _is_more_coming(self) -> bool:
        """Wait for more: a large viewer's program is still being read, or the site still looks the study up.

        An entry that can't be pressed yet, or a page that says so, is waited for longer. False where nothing comes.
        """
        seen = len(self._window.traffic.exchanges)
        stillness = self._window.stillness()
        give_up = time.monotonic() + self._timings.patience_s
        longest = time.monotonic() + self._timings.recall_s
        while (now := time.monotonic()) < give_up:
            if await self._window.traffic.after(seen, timeout_s=self._timings.look_s):
                return True
            if self._is_entry_disabled and any(
                not element.is_disabled and ENTRY.search(element.text.strip()) for element in await self._elements()
            ):
                return True
            is_still = await stillness.lasts_s() >= self._session.settings.still_s
            is_awaited = self._is_entry_disabled or WAITING.search(await elements.page_text(self._window))
            if is_awaited and now < longest and not is_still:
                give_up = now + min(self._timings.patience_s, self._session.settings.still_s)
        return False

    async def _answer_form(self) -> bool:
        """Fill in and submit the page's form; False if there is none.

        Raises:
            CredentialsRequired, CaptchaRequired: not given, and no person can be asked.
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
            self._window.traffic.touch()
        # a form that still shows while its answer is on the way is not refused
        give_up = time.monotonic() + ANSWERED_S
        while time.monotonic() < give_up and not self._was_sent(before) and await self._form.is_there(filled):
            await self._window.traffic.after(before, timeout_s=self._timings.look_s)
        return True

    def _was_sent(self, before: int) -> bool:
        """Whether the page asked for something that it had not asked for before: an answer is never sent twice."""
        exchanges = self._window.traffic.exchanges
        requests = [(exchange.method, exchange.url.partition("?")[0]) for exchange in exchanges]
        if any(request[0] and request not in requests[:before] for request in requests[before:]):
            return True
        texts = [
            unquote(exchange.url) + (exchange.request_body or b"").decode("utf-8", "replace")
            for exchange in exchanges[before:]
        ]
        return any(answer and answer in text for answer in self._form.given for text in texts)

    async def _elements(self) -> list[PageElement]:
        return await elements.find_elements(self._window, "words")

    async def _choose(self) -> bool:
        """Press what leads to the images; where a list has several such entries, that of this examination."""
        shown = [item for item in await self._elements() if len(item.text.strip()) <= LONGEST_WORDING]
        self._is_entry_disabled = any(item.is_disabled and ENTRY.search(item.text.strip()) for item in shown)
        shown = [item for item in shown if not item.is_disabled]
        for wording in (ENTRY, CHOICE):
            for entry in sorted(shown, key=lambda element: len(element.text)):
                text = entry.text.strip()
                if not wording.search(text) or NEVER.search(text) or text in self._clicked:
                    continue
                alike = [item for item in shown if item.text.strip() == text and not HISTORY.search(item.context)]
                if wording is CHOICE and not any(_DATE.search(item.context) for item in alike):
                    continue
                self._clicked.add(text)
                if await elements.click(self._window, self._of_this_examination(entry, alike)):
                    return True
        return False

    def _of_this_examination(self, entry: PageElement, alike: list[PageElement]) -> PageElement:
        """The entry to press of several of one wording; counts the examinations that they stand for."""
        if len({item.patient_name for item in alike}) > 1:
            alike = alike[:1]  # a list of several people's
        if not self.examination_count < 2 <= len(alike):
            return entry
        self.examination_count = len(alike)
        return alike[min(self._examination_index, len(alike) - 1)]

    async def _press(self, wording: re.Pattern[str]) -> bool:
        """Click the first element with that wording that was not clicked before; False if there is none."""
        for item in sorted(await self._elements(), key=lambda element: len(element.text)):
            text = item.text.strip()
            if len(text) > LONGEST_WORDING or not wording.search(text) or NEVER.search(text) or text in self._clicked:
                continue
            self._clicked.add(text)
            if await elements.click(self._window, item):
                return True
        return False
