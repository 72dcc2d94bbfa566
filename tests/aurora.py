"""The Aurora site: a small server over a real socket that serves one study and fails wherever a test tells it to."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum, auto
from typing import Self

HOST = "film.aurora.test"
LINK = f"http://{HOST}/s/Ab12Cd34"
EXPIRED = f"http://{HOST}/s/Expired1"
ASKS = f"http://{HOST}/s/AsksMe00"
PICTURES = f"http://{HOST}/s/Pictures"
CHANGED = f"http://{HOST}/s/Changed0"
PHONE = "1234"


class Fault(StrEnum):
    """What goes wrong with one answer."""

    RESET = auto()  # the connection is reset before the answer
    CLOSE = auto()  # closed without an answer
    SHORT = auto()  # Content-Length says more than comes
    HALF_CHUNKED = auto()  # chunked, and the last chunk never comes
    CUT_GZIP = auto()  # compressed, and cut
    HTML = auto()  # an error page with status 200
    ERROR_500 = auto()
    BUSY_429 = auto()  # with Retry-After: 1
    BUSY_503 = auto()
    SILENT = auto()  # the head comes, the body never
    OTHER_IMAGE = auto()  # another instance of the same series
    DAMAGED = auto()  # bytes changed on the way
    GONE_404 = auto()
    LAPSED_401 = auto()  # the token is void from now on


@dataclass
class Site:
    """Serves ``series`` (Series Instance UID → SOP Instance UID → bytes); ``faults`` are used up one an answer."""

    study_uid: str
    series: Mapping[str, Mapping[str, bytes]]
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    announced: Mapping[str, int | None] = field(default_factory=dict)
    latency_s: float = 0.0
    rate: float | None = None  # bytes a second and connection
    requests: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    most_in_flight: int = 0
    token: int = 1
    port: int = 0
    down: bool = False
    answers_at_most: int | None = None  # of images; the others wait until a test lets them go

    @property
    def connect_to(self) -> list[str]:
        return [f"{HOST}:80:127.0.0.1:{self.port}"]

    @property
    def originals(self) -> dict[str, bytes]:
        return {uid: data for images in self.series.values() for uid, data in images.items()}

    def fail(self, uid: str, *faults: Fault) -> Self:
        self.faults.setdefault(uid, []).extend(faults)
        return self

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                if self.down:
                    writer.transport.abort()
                    return
                lines = head.split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                method, path, _ = lines[0].split(" ")
                self.requests[path] += 1
                place = self.asked_for
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                try:
                    await asyncio.sleep(self.latency_s)
                    if path.startswith("/image/"):
                        await self._let_go(place)
                    go_on = await self._answer(method, path, headers, body, writer)
                finally:
                    self.in_flight -= 1
                if not go_on:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()  # what is not sent yet is not waited for
            raise
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    @property
    def asked_for(self) -> int:
        """How often an image was asked for."""
        return sum(count for path, count in self.requests.items() if path.startswith("/image/"))

    async def _let_go(self, place: int) -> None:
        """Wait where a test holds the answer to the image of this place back."""
        while self.answers_at_most is not None and place > self.answers_at_most:  # noqa: ASYNC110  # set in another thread
            await asyncio.sleep(0.01)

    async def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, writer: asyncio.StreamWriter
    ) -> bool:
        if method == "POST" and path == "/api/enter":
            return await self._json(writer, self._enter(json.loads(body)))
        if headers.get("x-token") != f"t{self.token}":
            return await self._plain(writer, 401, b"token")
        if path == "/api/study":
            return await self._json(writer, self._study())
        uid = path.removeprefix("/image/")
        data = self.originals.get(uid)
        if data is None:
            return await self._plain(writer, 404, b"unknown")
        planned = self.faults.get(uid)
        return await self._fail(planned.pop(0), uid, data, writer) if planned else await self._image(writer, data)

    def _enter(self, asked: Mapping[str, str]) -> dict[str, object]:
        match asked["code"]:
            case "Expired1":
                return {"code": "EXPIRED", "message": "分享已过期"}
            case "Pictures":
                return {"code": "PICTURES", "message": "仅提供图片"}
            case "Changed0":
                return {"state": 7}
            case "AsksMe00" if asked.get("phone") != PHONE:
                return {"code": "PHONE", "message": "手机号后四位不正确"}
        return {"code": "OK", "token": f"t{self.token}"}

    def _study(self) -> dict[str, object]:
        listed = [
            {
                "seriesUid": uid,
                "seriesNumber": number,
                "imageCount": self.announced.get(uid, len(images)),
                "images": {sop: f"/image/{sop}" for sop in images},
            }
            for number, (uid, images) in enumerate(self.series.items(), start=1)
        ]
        return {"studyUid": self.study_uid, "series": listed}

    async def _json(self, writer: asyncio.StreamWriter, value: object) -> bool:
        return await self._plain(writer, 200, json.dumps(value).encode())

    async def _plain(self, writer: asyncio.StreamWriter, status: int, body: bytes, *headers: str) -> bool:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()
        return True

    async def _image(self, writer: asyncio.StreamWriter, data: bytes) -> bool:
        if self.rate is None:
            return await self._plain(writer, 200, data)
        writer.write(f"HTTP/1.1 200 X\r\nContent-Length: {len(data)}\r\n\r\n".encode())
        loop = asyncio.get_running_loop()
        piece, started = max(1, int(self.rate * 0.02)), loop.time()
        for start in range(0, len(data), piece):
            writer.write(data[start : start + piece])
            await writer.drain()
            sent = min(start + piece, len(data))
            # a timer that is late is made up for
            await asyncio.sleep(started + sent / self.rate - loop.time())
        return True

    async def _fail(self, fault: Fault, uid: str, data: bytes, writer: asyncio.StreamWriter) -> bool:  # noqa: C901, PLR0911, PLR0912  # one arm a fault
        half = data[: len(data) // 2]
        match fault:
            case Fault.RESET:
                writer.transport.abort()
            case Fault.CLOSE:
                pass
            case Fault.SHORT:
                writer.write(b"HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n" % len(data) + half)
            case Fault.HALF_CHUNKED:
                chunk = b"%x\r\n" % len(half) + half + b"\r\n"
                writer.write(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
            case Fault.CUT_GZIP:
                import gzip

                packed = gzip.compress(data)[:-20]
                writer.write(
                    b"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
                )
            case Fault.HTML:
                return await self._plain(
                    writer,
                    200,
                    b"<!DOCTYPE html><html><body>\xe7\xb3\xbb\xe7\xbb\x9f\xe7\xb9\x81\xe5\xbf\x99</body></html>",
                )
            case Fault.ERROR_500:
                return await self._plain(writer, 500, b"oops")
            case Fault.BUSY_429:
                return await self._plain(writer, 429, b"slow down", "Retry-After: 1")
            case Fault.BUSY_503:
                return await self._plain(writer, 503, b"busy")
            case Fault.SILENT:
                writer.write(b"HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n" % len(data) + half)
                await writer.drain()
                await asyncio.sleep(3600)
            case Fault.OTHER_IMAGE:
                other = next(original for sop, original in self.originals.items() if sop != uid)
                return await self._plain(writer, 200, other)
            case Fault.DAMAGED:
                return await self._plain(writer, 200, data[:-400])
            case Fault.GONE_404:
                return await self._plain(writer, 404, b"gone")
            case Fault.LAPSED_401:
                self.token += 1
                return await self._plain(writer, 401, b"token expired")
        await writer.drain()
        return False


@asynccontextmanager
async def serving(site: Site) -> AsyncIterator[Site]:
    """Serve on a free loopback port."""
    server = await asyncio.start_server(site.serve, "127.0.0.1", site.port)
    tasks = asyncio.all_tasks()
    async with server:
        site.port = server.sockets[0].getsockname()[1]
        try:
            yield site
        finally:
            server.close()
            started = asyncio.all_tasks() - tasks - {asyncio.current_task()}
            serving_tasks = [task for task in started if "serve" in repr(task.get_coro())]
            for task in serving_tasks:
                task.cancel()
            await asyncio.gather(*serving_tasks, return_exceptions=True)  # their sockets are closed with them
