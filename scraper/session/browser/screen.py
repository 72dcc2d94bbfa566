"""The open page as a person uses it: fill, press, read, wait for a face. Providers speak to pages through these few verbs."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from scraper.core.errors import SiteChanged
from scraper.core.refusals import refusal_kind
from scraper.core.settings import LOOK_S, PERSON_S, QUIET_S
from scraper.session.browser.window import Window

if TYPE_CHECKING:
    from playwright.async_api import Frame, Locator, Page, Route

    from scraper.session.session import Session

LONGEST_MESSAGE = 120
LONGEST_REFUSAL = 40  # characters: what says more may speak of something else
REFUSED_QUIET_S = 3.0  # without anything new, after which a page that refuses has said all
POLL_MS = 50.0  # between two questions to a page: by its frames, as is the library's own way, a page in the back is never asked
FOLLOW_S = 0.5  # then the newest page is looked up again: what is waited for may come in a tab that has just opened
MARK = "cloudfilmMark"
TEXT = "() => document.body ? document.body.innerText : ''"


class Screen:
    """The newest page of a session, or a frame in it. Selectors mean visible elements, also those of Playwright's engines.

    Over 20 methods because they are all that a provider can do on a page, one verb each.

    Args:
        session: the link's.
        frame: where the elements are looked for; by default the newest page.

    Every method raises SiteChanged where an element does not show in time, and SiteUnreachable where the browser ended.
    """

    def __init__(self, session: Session, frame: Frame | None = None) -> None:
        self._session = session
        self._frame = frame

    # ---- what it shows

    @property
    def url(self) -> str:
        """The page's address now."""
        return self._session.page.url

    async def html(self) -> str:
        """The document as it stands now."""
        async with (await self._window()).guard():
            return await self._place.content()

    async def title(self) -> str:
        """The document's title."""
        async with (await self._window()).guard():
            return await self._place.title()

    async def count(self, selector: str, *, hidden: bool = False) -> int:
        """How many elements there are."""
        async with (await self._window()).guard():
            return await (self._place.locator(selector) if hidden else self._all(selector)).count()

    async def places(self, selector: str) -> list[int]:
        """The places of the visible elements among all of them, from 0."""
        async with (await self._window()).guard():
            found = self._place.locator(selector)
            return [place for place in range(await found.count()) if await found.nth(place).is_visible()]

    async def text(self, selector: str) -> str:
        """The first element's text in one line."""
        async with (await self._window()).guard():
            return " ".join((await self._all(selector).first.inner_text()).split())

    async def value(self, selector: str) -> str:
        """What a field holds, shown or not."""
        async with (await self._window()).guard():
            return await self._place.locator(selector).first.input_value()

    async def is_enabled(self, selector: str) -> bool:
        """Can the first element be pressed."""
        async with (await self._window()).guard():
            return await self._all(selector).first.is_enabled()

    async def message(self) -> str:
        """What the page says, in one line: the last dialog of the browser's, then its text."""
        window = await self._window()
        async with window.guard():
            text = str(await self._session.page.evaluate(TEXT))
        return " ".join(" ".join([*window.dialogs[-1:], text]).split())[:LONGEST_MESSAGE]

    async def picture(self, selector: str = "") -> bytes:
        """The first element as a PNG picture; the page, where there is no such element."""
        async with (await self._window()).guard():
            if selector and await self._all(selector).count():
                return await self._all(selector).first.screenshot()
            return await self._session.page.screenshot()

    # ---- what a person does

    async def fill(self, selector: str, text: str, *, place: int = 0, hidden: bool = False) -> None:
        """Type a text into a field: the first, or the one at ``place`` (from 0)."""
        async with (await self._window()).guard():
            found = self._place.locator(selector) if hidden else self._all(selector)
            await found.nth(place).fill(text)
        self._session.traffic.touch()  # the page's silence counts from here

    async def click(self, selector: str, *, position: tuple[float, float] | None = None) -> None:
        """Press an element: its middle, or ``position`` in it (CSS pixels)."""
        async with (await self._window()).guard():
            at = {"x": position[0], "y": position[1]} if position else None
            await self._all(selector).first.click(position=at)  # type: ignore[arg-type]  # a dict with these two keys
        self._session.traffic.touch()

    async def click_at(self, selector: str, place: int) -> None:
        """Press the element at ``place`` among all, shown or not; what it leads to is not waited for."""
        async with (await self._window()).guard():
            await self._place.locator(selector).nth(place).click(no_wait_after=True)
        self._session.traffic.touch()

    async def click_named(self, selector: str, words: str) -> bool:
        """Press the first element in whose text an expression is found; False where there is none."""
        async with (await self._window()).guard():
            named = self._all(selector).filter(has_text=re.compile(words))
            if not await named.count():
                return False
            await named.first.click()
        self._session.traffic.touch()
        return True

    async def press(self, key: str, selector: str = "", *, last: bool = False) -> None:
        """Press a key, in a field where one is named (the first, or the last)."""
        async with (await self._window()).guard():
            found = self._all(selector)
            if selector:
                await (found.last if last else found.first).press(key)
            else:
                await self._session.page.keyboard.press(key)
        self._session.traffic.touch()

    async def submit(self, selector: str) -> None:
        """Press Enter in a field, and wait for the document that this leads to."""
        async with (await self._window()).guard(), self._session.page.expect_navigation():
            await self._all(selector).first.press("Enter")

    async def scroll(self, x: float, y: float, *, by: float) -> None:
        """Turn the wheel over a place (CSS pixels)."""
        async with (await self._window()).guard():
            await self._session.page.mouse.move(x, y)
            await self._session.page.mouse.wheel(0, by)

    async def reload(self) -> None:
        """Load the page once more, and wait for its document."""
        async with (await self._window()).guard():
            await self._session.page.reload(wait_until="domcontentloaded")

    async def size(self, width: int, height: int) -> None:
        """Make the window so large (CSS pixels)."""
        async with (await self._window()).guard():
            await self._session.page.set_viewport_size({"width": width, "height": height})

    # ---- going from document to document

    async def go(self, url: str) -> None:
        """Follow an address, which may be a download's: what it leads to is not waited for."""
        async with (await self._window()).guard():
            await self._session.page.goto(url, wait_until="commit")

    async def mark(self) -> None:
        """Mark the document, so that ``has_left`` tells when another one has replaced it."""
        await self.evaluate(f"() => {{ window[{MARK!r}] = true; }}")

    async def has_left(self) -> bool:
        """Is another document there in the place of the marked one."""
        with (await self._window()).quietly():
            if not await self._session.page.evaluate(f"() => window[{MARK!r}] === true"):
                await self._session.page.wait_for_load_state("load")
                return True
        return False

    # ---- what a program does

    async def evaluate(self, script: str, given: object = None) -> object:
        """What a JavaScript function gives, called in the page with ``given``."""
        async with (await self._window()).guard():
            return await self._place.evaluate(script, given)

    async def wait_until(self, script: str, *, timeout_s: float | None = None) -> None:
        """Wait until a JavaScript function gives something true, in whichever page is the newest."""
        give_up = time.monotonic() + (timeout_s or self._session.settings.timeout_s)
        while True:
            began = time.monotonic()
            up_to_s = min(FOLLOW_S, max(give_up - began, 0.1))
            try:
                async with (await self._window()).guard():
                    await self._place.wait_for_function(script, timeout=up_to_s * 1000, polling=POLL_MS)
            except SiteChanged:
                if time.monotonic() >= give_up or time.monotonic() - began < up_to_s / 2:
                    raise
            else:
                return

    async def wait_hidden(self, selector: str, *, timeout_s: float) -> None:
        """Wait until no such element is shown, or for ``timeout_s``."""
        window = await self._window()
        with window.quietly():
            await self._place.locator(selector).first.wait_for(state="hidden", timeout=timeout_s * 1000)

    async def before_load(self, script: str) -> None:
        """Have a script run in every document from now on, before the page's own."""
        window = await self._window()
        async with window.guard():
            await window.page.context.add_init_script(script)

    async def redirect(self, pattern: str, target: Callable[[str], str]) -> None:
        """Lead requests for addresses that an expression is found in to another address of the site."""

        async def lead(route: Route) -> None:
            await route.fulfill(status=302, headers={"location": target(route.request.url)}, body="")

        window = await self._window()
        async with window.guard():
            await window.page.context.route(re.compile(pattern), lead)

    async def inside(self, selector: str) -> Screen:
        """The frame that an element holds, once its document is there; the page itself, where there is none."""
        async with (await self._window()).guard():
            holder = self._session.page.locator(selector)
            frame = await (await holder.first.element_handle()).content_frame() if await holder.count() else None
            if frame is None:
                return Screen(self._session)
            await frame.wait_for_load_state("domcontentloaded")
            return Screen(self._session, frame)

    def pending(self, pattern: str) -> list[str]:
        """Addresses that the page has asked for, that have no answer yet, and that an expression is found in."""
        return self._session.open_window.pending(pattern)

    # ---- waiting

    async def is_idle(self) -> bool:
        """Has the page shown all that it will: nothing came for a while, and it waits for nothing.

        A page that says no more than that the share is over says so sooner.
        """
        idle_s = self._session.traffic.idle_s
        if idle_s <= REFUSED_QUIET_S or (await self._window()).is_waiting:
            return False
        return idle_s > QUIET_S or await self._refuses()

    async def _refuses(self) -> bool:
        message = await self.message()
        return len(message) <= LONGEST_REFUSAL and refusal_kind(message) is not None

    async def wait_for_face(self, has_called: Callable[[], object], **faces: str) -> str:
        """What comes first: ``called``, where ``has_called`` is true, or the name of a selector that shows.

        Empty where the page has come to rest without, or where nobody at the window led it there in time.
        """
        is_headed = self._session.settings.headed
        give_up = time.monotonic() + (PERSON_S if is_headed else self._session.settings.timeout_s)
        while time.monotonic() < give_up:
            if has_called():
                return "called"
            with contextlib.suppress(SiteChanged):
                return await self._session.which(timeout_s=LOOK_S, **faces)
            if not is_headed and await self.is_idle():
                break
        return ""

    async def has_called(self, pattern: str) -> bool:
        """Wait for a call of the page's own; False where it has come to rest without, or nobody led it there in time."""

        def is_answered() -> bool:
            return any(not 300 <= exchange.status < 400 for exchange in self._session.traffic.matching(pattern))

        return await self.wait_for_face(is_answered) == "called"

    # ----

    async def _window(self) -> Window:
        return await self._session.window()

    @property
    def _place(self) -> Page | Frame:
        return self._frame or self._session.page

    def _all(self, selector: str) -> Locator:
        return self._place.locator(selector).locator("visible=true")
