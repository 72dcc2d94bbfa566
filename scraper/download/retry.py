"""How often a request is tried, and how long to wait between: as a site asks (Retry-After), else longer each time."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from scraper.core.errors import AsksToWait, CloudfilmError, CorruptInstance, SiteBusy, SiteUnreachable
from scraper.session import Session

ATTEMPTS: Final = 8  # with growing pauses, some 50 s: a line that is gone for half a minute costs nothing
CORRUPT_ATTEMPTS: Final = 3  # of an instance that comes damaged
CORRUPT_PACKAGE_ATTEMPTS: Final = 2
JOB_ATTEMPTS: Final = 1  # of a job that says itself that it can't


def most_for_instance(err: CloudfilmError) -> int:
    """How often an instance is tried whose failure is this one."""
    return 1 if isinstance(err, AsksToWait) else CORRUPT_ATTEMPTS if isinstance(err, CorruptInstance) else ATTEMPTS


def most_for_package(err: CloudfilmError) -> int:
    """How often a package is tried whose failure is this one."""
    return CORRUPT_PACKAGE_ATTEMPTS if isinstance(err, CorruptInstance) else ATTEMPTS


def most_for_job(err: CloudfilmError) -> int:
    """How often a site's job is asked for a package."""
    return JOB_ATTEMPTS if isinstance(err, SiteBusy) else ATTEMPTS


class Retries:
    """The tries of one piece of work.

    Args:
        session: its timings, and its patience.
        corrupt_pause_s: before the second try of what came damaged, where its site needs a pause of its own.
    """

    def __init__(self, session: Session, corrupt_pause_s: float | None = None) -> None:
        self._session = session
        self._corrupt_pause_s = corrupt_pause_s
        self._failed = 0

    def is_over(self, most: int) -> bool:
        """Count a failure; whether no further try of ``most`` is left."""
        self._failed += 1
        return self._failed >= most

    def start_over(self) -> None:
        """Forget the failures so far, the next one included: an attempt that made progress does not count."""
        self._failed = -1

    async def pause(self, err: SiteUnreachable | CorruptInstance) -> None:
        """Wait before the next try."""
        await asyncio.sleep(self._pause_s(err))

    def _pause_s(self, err: CloudfilmError) -> float:
        timings, asked_s = self._session.settings.timings, err.values.get("retry_after_s")
        if isinstance(asked_s, (int, float)):
            self._session.patience.wait(float(asked_s))
            return min(float(asked_s), timings.asked_pause_s)
        growth = float(2 ** (self._failed - 1))
        if isinstance(err, CorruptInstance) and self._corrupt_pause_s is not None:
            return self._session.site_s(self._corrupt_pause_s) * growth
        pause_s = min(timings.first_pause_s * growth, timings.longest_pause_s)
        return pause_s * random.uniform(0.8, 1.2)  # noqa: S311  # jitter
