"""Steps of a driver: after each action on the page it pauses, and its caller waits for the effect, or stops.

A driver's method that acts on the page is a generator of such steps. Between two of them the coordinator takes in what arrived;
once there is enough, it does not ask for the next step.
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
    """Wait as ``Settle`` does, and go on in any case: a running download will deliver everything."""

    quiet_s: float
    up_to_s: float


Step = Settle | Glance | Pause
Steps = AsyncGenerator[Step, None]
