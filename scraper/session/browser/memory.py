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
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from scraper.core.settings import MEMORY_OF_IMAGES, MOST_BROWSER_BYTES, MOST_VIEWER_BYTES

LOOK_EVERY_S: Final = 0.05  # a page fills some 2 GB in a second
COUNT_EVERY: Final = 7  # looks until the processes are found again: a new one takes that long to start
DRIVER: Final = b"run-driver"  # in the command line of the library's own process
_SHORT: Final = 2048  # bytes of a command line that are looked at


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
        looks, found, machine = 0, list[int](), machine_bytes()
        while not self._ended.wait(LOOK_EVERY_S):
            if looks % COUNT_EVERY == 0:
                found = browser_processes()
            looks += 1
            grown = max(0, _taken(os.getpid()) - self._own)
            most = bound(self._image_bytes(), machine) - grown
            # memory that processes share is counted for each at the quick look, and once at the exact one
            if sum(map(_taken, found)) > most and sum(map(_share, found)) > most:
                self._on_excess()  # first: who waits for the browser gets the reason, and not that it is gone
                _kill(browser_processes())
                return


def browser_processes() -> list[int]:
    """The driver's and the browser's processes, where this process started them; nearest first."""
    children = _children()
    drivers = [pid for pid in children.get(os.getpid(), ()) if DRIVER in _command(pid)]
    return [pid for driver in drivers for pid in (driver, *_descendants(driver, children))]


def _children() -> dict[int, list[int]]:
    """Map each process to its children."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                # the name, in brackets, may hold anything
                parent = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    return children


def _descendants(pid: int, children: dict[int, list[int]]) -> Iterator[int]:
    waiting = list(children.get(pid, ()))
    while waiting:
        found = waiting.pop(0)
        yield found
        waiting.extend(children.get(found, ()))


def _command(pid: int) -> bytes:
    with suppress(OSError), Path(f"/proc/{pid}/cmdline").open("rb") as stream:
        return stream.read(_SHORT)
    return b""


def _taken(pid: int) -> int:
    """Memory of a process in bytes: its own, and what it shares with others, without mapped files."""
    return _sum_of(f"/proc/{pid}/status", (b"RssAnon:", b"RssShmem:"))


def _share(pid: int) -> int:
    """The same, with shared memory divided among its users."""
    return _sum_of(f"/proc/{pid}/smaps_rollup", (b"Pss_Anon:", b"Pss_Shmem:"))


def _sum_of(path: str, names: tuple[bytes, ...]) -> int:
    """Sum of fields that the system gives in kB, in bytes; 0 for a process that has ended."""
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(names))


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
