"""What the tap costs, what asking saves, and how much memory a large study takes; prints ratios.

    python tests/benchmarks/capture.py [--frames 300] [--traffic-mb 2000] [--rounds 3] [--only tap asking memory ohif]

A page asks for frames of 0.5 MB by fetch, six at a time, from a server in another process on this machine; the memory is that of
this process while the universal capture takes in a study of as many Part 10 files. The real OHIF in front of an Orthanc, where
both are installed: see ``ohif.py``.
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
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fixtures.dicom import chest_ct
from scraper.capture.observe.received import Observations
from scraper.core.model import Request
from scraper.core.settings import Settings
from scraper.session.browser import Browser, tap
from scraper.session.http.client import Http
from scraper.session.http.pace import Pace
from tests.benchmarks import ohif

FRAME = 512 * 1024
LATENCY_S = 0.04
LOAD = """async ([count, lanes, path]) => {
  let next = 0;
  const lane = async () => { while (next < count) await fetch(`/${path}/${next++}`).then(a => a.arrayBuffer()); };
  await Promise.all(Array.from({length: lanes}, lane)); }"""


def serve() -> None:
    """The server's process: prints its port first."""
    data = bytes(range(256)) * (FRAME // 256)
    one = chest_ct(slices=1, size=512, localizers=0, dose_report=False, seed=47).images[0]
    uid = one.sop_instance_uid.encode()

    async def numbered(request: HttpRequest) -> Response:
        """The same object under a UID of its own, of the same length."""
        number = f"{int(request.path_params['n']):06d}"
        named = uid[: -len(number) - 1] + b"9" + number.encode()
        return Response(one.data.replace(uid, named), media_type="application/octet-stream")

    async def frame(_: object) -> Response:
        return Response(data, media_type="application/octet-stream")

    async def slow(_: object) -> Response:
        await asyncio.sleep(LATENCY_S)
        return Response(data, media_type="application/octet-stream")

    async def page(_: object) -> Response:
        return HTMLResponse("<!doctype html><title>frames</title>")

    app = Starlette(
        routes=[Route("/", page), Route("/frame/{n}", frame), Route("/slow/{n}", slow), Route("/object/{n}", numbered)]
    )
    config = uvicorn.Config(app, log_level="critical", lifespan="off", port=0)
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
                await client.send(Request(f"http://127.0.0.1:{port}/slow/{number}"), into=Path(folder) / str(number))

        started = time.monotonic()
        await asyncio.gather(*(lane() for _ in range(settings.jobs)))
        took = time.monotonic() - started
    await client.close()
    return took


async def take_in(port: int, count: int) -> int:
    """Have the page load ``count`` objects, each with an identity of its own, and take each in as the capture does."""
    with tempfile.TemporaryDirectory() as folder:
        async with Browser(Settings(), Path(folder) / "spool") as browser:
            window = await browser.window()
            observations = Observations(Path(folder) / "captured")
            await window.open(f"http://127.0.0.1:{port}/")
            loading = asyncio.ensure_future(window.page.evaluate(LOAD, [count, 6, "object"]))
            while not loading.done() or await window.traffic.after(observations.consumed, timeout_s=1.0):
                await observations.take(window.traffic.exchanges)
                await window.traffic.after(observations.consumed, timeout_s=0.5)
            await loading
            await window.close()
            return len(observations.objects)


async def measure(port: int, frames: int, traffic_mb: int, rounds: int, only: list[str]) -> None:
    if "memory" in only:  # first: what other measurements needed would count as well
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        count = await take_in(port, traffic_mb * 2)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        memory = f"{peak // 1024} MB at most for {traffic_mb} MB of traffic ({before // 1024} MB before)"
        print(f"memory: {memory}; {count} of {traffic_mb * 2} objects", flush=True)
    if "tap" in only:
        bare, tapped = [], []
        for _ in range(rounds):
            bare.append(await load(port, frames, 6, "frame", tapped=False))
            tapped.append(await load(port, frames, 6, "frame", tapped=True))
        base, with_tap = sorted(bare)[rounds // 2], sorted(tapped)[rounds // 2]
        print(
            f"tap: {frames} frames in {with_tap:.1f} s instead of {base:.1f} s: ratio {with_tap / base:.2f}", flush=True
        )
    if "asking" in only:
        viewer = await load(port, frames, 1, "slow", tapped=True)
        direct = await ask(port, frames)
        print(
            f"asking: {direct:.1f} s instead of {viewer:.1f} s that a viewer takes slice by slice: ratio {viewer / direct:.1f}",
            flush=True,
        )
    if "ohif" in only:
        if missing := ohif.missing():
            print(f"OHIF: {missing}")
            return
        with ohif.server(frames) as (at, uid):
            await ohif.measure(at, uid, frames, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--traffic-mb", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=["tap", "asking", "memory", "ohif"])
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve()
        return
    with server() as port:
        asyncio.run(measure(port, given.frames, given.traffic_mb, given.rounds, given.only))


if __name__ == "__main__":
    main()
