"""Request images through the page: call the viewer's own function for an image with the values of the list's other entries.

So what can't be repeated by anyone else (a signature, a ticket, a running number) is the page's own work. It is learnt while the
viewer is driven: one step shows which functions are running while the page asks, two more what they are called with.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Final

from scraper.capture.by_manifest import headers_of, series_by_model, shows_more
from scraper.capture.examination import Examination
from scraper.capture.infer import page_functions
from scraper.capture.infer.models import RequestModel, is_sound
from scraper.capture.infer.page_functions import PageFunction, StepCalls
from scraper.capture.infer.templates import Rule, Template
from scraper.capture.observe.received import asked_by
from scraper.capture.plan import Plan, Strategy, StrategyKind
from scraper.core.errors import CloudfilmError, MissingInstances
from scraper.core.model import OnDemand
from scraper.core.reasons import Reason
from scraper.session.browser.page_calls import PageCalls

LOOKS: Final = 2  # steps of which the calls are compared
MAX_LOOKS: Final = 4
MAX_TRIALS: Final = 4  # useless functions after which no more are tried
MAX_SILENT: Final = 5  # calls without a new image, one after another
CALL_S: Final = 8.0
LOOK_S: Final = 0.05
AFTER_S: Final = 0.4  # for what a call brings after it has ended
TRIAL_S: Final = 1.5  # the same where it is not known yet whether the function is of any use
STILL_S: Final = 0.3  # of silence before the first call, so that what it brings is not taken for another's
REFUSED: Final = frozenset((400, 401, 403, 409, 410, 429))
MAX_REFUSED: Final = 2  # calls that the site refuses, after which the page is asked no more
SHOWN_S: Final = 10.0  # for a page that is loaded again to receive an image
RELOADED_S: Final = 1.5  # of silence, after which a page that was loaded again has shown its first image
LEAST: Final = 2  # images that must be left for it to be worth while


class _State(Enum):
    IDLE = auto()
    REQUESTS = auto()  # watched: what is running while the page asks
    FUNCTIONS = auto()  # watched: what that is called with
    KNOWN = auto()
    OVER = auto()


class ByPage(Strategy):
    """Learns from the viewer's steps how its page asks, and asks for the rest that way."""

    by = StrategyKind.PAGE

    def __init__(self) -> None:
        self._state = _State.IDLE
        self._calls: PageCalls | None = None
        self._looks: list[StepCalls] = []
        self._before: frozenset[str] = frozenset()
        self._looked = 0
        self._received: dict[str, str] = {}  # call of ours → SOP Instance UID
        self._function: PageFunction | None = None
        self._asked: set[str] = set()
        self._rejected: set[Template] = set()
        self._refused = 0

    async def plan(self, examination: Examination) -> Plan | None:
        """The study, once a function of the page gave all that its lists name."""
        if not examination.is_driven or self._state is _State.OVER:
            return None
        try:
            return await self._next(examination)
        except CloudfilmError:
            await self.close()
            raise

    def is_learning(self) -> bool:
        """Until it knows the page's function, or has given up."""
        return self._state is not _State.OVER

    async def from_load(self, examination: Examination) -> Plan | None:
        """The plan for a viewer that nothing moves on: by what its page calls while it is loaded again, twice.

        Raises:
            CloudfilmError: the page can't be loaded again.
        """
        if self._state not in (_State.IDLE, _State.OVER) or self._rejected:
            return None
        window, traffic = await examination.session.window(), examination.session.traffic
        calls = self._calls = window.page_calls()
        try:
            await calls.watch_requests(from_load=True)
            for is_first in (True, False):
                begin = len(traffic.exchanges)
                await examination.session.screen.reload()
                give_up = time.monotonic() + SHOWN_S
                while not _came(examination, begin) and time.monotonic() < give_up:
                    await traffic.after(len(traffic.exchanges), timeout_s=LOOK_S)
                    await examination.take()
                await traffic.settled(RELOADED_S, RELOADED_S * 10)
                await examination.take()
                if is_first and not await calls.watch_functions():
                    return None
            self._looks = [StepCalls(calls.take(), _came(examination, begin))]
            await calls.rest()
            if not await self._find(examination):
                return None
            self._state = _State.KNOWN
            return await self._plan(examination)
        finally:
            await self.close()

    async def _next(self, examination: Examination) -> Plan | None:
        now = _uids(examination)
        new, self._before = now - self._before, now
        match self._state:
            case _State.IDLE:
                window = await examination.session.window()
                self._calls = window.page_calls()
                await self._calls.watch_requests()
                self._state = _State.REQUESTS
            case _State.REQUESTS if self._calls is not None and new:
                is_any = await self._calls.watch_functions()
                self._state = _State.FUNCTIONS if is_any else _State.OVER
            case _State.FUNCTIONS if self._calls is not None and new:
                await self._look(self._calls, new, examination)
            case _:
                pass
        return await self._plan(examination) if self._state is _State.KNOWN else None

    async def _look(self, calls: PageCalls, new: frozenset[str], examination: Examination) -> None:
        """Take in what a step called; with enough of that, find the function."""
        self._looked += 1
        if made := calls.take():
            self._looks.append(StepCalls(made, new))
        if len(self._looks) >= LOOKS and await self._find(examination):
            self._state = _State.KNOWN
            await calls.rest()
        elif self._looked >= MAX_LOOKS or len(self._rejected) >= MAX_TRIALS:
            await self.close()

    async def _find(self, examination: Examination) -> bool:
        """Try the functions that may load an image, until one does."""
        await _settled(examination)
        exchanges = examination.session.traffic.exchanges
        addresses = dict.fromkeys(exchange.url for exchange in exchanges if exchange.ok)
        found = page_functions.candidates(self._looks, examination.observations, addresses)
        while len(self._rejected) < MAX_TRIALS:
            function = await asyncio.to_thread(next, found, None)
            if function is None:
                return False
            if function.model.rule.template in self._rejected:
                continue
            rule, replies = function.model.rule, dict(function.model.replies)
            known = {*replies, *self._asked, *function.seen}
            left = [key for key in reversed(list(rule.records)) if key not in known]
            if rule.count - len(_uids(examination)) < LEAST or len(left) < LEAST:
                continue
            self._asked |= set(replies)
            begin = len(exchanges)
            inner = sorted(left, key=_ends(rule).__contains__)
            if await self._ask(function, inner[0], examination) and await self._ask(function, inner[1], examination):
                self._function = function
                return True
            self._received = {}
            examination.observations.undrawn |= set(map(id, exchanges[begin:]))
            self._rejected.add(rule.template)
        return False

    async def _plan(self, examination: Examination) -> Plan | None:
        """Ask for everything that the lists name by now; the plan, where the viewer shows no more than that."""
        function = self._function
        if function is None:
            return None
        model = page_functions.again(function.model, examination.observations)
        silent, ends = 0, _ends(model.rule)
        for key in _ends_last(model.rule):
            if key in self._received or key in self._asked:
                continue
            if key in ends:
                await _settled(examination)
                ends = frozenset[str]()
                if not is_sound(model.rule, {}, examination.observations, self._asked | function.seen):
                    self._rejected.add(model.rule.template)  # what came by now says so
                    self._function = None
                    return await self._plan(examination) if await self._find(examination) else None
            silent = 0 if await self._ask(function, key, examination) else silent + 1
            if self._refused >= MAX_REFUSED:
                self._state = _State.OVER
                await self.close()
                break
            if silent >= MAX_SILENT:
                break
        self._before = _uids(examination)
        received = self._matched(function, model.rule.addresses.values(), examination)
        is_whole = all(key in received for key in model.rule.records)
        if not is_whole or await shows_more(model.rule, examination):
            return None
        if any(uid not in examination.observations.objects for uid in received.values()):
            return _of_frames(model, received, examination)

        async def fails() -> bytes:
            raise MissingInstances(why=Reason.NO_ANSWER)

        series = await asyncio.to_thread(series_by_model, model, received, lambda _: OnDemand(fails), examination)
        headers = headers_of(received, examination)
        return Plan(self.by, tuple(series), model, headers=headers) if series else None

    async def _ask(self, function: PageFunction, key: str, examination: Examination) -> bool:
        """Call the function for one entry of the list; whether a new image was received."""
        calls = self._calls
        if calls is None:
            return False
        self._asked.add(key)
        window = await examination.session.window()
        traffic, before = examination.session.traffic, _uids(examination)
        begin = len(traffic.exchanges)
        arguments = page_functions.arguments_of(key)
        calling = asyncio.ensure_future(calls.call(function.sample, arguments, up_to_s=CALL_S))
        until, new = time.monotonic() + 2 * CALL_S, frozenset[str]()
        try:
            while not new and time.monotonic() < until:
                await traffic.after(len(traffic.exchanges), timeout_s=LOOK_S)
                await examination.take()
                new = _uids(examination) - before
                if calling.done() and not window.is_waiting:
                    until = min(until, time.monotonic() + (AFTER_S if self._function else TRIAL_S))
            async with asyncio.timeout(2 * CALL_S):
                await calling
        except TimeoutError:
            return bool(new)
        finally:
            calling.cancel()
        again = _came(examination, begin)
        if len(new or again) == 1:
            self._received[key] = next(iter(new or again))
        self._refused += not new and any(item.status in REFUSED for item in traffic.exchanges[begin:])
        return bool(new)

    def _matched(
        self, function: PageFunction, arrays: Collection[Sequence[str]], examination: Examination
    ) -> dict[str, str]:
        """The reply of each call: also where the page had asked ahead, and an array's calls and its series are as many.

        What came after a call of the page's own may be an earlier one's late reply: what a call of ours gave is known better.
        """
        objects, replies = examination.observations.objects, set(self._received.values())
        found = {key: uid for key, uid in function.model.replies.items() if uid not in replies} | self._received
        by_series: dict[str, list[str]] = defaultdict(list)
        for uid in sorted(objects, key=lambda name: objects[name].header.instance_number or 0):
            by_series[objects[uid].header.series_instance_uid].append(uid)
        for keys in arrays:
            series = {objects[found[key]].header.series_instance_uid for key in keys if found.get(key) in objects}
            if not series:  # all of it was shown before: the only series of its size of which no call is known
                replied = {objects[uid].header.series_instance_uid for uid in found.values() if uid in objects}
                series = {name for name in by_series.keys() - replied if len(by_series[name]) == len(keys)}
                if sum(len(keys) == len(other) and not found.keys() & set(other) for other in arrays) > 1:
                    continue
            free = [uid for name in series for uid in by_series[name] if uid not in found.values()]
            left = [key for key in keys if key not in found]
            if len(series) == 1 and len(free) == len(left):
                found |= dict(zip(left, free, strict=True))
        return found

    async def close(self) -> None:
        """Let the page go."""
        if self._state is not _State.KNOWN:
            self._state = _State.OVER
        if self._calls is not None:
            calls, self._calls = self._calls, None
            await calls.close()


