"""Clickable elements of a page (text and position), and the bounds of its image viewport."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypedDict

from scraper.capture.drive.wording import HISTORY, NEVER

if TYPE_CHECKING:
    from scraper.session.browser import Window

CLICK_MS: Final = 3000.0
DRAG_STEPS: Final = 8
_GAP: Final = re.compile(r"(?<=[\u4e00-\u9fff])\s+(?=[\u4e00-\u9fff])")
# Through open shadow roots, too: everything that a selector finds, and what the page says.
# ``mark(e)`` numbers an element, so that it can be found again; a later document's numbers are others
MARK: Final = """
  window.__marks = window.__marks || Date.now() % 1e8 * 1e4;
  const mark = e => { if (!e.dataset.cloudfilm) e.dataset.cloudfilm = String(++window.__marks); return e.dataset.cloudfilm; };
"""
DEEP: Final = """
  const roots = (top = document, found = []) => { found.push(top);
    for (const e of top.querySelectorAll("*")) if (e.shadowRoot) roots(e.shadowRoot, found); return found; };
  const deep = selector => roots().flatMap(root => [...root.querySelectorAll(selector)]);
  const holds = (outer, inner) => {
    for (let e = inner; e; e = e.parentNode || e.host) if (e === outer) return true;
    return false; };
  const above = e => e.parentElement || (e.getRootNode() instanceof ShadowRoot ? e.getRootNode().host : null);
  const shown = e => { const r = e.getBoundingClientRect(), s = getComputedStyle(e);
    return r.width > 8 && r.height > 8 && s.visibility !== "hidden" && s.display !== "none" && +s.opacity > 0.05; };
