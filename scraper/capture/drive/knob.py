"""Draw the knob of a slider of the page's own making along its track, as far as one image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from scraper.capture.drive import elements

if TYPE_CHECKING:
    from scraper.session.browser import Window

UNKNOWN: Final = 60  # images that a track is taken to stand for where their number is not known
LEAST: Final = 2.0  # CSS pixels, less than which is no drawing
DRAW_STEPS: Final = 3
# The middle of the knob, and how long its track is; of several, that with the longest track.
_KNOB: Final = (
    "() => {"
    + elements.DEEP
    + """ const name = e => `${e.id} ${typeof e.className === "string" ? e.className : ""}`;
  const other = /window|level|zoom|volume|bright|contrast|speed|opacity|窗|音量/i;
  const held = deep('[class*="slider" i] *, [class*="progress" i] *, [class*="track" i] *, [class*="range" i] *,'
    + '[id*="slider" i] *');
  let best = null;
  for (const e of held) {
    const r = e.getBoundingClientRect();
    if (!/button|handle|thumb|knob|dot|grip|drag|pointer/i.test(name(e)) || other.test(name(e)) || !shown(e)) continue;
    if (r.width > 60 || r.height > 60) continue;
    for (let up = above(e); up && up !== document.body; up = above(up)) {
      const t = up.getBoundingClientRect(), across = t.width >= 4 * r.width, down = t.height >= 4 * r.height && t.width <= 80;
      if (other.test(name(up))) break;
      if (!across && !down) continue;
      const length = down ? t.height : t.width;
      if (!best || length > best.length) best = {x: r.left + r.width / 2, y: r.top + r.height / 2, down, length};
      break; }
  }
  return best; }"""
)


class _Knob(TypedDict):
    """Where a knob stands and how far it goes; CSS pixels of its frame."""

    x: float
    y: float
    down: bool
    length: float


async def draw(window: Window, count: int | None, *, forward: bool) -> bool:
    """Draw the page's knob one image on, or back; False where the page has none.

    Args:
        window: the page's.
        count: how many images its track stands for.
        forward: to the right, or down.
    """
    page = window.page
    for frame in page.frames:
        with window.quietly():
            found: _Knob | None = await frame.evaluate(_KNOB)
            if found is None:
                continue
            x, y = found["x"], found["y"]
            if frame.parent_frame is not None:
                box = await (await frame.frame_element()).bounding_box()
                x, y = (x + box["x"], y + box["y"]) if box else (x, y)
            step = max(found["length"] / max((count or UNKNOWN) - 1, 1), LEAST) * (1 if forward else -1)
            dx, dy = (0.0, step) if found["down"] else (step, 0.0)
            await page.mouse.move(x, y)
            await page.mouse.down()
            await page.mouse.move(x + dx, y + dy, steps=DRAW_STEPS)
            await page.mouse.up()
            return True
    return False
