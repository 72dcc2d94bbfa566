"""Buttons and links of a page that give one image's file each, where a viewer gives its files in no other way."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

from scraper.capture.drive import elements
from scraper.capture.drive.download_button import DOWNLOAD, FORMAT, LINK, NO_PACKAGE, OTHERS
from scraper.capture.drive.elements import PageElement
from scraper.capture.drive.shown import ShownImages
from scraper.capture.drive.steps import Glance, Steps
from scraper.capture.drive.wording import is_never
from scraper.capture.observe.received import Observations, asked_by

if TYPE_CHECKING:
    from scraper.session.browser import Window

LEAST: Final = 2  # alike
LONGEST_WORDING: Final = 30
FILE_S: Final = 8.0  # for a button to give its image's file
MAX_BUTTONS: Final = 3000  # of one page
_NUMBERS: Final = re.compile(r"\d+")
# What names a file of DICOM, or is worded like a download, whatever is between it and the page's list.
_GIVERS: Final = (
    "most => {"
    + elements.DEEP
    + elements.MARK
    + r""" const isFile = e => e.tagName === "A" && /[.](dcm|dicom|ima)([?#]|$)/i.test(e.href);
  const words = e => (e.innerText || e.value || e.title || e.getAttribute("aria-label") || "").trim();
  const around = e => { const row = e.closest("tr, li, figure, [class*=item i], [class*=card i]");
    return row ? row.innerText.slice(0, 200) : ""; };
  return deep('a[href], button, input[type=button], [role=button], [onclick]').filter(e => shown(e) && !e.disabled)
    .filter(e => isFile(e) || words(e)).slice(0, most)
    .map(e => ({mark: mark(e), text: words(e).slice(0, 60), tag: e.tagName, file: isFile(e), around: around(e)})); }"""
)


class ImageButtons:
    """Presses the buttons of one window.

    Args:
        window: the viewer's.
        observations: what came.
    """

    def __init__(self, window: Window, observations: Observations) -> None:
        self._window = window
        self._observations = observations
        self._given: dict[
            tuple[int, str], str
        ] = {}  # a button that was pressed → SOP Instance UID, empty where nothing came
        self._is_idle = False  # the first ones gave nothing
        self._is_cut = False  # some were left

    async def press_each(self, until: float) -> Steps:
        """Press every button of the page that gives one image's file, as long as they do.

        Args:
            until: by the clock of ``time.monotonic``.
        """
        silent = 0
        for button in () if self._is_idle else await self._found():
            name, seen = (id(button.frame), button.mark), len(self._window.traffic.exchanges)
            if name in self._given:
                continue
            size = self._observations.size
            if time.monotonic() > until or not await elements.click(self._window, button):
                self._is_cut = True
                return
            self._window.traffic.touch()
            yield Glance(seen, FILE_S)
            silent = 0 if self._observations.size > size else silent + 1
            origins = self._observations.origins
            came = [origins.get(asked_by(exchange), "") for exchange in self._window.traffic.exchanges[seen:]]
            # what the page saves for the button before may come late
            came.sort(key=lambda uid: (not uid, uid in self._given.values()))
            self._given[name] = came[0] if came else ""
            if len(self._given) == LEAST and silent == LEAST and not any(self._given.values()):
                self._is_idle = True
                return

    def note_totals(self, shown: ShownImages) -> None:
        """Note that the page has a button for each image, and no more, where each gave one."""
        uids, objects = set(self._given.values()), self._observations.objects
        if self._is_cut or not uids <= objects.keys():
            return
        series = Counter(objects[uid].header.series_instance_uid for uid in uids)
        for uid, count in series.items():
            shown.add_total(uid, count)

    async def _found(self) -> list[PageElement]:
        """The page's links to files of DICOM, else the largest group of its buttons for a download; none of one alone."""
        groups: dict[str, list[PageElement]] = defaultdict(list)
        for frame, item in await elements.in_frames(self._window, _GIVERS, MAX_BUTTONS):
            element = PageElement(frame, item["mark"], item["text"], context=item["around"])
            words = element.words
            if OTHERS.search(element.context) or is_never(words):
                continue
            if item["file"]:
                groups[""].append(element)
            elif len(words) <= LONGEST_WORDING and _is_download(words):
                groups[f"{item['tag']} {_NUMBERS.sub('0', words)}"].append(element)
        files = groups.pop("", [])
        found = files if len(files) >= LEAST else max(groups.values(), key=len, default=[])
        return found if len(found) >= LEAST else []


def _is_download(words: str) -> bool:
    return not NO_PACKAGE.search(words) and any(kind.search(words) for kind in (DOWNLOAD, LINK, FORMAT))