def _of_frames(model: RequestModel, received: Mapping[str, str], examination: Examination) -> Plan | None:
    """The plan where tags and frames came apart; None where some are of images that the list does not name."""
    observations = examination.observations
    series = observations.series(examination.study_of(observations.studies()))
    named, found = set(received.values()), {item.sop_instance_uid for row in series for item in row.instances}
    if not found or found != named:
        return None
    return Plan(StrategyKind.PAGE, tuple(replace(row, expected=len(row.instances)) for row in series), model)


def _ends_last(rule: Rule) -> list[str]:
    """The requests of a rule, the first and the last of each array behind all others.

    Whether places count from 0 or from 1 is known by then, and a request beyond the end may end the site's session.
    """
    return sorted(rule.records, key=_ends(rule).__contains__)


def _ends(rule: Rule) -> frozenset[str]:
    return frozenset(key for keys in rule.addresses.values() for key in (keys[0], keys[-1]))


async def _settled(examination: Examination) -> None:
    """Wait for what the viewer has asked for itself: it is not to be taken for the answer of a call."""
    window = await examination.session.window()
    with window.quietly():
        await window.page.evaluate("() => new Promise(done => setTimeout(done))")  # after what the last gesture led to
    give_up = time.monotonic() + CALL_S
    while (window.is_waiting or window.traffic.idle_s < STILL_S) and time.monotonic() < give_up:
        await window.traffic.after(len(window.traffic.exchanges), timeout_s=LOOK_S)
    await examination.take()


def _came(examination: Examination, begin: int) -> frozenset[str]:
    """SOP Instance UIDs of images whose request was answered since ``begin``, be it for another time."""
    origins, made = examination.observations.origins, examination.session.traffic.exchanges[begin:]
    return frozenset(origins[name] for item in made if (name := asked_by(item)) in origins)


def _uids(examination: Examination) -> frozenset[str]:
    """SOP Instance UIDs of the images that came."""
    return frozenset(examination.observations.objects) | frozenset(examination.observations.frames)
