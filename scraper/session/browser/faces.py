"""What a page shows of several faces that it may have: forms, notices, the viewer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import reduce
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import Page


async def face_shown(page: Page, faces: Mapping[str, str]) -> str:
    """The name of the first selector that shows an element, in the page or a frame of it; empty: none does.

    Args:
        page: is looked at as it is now.
        faces: name → selector, in the order in which they count.
    """
    from playwright.async_api import Error, Locator

    for frame in page.frames:
        found = {name: frame.locator(selector).locator("visible=true") for name, selector in faces.items()}
        with suppress(Error):  # the document was replaced while we looked
            # most looks find nothing: one question for all of them
            if found and await reduce(Locator.or_, found.values()).first.is_visible():
                for name, face in found.items():
                    if await face.first.is_visible():
                        return name
    return ""
