"""Wait for lists that still come when there is a plan: a slow answer, a stream that rests, a list that grows while it is polled.

A plan gives what the lists name that came. The page's images are kept waiting by then, so what is waited for is lists.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from scraper.capture.examination import Examination
from scraper.capture.infer import paging
from scraper.capture.infer.templates import records
from scraper.capture.observe.received import SENT, asked_by
from scraper.capture.plan import SERVICES, Plan, StrategyKind
from scraper.capture.surplus import Shape, shape_of, surplus

if TYPE_CHECKING:
    from scraper.session.browser import Window

LOOK_S: Final = 0.2
POLLS: Final = 3  # of the last interval between two requests, after which nobody asks again
AFTER_POLLS_S: Final = 1.0
ASKED: Final = ("xhr", "fetch")
FAILED: Final = 500  # statuses from here on
_OF_NOW: Final = re.compile(
    r"(?<![\w.])(\d{10,}|0\.\d{6,})(?![\w.])"
)  # a time or a random number: each request has another


async def wait_for_lists(examination: Examination, plan: Plan, planned_from: int) -> bool:
    """Wait until no list is on its way; whether one came that the plan does not know.

    Args:
        examination: what came.
        plan: how the rest is had.
        planned_from: how many lists had come when the plan was begun.

    Raises:
        CloudfilmError: the page has ended.
    """
    if plan.by in SERVICES or plan.by is StrategyKind.PRODUCT:
        return False  # their own list is asked for by itself
    window = await examination.session.window()
    lists = _Lists(examination, plan, surplus(examination, plan))
    lists.note(planned_from)
    known = lists.noted
    lists.note()
    give_up = time.monotonic() + examination.session.settings.timings.drive.recall_s
    while (is_more := lists.may_come(window)) and time.monotonic() < give_up:
        await window.traffic.after(len(window.traffic.exchanges), timeout_s=LOOK_S)
        await examination.take()
        lists.note()
    examination.lacks_list = is_more or lists.has_failed
    return lists.noted > known


@dataclass(slots=True)
class _Source:
    """What one request was answered with: when something new came last, in seconds since the window opened."""

    new_at: float
    values: list[Any] = field(default_factory=list)


class _Lists:
    """The lists of a page by the requests that they answer."""

    def __init__(self, examination: Examination, plan: Plan, is_surplus: Callable[[str, bytes], bool]) -> None:
        self._observations = examination.observations
        self._traffic = examination.session.traffic
        self._quiet_s = examination.session.settings.timings.drive.list_quiet_s
        self._is_surplus = is_surplus
        self._is_by_http = plan.model is None or plan.model.sample is not None
        self._sources: dict[str, _Source] = {}
        self._shapes = set[Shape]()
        self._times: dict[str, list[float]] = defaultdict(list)  # request → when it was answered
        self._unfinished = set[str]()  # requests whose answers say that there is more
        self._failed: dict[str, Shape] = {}  # requests that the site failed to answer
        self._read = self._seen = 0
        self._begun = self._traffic.now
        self.noted = 0  # lists that say something new

    def note(self, up_to: int | None = None) -> None:
        """Take in what came since the last time, of the lists the first ones alone where ``up_to`` says how many."""
        manifests, exchanges = self._observations.manifests[:up_to], self._traffic.exchanges
        for manifest in manifests[self._read :]:
            if next(records(manifest.value), None) is None:
                continue
            asked = _without_time(manifest.request)
            source = self._sources.setdefault(asked, _Source(manifest.when))
            if manifest.value not in source.values:
                source.values.append(manifest.value)
                source.new_at = manifest.when
                self.noted += 1
            self._shapes.add(shape_of(*_parts(manifest.request)))
        for exchange in exchanges[self._seen :]:
            if exchange.kind in ASKED:
                asked = _without_time(asked_by(exchange))
                self._times[asked].append(exchange.when)
                self._failed.pop(asked, None)
                if exchange.status >= FAILED:
                    self._failed[asked] = shape_of(*_parts(asked_by(exchange)))
        self._read, self._seen = len(manifests), len(exchanges)
        self._unfinished = {_without_time(manifest.request) for manifest in paging.unfinished(manifests)}

    def may_come(self, window: Window) -> bool:
        """Whether a list is on its way, or a further part of one."""
        now = self._traffic.now
        return self._is_awaited(window, now) or any(
            now - source.new_at < self._quiet_s and self._is_live(asked, now) for asked, source in self._sources.items()
        )

    @property
    def has_failed(self) -> bool:
        """Whether the site failed to answer a request that is like a list's."""
        return not self._shapes.isdisjoint(self._failed.values())

    def _is_awaited(self, window: Window, now: float) -> bool:
        """Whether the page waits for an answer: for one like a list's as long as it takes, for any other a while."""
        streams, is_early = self._traffic.open_streams, now - self._begun < self._quiet_s
        waited = [item for item in window.unanswered() if item[0] not in streams and not self._is_surplus(*item)]
        return any(is_early or shape_of(url, sent.decode("utf-8", "replace")) in self._shapes for url, sent in waited)

    def _is_live(self, asked: str, now: float) -> bool:
        """Whether more may come of a list by itself: it is streamed, pushed, or asked for again and again, or says so."""
        url, times = _parts(asked)[0], self._times.get(asked, [])
        if url in self._traffic.open_streams or asked in self._unfinished:
            return True
        if url.startswith(("ws:", "wss:")):
            return self._is_by_http
        return len(times) > 1 and now - times[-1] < POLLS * (times[-1] - times[-2]) + AFTER_POLLS_S


def _parts(asked: str) -> tuple[str, str]:
    """The address of a request, and what was sent there."""
    url, _, sent = asked.partition(SENT)
    return url, sent


def _without_time(asked: str) -> str:
    """A request without what makes each one another: the time, a random number."""
    return _OF_NOW.sub("0", asked)
