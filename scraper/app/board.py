"""The state that the window shows: every source, its progress, and open questions. All pages show the same board."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Any

from scraper.core.settings import Language

Words = Mapping[str, str]
"""One sentence by language."""


def in_both(sentence: Callable[[Language], str]) -> Words:
    """A sentence in both languages: the page may be switched at any time."""
    return {language.value: sentence(language) for language in Language}


class Stage(StrEnum):
    """The state of a source."""

    WAITING = "waiting"
    READING = "reading"
    CONNECTING = "connecting"
    ASKING = "asking"
    FETCHING = "fetching"
    STOPPED = "stopped"
    ENDED = "ended"


@dataclass(slots=True)
class SeriesProgress:
    """One series as it arrives."""

    label: str
    expected: int | None
    arrived: int = 0
    thumbnail: bytes = b""
    tries: int = 0  # to draw it


@dataclass(slots=True)
class OpenQuestion:
    """What a site asks. ``was_refused``: an earlier answer was wrong."""

    field: str
    label: Words
    where: Words
    host: str
    picture: Path | None = None
    was_refused: bool = False
    site_words: str = ""  # of a refusal
    options: tuple[dict[str, object], ...] = ()  # one of which is chosen, where there are any


@dataclass(frozen=True, slots=True)
class Code:
    """A code of the photo. ``shape``: its corners as shares of the preview's width and height; none on another page."""

    text: str
    kind: Words
    link: str = field(repr=False)
    shape: list[tuple[float, float]]
    is_film: bool
    may_be_film: bool

    def as_json(self) -> dict[str, Any]:
        """The state that is sent to the page."""
        return {
            "text": self.text,
            "kind": self.kind,
            "shape": self.shape,
            "is_film": self.is_film,
            "may_be_film": self.may_be_film,
            "is_link": bool(self.link),
        }


@dataclass(slots=True)
class Item:
    """One source. ``suspects`` are shapes on the preview that look like a code and were not read."""

    number: int
    name: str
    given: str
    stage: Stage = Stage.WAITING
    preview: Path | None = None
    codes: list[Code] = field(default_factory=list)
    suspects: list[list[tuple[float, float]]] = field(default_factory=list)
    hospital: str = ""
    host: str = ""
    messages: list[Words] = field(default_factory=list)
    asked: OpenQuestion | None = None
    series: dict[str, SeriesProgress] = field(default_factory=dict)
    size: int = 0
    since: float = field(default_factory=time.time)
    fetching_since: float = 0.0
    paused_at: float = 0.0  # 0: it is not paused
    verdict: str = ""
    sentence: Words = field(default_factory=dict)
    problems: list[Words] = field(default_factory=list)
    studies: list[str] = field(default_factory=list)
    may_show_browser: bool = False
    needs_hand: bool = False  # a check in the site's page that a person passes there
    is_in_browser: bool = False  # the site's own page is open for the person
    may_retake: bool = False  # no code was read: another photo helps, or a part of this one

    def pause(self) -> None:
        """Note that the person has paused it: its clocks stand still."""
        self.paused_at = self.paused_at or time.time()

    def go_on(self) -> None:
        """Note that it goes on; the pause is no part of its times."""
        if self.paused_at:
            paused_s = time.time() - self.paused_at
            self.since += paused_s
            self.fetching_since += paused_s if self.fetching_since else 0.0
            self.paused_at = 0.0

    def as_json(self) -> dict[str, Any]:
        """The state that is sent to the page: no paths, no links, no answers."""
        now = self.paused_at or time.time()
        counted = [item.expected for item in self.series.values()]
        return {
            "number": self.number,
            "name": self.name,
            "stage": self.stage.value,
            "has_preview": self.preview is not None,
            "codes": [code.as_json() for code in self.codes],
            "suspects": self.suspects,
            "hospital": self.hospital,
            "host": self.host,
            "said": self.messages[-3:],
            "asked": None
            if self.asked is None
            else {
                "field": self.asked.field,
                "label": self.asked.label,
                "where": self.asked.where,
                "host": self.asked.host,
                "has_picture": self.asked.picture is not None,
                "was_refused": self.asked.was_refused,
                "site_words": self.asked.site_words,
                "options": self.asked.options,
            },
            "series": [
                {
                    "label": item.label,
                    "expected": item.expected,
                    "arrived": item.arrived,
                    "has_thumbnail": bool(item.thumbnail),
                }
                for item in self.series.values()
            ],
            "arrived": sum(item.arrived for item in self.series.values()),
            "expected": sum(filter(None, counted)) if counted and None not in counted else None,
            "bytes": self.size,
            "is_paused": bool(self.paused_at),
            "seconds": round(max(now - self.since, 0.0), 1),
            "fetching_seconds": round(now - self.fetching_since, 1) if self.fetching_since else 0,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "problems": self.problems,
            "studies": self.studies,
            "may_show_browser": self.may_show_browser,
            "needs_hand": self.needs_hand,
            "may_retake": self.may_retake,
            "is_in_browser": self.is_in_browser,
        }


class Board:
    """The items, changed by the threads that work on them and read by the pages."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.items: dict[int, Item] = {}
        self.notes: dict[str, Any] = {}  # of studies that are handed on: id → what is being made, or was
        self._changes = 0
        self._next = 1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Event | None = None

    def attach(self) -> None:
        """Remember the loop whose pages wait for changes."""
        self._loop, self._changed = asyncio.get_running_loop(), asyncio.Event()

    def add(self, name: str, given: str) -> Item:
        """A new item."""
        with self.lock:
            item = Item(self._next, name, given)
            self.items[item.number] = item
            self._next += 1
        self.changed()
        return item

    def remove(self, number: int) -> None:
        """Forget an item."""
        with self.lock:
            self.items.pop(number, None)
        self.changed()

    def changed(self) -> None:
        """Tell the pages that there is news; from any thread."""
        self._changes += 1
        if self._loop is not None and self._changed is not None:
            self._loop.call_soon_threadsafe(self._changed.set)

    def call(self, work: Callable[[], object]) -> None:
        """Have something done in the loop of the pages; from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(work)

    @property
    def changes(self) -> int:
        """How often something changed."""
        return self._changes

    async def news(self, seen: int, patience_s: float) -> None:
        """Wait until something changes after ``seen``, or for so long."""
        if self._changed is None or self._changes != seen:
            return
        self._changed.clear()
        try:
            async with asyncio.timeout(patience_s):
                await self._changed.wait()
        except TimeoutError:
            return

    def as_json(self) -> list[dict[str, Any]]:
        """All items, the newest first."""
        with self.lock:
            return [item.as_json() for item in reversed(self.items.values())]
