"""A hospital with any number of shares, each with a small study of its own, at the hosts of the Aurora provider.

A share's code says all: ``A0000012`` is the twelfth, and ``outcome`` what becomes of it. Every answer is noted by its share.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from threading import Event, Thread

from fixtures.dicom import SyntheticStudy, chest_ct
from tests.aurora import Fault

HOSTS = ("film.aurora.test", "film.lakeside.test", "film.harbour.test", "film.meadow.test")
PASSING = (Fault.RESET, Fault.CLOSE, Fault.SHORT, Fault.HALF_CHUNKED, Fault.ERROR_500, Fault.BUSY_503, Fault.HTML)


class Ends(IntEnum):
    """How a share must end, by the command's own exit code."""

    COMPLETE = 0
    EXPIRED = 6
    INCOMPLETE = 7
    CHANGED = 9


@dataclass(frozen=True)
class Share:
    """One small study: (SOP Instance UID, Part 10 file) of each image."""

    study_uid: str
    series_uid: str
    images: tuple[tuple[str, bytes], ...]


@cache
def _pattern() -> SyntheticStudy:
    return chest_ct(slices=5, size=32, seed=10_000, localizers=0, dose_report=False)


@cache
def share(number: int) -> Share:
    """The study of a share: the one pattern under UIDs of its own, of the same length."""
    pattern = _pattern()
    series = pattern.series[0]
    known = [pattern.study_instance_uid, series.uid, *(instance.sop_instance_uid for instance in series.instances)]
    fresh = {uid: f"{uid[:-7]}{number:07}" for uid in known}
    images = []
    for instance in series.instances:
        data = instance.data
        for uid, other in fresh.items():
            data = data.replace(uid.encode(), other.encode())
        images.append((fresh[instance.sop_instance_uid], data))
    return Share(fresh[pattern.study_instance_uid], fresh[series.uid], tuple(images))


@dataclass
class Many:
    """The hospital.

    Attributes:
        links: how many shares there are.
        faulty: the part of them that goes wrong in some way, of which most recover.
        latency_s: before every answer.
        entered: how often each share was opened, by its number.
    """

    links: int
    faulty: float = 0.0
    seed: int = 1
    latency_s: float = 0.0
    hold: frozenset[int] = frozenset()  # shares whose images never come
    entered: Counter[int] = field(default_factory=Counter)
    images: Counter[int] = field(default_factory=Counter)
    in_flight: Counter[str] = field(default_factory=Counter)
    most_in_flight: Counter[str] = field(default_factory=Counter)
    connections: int = 0  # that are open
    port: int = 0

    def __post_init__(self) -> None:
        dice = random.Random(self.seed)  # noqa: S311  # seeded on purpose: the same faults every time
        self.ends: dict[int, Ends] = {}
        self.faults: dict[tuple[int, int], list[Fault]] = {}
        for number in range(self.links):
            if dice.random() >= self.faulty:
                continue
            kind = dice.choice(("expired", "lost", "changed", *["passing"] * 5))
            if kind == "passing":
                self.faults[number, dice.randrange(5)] = dice.choices(PASSING, k=dice.randint(1, 2))
            else:
                self.ends[number] = {"expired": Ends.EXPIRED, "lost": Ends.INCOMPLETE, "changed": Ends.CHANGED}[kind]

    def link(self, number: int) -> str:
        return f"http://{HOSTS[number % len(HOSTS)]}/s/A{number:07}"

    def outcome(self, number: int) -> Ends:
        return self.ends.get(number, Ends.COMPLETE)

    @property
    def options(self) -> list[str]:
        rows = [word for host in HOSTS for word in ("--connect-to", f"{host}:80:127.0.0.1:{self.port}")]
        return ["--browser", "never", *rows]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head.split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                host = headers["host"]
                self.in_flight[host] += 1
                self.most_in_flight[host] = max(self.most_in_flight[host], self.in_flight[host])
                try:
                    await asyncio.sleep(self.latency_s)
                    go_on = await self._answer(lines[0].split(" ")[1], headers, body, writer)
                finally:
                    self.in_flight[host] -= 1
                if not go_on:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self.connections -= 1

    async def _answer(self, path: str, headers: Mapping[str, str], body: bytes, writer: asyncio.StreamWriter) -> bool:
        if path == "/api/enter":
            number = int(json.loads(body)["code"][1:])
            self.entered[number] += 1
            return await _plain(writer, json.dumps(self._entry(number)).encode())
        number = int(headers["x-token"])
        if path == "/api/study":
            return await _plain(writer, json.dumps(self._listed(number)).encode())
        place = int(path.rpartition("/")[2])
        self.images[number] += 1
        if number in self.hold:
            await asyncio.sleep(3600)
        if self.outcome(number) is Ends.INCOMPLETE and place == 3:
            return await _plain(writer, b"gone", "404 Not Found")
        data = share(number).images[place][1]
        planned = self.faults.get((number, place))
        return await _fail(planned.pop(0), data, writer) if planned else await _plain(writer, data)

    def _entry(self, number: int) -> dict[str, object]:
        match self.outcome(number):
            case Ends.EXPIRED:
                return {"code": "EXPIRED", "message": "分享已过期"}
            case Ends.CHANGED:
                return {"state": 7}
        return {"code": "OK", "token": str(number)}

    def _listed(self, number: int) -> dict[str, object]:
        of_it = share(number)
        images = {uid: f"/image/{place}" for place, (uid, _) in enumerate(of_it.images)}
        row = {"seriesUid": of_it.series_uid, "seriesNumber": 1, "imageCount": len(images), "images": images}
        return {"studyUid": of_it.study_uid, "series": [row]}


async def _plain(writer: asyncio.StreamWriter, body: bytes, status: str = "200 OK") -> bool:
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    return True


async def _fail(fault: Fault, data: bytes, writer: asyncio.StreamWriter) -> bool:
    half = data[: len(data) // 2]
    match fault:
        case Fault.RESET:
            writer.transport.abort()
        case Fault.SHORT:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + half)
            await writer.drain()
        case Fault.HALF_CHUNKED:
            chunk = b"%x\r\n" % len(half) + half + b"\r\n"
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
            await writer.drain()
        case Fault.ERROR_500:
            return await _plain(writer, b"oops", "500 Oops")
        case Fault.BUSY_503:
            return await _plain(writer, b"busy", "503 Busy")
        case Fault.HTML:
            return await _plain(writer, "<!DOCTYPE html><html><body>系统繁忙</body></html>".encode())
    return False


@contextmanager
def up(many: Many) -> Iterator[Many]:
    """The hospital in a thread of its own, on a free loopback port."""
    ready, loops = Event(), []

    async def serve() -> None:
        server = await asyncio.start_server(many.serve, "127.0.0.1", 0)
        many.port = server.sockets[0].getsockname()[1]
        done = asyncio.Event()
        loops.append((asyncio.get_running_loop(), done))
        ready.set()
        await done.wait()
        server.close()

    thread = Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    if not ready.wait(10):
        raise RuntimeError("the hospital did not come up")
    try:
        yield many
    finally:
        loop, done = loops[0]
        loop.call_soon_threadsafe(done.set)
        thread.join(10)
