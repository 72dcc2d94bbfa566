"""What the tap costs, what asking saves, and how much memory a large study takes; prints ratios.

    python tests/benchmarks/capture.py [--frames 300] [--traffic-mb 2000]

A page asks for frames of 0.5 MB by fetch, six at a time, from a server in another process on this machine.
"""

import argparse
import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scraper.model import Request
from scraper.session import tap
from scraper.session.browser import Browser
from scraper.session.http import Http
from scraper.session.pace import Pace
from scraper.settings import Settings

FRAME = 512 * 1024
LATENCY_S = 0.04
LOAD = """async ([count, lanes, path]) => {
  let next = 0;
  const lane = async () => { while (next < count) await fetch(`/${path}/${next++}`).then(a => a.arrayBuffer()); };
  await Promise.all(Array.from({length: lanes}, lane)); }"""


def serve() -> None:
    """The server's process: prints its port first."""
    data = bytes(range(256)) * (FRAME // 256)

    async def frame(_: object) -> Response:
        return Response(data, media_type="application/octet-stream")

    async def slow(_: object) -> Response:
        await asyncio.sleep(LATENCY_S)
        return Response(data, media_type="application/octet-stream")

    async def page(_: object) -> Response:
        return HTMLResponse("<!doctype html><title>frames</title>")

    app = Starlette(routes=[Route("/", page), Route("/frame/{n}", frame), Route("/slow/{n}", slow)])
    config = uvicorn.Config(app, log_level="critical", lifespan="off")
    listening = config.bind_socket()
    print(listening.getsockname()[1], flush=True)
    asyncio.run(uvicorn.Server(config).serve([listening]))


@contextmanager
def server():
    process = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


async def load(port: int, count: int, lanes: int, path: str, *, tapped: bool) -> float:
    """Seconds that the page takes."""
    armed, tap.RESOURCES = tap.RESOURCES, tap.RESOURCES if tapped else ("CSPViolationReport",)
    try:
        async with Browser(Settings(), Path(tempfile.mkdtemp()) / "spool") as browser:
            window = await browser.window()
            await window.open(f"http://127.0.0.1:{port}/")
            started = time.monotonic()
            await window.page.evaluate(LOAD, [count, lanes, path])
            took = time.monotonic() - started
            if tapped:
                await window.traffic.settled(0.5, 30)
                seen = sum(one.size == FRAME for one in window.traffic.exchanges)
                if seen != count:
                    raise SystemExit(f"the tap has {seen} of {count} frames")
            return took
    finally:
        tap.RESOURCES = armed


async def ask(port: int, count: int) -> float:
    """Seconds that the direct client takes for the same, six at a time, to files."""
    settings = Settings(jobs=6)
    client, rest = Http(settings, Pace(settings.jobs, None)), list(range(count))
    with tempfile.TemporaryDirectory() as folder:

        async def lane() -> None:
            while rest:
                number = rest.pop()
                await client.send(
                    Request(f"http://127.0.0.1:{port}/slow/{number}"), into=Path(folder) / str(number)
                )

        started = time.monotonic()
        await asyncio.gather(*(lane() for _ in range(settings.jobs)))
        took = time.monotonic() - started
    await client.close()
    return took


async def measure(port: int, frames: int, traffic_mb: int) -> None:
    bare, tapped = [], []
    for _ in range(3):
        bare.append(await load(port, frames, 6, "frame", tapped=False))
        tapped.append(await load(port, frames, 6, "frame", tapped=True))
    base, with_tap = sorted(bare)[1], sorted(tapped)[1]
    print(f"tap: {frames} frames in {with_tap:.1f} s instead of {base:.1f} s: ratio {with_tap / base:.2f}")
    viewer = await load(port, frames, 1, "slow", tapped=True)
    direct = await ask(port, frames)
    print(
        f"asking: {direct:.1f} s instead of {viewer:.1f} s that a viewer takes slice by slice: ratio {viewer / direct:.1f}"
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await load(port, traffic_mb * 2, 6, "frame", tapped=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"memory: {peak // 1024} MB at most for {traffic_mb} MB of traffic ({before // 1024} MB before)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--traffic-mb", type=int, default=2000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve()
        return
    with server() as port:
        asyncio.run(measure(port, given.frames, given.traffic_mb))


if __name__ == "__main__":
    main()
