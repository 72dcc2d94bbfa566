"""The token that requests carry, and that has to be renewed while they are sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class CarriedToken(Protocol):
    """What renews the token of some requests."""

    async def carried(self, send: Callable[[], Awaitable[T]]) -> T:
        """Send one request; where it is refused as one without a session is, once more with a new token.

        Raises:
            CloudfilmError: as ``send`` does.
        """
