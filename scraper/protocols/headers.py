"""Merge sets of HTTP headers, whose names are case-insensitive, so that each name occurs once.

Source: RFC 9110 5.1 and 5.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OF_THE_HANDSHAKE: Final = (  # written by the WebSocket client itself (RFC 6455 4.1)
    "host",
    "connection",
    "upgrade",
    "content-length",
    "transfer-encoding",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
)


def merged(*parts: Mapping[str, str] | None) -> dict[str, str]:
    """Merge headers under the spelling that came first; of two values of one name the later wins."""
    spelling: dict[str, str] = {}
    found: dict[str, str] = {}
    for part in parts:
        for name, value in (part or {}).items():
            found[spelling.setdefault(name.lower(), name)] = value
    return found


def taken(headers: dict[str, str], name: str) -> str | None:
    """Remove a header, however it is spelt, and return its value."""
    spelt = next((header for header in headers if header.lower() == name.lower()), None)
    return None if spelt is None else headers.pop(spelt)


def without(headers: Mapping[str, str], *names: str) -> dict[str, str]:
    """The headers except some, given in lower case."""
    return {name: value for name, value in headers.items() if name.lower() not in names}


def joined_cookies(own: str, jar: str) -> str:
    """Join two ``Cookie`` headers into one; of two values of one cookie that of ``own`` wins (RFC 6265 5.4: one header)."""
    pairs = cookie_pairs(own)
    more = [pair.strip() for pair in jar.split(";") if pair.strip()]
    rest = [pair for pair in more if pair.partition("=")[0] not in pairs]
    return "; ".join([*(f"{name}={value}" for name, value in pairs.items()), *rest])


def cookie_pairs(header: str) -> dict[str, str]:
    """Name → value from a ``Cookie`` header."""
    pairs = (pair.strip().partition("=") for pair in header.split(";") if pair.strip())
    return {name: value for name, _, value in pairs}
