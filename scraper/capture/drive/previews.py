"""Whether the small pictures of a page are previews: one of them is pressed, and what comes then may be the image itself.

A strip of previews may hold DICOM objects of a reduced matrix, under the UIDs of the images: nothing in them says so.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from scraper.capture.drive import elements

if TYPE_CHECKING:
    from scraper.capture.examination import Examination

LEAST: Final = 3  # small pictures of a strip
OPENED_S: Final = 2.0  # for what a picture that is pressed asks for
LOOK_S: Final = 0.1
# presses one of several small pictures that the page draws itself; gives how many there are
_PRESS: Final = (
    "least => {"
    + elements.DEEP
    + """
  const box = e => e.getBoundingClientRect();
  const small = e => Math.max(box(e).width, box(e).height) <= 220 && Math.min(box(e).width, box(e).height) >= 48;
  const own = deep('canvas, img[src^="blob:"], img[src^="data:"]').filter(e => shown(e) && small(e));
  if (own.length < least) return 0;
  const isThere = e => box(e).top >= 0 && box(e).bottom <= innerHeight && !e.closest("a[href], button, [role=button]");
  const one = own.slice(1).find(isThere);
  if (!one) return 0;
  for (const kind of ["pointerdown", "mousedown", "pointerup", "mouseup", "click", "dblclick"]) {
    const made = kind.startsWith("pointer") ? PointerEvent : MouseEvent;
    one.dispatchEvent(new made(kind, {bubbles: true, composed: true, cancelable: true})); }
  return own.length; }"""
)


async def press_one(examination: Examination) -> bool:
    """Press one of the small pictures that stand for the images that came, and take in what comes; False where there are none.

    Raises:
        CloudfilmError: the page has ended.
    """
    window, observations = await examination.session.window(), examination.observations
    count, seen = 0, len(window.traffic.exchanges)
    for frame in window.page.frames:
        with window.quietly():
            count = count or int(await frame.evaluate(_PRESS, max(LEAST, len(observations.objects) // 2)))
    give_up = time.monotonic() + OPENED_S
    while count and time.monotonic() < give_up:
        await window.traffic.after(len(window.traffic.exchanges), timeout_s=LOOK_S)
        await examination.take()
        if len(window.traffic.exchanges) > seen and not window.is_waiting:
            break
    return bool(count)