"""
COUNTED_TEXT: Final = (
    r"[(（\\[【]\\s*(共\\s*)?\\d{1,4}\\s*[张幅帧]?\\s*[)）\\]】]|\\d{1,4}\\s*(张|幅|帧|images?\\b|slices?\\b|imgs?\\b)|"
    r"(共|数量|张数|幅数|帧数|images?|slices?)\\s*[:：]?\\s*\\d{1,4}(?![\\d/.-])"
)
# Marks what can be clicked, and gives its wording and place; the innermost element of several that hold each other.
_LOOK: Final = (
    """({mode, names}) => {"""
    + DEEP
    + MARK
    + """
  const series = '[class*="series" i], [class*="thumb" i], [class*="xulie" i], [id*="series" i], [id*="thumb" i],' +
    '[class*="list" i] button, [class*="list" i] li,' +
    'nav button, nav li, nav a, aside li, aside button, [role=listitem], [role=option], [role=tab]';
  const words =
    'a, button, input[type=button], input[type=submit], [role=button], [role=menuitem], [onclick], li, span, div, td, i, img';
  const boxed = (e, low, high) => { const r = e.getBoundingClientRect();
    return Math.min(r.width, r.height) >= low && r.width <= 1.3 * high && r.height <= high; };
  const counted = new RegExp("COUNTED", "i");
  /* What hangs together as a card: a small picture or a count of images, that the mouse finds something to press in. */
  const cards = () => {
    const kinds = "div, li, p, a, td, tr, dd, dt, span, figure, button, section, article, img, canvas";
    const pictured = e => [e, ...e.querySelectorAll("*")].some(one => boxed(one, 40, 260) &&
      (one.matches("img, canvas") || getComputedStyle(one).backgroundImage.startsWith("url")));
    const held = deep(kinds).filter(e =>
      shown(e) && boxed(e, 24, 320) && (getComputedStyle(e).cursor === "pointer" || e.draggable && !e.matches("img, a")));
    let some = held.filter(e => pictured(e) || counted.test(e.innerText || ""));
    /* Else tiles: three alike at least, side by side, larger than a tool's button. */
    const kind = e => `${e.tagName} ${e.className}`;
    const alike = e => [...e.parentElement.children].filter(one => kind(one) === kind(e)).length;
    if (!some.length) some = held.filter(e => boxed(e, 60, 320) && e.parentElement && alike(e) >= 3);
    return some.filter(e => !some.some(o => o !== e && holds(o, e)));
  };
  /* What says a count of images, or a series' name or number, whatever its tag: one element for each row. */
  const own = e => [...e.childNodes].filter(one => one.nodeType === 3).map(one => one.data).join(" ").trim();
  const named = text => names.some(name => text === name || text.includes(name) && text.length <= name.length + 24);
  const pressed = 'li, button, a, tr, [role=button], [role=listitem], [role=option], [onclick], [class*="item" i]';
  const rows = isOnlyList => {
    const texts = deep("*").filter(e => !e.matches("script, style, option, title, h1, h2, textarea, input, noscript") && shown(e))
      .map(e => ({e, text: own(e)})).filter(({text}) => text && text.length <= 100);
    const isName = ({text}) => named(text), isCount = ({text}) => counted.test(text);
    const isNumbered = ({text}) => /^(序列|系列|series|se)\\s*[:：#.]?\\s*\\d{1,4}(?!\\d)/i.test(text);
    const kinds = [isName, isCount, isNumbered];
    const leavesOf = some => texts.filter(one => some.some(kind => kind(one)));
    let leaves = leavesOf([isName, isCount]);
    if (isOnlyList && (!leaves.length || leaves.some(isNumbered))) leaves = leavesOf(kinds);  // an overlay has a number, too
    if (leaves.length > 400) return [];
    const inside = (box, kind) => leaves.filter(one => kind(one) && holds(box, one.e)).length;
    const row = leaf => { let box = leaf.e;
      const fits = up => up && up !== document.body && kinds.every(kind => inside(up, kind) <= 1);
      for (let up = above(box); fits(up); up = above(up)) box = up;
      return box; };
    const seen = new Set(), found = [];
    for (const leaf of leaves) { const box = row(leaf); if (seen.has(box)) continue; seen.add(box);
      found.push(leaf.e.closest(pressed) || leaf.e); }
    /* An entry beside one of a known name is of the same list, whatever its own name is. */
    const kind = e => `${e.tagName} ${e.className}`;
    const isPressed = e => e.matches(pressed) || getComputedStyle(e).cursor === "pointer";
    const beside = e => [...e.parentElement.children].filter(one => one !== e && kind(one) === kind(e) && shown(one)
      && (one.innerText || "").trim() && one.innerText.length <= 100);
    const more = isOnlyList ? found.filter(isPressed).flatMap(beside) : [];
    return [...new Set([...found, ...more.filter(e => !found.some(o => holds(o, e) || holds(e, o)))])];
  };
  let found = (mode === "series" ? deep(series) : deep(words)).filter(shown);
  if (mode === "series") {
    found = found.filter(e => { const r = e.getBoundingClientRect(); return r.width >= 24 && r.height >= 16 && r.width < 700; });
    // a slider's thumb is no series
    found = found.filter(e => !e.closest("[role=slider], [role=scrollbar]") && !e.querySelector(":scope > input[type=range]"));
    found = found.filter(e => !found.some(o => o !== e && holds(e, o)));
    if (!found.length) found = cards();
    const more = rows(!found.length).filter(e => !found.some(o => holds(e, o) || holds(o, e)));
    found = [...found, ...more];
    const menus = '[class*="menu" i], [class*="tool" i], [class*="bar" i], header, footer, form';
    const tools = new RegExp("放大|缩小|移动|平移|缩放|窗|测量|重置|还原|反[色相]|旋转|翻转|播放|角度|长度|标注|布局|全屏|设置|"
      + "zoom|pan|window|measure|reset|invert|rotate|flip|play|layout|full|length|angle|setting", "i");
    const isListed = e => { const list = e.parentElement, text = (e.innerText || "").trim();
      const isEntry = text.length > 1 && text.length <= 60 && list.children.length > 1;
      return isEntry && !e.closest(menus) && !tools.test(list.innerText); };
    if (!found.length) found = deep("ul > li, ol > li").filter(e => shown(e) && isListed(e));  // a list without any such word
  } else {
    found = found.filter(e => e.matches('a, button, input, [role], [onclick]') || getComputedStyle(e).cursor === "pointer");
  }
  found = found.slice(0, 400);
  const plain = text => (text || "").replace(/[\ue000-\uf8ff]/g, "").trim();  // an icon's font has no words
  const titles = e => [e.title, e.alt, e.getAttribute("aria-label"), e.dataset.title, e.dataset.tip];
  const titled = e => titles(e).map(plain).find(text => text);
  const within = e => { const one = e.querySelector("[title], [alt], [aria-label]"); return one && titled(one); };
  const say = e => plain(e.innerText) || plain(String(e.value || "")) || titled(e) || within(e) || "";
  if (mode !== "series") found = found.filter(e => !found.some(o => o !== e && holds(e, o) && say(o) === say(e)));
  return found.map(e => {
    const text = say(e).slice(0, 60);
    const row = e.closest("tr, li, [role=row], [class*=item i], [class*=card i], [class*=row i]");
    let under = "", up = e;
    for (; up && up !== document.body && !under; up = above(up))
      for (let one = up.previousElementSibling; one && !under; one = one.previousElementSibling)
        if (one.matches("h1, h2, h3, h4, h5, h6, legend, caption, [class*=title i], [class*=head i]"))
          under = one.innerText.trim();
    const place = row && row.closest("table") ? [...row.closest("table").querySelectorAll("th")]
      .findIndex(one => /姓名|患者|patient|name/i.test(one.innerText)) : -1;
    const who = place >= 0 && row.children[place] ? row.children[place].innerText.trim() : "";
    const away = e.tagName === "A" && !!e.href && !e.href.startsWith(location.href.split("#")[0])
      && !e.href.startsWith("javascript:");
    const held = !!e.disabled || e.getAttribute("aria-disabled") === "true" || e.classList.contains("is-disabled");
    return {mark: mark(e), text, away, held, who, around: [row ? row.innerText.slice(0, 300) : "", under].join(" ")};
  });
}""".replace("COUNTED", COUNTED_TEXT)
)
_STAGE: Final = (
    "() => {"
    + DEEP
    + """ let best = null, size = 0;
  const every = deep("canvas, [class*=viewport i], [class*=viewer i] img, img, video, svg").filter(shown);
  const area = e => { const r = e.getBoundingClientRect(); return r.width * r.height; };
  for (const e of every) { const r = e.getBoundingClientRect();
    if (area(e) > size && r.width > 100 && r.height > 100) { best = e; size = area(e); } }
  const canvases = every.filter(e => e.matches("canvas"));  /* the only canvas is the canvas, however small */
  if (canvases.length === 1 && !(best && best.matches("video, [class*=viewport i], [class*=viewer i] img"))) best = canvases[0];
  if (!best) return null;
  let r = best.getBoundingClientRect();
  if (r.top < 0 || r.left < 0 || r.bottom > innerHeight || r.right > innerWidth) {
    best.scrollIntoView({block: "nearest", inline: "nearest"}); r = best.getBoundingClientRect(); }
  const clip = (low, high, most) => [Math.max(low, 0), Math.min(high, most)];
  const [left, right] = clip(r.left, r.right, innerWidth), [top, bottom] = clip(r.top, r.bottom, innerHeight);
  return {x: (left + right) / 2, y: (top + bottom) / 2, size: area(best), width: right - left, height: bottom - top}; }"""
)
_EARLIER: Final = "历史|既往|以往|以前|检查|history|prior|previous|exam"  # what lists other examinations
_UNFOLD: Final = """earlier => {
  for (const one of document.querySelectorAll("details:not([open]) > summary"))
    if (!new RegExp(earlier, "i").test(one.innerText)) one.click(); }"""
# What hides more of a list: closed folders of a tree, tabs that are not shown, found in this order.
_FOLDED: Final = (
    "earlier => {"
    + DEEP
    + MARK
    + """ const other = new RegExp(earlier, "i"), active = /(^|[-_ ])(active|selected|current|is-on|on)($|[-_ ])/i;
  const folders = '[aria-expanded="false"]:not([role=combobox]):not([aria-haspopup]), [class*="folder" i],'
    + '[class*="collapsed" i],' + '[class*="expander" i], [class*="tree" i] [class*="node" i], [class*="fold" i]';
  const tabs = '[role=tab], [class*="tabs" i] > *, [class*="tab-item" i], [class*="tabbar" i] > *, [class*="tab-list" i] > *';
  const words = e => (e.innerText || e.title || e.getAttribute("aria-label") || "").trim();
  const is = (e, name) => e.getAttribute(name) === "true";
  const isOpen = e => active.test(e.className) || is(e, "aria-expanded") || is(e, "aria-selected");
  const isPart = e => shown(e) && !isOpen(e) && words(e).length <= 60 && !other.test(words(e));
  const some = [...deep(folders), ...deep(tabs)].filter(isPart);
  const inner = some.filter(e => !some.some(o => o !== e && holds(e, o)));
  return inner.slice(0, 60).map(e => ({mark: mark(e), text: words(e)})); }"""
)
_SCROLL_LISTS: Final = (
    "() => {"
    + DEEP
    + """ const scrolls = e => /auto|scroll/.test(getComputedStyle(e).overflowY) && e.scrollHeight > e.clientHeight + 8;
  const all = [...deep("*").filter(e => shown(e) && scrolls(e)), document.scrollingElement].filter(e => e);
  let moved = false;
  for (const e of all) { const before = e.scrollTop; e.scrollTop = e.scrollHeight; moved = moved || e.scrollTop > before; }
  return moved; }"""
)
_SCROLL_BACK: Final = (
    "() => {"
    + DEEP
    + """ for (const e of [...deep("*"), document.scrollingElement]) if (e && e.scrollTop) e.scrollTop = 0; }"""
)
# Pages of the same host that the page leads to; neither files nor what stands among earlier examinations.
_LINKED: Final = (
    "never => {"
    + DEEP
    + r""" const other = new RegExp(never, "i"), here = location.href.split("#")[0];
  const isPage = e => { const at = new URL(e.href, location.href), name = at.pathname.split("/").pop();
    return at.origin === location.origin && at.href.split("#")[0] !== here
      && !e.hasAttribute("download") && !/[.](?!html?$|php$|aspx?$|jsp$|do$|action$)[a-z0-9]{1,5}$/i.test(name); };
  const links = deep("a[href]").filter(e => e.protocol.startsWith("http") && shown(e) && isPage(e));
  return [...new Set(links.filter(e => !other.test(e.innerText)).map(e => e.href.split("#")[0]))].slice(0, 200); }"""
)
_LAUNCHES: Final = (
    "schemes => {"
    + DEEP
    + """ const isLaunch = href => schemes.some(name => href.startsWith(`${name}:`)) || /[.]jnlp([?#]|$)/.test(href);
  const addresses = deep("a[href], iframe[src]").map(e => e.getAttribute("href") || e.getAttribute("src"));
  return addresses.filter(isLaunch).slice(0, 20); }"""
)
_CHOICES: Final = """earlier => [...document.querySelectorAll("select")].flatMap((one, number) => {
  const other = /语言|language|布局|layout|窗[宽位]|window|preset|缩放|zoom|%|×|(19|20)\\d\\d[-./年]\\d/i;
  const texts = [...one.options].map(each => each.text), shown = one.getBoundingClientRect();
  const wording = [one.name, one.id, one.title, one.getAttribute("aria-label"), ...texts].join(" ");
  const is_other = other.test(wording) || new RegExp(earlier, "i").test(wording);
  if (!shown.width || one.disabled || one.multiple || texts.length < 2 || is_other) return [];
  one.dataset.cloudfilmChoice = String(number);
  return [...one.options].map((each, at) => ({mark: String(number), at})).filter(each => each.at !== one.selectedIndex);
})"""
_TEXT: Final = (
    "() => {"
    + DEEP
    + """ if (!document.body) return "";
  const inner = roots().slice(1).flatMap(root => [...root.children].map(e => e.innerText || ""));
  return [document.body.innerText, ...inner].join("\\n").slice(0, 20000); }"""
)


class Viewport(TypedDict):
    """Where the picture stands: its middle, its width and height as far as they can be seen, its area; CSS pixels."""

    x: float
    y: float
    width: float
    height: float
    size: float


@dataclass(frozen=True, slots=True)
class PageElement:
    """Something that can be clicked: the frame that it is in, its mark, its wording.

    ``navigates_away``: a link to another page. ``context``: the row and the heading that it stands in. ``patient_name``: what the
    row of a table says under the heading of a person's name. ``is_disabled``: it can't be pressed yet.
    """

    frame: Any
    mark: str
    text: str
    navigates_away: bool = False
    context: str = ""
    patient_name: str = ""
    is_disabled: bool = False

    @property
    def words(self) -> str:
        """Its wording, without the gaps that some frameworks put between two characters."""
        return _GAP.sub("", self.text.strip())


@dataclass(frozen=True, slots=True)
class DropdownOption:
    """An entry of a drop-down list: the frame that it is in, the list's mark, its place from 0 on."""

    frame: Any
    mark: str
    at: int


