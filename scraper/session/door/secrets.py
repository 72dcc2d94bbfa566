"""Which headers say nothing of a person, and may go to any host."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

PLAIN = frozenset(
    {
        "accept", "accept-language", "accept-encoding", "user-agent", "range", "if-range", "cache-control", "pragma",
        "content-type", "x-requested-with", "connection", "origin", "referer",
    }
)  # fmt: skip
"""Headers that a browser sends to any host; all others may hold a token, whatever their name."""


def plain_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Of some headers those that say nothing of a person; of ``Referer`` its origin alone, for a link is a secret."""
    kept = {name: value for name, value in headers.items() if name.lower() in PLAIN}
    return {name: _origin(value) if name.lower() == "referer" else value for name, value in kept.items()}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/" if parts.netloc else ""
