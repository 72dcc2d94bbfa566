"""What the tap costs a real viewer, and what the look into its memory; prints the ratios.

OHIF on Orthanc loads a series of 512 x 512 slices with and without them.

    python tests/benchmarks/ohif.py [--slices 300] [--runs 3]

Archive and page are served by a process of their own. The time is the viewer's: from opening its address until the last frame of
the series has come, by the page's own clock (Resource Timing); the processor's time is the browser's. Runs with and without
alternate.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fixtures import ohif, orthanc
from fixtures.dicom import chest_ct
from scraper.core.settings import Settings
from scraper.session.browser import Browser, tap

PATIENCE_S = 900.0
REMEMBER = "performance.setResourceTimingBufferSize(10000)"
FRAMES = """() => performance.getEntriesByType("resource").filter(one => /\\/frames\\//.test(one.name) && one.responseEnd)
  .map(one => one.responseEnd)"""


def serve(slices: int) -> None:
    """The server's process: prints its port and the study's UID first."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the archive is ended with us
    study = chest_ct(slices=slices, localizers=0, dose_report=False, seed=7)
    with orthanc.Orthanc() as archive:
        site = ohif.OhifSite(archive, study)
        config = uvicorn.Config(site.app, log_level="critical", lifespan="off", port=0)
        listening = config.bind_socket()
        print(json.dumps([listening.getsockname()[1], study.study_instance_uid]), flush=True)
        asyncio.run(uvicorn.Server(config).serve([listening]))


@contextmanager
def server(slices: int) -> Iterator[tuple[int, str]]:
    """The port and the study's UID."""
    words = [sys.executable, __file__, "--serve", "--slices", str(slices)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            port, uid = json.loads(process.stdout.readline())
            yield port, uid
        finally:
            process.terminate()


async def load(port: int, uid: str, slices: int, *, tapped: bool, looks: bool = False) -> float:
    """Seconds that OHIF takes until it has every frame.

    Args:
        port: the server's.
        uid: the study's.
        slices: how many frames it has.
        tapped: with the tap.
        looks: with the script that looks into the page's memory.

    Raises:
        SystemExit: they did not all come, or the tap missed one.
    """
    armed, tap.RESOURCES = tap.RESOURCES, tap.RESOURCES if tapped else ("CSPViolationReport",)
    try:
        async with Browser(Settings(), Path(tempfile.mkdtemp()) / "spool") as browser:
            window = await browser.window()
            window.traffic.image_bytes = slices * 2**19  # as the tap counts them: the browser may take memory for them
            if looks:
                await window.look_into_memory()
            await window.page.add_init_script(REMEMBER)
            await window.open(f"http://127.0.0.1:{port}/viewer?StudyInstanceUIDs={uid}")
            async with asyncio.timeout(PATIENCE_S):
                while len(ends := await window.page.evaluate(FRAMES)) < slices:
                    await asyncio.sleep(0.5)
            if tapped:
                await window.traffic.settled(0.5, 30)
                seen = {one.url for one in window.traffic.exchanges if "/frames/" in one.url and one.size > 512 * 512}
                if len(seen) < slices:
                    raise SystemExit(f"the tap has {len(seen)} of {slices} frames")
            return max(ends) / 1000
    finally:
        tap.RESOURCES = armed


async def measure(port: int, uid: str, slices: int, runs: int) -> float:
    """The ratio of the medians; prints it."""
    await load(port, uid, slices, tapped=False)  # the archive reads its files once
    bare, tapped = [], []
    for _ in range(runs):
        bare.append(await load(port, uid, slices, tapped=False))
        tapped.append(await load(port, uid, slices, tapped=True))
    base, with_tap = sorted(bare)[runs // 2], sorted(tapped)[runs // 2]
    print(f"OHIF: {slices} slices in {with_tap:.1f} s with the tap, {base:.1f} s without: ratio {with_tap / base:.2f}")
    await measure_look(port, uid, slices, runs)
    return with_tap / base


async def measure_look(port: int, uid: str, slices: int, runs: int) -> None:
    """Print the ratios for the script that looks into the page's memory: seconds, and seconds of the processor."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    processor: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(runs):
        for looks in (False, True):
            before = processor_s()
            seconds[looks].append(await load(port, uid, slices, tapped=False, looks=looks))
            processor[looks].append(processor_s() - before)
    for name, times in (("seconds", seconds), ("of the processor", processor)):
        base, with_look = sorted(times[False])[runs // 2], sorted(times[True])[runs // 2]
        print(f"OHIF, memory looked into: {with_look:.1f} {name}, {base:.1f} without: ratio {with_look / base:.2f}")


def processor_s() -> float:
    """Seconds of the processor that the processes took which this one started, and which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def missing() -> str:
    """What has to be installed first; nothing where all is there."""
    return ohif.MISSING or orthanc.MISSING


def main() -> None:
    """Serve, or measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only-look", action="store_true", help="leave the tap out")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if missing():
        raise SystemExit(missing())
    if given.serve:
        serve(given.slices)
        return
    with server(given.slices) as (port, uid):
        asyncio.run((measure_look if given.only_look else measure)(port, uid, given.slices, given.runs))


if __name__ == "__main__":
    main()
