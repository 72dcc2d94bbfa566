"""One further look at a viewer before the first plan: more images may be listed than it shows, or larger ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scraper.capture.drive import further_pages, previews

if TYPE_CHECKING:
    from scraper.capture.examination import Examination


@dataclass(slots=True)
class FurtherLook:
    """What was looked at, each once: the further pages of the list, a small picture.

    Attributes:
        is_page_turned: the page shows the last part of its list now, and no longer the first.
    """

    has_turned_pages: bool = False
    is_page_turned: bool = False
    has_pressed_preview: bool = False

    async def take(self, examination: Examination) -> None:
        """Turn the pages of the list, and press a small picture, as soon as images came, while nothing drives the viewer.

        Raises:
            CloudfilmError: the page has ended.
        """
        if examination.is_driven or examination.is_shown_through or not examination.observations.size:
            return
        if not self.has_turned_pages:
            self.has_turned_pages = True
            self.is_page_turned = await further_pages.turn_pages(examination)
        if not self.has_pressed_preview and len(examination.observations.objects) >= previews.LEAST:
            self.has_pressed_preview = True
            await previews.press_one(examination)

    async def turn_back(self, examination: Examination) -> None:
        """Load the page again where its list was turned: what stood on the first pages is still to be shown.

        Raises:
            CloudfilmError: the page has ended.
        """
        if self.is_page_turned:
            self.is_page_turned = False
            await examination.session.screen.reload()
