"""Where driving pauses: something was done to the page, and whoever drives waits for what comes of it, or stops.

A driver's method that acts on the page is a generator of such steps. Between two of them the coordinator takes in what came;
where there is enough, it does not ask for the next step.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settle:
    """Wait until nothing has come for ``quiet_s``, for ``up_to_s`` at most; stop where there is enough."""

    quiet_s: float
    up_to_s: float


@dataclass(frozen=True, slots=True)
class Glance:
    """Wait until something of use has come after ``seen`` exchanges, for ``up_to_s`` at most; stop where there is enough."""

    seen: int
    up_to_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait as ``Settle`` does, and go on in any case: what is under way brings everything."""

    quiet_s: float
    up_to_s: float


Step = Settle | Glance | Pause
Steps = AsyncGenerator[Step, None]

__all__ = ["Glance", "Pause", "Settle", "Step", "Steps"]
