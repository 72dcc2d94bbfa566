"""Scroll through a stack of images as a person would: by wheel, keys, the viewer's own button or slider, pointer or finger."""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from scraper.capture.drive import elements, knob
from scraper.capture.drive.shown import places
from scraper.capture.drive.steps import Glance, Steps
from scraper.capture.observe.received import Observations
from scraper.core.timings import DriveTimings

if TYPE_CHECKING:
    from playwright.async_api import FloatRect

    from scraper.session.browser import Window

TRIED: Final = 2  # steps in vain after which another gesture is tried
PROVEN: Final = 6  # steps in vain of a gesture that worked, after which the stack is taken to have been seen
AHEAD: Final = 40  # images that a viewer may have had ahead of what it shows; some ask for them in blocks
DRAWN: Final = 24  # CSS pixels that the mouse is drawn for one image
AROUND: Final = 220  # CSS pixels about the middle of the picture that are compared
MAX_STEPS: Final = 80_000  # of one viewer
BUTTON = (
    "(forward) => {"
    + elements.DEEP.replace("const shown", "const visible")
    + """
  const shown = e => e.offsetParent && !e.disabled && !(e.tagName === "A" && e.href && !e.href.startsWith("javascript:"));
  const words = forward
    ? /^(下一页|下一张|下一幅|下一帧|下页|下张|next([ _-]?(image|slice|frame|instance))?|[>\\u203a\\u00bb\\u25b6])$/i
    : /^(上一页|上一张|上一幅|上一帧|上页|上张|prev(ious)?([ _-]?(image|slice|frame|instance))?|[<\\u2039\\u00ab\\u25c0])$/i;
  const named = forward ? /(^|[-_ ])(next|nextimg|nextpage)($|[-_ ])/i : /(^|[-_ ])(prev|previous|previmg|prevpage)($|[-_ ])/i;
  const kinds = "button, a, input[type=button], input[type=image], [role=button], [onclick], [title], [aria-label]";
  const drawn = deep("span, div, i, li, td").filter(e => !e.childElementCount && words.test(e.textContent.trim())
    && getComputedStyle(e).cursor === "pointer");
  const all = [...deep(kinds), ...drawn].filter(shown);
  const said = e => [e.title, e.innerText, e.getAttribute("aria-label"), e.value].map(text => (text || "").trim());
  const one = all.find(e => said(e).some(text => words.test(text)))
    || all.find(e => named.test(`${e.id} ${typeof e.className === "string" ? e.className : ""}`));
  if (one) one.click();
  return !!one; }"""
)
SLIDER = (
    "(forward) => {"
    + elements.DEEP
    + """
  const fields = deep("input[type=range], input[type=number], [class*=slider i] input");
  const one = fields.find(e => e.offsetParent && e.max !== "" && +e.max >= 1 && +(e.step || 1) >= 1);
  if (!one) {  // one of the page's own making: it takes keys
    const made = deep("[role=slider]").find(e => e.offsetParent && +(e.getAttribute("aria-valuemax") || 2) >= 1);
    if (!made) return false;
    const key = forward ? "ArrowRight" : "ArrowLeft";
    made.focus();
    for (const kind of ["keydown", "keyup"]) made.dispatchEvent(new KeyboardEvent(kind, {key, code: key, bubbles: true}));
    return true; }
  const value = Math.min(+one.max, Math.max(+(one.min || 0), +one.value + (forward ? 1 : -1) * (+one.step || 1)));
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(one, String(value));
  for (const kind of ["input", "change"]) one.dispatchEvent(new Event(kind, {bubbles: true}));
  return true; }"""
)

# A finger's way to the right must not leave the page, as the browser's own gesture does (CSS Overscroll Behavior 1).
STAY = """() => { for (const e of [document.documentElement, document.body])
  if (e) e.style.setProperty("overscroll-behavior", "none", "important"); }"""


Face = tuple[str, bytes | None]  # the page's words, and its picture, where it was looked at


class Gesture(StrEnum):
    """How one goes to the next image, in the order in which they are tried."""

    WHEEL = "wheel"
    ARROW = "arrow"
    BUTTON = "button"
    SLIDER = "slider"
    KNOB = "knob"
    PAGE = "page"
    SIDEWAYS = "sideways"
    DRAG = "drag"
    SWIPE_LEFT = "swipe-left"
    SWIPE_UP = "swipe-up"
    FINGER_LEFT = "finger-left"
    FINGER_UP = "finger-up"
    SWIPE_RIGHT = "swipe-right"
    SWIPE_DOWN = "swipe-down"
    FINGER_RIGHT = "finger-right"
    FINGER_DOWN = "finger-down"


