"""Iterate over what a provider returns: a list, or an asynchronous iterator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence

from scraper.core.model import Discovered

DiscoveredItems = AsyncIterator[Discovered] | Awaitable[Sequence[Discovered]]
"""What ``discover`` and ``watch`` give. Of an iterator, what came stays where the rest fails."""


async def iterate(given: DiscoveredItems) -> AsyncIterator[Discovered]:
    """One after another what a provider gives, be it a list or an iterator."""
    if isinstance(given, AsyncIterator):
        async for found in given:
            yield found
    else:
        for found in await given:
            yield found
