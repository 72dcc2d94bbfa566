"""Waiting times of a run, in seconds; tests set shorter ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timings:
    """Pauses and limits of one run, in seconds.

    Attributes:
        first_pause_s: before a file is asked for a second time; then twice that, and so on.
        longest_pause_s: the longest of these pauses.
        asked_pause_s: a pause that a host asks for is kept up to this: a person can come back after a longer one.
        busy_pauses_s: before a list is asked for a second and a third time, where a busy host does not say how long.
        endless_s: a body of unknown length that has not ended by then may never end.
        site_scale: a provider's own waits (``Session.poll``, ``Session.site_s``) are multiplied by it.
    """

    first_pause_s: float = 0.6
    longest_pause_s: float = 16.0
    asked_pause_s: float = 300.0
    busy_pauses_s: tuple[float, ...] = (1.0, 3.0)
    endless_s: float = 60.0
    site_scale: float = 1.0