KEYS: Final = {
    Gesture.ARROW: ("ArrowUp", "ArrowDown"),
    Gesture.PAGE: ("PageUp", "PageDown"),
    Gesture.SIDEWAYS: ("ArrowLeft", "ArrowRight"),
}
SWIPES: Final = {  # which way one swipes for the next image: across and down, by pointer or by finger
    Gesture.SWIPE_LEFT: (-1, 0, False),
    Gesture.SWIPE_UP: (0, -1, False),
    Gesture.FINGER_LEFT: (-1, 0, True),
    Gesture.FINGER_UP: (0, -1, True),
    Gesture.SWIPE_RIGHT: (1, 0, False),
    Gesture.SWIPE_DOWN: (0, 1, False),
    Gesture.FINGER_RIGHT: (1, 0, True),
    Gesture.FINGER_DOWN: (0, 1, True),
}
SWIPED: Final = 0.3  # of the picture's width or height, to either side of its middle
SWIPE_STEPS: Final = 5
MAX_SWIPED: Final = 3  # stacks that are swiped in vain


class StackScroller:
    """Scrolls through what one window shows.

    Args:
        window: the viewer's.
        observations: what came.
        until: by the clock of ``time.monotonic``.
        timings: how long a step may take to show something new.
    """

    def __init__(self, window: Window, observations: Observations, until: float, timings: DriveTimings) -> None:
        self._window = window
        self._timings = timings
        self._observations = observations
        self.until = until
        self._works: Gesture | None = None
        self._unmoved = 0  # stacks that were to be moved before anything worked
        self._swiped = 0  # those of them that were swiped
        self._steps = 0
        self._count: int | None = None
        self._unmovable: set[Face] = set()  # faces of stacks at which every gesture was in vain
        self.is_at_end = False  # the last stack did not move any more, by a gesture that is known to work

    async def scroll_to_end(self, stage: elements.Viewport, *, forward: bool, count: int | None = None) -> Steps:
        """Go to the end of the stack whose picture stands there, or back to its beginning.

        Args:
            stage: where the picture stands.
            forward: or backward.
            count: how many images the viewer says that the stack has. One: the wheel and a key are enough to believe it.
                More: it is swiped, too, where nothing else moves it; unknown: once, where an earlier stack did not move.
        """
        x, y = stage["x"], stage["y"]
        with self._window.quietly():
            await self._window.page.mouse.move(x, y)
        face = await self.face(x, y)
        self.is_at_end, self._count = False, count
        first = face
        for gesture in self._order(count, face, forward=forward):
            moved = idle = ahead = still = 0
            tries = PROVEN if self._works else 1 if gesture in SWIPES else TRIED
            while self._is_time():
                if idle >= (PROVEN if moved else tries) or (moved and idle >= TRIED and self.is_full(count)):
                    break
                seen, size = len(self._window.traffic.exchanges), self._observations.size
                if gesture in KEYS and not moved and not idle:  # keys go where one has clicked last
                    with self._window.quietly():
                        await self._window.page.mouse.click(x, y)
                    face = await self.face(x, y)  # a click moves the focus, whose frame is no other image
                is_done = await self._step(gesture, stage, forward=forward)
                is_playing = gesture is Gesture.BUTTON and moved and idle < TRIED  # it may say "pause" by now
                if not is_done and not is_playing:
                    break
                yield Glance(seen, self._timings.glance_s if ahead else self._timings.step_s)
                if self._observations.size > size:
                    self._works, moved, idle, ahead, still = gesture, moved + 1, 0, 0, 0
                    continue
                before, face = face, await self._face_since(face, x, y)
                still = still + 1 if face == before else 0
                if face != before and ahead < AHEAD:
                    moved, ahead = moved + 1, ahead + 1
                else:
                    idle += 1
            self.is_at_end = gesture is self._works and still >= TRIED
            if moved:
                return
        if gesture is Gesture.FINGER_DOWN:
            self._unmovable |= {first, face}

    def is_full(self, count: int | None) -> bool:
        """Whether as many images came of the series shown last as the viewer says that its stack has."""
        series = [uid for uid, _ in places(self._observations).values()]
        return count is not None and bool(series) and 0 < count <= series.count(series[-1])

    def _order(self, count: int | None, face: Face, *, forward: bool) -> tuple[Gesture, ...]:
        """What is tried: what worked, alone; else what the page may know, the swipes where there is a reason for them."""
        if self._works:
            return (self._works,)
        if count == 1 or not forward or face in self._unmovable:
            return (Gesture.WHEEL, Gesture.ARROW)
        self._unmoved += 1
        swipes = self._swiped < (1 if count is None else MAX_SWIPED) and (count is not None or self._unmoved > 1)
        self._swiped += swipes
        return tuple(gesture for gesture in Gesture if swipes or gesture not in SWIPES)

    @property
    def works(self) -> bool:
        """Whether some gesture was seen to go on to another image."""
        return self._works is not None

    @property
    def other_keys(self) -> tuple[str, ...]:
        """The keys that may lead to another series, in a viewer whose images a key turns."""
        return (
            tuple(forth for kind, (_, forth) in KEYS.items() if kind is not self._works) if self._works in KEYS else ()
        )

    def _is_time(self) -> bool:
        self._steps += 1
        return time.monotonic() < self.until and self._steps <= MAX_STEPS

    async def _step(self, gesture: Gesture, stage: elements.Viewport, *, forward: bool) -> bool:
        """One image on; False where the viewer has nothing for that gesture."""
        page, done = self._window.page, False
        with self._window.quietly():
            match gesture:
                case Gesture.WHEEL:
                    await page.mouse.wheel(0, 120 if forward else -120)
                    done = True
                case Gesture.BUTTON | Gesture.SLIDER:
                    script = BUTTON if gesture is Gesture.BUTTON else SLIDER
                    for frame in page.frames:
                        done = done or await frame.evaluate(script, forward) is True
                case Gesture.KNOB:
                    done = await knob.draw(self._window, self._count, forward=forward)
                case Gesture.DRAG:
                    done = await self._drawn(stage["x"], stage["y"], forward=forward)
                case _ if gesture in SWIPES:
                    done = await self._swipe(gesture, stage, forward=forward)
                case _:
                    await page.keyboard.press(KEYS[gesture][forward])
                    done = True
        return done

    async def _drawn(self, x: float, y: float, *, forward: bool) -> bool:
        mouse = self._window.page.mouse
        await mouse.move(x, y)
        await mouse.down()
        await mouse.move(x, y + (DRAWN if forward else -DRAWN), steps=2)
        await mouse.up()
        return True

    async def _swipe(self, gesture: Gesture, stage: elements.Viewport, *, forward: bool) -> bool:
        """Across most of the picture, as one turns a page."""
        across, down, by_finger = SWIPES[gesture]
        sign = 1 if forward else -1
        dx, dy = (sign * across * SWIPED * stage["width"], sign * down * SWIPED * stage["height"])
        places = [
            (stage["x"] + dx * (2 * step / SWIPE_STEPS - 1), stage["y"] + dy * (2 * step / SWIPE_STEPS - 1))
            for step in range(SWIPE_STEPS + 1)
        ]
        if by_finger:
            return await self._by_finger(places)
        mouse = self._window.page.mouse
        await mouse.move(*places[0])
        await mouse.down()
        for place in places[1:]:
            await mouse.move(*place)
        await mouse.up()
        return True

    async def _by_finger(self, places: Sequence[tuple[float, float]]) -> bool:
        """As a touch screen has it (Chrome DevTools Protocol, ``Input.dispatchTouchEvent``)."""
        page = self._window.page
        for frame in page.frames:
            await frame.evaluate(STAY)
        session = await page.context.new_cdp_session(page)
        try:
            for number, (x, y) in enumerate(places):
                kind = "touchMove" if number else "touchStart"
                await session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
            await session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        finally:
            await session.detach()
        return True

    async def face(self, x: float, y: float) -> Face:
        """What the page says, and what the picture looks like about its middle: with another image, one of them differs."""
        left, top, side = max(x - AROUND, 0.0), max(y - AROUND, 0.0), 2.0 * AROUND
        clip: FloatRect = {"x": left, "y": top, "width": side, "height": side}
        with self._window.quietly():
            # of the best quality a JPEG differs where the picture does, and takes a third of a PNG's time
            shown = await self._window.page.screenshot(
                clip=clip, type="jpeg", quality=100, animations="disabled", caret="hide"
            )
            return await elements.page_text(self._window), shown
        return "", b""

    async def _face_since(self, before: Face, x: float, y: float) -> Face:
        """The same after a step: where the words differ, the picture is not looked at, which costs several times as much.

        Of the next step after that nothing is known but its words: where they are the same, it counts as another image.
        """
        with self._window.quietly():
            words = await elements.page_text(self._window)
            if words != before[0]:
                return words, None
        return await self.face(x, y)
