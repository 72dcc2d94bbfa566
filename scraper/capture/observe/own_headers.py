"""The headers that a page adds to its requests itself: what a site may insist on."""

from __future__ import annotations

from typing import Final

from scraper.session.browser.traffic import Exchange

_LEFT_TO_THE_CLIENT: Final = (
    "accept",
    "accept-encoding",
    "accept-language",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "if-modified-since",
    "if-none-match",
    "range",
    "te",
    "upgrade-insecure-requests",
)


def own_headers(exchange: Exchange) -> dict[str, str]:
    """The headers that the page itself added, or that tell the browser: what the site may insist on."""
    return {
        name: value
        for name, value in exchange.request_headers.items()
        if name not in _LEFT_TO_THE_CLIENT and not name.startswith(("sec-", ":"))
    }
