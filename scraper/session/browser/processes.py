"""The browser's processes and the memory that each takes: by ``/proc`` where there is one, else by psutil.

Chromium maps its own program into a dozen processes. What is counted is what a process holds alone, and its share of what it
shares; where the system gives neither, what it holds in all, without an allowance for the program.

Source: proc(5); psutil's ``memory_info`` and ``memory_full_info`` (macOS gives the latter for some processes only).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

import psutil

DRIVER: Final = "run-driver"  # in the command line of the library's own process
OF_PROGRAM_BYTES: Final = 160 * 2**20  # of one process, that are Chromium's program and fonts, and no page's doing
_SHORT: Final = 4096  # bytes of such a file that are looked at; only a command line is longer


class Processes(Protocol):
    """Looks at the processes of one browser.

    Attributes:
        exact_every: quick looks to an exact one, which costs the more the larger the number; sooner where the quick look grows.
    """

    exact_every: int

    def found(self, browser: int = 0) -> list[int]:
        """The processes of a browser and its driver, where this process started them; nearest first.

        Args:
            browser: its process, or 0: every browser that this process started. Nothing, where it has ended.
        """

    def taken(self, pid: int) -> int:
        """Bytes of a process, quickly, and rather too many; 0 for one that has ended."""

    def share(self, pid: int) -> int:
        """The same as exactly as the system says it."""


def of_this_system() -> Processes:
    """What this system offers."""
    has_proc = sys.platform == "linux" and Path("/proc/self/status").exists()
    return FromProc() if has_proc else Portable()


class FromProc:
    """By ``/proc``: without mapped files; shared memory is divided among its users in the exact look."""

    exact_every = 1

    def __init__(self) -> None:
        self._parents: dict[int, int] = {}

    def found(self, browser: int = 0) -> list[int]:
        """See ``Processes``."""
        self._parents = _parents(self._parents)
        children: dict[int, list[int]] = {}
        for pid, parent in self._parents.items():
            children.setdefault(parent, []).append(pid)
        name = DRIVER.encode()
        drivers = [pid for pid in children.get(os.getpid(), ()) if name in _start_of(f"/proc/{pid}/cmdline")]
        return _of([[driver, *_descendants(driver, children)] for driver in drivers], browser)

    def taken(self, pid: int) -> int:
        """See ``Processes``."""
        return _sum_of(f"/proc/{pid}/status", (b"RssAnon:", b"RssShmem:"))

    def share(self, pid: int) -> int:
        """See ``Processes``."""
        return _sum_of(f"/proc/{pid}/smaps_rollup", (b"Pss_Anon:", b"Pss_Shmem:"))


class Portable:
    """By psutil: what a process holds alone, where the system says it; memory that processes share is not counted then."""

    exact_every = 5

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}

    def found(self, browser: int = 0) -> list[int]:
        """See ``Processes``."""
        found: list[list[psutil.Process]] = []
        for child in self._process(os.getpid()).children():
            with suppress(psutil.Error, OSError):
                if DRIVER in child.cmdline():
                    found.append([child, *child.children(recursive=True)])
        self._known = {item.pid: item for items in found for item in items}
        return _of([[item.pid for item in items] for items in found], browser)

    def taken(self, pid: int) -> int:
        """See ``Processes``."""
        with suppress(psutil.Error, OSError):
            return int(self._process(pid).memory_info().rss)
        return 0

    def share(self, pid: int) -> int:
        """See ``Processes``."""
        with suppress(psutil.Error, OSError):
            process = self._process(pid)
            committed = getattr(process.memory_info(), "private", None)  # Windows: what is paged out counts, too
            return int(process.memory_full_info().uss if committed is None else committed)
        return max(0, self.taken(pid) - OF_PROGRAM_BYTES)

    def _process(self, pid: int) -> psutil.Process:
        return self._known.get(pid) or psutil.Process(pid)


def _of(drivers: list[list[int]], browser: int) -> list[int]:
    """The processes of the driver that has the browser; of all drivers, where it is 0."""
    return [pid for pids in drivers if not browser or browser in pids for pid in pids]


def machine_bytes() -> int:
    """The computer's memory."""
    return int(psutil.virtual_memory().total)


def kill(pids: list[int]) -> None:
    """End processes at once."""
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)


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


def _sum_of(path: str, names: tuple[bytes, ...]) -> int:
    """Sum of fields that the system gives in kB, in bytes; 0 for a process that has ended."""
    lines = _start_of(path).splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(names))
