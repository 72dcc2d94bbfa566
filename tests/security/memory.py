"""What this process and all that it started hold in memory, at its highest, while an attack runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

from tests.forked import SERVERS

MB = 1 << 20
MOST = 1536 * MB  # of all processes together, whatever comes in
_EVERY_S = 0.1


@dataclass(slots=True)
class Peak:
    size: int = 0  # bytes


@contextmanager
def peak_of_all_processes() -> Iterator[Peak]:
    """The peak from here to the block's end; what this process held before counts with it up to 150 MB.

    (A test run holds what all the tests before left behind; the program itself holds some 100 MB.)
    """
    peak, ended = Peak(), threading.Event()
    own = psutil.Process()
    before = max(0, _held(own) - 150 * MB)
    earlier = set(own.children(recursive=True))  # the browser that other tests share, say
    launched = len(SERVERS.launched)

    def look() -> None:
        while not ended.is_set():
            started = set(own.children(recursive=True)) - earlier
            for pid in SERVERS.launched[launched:]:
                with suppress(psutil.Error):  # it has ended
                    started.add(psutil.Process(pid))
            peak.size = max(peak.size, sum(map(_held, [own, *started])) - before)
            ended.wait(_EVERY_S)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def _held(process: psutil.Process) -> int:
    """Bytes: its share of what it shares, where the system tells."""
    with suppress(psutil.Error, OSError):
        if sys.platform == "linux":
            return int(process.memory_full_info().pss)
        return int(process.memory_info().rss)
    return 0
