"""What of a page a person could press: its marks, with their wording and their place; and where its picture stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from scraper.session.browser import Window

CLICK_MS: Final = 3000.0
DRAG_STEPS: Final = 8
_GAP: Final = re.compile(r"(?<=[\u4e00-\u9fff])\s+(?=[\u4e00-\u9fff])")
# Marks what can be clicked, and gives its wording and place; the innermost element of several that hold each other.
_LOOK: Final = """(mode) => {
  const shown = e => { const r = e.getBoundingClientRect(), s = getComputedStyle(e);
    return r.width > 8 && r.height > 8 && s.visibility !== "hidden" && s.display !== "none" && +s.opacity > 0.05; };
  const series = '[class*="series" i], [class*="thumb" i], [class*="xulie" i], [id*="series" i], [id*="thumb" i],' +
    '[class*="list" i] button, [class*="list" i] li,' +
    'nav button, nav li, nav a, aside li, aside button, [role=listitem], [role=option], [role=tab]';
  const words =
    'a, button, input[type=button], input[type=submit], [role=button], [role=menuitem], [onclick], li, span, div, td, i, img';
  const boxed = (e, low, high) => { const r = e.getBoundingClientRect();
    return Math.min(r.width, r.height) >= low && r.width <= 1.3 * high && r.height <= high; };
  /* What hangs together as a card: a small picture or a count of images, that the mouse finds something to press in. */
  const cards = () => {
    const kinds = "div, li, p, a, td, tr, dd, dt, span, figure, button, section, article, img, canvas";
    const counted = /[(（\\[]\\s*(共\\s*)?\\d{1,4}\\s*[张幅帧]?\\s*[)）\\]]|\\d{1,4}\\s*(张|幅|帧|images?\\b|slices?\\b)/i;
    const pictured = e => [e, ...e.querySelectorAll("*")].some(one => boxed(one, 40, 260) &&
      (one.matches("img, canvas") || getComputedStyle(one).backgroundImage.startsWith("url")));
    const some = [...document.querySelectorAll(kinds)].filter(e =>
      shown(e) && boxed(e, 24, 320) && (getComputedStyle(e).cursor === "pointer" || e.draggable && !e.matches("img, a")) &&
      (pictured(e) || counted.test(e.innerText || "")));
    return some.filter(e => !some.some(o => o !== e && o.contains(e)));
  };
  let found = [...document.querySelectorAll(mode === "series" ? series : words)].filter(shown);
  if (mode === "series") {
    found = found.filter(e => { const r = e.getBoundingClientRect(); return r.width >= 24 && r.height >= 16 && r.width < 700; });
    found = found.filter(e => !found.some(o => o !== e && e.contains(o)));
    if (!found.length) found = cards();
  } else {
    found = found.filter(e => e.matches('a, button, input, [role], [onclick]') || getComputedStyle(e).cursor === "pointer");
  }
  found = found.slice(0, 400);
  const plain = text => (text || "").replace(/[\ue000-\uf8ff]/g, "").trim();  // an icon's font has no words
  const named = e => [e.title, e.alt, e.getAttribute("aria-label"), e.dataset.title, e.dataset.tip].map(plain).find(text => text);
  const inside = e => { const one = e.querySelector("[title], [alt], [aria-label]"); return one && named(one); };
  const say = e => plain(e.innerText) || plain(String(e.value || "")) || named(e) || inside(e) || "";
  if (mode !== "series") found = found.filter(e => !found.some(o => o !== e && o.contains(e) && say(o) === say(e)));
  window.__marks = (window.__marks || 0);
  return found.map(e => {
    if (!e.dataset.cloudfilm) e.dataset.cloudfilm = String(++window.__marks);
    const text = say(e).slice(0, 60);
    const row = e.closest("tr, li, [role=row], [class*=item i], [class*=card i], [class*=row i]");
    let under = "", up = e;
    for (; up && up !== document.body && !under; up = up.parentElement)
      for (let one = up.previousElementSibling; one && !under; one = one.previousElementSibling)
        if (one.matches("h1, h2, h3, h4, h5, h6, legend, caption, [class*=title i], [class*=head i]"))
          under = one.innerText.trim();
    const place = row && row.closest("table") ? [...row.closest("table").querySelectorAll("th")]
      .findIndex(one => /姓名|患者|patient|name/i.test(one.innerText)) : -1;
    const who = place >= 0 && row.children[place] ? row.children[place].innerText.trim() : "";
    const away = e.tagName === "A" && !!e.href && !e.href.startsWith(location.href.split("#")[0])
      && !e.href.startsWith("javascript:");
    const held = !!e.disabled || e.getAttribute("aria-disabled") === "true" || e.classList.contains("is-disabled");
    return {mark: e.dataset.cloudfilm, text, away, held, who, around: [row ? row.innerText.slice(0, 300) : "", under].join(" ")};
  });
}"""
_STAGE: Final = """() => { let best = null, size = 0;
  for (const e of document.querySelectorAll("canvas, [class*=viewport i], [class*=viewer i] img, img, video, svg")) {
    const r = e.getBoundingClientRect(), area = r.width * r.height;
    if (area > size && r.width > 100 && r.height > 100) { best = r; size = area; } }
  return best ? {x: best.x + best.width / 2, y: best.y + best.height / 2, size} : null; }"""
_EARLIER: Final = "历史|既往|以往|以前|检查|history|prior|previous|exam"  # what lists other examinations
_UNFOLD: Final = """earlier => {
  for (const one of document.querySelectorAll("details:not([open]) > summary"))
    if (!new RegExp(earlier, "i").test(one.innerText)) one.click(); }"""
_CHOICES: Final = """earlier => [...document.querySelectorAll("select")].flatMap((one, number) => {
  const other = /语言|language|布局|layout|窗[宽位]|window|preset|缩放|zoom|%|×|(19|20)\\d\\d[-./年]\\d/i;
  const texts = [...one.options].map(each => each.text), shown = one.getBoundingClientRect();
  const said = [one.name, one.id, one.title, one.getAttribute("aria-label"), ...texts].join(" ");
  const is_other = other.test(said) || new RegExp(earlier, "i").test(said);
  if (!shown.width || one.disabled || one.multiple || texts.length < 2 || is_other) return [];
  one.dataset.cloudfilmChoice = String(number);
  return [...one.options].map((each, at) => ({mark: String(number), at})).filter(each => each.at !== one.selectedIndex);
})"""
_TEXT: Final = "() => document.body ? document.body.innerText.slice(0, 20000) : ''"


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that can be clicked: the frame that it is in, its mark, its wording, the row and the heading that it stands in.

    ``away``: a link to another page. ``who``: what the row of a table says under the heading of a person's name. ``held``: it
    can't be pressed yet.
    """

    frame: Any
    mark: str
    text: str
    away: bool
    around: str
    who: str
    held: bool

    @property
    def words(self) -> str:
        """Its wording, without the gaps that some frameworks put between two characters."""
        return _GAP.sub("", self.text.strip())


