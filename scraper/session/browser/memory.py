"""Limit the memory of the browser and its driver: a page, message or body that would exceed it ends the window.

The system can limit neither: Chromium reserves address space by the terabyte and spreads its data over many
processes. So their memory is looked at, often enough that nothing grows far past the bound in between, and they are ended.

A viewer keeps the images that it received, so each image that came raises the bound, up to a second one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Final

from scraper.core.settings import MEMORY_OF_IMAGES, MOST_BROWSER_BYTES, MOST_VIEWER_BYTES
from scraper.session.browser import processes

FILLED_PER_S: Final = 2 * 2**30  # bytes, by a page at its fastest
LOOK_EVERY_S: Final = 0.05  # near the bound; further off what is left cannot be filled before the next look
MOST_PAUSE_S: Final = 0.175
MOST_IDLE_BYTES: Final = MOST_BROWSER_BYTES // 2  # of a browser without a page: one that just started takes some 170 MB
COUNT_EVERY_S: Final = 0.35  # until the processes are found again: a new one takes that long to start


def bound(image_bytes: int, machine_bytes: int) -> int:
    """Bytes that the browser may take, with its driver.

    Args:
        image_bytes: what its window received that may be images.
        machine_bytes: the computer's memory; half of it at most is for the browser, were it not for the least bound.
    """
    most = max(MOST_BROWSER_BYTES, min(MOST_VIEWER_BYTES, machine_bytes // 2))
    return min(MOST_BROWSER_BYTES + MEMORY_OF_IMAGES * image_bytes, most)


class MemoryWatch:
    """Watch one browser's processes from its own thread, which the event loop can't block.

    Args:
        browser: the process of the browser; others of this program, as of a batch's jobs, are left alone.
        image_bytes: what the window received until now that may be images; see ``bound``. What this process has taken since
            the window was opened counts with the browser's memory.
        on_excess: called once, from the thread, just before the processes are ended.
        on_end: called once, from the thread, where they ended by themselves: the library says nothing if its own did, too.
    """

    def __init__(
        self, browser: int, image_bytes: Callable[[], int], on_excess: Callable[[], None], on_end: Callable[[], None]
    ) -> None:
        self._browser = browser
        self._image_bytes = image_bytes
        self._on_excess, self._on_end = on_excess, on_end
        self._ended = threading.Event()
        self._processes = processes.of_this_system()
        self._own = self._processes.taken(os.getpid())
        self._judging = threading.Lock()

    def start(self) -> None:
        """Start watching."""
        threading.Thread(target=self._look, name="memory", daemon=True).start()

    def reset(self) -> bool:
        """Count what this process takes from now on, for a new window; nothing that the pages before it took is its doing.

        Returns:
            Whether the browser runs and has let go of what they took; if not, another one must be started.
        """
        with self._judging:
            self._own = self._processes.taken(os.getpid())
            held = sum(map(self._processes.share, self._processes.found(self._browser)))
            return not self._ended.is_set() and 0 < held <= MOST_IDLE_BYTES

    def stop(self) -> None:
        """Stop watching."""
        self._ended.set()

    def _look(self) -> None:
        count_at, pause_s, found, machine = 0.0, LOOK_EVERY_S, list[int](), processes.machine_bytes()
        held, before, since = 0, 0, 0  # the last exact look, the quick one that led to it, and looks after it
        while not self._ended.wait(pause_s):
            with self._judging:  # what was seen of one window ends no later one
                if time.monotonic() >= count_at:
                    count_at = time.monotonic() + COUNT_EVERY_S
                    found = self._processes.found(self._browser)
                    if not found:
                        self._on_end()
                        return
                since += 1
                grown = max(0, self._processes.taken(os.getpid()) - self._own)
                most = bound(self._image_bytes(), machine) - grown
                # memory that processes share is counted for each at the quick look, and once at the exact one
                quick = sum(map(self._processes.taken, found))
                pause_s = min(max(LOOK_EVERY_S, (most - quick) / (2 * FILLED_PER_S)), MOST_PAUSE_S)
                if quick <= most or (since < self._processes.exact_every and held + quick - before <= most):
                    continue
                held, before, since = sum(map(self._processes.share, found)), quick, 0
                if held > most:
                    self._ended.set()
                    self._on_excess()  # first: who waits for the browser gets the reason, and not that it is gone
                    processes.kill(self._processes.found(self._browser))
                    return
