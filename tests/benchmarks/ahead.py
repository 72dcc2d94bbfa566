"""What the capture of a viewer that fetches ahead costs its site and this computer; prints requests, peak memory, ratios.

    python tests/benchmarks/ahead.py [--slices 300] [--latency 0.04]

OHIF on Orthanc, 512 x 512, captured as an unknown viewer: once as it is, once with the page going on after the plan is made.
Memory is that of this process and all that it started, sampled ten times a second: the archive runs in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import uvicorn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fixtures import ohif, orthanc
from fixtures.dicom import chest_ct
from scraper.capture.strategies import ByDicomWeb
from scraper.capture.study import StudyCapture
from scraper.core.settings import BrowserUse, Settings
from scraper.testing import in_pipeline

MB = 1 << 20
EVERY_S = 0.1


def serve(slices: int, latency_s: float) -> None:
    """The server's process: prints its port and the study's UID first; a line on its input asks for what it was asked."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the archive is ended with us
    study = chest_ct(slices=slices, size=512, localizers=0, dose_report=False, seed=7)
    seen: list[str] = []
    with orthanc.Orthanc() as archive:
        site = ohif.OhifSite(archive, study, latency_s=latency_s)

        async def counted(scope, receive, send):
            seen.append(scope.get("path", ""))
            await site.app(scope, receive, send)

        def report() -> None:
            for _ in sys.stdin:
                print(json.dumps(seen), flush=True)
                seen.clear()

        config = uvicorn.Config(counted, log_level="critical", lifespan="off", port=0)
        listening = config.bind_socket()
        print(json.dumps([listening.getsockname()[1], study.study_instance_uid]), flush=True)
        threading.Thread(target=report, daemon=True).start()
        asyncio.run(uvicorn.Server(config).serve([listening]))


@contextmanager
def peak(of_server: int) -> Iterator[dict[str, int]]:
    """Bytes at the highest: of all processes, and of the browser's."""
    found, ended, own = {"all": 0, "browser": 0}, threading.Event(), psutil.Process()

    def look() -> None:
        while not ended.wait(EVERY_S):
            sizes = {}
            for process in [own, *own.children(recursive=True)]:
                with suppress(psutil.Error, OSError):
                    if process.pid != of_server and of_server not in [parent.pid for parent in process.parents()]:
                        is_browser = (
                            any("run-driver" in word for word in process.cmdline()) or "chrom" in process.name()
                        )
                        sizes[process.pid] = (process.memory_full_info().pss, is_browser)
            found["all"] = max(found["all"], sum(size for size, _ in sizes.values()))
            found["browser"] = max(found["browser"], sum(size for size, is_browser in sizes.values() if is_browser))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


async def grab(port: int, uid: str) -> str:
    """One capture; how it ended."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(output=Path(folder), provider="universal", browser=BrowserUse.ALWAYS)
        link = f"http://127.0.0.1:{port}/viewer?StudyInstanceUIDs={uid}"
        result = await in_pipeline(settings, lambda pipeline: pipeline.grab(link))
        return f"exit {result.exit_code}, {result.counts.saved} saved {result.error or ''}"


def measure(slices: int, latency_s: float) -> None:
    """Print both."""
    words = [sys.executable, __file__, "--serve", "--slices", str(slices), "--latency", str(latency_s)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            port, uid = json.loads(process.stdout.readline())
            rows = {}
            for name in ("as it is", "page goes on"):
                if name != "as it is":
                    _let_the_page_go_on()
                began = time.perf_counter()
                with peak(process.pid) as highest:
                    outcome = asyncio.run(grab(port, uid))
                took = time.perf_counter() - began
                print("?", file=process.stdin, flush=True)
                seen = json.loads(process.stdout.readline())
                frames = sum("/frames/" in path for path in seen)
                files = sum(re.search(r"/instances/[0-9.]+$", path) is not None for path in seen)
                rows[name] = (frames + files, highest["all"])
                print(
                    f"{name}: {frames} frames and {files} files of {slices} images asked for ({(frames + files) / slices:.2f} "
                    f"each), {len(seen)} requests in all; {highest['browser'] / MB:.0f} MB browser, "
                    f"{highest['all'] / MB:.0f} MB all processes; {took:.1f} s; {outcome}",
                    flush=True,
                )
            now, before = rows["as it is"], rows["page goes on"]
            print(f"ratios: requests {now[0] / before[0]:.2f}, memory {now[1] / before[1]:.2f}")
        finally:
            process.terminate()


def _let_the_page_go_on() -> None:
    async def nothing(*_: object) -> None:
        return None

    StudyCapture._rest = nothing
    ByDicomWeb.early_plan = nothing


def main() -> None:
    """Serve, or measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--latency", type=float, default=0.04)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if ohif.MISSING or orthanc.MISSING:
        raise SystemExit(ohif.MISSING or orthanc.MISSING)
    if given.serve:
        serve(given.slices, given.latency)
        return
    measure(given.slices, given.latency)


if __name__ == "__main__":
    main()