@dataclass(frozen=True, slots=True)
class Choice:
    """An entry of a drop-down list: the frame that it is in, the list's mark, its place from 0 on."""

    frame: Any
    mark: str
    at: int


async def found(window: Window, mode: str) -> list[Mark]:
    """Everything of one kind that can be pressed now, in every frame.

    Args:
        window: the page's.
        mode: ``series`` for the entries of a list of series, ``words`` for whatever else has a wording.
    """
    marks = []
    for frame in window.page.frames:
        with window.quietly():
            marks += [
                Mark(frame, one["mark"], one["text"], one["away"], one["around"], one["who"], one["held"])
                for one in await frame.evaluate(_LOOK, mode)
            ]
    return marks


async def click(window: Window, mark: Mark, *, times: int = 1) -> bool:
    """Press a mark, with the mouse where nothing lies over it; False where the page has it no more."""
    selector = f'[data-cloudfilm="{mark.mark}"]'
    with window.quietly():
        await mark.frame.click(selector, timeout=CLICK_MS, click_count=times)
        return True
    with window.quietly():  # something lies over it
        await mark.frame.dispatch_event(selector, "click" if times == 1 else "dblclick")
        return True
    return False


async def drag(window: Window, mark: Mark, x: float, y: float) -> bool:
    """Draw a mark to a place of the page (CSS pixels) and let it go there."""
    mouse = window.page.mouse
    with window.quietly():
        one = await mark.frame.wait_for_selector(f'[data-cloudfilm="{mark.mark}"]', timeout=CLICK_MS)
        box = await one.bounding_box()
        if box is not None:
            await mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            await mouse.down()
            await mouse.move(x, y, steps=DRAG_STEPS)
            await mouse.up()
            return True
    return False


async def unfold(window: Window) -> None:
    """Open what is folded up: a list of series may be."""
    for frame in window.page.frames:
        with window.quietly():
            await frame.evaluate(_UNFOLD, _EARLIER)


async def choices(window: Window) -> list[Choice]:
    """Every entry of the page's drop-down lists but the one that each shows now."""
    found = []
    for frame in window.page.frames:
        with window.quietly():
            found += [
                Choice(frame, one["mark"], one["at"]) for one in await frame.evaluate(_CHOICES, _EARLIER)
            ]
    return found


async def choose(window: Window, choice: Choice) -> bool:
    """Choose an entry of a drop-down list; False where the page has it no more."""
    with window.quietly():
        selector = f'[data-cloudfilm-choice="{choice.mark}"]'
        await choice.frame.select_option(selector, index=choice.at, timeout=CLICK_MS)
        return True
    return False


async def stage(window: Window) -> dict[str, float] | None:
    """The middle of the largest picture, in the page's coordinates, and its size; None where there is none."""
    best: dict[str, float] | None = None
    for frame in window.page.frames:
        with window.quietly():
            shown = await frame.evaluate(_STAGE)
            if shown is None or (best and shown["size"] <= best["size"]):
                continue
            if frame.parent_frame is not None:
                box = await (await frame.frame_element()).bounding_box()
                shown = {**shown, "x": shown["x"] + box["x"], "y": shown["y"] + box["y"]} if box else shown
            best = shown
    return best


async def text(window: Window) -> str:
    """What the page says, with its frames."""
    said = list(window.said)
    for frame in window.page.frames:
        with window.quietly():
            said.append(await frame.evaluate(_TEXT))
    return "\n".join(said)


__all__ = ["Choice", "Mark", "choices", "choose", "click", "drag", "found", "stage", "text", "unfold"]
