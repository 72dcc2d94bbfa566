"""How fast, and how lean, fetching is: ratios to what the line permits and to one image after another.

A loopback site with 40 ms latency and 2 MB/s a connection serves instances of 0.5 MB. ``python -m tests.benchmarks.fetch``
prints, in one run: wall time over the limit (bytes over permitted connections × their rate), the speed-up over a plain loop
that takes one at a time, CPU seconds a GB, and the peak memory of the process at several sizes of study.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from threading import Event, Thread

from fixtures.dicom import chest_ct, retagged
from tests import aurora
from tests.aurora import Site

LATENCY_S = 0.04
RATE = 2e6  # bytes a second and connection
JOBS = 6
LOOP_SAMPLE = 24  # images that the plain loop fetches; the rest is extrapolated


def site_of(count: int) -> Site:
    """``count`` CT slices of 512 × 512 in one series, each its own bytes."""
    base = chest_ct(slices=1, size=512, seed=3, localizers=0, dose_report=False)
    first = base.series[0].instances[0]
    images = {}
    for number in range(1, count + 1):
        uid = f"1.2.826.0.1.3680043.8.498.77.{number}"
        position = ["-180", "-180", f"{-100 - 1.25 * number:g}"]
        images[uid] = retagged(first, SOPInstanceUID=uid, InstanceNumber=number, ImagePositionPatient=position)
    return Site(base.study_instance_uid, {base.series[0].uid: images}, latency_s=LATENCY_S, rate=RATE)


def serve(site: Site) -> tuple[Thread, Event]:
    """The site in a thread of its own."""
    ready, stop = Event(), Event()

    async def run() -> None:
        async with aurora.serving(site):
            ready.set()
            while not stop.is_set():
                await asyncio.sleep(0.1)

    thread = Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    ready.wait()
    return thread, stop


def child(row: str, output: str) -> None:
    """One grab in a process of its own, so that its CPU time and memory are its own."""
    from scraper.cli.commands import run

    code = run(
        [
            "grab",
            aurora.LINK,
            "-o",
            output,
            "--browser",
            "never",
            "--connect-to",
            row,
            "-q",
            "--json",
            "--jobs",
            str(JOBS),
        ]
    )
    own = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"code": code, "cpu": own.ru_utime + own.ru_stime, "peak": _peak()}), file=sys.stderr)


def _peak() -> int:
    """The most memory this process ever held; ``ru_maxrss`` would count what its parent held when it was started."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(count: int) -> dict[str, float]:
    """Grab a study of ``count`` images; gives seconds, CPU seconds, peak bytes and the study's bytes."""
    site = site_of(count)
    thread, stop = serve(site)
    plugins = str(Path(__file__).parent.parent / "plugins")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([plugins, str(Path(__file__).parents[2])])}
    with tempfile.TemporaryDirectory() as output:
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.fetch", "--child", site.connect_to[0], output],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
        took = time.perf_counter() - started
    report = json.loads(done.stderr.splitlines()[-1])
    if report["code"] != 0:
        raise RuntimeError(done.stdout)
    document = json.loads(done.stdout)
    loop = one_at_a_time(site) if count == 360 else 0.0
    stop.set()
    thread.join()
    return {"wall": took, "grab": document["seconds"], "bytes": document["bytes"], "loop": loop, **report}


def one_at_a_time(site: Site) -> float:
    """Seconds that a plain loop over all images would take, from a sample of them."""
    uids = list(site.originals)[:LOOP_SAMPLE]
    started = time.perf_counter()
    for uid in uids:
        request = urllib.request.Request(
            f"http://127.0.0.1:{site.port}/image/{uid}", headers={"X-Token": f"t{site.token}"}
        )
        with urllib.request.urlopen(request) as answer:
            answer.read()
    return (time.perf_counter() - started) / len(uids) * len(site.originals)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--child", nargs=2, metavar=("ROW", "OUTPUT"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 360, 1000, 5000])
    chosen = parser.parse_args()
    if chosen.child:
        child(*chosen.child)
        return
    print(f"{'images':>7} {'grab s':>8} {'× limit':>8} {'× loop':>8} {'CPU s/GB':>9} {'peak MB':>8}")
    for count in chosen.sizes:
        found = measure(count)
        limit = found["bytes"] / (JOBS * RATE)
        faster = f"{found['loop'] / found['grab']:.1f}" if found["loop"] else "–"
        row = (found["grab"], found["grab"] / limit, faster, found["cpu"] / found["bytes"] * 1e9, found["peak"] / 1e6)
        print(f"{count:>7} {row[0]:>8.1f} {row[1]:>8.2f} {row[2]:>8} {row[3]:>9.1f} {row[4]:>8.0f}", flush=True)


if __name__ == "__main__":
    main()
