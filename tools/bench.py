"""Measures one grab, directly and through the browser: ``python -m tools.bench [SOURCE [options of grab]]``.

Without a source it takes a study of the emulated shdc site, which runs in this process and is not measured.

For each way it prints seconds, megabytes a second over the whole run, and the peak memory of the program with its
helpers and browser (proportional set size where the system knows it, so that shared pages count once).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass

import psutil

from fixtures.sites.shdc import site
from fixtures.world import World

EVERY_S = 0.1
GRAB = "import sys; from scraper.cli.commands import main; sys.argv[0] = 'cloudfilm'; main()"


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: its result's document, seconds of wall and processor time, and the highest memory seen, in bytes."""

    result: dict[str, object]
    seconds: float
    processor_s: float
    peak: int


def memory(process: psutil.Process) -> int:
    """Bytes that a process and its children hold now."""
    total = 0
    for child in (process, *process.children(recursive=True)):
        try:
            full = child.memory_full_info()
            total += getattr(full, "pss", full.rss)
        except psutil.Error:
            continue  # ended meanwhile, or another user's
    return total


def measure(arguments: list[str]) -> Measured:
    """Run ``cloudfilm grab`` in a process of its own, into a folder that is removed.

    Raises:
        RuntimeError: it printed no result.
    """
    with tempfile.TemporaryDirectory(prefix="cloudfilm-bench-") as folder:
        began = time.monotonic()
        process = psutil.Popen(
            [sys.executable, "-c", GRAB, "grab", *arguments, "--json", "-q", "-o", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        peaks = [0]
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(EVERY_S):
                try:
                    peaks.append(memory(process))
                except psutil.NoSuchProcess:
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        before = psutil.Process().cpu_times()
        output, _ = process.communicate()
        after = psutil.Process().cpu_times()
        ended.set()
        watcher.join()
        seconds = time.monotonic() - began
    if not output.strip():
        raise RuntimeError(f"no result, exit code {process.returncode}")
    spent = sum(
        getattr(after, name) - getattr(before, name)
        for name in ("children_user", "children_system")
        if hasattr(after, name)
    )
    return Measured(json.loads(output.splitlines()[0]), seconds, spent, max(peaks))


def main(arguments: list[str]) -> int:
    """Both ways, one line each; the highest exit code."""
    worst = 0
    print(f"{'way':8} {'status':10} {'saved':>7} {'MB':>8} {'s':>7} {'MB/s':>7} {'CPU s':>7} {'peak MB':>8}")
    for way, browser in (("direct", "never"), ("browser", "always")):
        item = measure([*arguments, "--browser", browser])
        size = float(str(item.result["bytes"])) / 1e6
        counts = item.result["instances"]
        saved = counts["saved"] if isinstance(counts, dict) else 0
        print(
            f"{way:8} {item.result['status']!s:10} {saved:7} {size:8.1f} {item.seconds:7.1f} "
            f"{size / item.seconds:7.1f} {item.processor_s:7.1f} {item.peak / 1e6:8.0f}",
            flush=True,
        )
        worst = max(worst, int(str(item.result["exit_code"])))
    return worst


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(main(sys.argv[1:]))
    with World(site.ShdcSite()) as world:
        sys.exit(main([site.REPORT, *world.options]))
