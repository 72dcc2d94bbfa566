"""Cookies in the browser's form and in our own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scraper.session.http.client import Cookie

if TYPE_CHECKING:
    from playwright._impl._api_structures import SetCookieParam  # not exported
    from playwright.async_api import Cookie as BrowserCookie


def from_browser(cookie: BrowserCookie) -> Cookie:
    """A cookie of the browser in our form."""
    return Cookie(
        cookie.get("name", ""),
        cookie.get("value", ""),
        cookie.get("domain", ""),
        cookie.get("path", "/"),
        cookie.get("secure", False),
        cookie.get("expires", -1),
    )


def for_browser(cookie: Cookie) -> SetCookieParam:
    """A cookie of ours in the browser's form."""
    return {
        "name": cookie.name,
        "value": cookie.value,
        "domain": cookie.domain,
        "path": cookie.path or "/",
        "secure": cookie.secure,
        "expires": cookie.expires,
    }