async def find_elements(window: Window, mode: str, names: Collection[str] = ()) -> list[PageElement]:
    """Everything of one kind that can be pressed now, in every frame.

    Args:
        window: the page's.
        mode: ``series`` for the entries of a list of series, ``words`` for whatever else has a wording.
        names: what the received data calls its series.
    """
    found = await in_frames(window, _LOOK, {"mode": mode, "names": list(names)})
    return [
        PageElement(frame, item["mark"], item["text"], item["away"], item["around"], item["who"], item["held"])
        for frame, item in found
    ]


async def click(window: Window, mark: PageElement, *, times: int = 1) -> bool:
    """Press a mark, with the mouse where nothing lies over it; False where the page has it no more."""
    selector = f'[data-cloudfilm="{mark.mark}"]'
    with window.quietly():
        await mark.frame.click(selector, timeout=CLICK_MS, click_count=times)
        return True
    with window.quietly():  # something lies over it
        await mark.frame.dispatch_event(selector, "click" if times == 1 else "dblclick")
        return True
    return False


async def drag(window: Window, mark: PageElement, x: float, y: float) -> bool:
    """Draw a mark to a place of the page (CSS pixels) and let it go there."""
    mouse = window.page.mouse
    with window.quietly():
        item = await mark.frame.wait_for_selector(f'[data-cloudfilm="{mark.mark}"]', timeout=CLICK_MS)
        box = await item.bounding_box()
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


