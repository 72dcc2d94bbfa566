"""The only door to the browser: finds one, starts it, gives each link its own window, and closes everything.

No exception of the browser's library passes it: a provider that uses ``Window.page`` itself does so inside
``Window.guard()``.
"""

from typing import TYPE_CHECKING

from scraper.session.browser.discovery import find_browser
from scraper.session.browser.process import Browser
from scraper.session.browser.window import Window

if TYPE_CHECKING:
    from playwright.async_api import Page as Page  # what Window.page is

__all__ = ["Browser", "Window", "find_browser"]
