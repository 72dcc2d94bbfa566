"""Limit the memory of the browser and its driver: a page, message or body that would exceed it ends the window.

The system can limit neither: Chromium reserves address space by the terabyte and spreads its data over many
processes. So their memory is looked at, often enough that nothing grows far past the bound in between, and they are ended.

A viewer keeps the images that it received, so each image that came raises the bound, up to a second one.

Source: proc(5). Where there is no ``/proc`` nothing is looked at; the flags of the browser bound its scripts everywhere.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from scraper.core.settings import MEMORY_OF_IMAGES, MOST_BROWSER_BYTES, MOST_VIEWER_BYTES

LOOK_EVERY_S: Final = 0.05  # a page fills some 2 GB in a second
COUNT_EVERY: Final = 7  # looks until the processes are found again: a new one takes that long to start
DRIVER: Final = b"run-driver"  # in the command line of the library's own process
_SHORT: Final = 4096  # bytes of such a file that are looked at; only a command line is longer


def bound(image_bytes: int, machine_bytes: int) -> int:
    """Bytes that the browser may take, with its driver.

    Args:
        image_bytes: what its window received that may be images.
        machine_bytes: the computer's memory; half of it at most is for the browser, were it not for the least bound.
    """
    most = max(MOST_BROWSER_BYTES, min(MOST_VIEWER_BYTES, machine_bytes // 2))
    return min(MOST_BROWSER_BYTES + MEMORY_OF_IMAGES * image_bytes, most)


def machine_bytes() -> int:
    """The computer's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class MemoryWatch:
    """Watch the browser's processes from its own thread, which the event loop can't block.

    Args:
        image_bytes: what the window received until now that may be images; see ``bound``. What this process has taken since
            the start counts with the browser's memory.
        on_excess: called once, from the thread, just before the processes are ended.
    """

    def __init__(self, image_bytes: Callable[[], int], on_excess: Callable[[], None]) -> None:
        self._image_bytes = image_bytes
        self._on_excess = on_excess
        self._ended = threading.Event()
        self._own = 0

    def start(self) -> None:
        """Start watching; does nothing where the system reports no memory."""
        if sys.platform == "linux" and Path("/proc/self/status").exists():
            self._own = _taken(os.getpid())
            threading.Thread(target=self._look, name="memory", daemon=True).start()

    def stop(self) -> None:
        """Stop watching."""
        self._ended.set()

    def _look(self) -> None:
        looks, found, parents, machine = 0, list[int](), dict[int, int](), machine_bytes()
        while not self._ended.wait(LOOK_EVERY_S):
            if looks % COUNT_EVERY == 0:
                parents = _parents(parents)
                found = browser_processes(parents)
            looks += 1
            grown = max(0, _taken(os.getpid()) - self._own)
            most = bound(self._image_bytes(), machine) - grown
            # memory that processes share is counted for each at the quick look, and once at the exact one
            if sum(map(_taken, found)) > most and sum(map(_share, found)) > most:
                self._on_excess()  # first: who waits for the browser gets the reason, and not that it is gone
                _kill(browser_processes())
                return


def browser_processes(parents: Mapping[int, int] | None = None) -> list[int]:
    """The driver's and the browser's processes, where this process started them; nearest first.

    Args:
        parents: each process's parent; by default they are looked up.
    """
    children: dict[int, list[int]] = {}
    for pid, parent in (_parents() if parents is None else parents).items():
        children.setdefault(parent, []).append(pid)
    drivers = [pid for pid in children.get(os.getpid(), ()) if DRIVER in _start_of(f"/proc/{pid}/cmdline")]
    return [pid for driver in drivers for pid in (driver, *_descendants(driver, children))]


def _parents(known: Mapping[int, int] = MappingProxyType({})) -> dict[int, int]:
    """Map each process to its parent; of those ``known``, who runs on is not asked again."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  # several times a second: a path for each would cost most of it
        if name.isdigit():
            pid = int(name)
            with suppress(ValueError, IndexError):
                # the name, in brackets, may hold anything
                parents[pid] = known.get(pid) or int(_start_of(f"/proc/{pid}/stat").rpartition(b")")[2].split()[1])
    return parents


def _descendants(pid: int, children: dict[int, list[int]]) -> Iterator[int]:
    waiting = list(children.get(pid, ()))
    while waiting:
        found = waiting.pop(0)
        yield found
        waiting.extend(children.get(found, ()))


def _start_of(path: str) -> bytes:
    """The beginning of a file of ``/proc``; nothing of a process that has ended."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _SHORT)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _taken(pid: int) -> int:
    """Memory of a process in bytes: its own, and what it shares with others, without mapped files."""
    return _sum_of(f"/proc/{pid}/status", (b"RssAnon:", b"RssShmem:"))


def _share(pid: int) -> int:
    """The same, with shared memory divided among its users."""
    return _sum_of(f"/proc/{pid}/smaps_rollup", (b"Pss_Anon:", b"Pss_Shmem:"))


def _sum_of(path: str, names: tuple[bytes, ...]) -> int:
    """Sum of fields that the system gives in kB, in bytes; 0 for a process that has ended."""
    lines = _start_of(path).splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(names))


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