async def closed_folders(window: Window) -> list[PageElement]:
    """Closed folders and tabs that are not shown: a part of the series list may be behind each."""
    found = await in_frames(window, _FOLDED, _EARLIER)
    return [PageElement(frame, item["mark"], item["text"]) for frame, item in found]


async def launch_addresses(window: Window, schemes: Sequence[str]) -> list[str]:
    """The addresses of the page's links that start a program on the computer."""
    return [address for _, address in await in_frames(window, _LAUNCHES, list(schemes))]


async def linked_pages(window: Window) -> list[str]:
    """Addresses of the pages of its own host that the page leads to, but for what must not be pressed."""
    never = f"{NEVER.pattern}|{HISTORY.pattern}"
    return list(dict.fromkeys(address for _, address in await in_frames(window, _LINKED, never)))


async def dropdown_options(window: Window) -> list[DropdownOption]:
    """Every entry of the page's drop-down lists but the one that each shows now."""
    found = await in_frames(window, _CHOICES, _EARLIER)
    return [DropdownOption(frame, item["mark"], item["at"]) for frame, item in found]


async def in_frames(window: Window, script: str, given: object) -> list[tuple[Any, Any]]:
    """What a script finds in each frame of the page; one that is closed meanwhile has nothing."""
    found: list[tuple[Any, Any]] = []
    for frame in window.page.frames:
        with window.quietly():
            found += [(frame, item) for item in await frame.evaluate(script, given)]
    return found


