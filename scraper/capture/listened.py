"""Wait while a person looks at a film in a browser or on a phone of their own, until all of it came or they end it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scraper.capture.recorded import NOT_RECORDED, Recording
from scraper.core.errors import CloudfilmError, NothingReceived
from scraper.core.evidence import Evidence
from scraper.core.model import Series
from scraper.session.browser.traffic import Traffic

LOOK_S: Final = 1.0  # between two looks at what came
QUIET_S: Final = 3.0  # nothing more comes: another study's list may still follow the last image


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a series is: its images that came, and how many there are, where that is known."""

    name: str
    received: int
    expected: int | None


async def series_from(
    traffic: Traffic,
    folder: Path,
    end: asyncio.Event,
    on_progress: Callable[[Sequence[Progress]], None] = lambda _: None,
    expect: int | None = None,
) -> list[Series]:
    """The series of every study in a traffic, once all that its lists name is there, or the person ends it.

    Args:
        traffic: filled by somebody else.
        folder: for objects that are put together.
        end: set where the person has seen enough.
        on_progress: called where there is more than at the last call.
        expect: how many images there are, by the person.

    Raises:
        NothingReceived: it ended, and no image had come. CloudfilmError: what ended the traffic.
    """
    recording = Recording(traffic, folder)
    reported: list[Progress] = []
    found: list[Series] = []
    seen, error, whole_since = 0, None, 0.0
    while not end.is_set():
        try:
            await traffic.after(seen, timeout_s=LOOK_S)
        except CloudfilmError as err:
            error = err
            break
        if len(traffic.exchanges) > seen:
            await asyncio.sleep(LOOK_S / 2)  # several at a time
            seen = len(traffic.exchanges)
            if await recording.observe():
                found, whole_since = await recording.series(), 0.0
                progress = [_progress_of(series) for series in found]
                if progress != reported:
                    on_progress(progress)
                    reported = progress
        if is_whole(found, expect):
            whole_since = whole_since or time.monotonic()
            if time.monotonic() - whole_since >= QUIET_S:
                break
    await recording.observe()
    found = await recording.series()
    if not found:
        raise error or NothingReceived
    return found


def is_whole(found: Sequence[Series], expect: int | None = None) -> bool:
    """Whether every image that lists or counts name came, and some list or count names each series."""
    received = sum(_received(series) for series in found)
    if expect is not None:
        return received >= expect
    return bool(found) and all(_is_whole(series) for series in found)


def _is_whole(series: Series) -> bool:
    evidence = series.evidence
    is_known = evidence is not None and evidence >= Evidence.VIEWER
    is_short = any(problem.fatal for problem in series.problems)
    wanted = series.expected if series.expected is not None else len(series.instances)
    return is_known and not is_short and _received(series) >= max(wanted, 1)


def _received(series: Series) -> int:
    return sum(instance.source is not NOT_RECORDED for instance in series.instances)


def _progress_of(series: Series) -> Progress:
    name = series.description or (f"{series.number}" if series.number is not None else "")
    is_known = series.evidence is not None and not series.evidence.is_weak
    expected = series.expected if series.expected is not None else len(series.instances) if is_known else None
    return Progress(name, _received(series), expected)