async def choose_option(window: Window, choice: DropdownOption) -> bool:
    """Choose an entry of a drop-down list; False where the page has it no more."""
    with window.quietly():
        selector = f'[data-cloudfilm-choice="{choice.mark}"]'
        await choice.frame.select_option(selector, index=choice.at, timeout=CLICK_MS)
        return True
    return False


async def find_viewport(window: Window) -> Viewport | None:
    """The position of the largest picture, in the page's coordinates, or None."""
    best: Viewport | None = None
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


async def page_text(window: Window) -> str:
    """What the page says, with its frames."""
    texts = list(window.dialogs)
    for frame in window.page.frames:
        with window.quietly():
            texts.append(await frame.evaluate(_TEXT))
    return "\n".join(texts)


async def scroll_lists(window: Window) -> bool:
    """Scroll every list of the page to its end: some ask for their next page then; False where none scrolls further."""
    is_any = False
    for frame in window.page.frames:
        with window.quietly():
            is_any = await frame.evaluate(_SCROLL_LISTS) is True or is_any
    window.traffic.touch()
    return is_any


async def scroll_back(window: Window) -> None:
    """Scroll everything of the page to its beginning."""
    for frame in window.page.frames:
        with window.quietly():
            await frame.evaluate(_SCROLL_BACK)
