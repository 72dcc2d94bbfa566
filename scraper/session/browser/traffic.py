"""Everything a window received: responses and WebSocket messages in order, large ones spooled to disk."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scraper.core.disk import Watch, disk_errors
from scraper.core.errors import CloudfilmError, SiteChanged
from scraper.core.model import Request
from scraper.core.reasons import Reason
from scraper.core.settings import NEWS_BYTES
from scraper.core.sniff import BARE_DATA_SETS, HEAD, Kind, sniff
from scraper.session.http.response import Response

IN_MEMORY_EACH = 64 * 2**10  # bytes; a larger body goes to disk
IN_MEMORY_ALL = 32 * 2**20  # bytes of all bodies of one window that are kept in memory
IMAGES = frozenset(
    (*BARE_DATA_SETS, Kind.PART10, Kind.META_FIRST, Kind.JPEG, Kind.JPEG_LS, Kind.JP2, Kind.J2K, Kind.ZIP, Kind.UNKNOWN)
)  # kinds that may be images by their first bytes: raw and packed pixels look like nothing known
COMPARED = 2**20  # bytes of an image that are compared with earlier ones
HEARTBEAT = 64  # bytes of a message that may be one
WEBSOCKET_IN = "websocket-in"
WEBSOCKET_OUT = "websocket-out"
DOWNLOAD = "download"
EVENT = "event"
STREAM_S = 45.0  # for a stream to say all, since its last line where it ends; one of notifications never ends
IN_MEMORY = "memory"
DRAWN = "drawn"
OF_PAGE = (WEBSOCKET_OUT, IN_MEMORY, DRAWN)  # what the page sends or makes itself


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """One request and its response, or one WebSocket message.

    ``kind`` is what the browser calls it (``document``, ``xhr``, ``fetch``, ``script``, ``image``, ``other``), or
    ``websocket-in``, ``websocket-out``, ``download``, ``event`` (one of an event stream), ``memory`` (made by the page
    itself, see ``page_memory``),
    ``drawn`` (samples that it handed on to be drawn). Header names are
    lower case; ``body`` is decoded (no gzip on top)
    even where the headers still name a Content-Encoding. A message has status 101. ``when``: seconds since the window opened.
    """

    url: str
    kind: str
    method: str = "GET"
    request_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    request_body: bytes | None = field(default=None, repr=False)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | Path = field(default=b"", repr=False)
    size: int = 0
    is_text: bool = False  # a WebSocket text message
    when: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it is a 2xx response or a message."""
        return 200 <= self.status < 300 or self.status == 101

    @property
    def content_type(self) -> str:
        """The answer's Content-Type, with its parameters."""
        return self.headers.get("content-type", "")

    def response(self) -> Response:
        """The answer as the direct client would give it."""
        return Response(self.status, self.headers, self.read(), self.url, sent=self.request_headers)

    def read(self, limit: int = -1) -> bytes:
        """The body, or its first ``limit`` bytes."""
        if isinstance(self.body, bytes):
            return self.body if limit < 0 else self.body[:limit]
        with self.body.open("rb") as stream:
            return stream.read(limit)


def asked_directly(request: Request, response: Response, copy: Path) -> Exchange:
    """A direct request and its response as an exchange; a body in a file is copied."""
    body: bytes | Path = response.body
    size = len(response.body)
    if response.path is not None and response.path.is_file():
        shutil.copyfile(response.path, copy)
        body, size = copy, copy.stat().st_size
    sent = {name.lower(): value for name, value in request.headers.items()}
    url, method, headers = request.url, request.method, response.headers
    return Exchange(url, "direct", method, sent, request.body, response.status, headers, body, size)


@dataclass(frozen=True, slots=True)
class _OpenStream:
    """A stream that is read: its first event and its last, by the clock, and whether it is a text of lines, which ends."""

    first: float
    last: float
    ends: bool

    def may_say_more(self, now: float, quiet_s: float) -> bool:
        if self.ends:
            return now - self.last < STREAM_S
        return now - self.first < STREAM_S and now - self.last < quiet_s


class Traffic:
    """The exchanges of one window, in order of completion.

    Over 20 methods because what fills it and what reads it share all that it holds; most are a few lines.

    Args:
        folder: large bodies go here; made at the first need, removed with ``clear``.
        host: the link's, for messages.
        quiet_s: without an event, after which a stream that has not ended is taken to have said all.
    """

    def __init__(self, folder: Path, host: str = "", quiet_s: float = 5.0) -> None:
        self.exchanges: list[Exchange] = []
        self.missed: list[tuple[str, str]] = []  # address and why: bodies that were seen to pass and could not be had
        self.cut_streams: set[str] = set()  # addresses of event streams and the like that the site broke off
        self.host = host
        self._folder = folder
        self._quiet_s = quiet_s
        self._disk = Watch(folder)
        self.image_bytes = 0  # of what came from the site and may be an image
        self.most_earned = sys.maxsize  # of these, for which the page may take more memory
        self.busy = 0  # downloads and large bodies under way
        self._started = time.monotonic()
        self._last = self._started
        self._in_memory = 0
        self._trickled = 0
        self._beats: set[tuple[str, bytes]] = set()
        self._streams: dict[str, _OpenStream] = {}
        self._files = 0
        self._arrived = asyncio.Event()
        self._over: CloudfilmError | None = None
        self._known: set[tuple[str, int, bytes]] = set()
        self.on_news: Callable[[bool], None] = lambda _: (
            None
        )  # called where an answer was not seen before: is it an image

    # ---- filling, by the browser's tap

    @property
    def folder(self) -> Path:
        """The folder of large bodies."""
        return self._folder

    @property
    def now(self) -> float:
        """Seconds since the window opened."""
        return time.monotonic() - self._started

    def new_file(self) -> Path:
        """An unused file name in the spool.

        Raises:
            NotWritable: the spool can't be made. DiskFull: no space.
        """
        self._files += 1
        with disk_errors(self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._folder / f"{self._files:07d}"

    def keep(self, body: bytes) -> bytes | Path:
        """Return a body as an exchange stores it: itself where small, else its spooled copy.

        Raises:
            DiskFull: no space left. NotWritable: the spool can't be written.
        """
        if len(body) <= IN_MEMORY_EACH and self._in_memory + len(body) <= IN_MEMORY_ALL:
            self._in_memory += len(body)
            return body
        self._disk.wrote(len(body))
        path = self.new_file()
        with disk_errors(path.parent):
            path.write_bytes(body)
        return path

    def spooled(self, exchange: Exchange) -> Path:
        """The file that holds an exchange's body; a body in memory is written first.

        Raises:
            DiskFull: no space left. NotWritable: the spool can't be written.
        """
        if isinstance(exchange.body, Path):
            return exchange.body
        path = self.new_file()
        with disk_errors(path.parent):
            path.write_bytes(exchange.body)
        return path

    def add(self, exchange: Exchange) -> None:
        """Add an exchange and wake whoever waits."""
        self.exchanges.append(exchange)
        if exchange.size >= NEWS_BYTES and exchange.ok:
            is_image = sniff(exchange.read(HEAD)) in IMAGES
            self.image_bytes += exchange.size if is_image and exchange.kind not in OF_PAGE else 0
            look = (exchange.url.partition("?")[0], exchange.size, _digest(exchange) if is_image else b"")
            if look not in self._known:
                self._known.add(look)
                self.on_news(is_image)
        if self._is_heartbeat(exchange):
            self._arrived.set()
        else:
            self.touch()

    @property
    def earned_bytes(self) -> int:
        """Bytes of images for which the page may take more memory."""
        return min(self.image_bytes, self.most_earned)

    def note_bytes(self, size: int) -> None:
        """Count bytes of a large body as they arrive; only whole megabytes are progress."""
        self._trickled += size
        if self._trickled >= NEWS_BYTES * 512:
            self._trickled, is_image = 0, True
            self.on_news(is_image)

    def _is_heartbeat(self, exchange: Exchange) -> bool:
        """Whether a short message repeats an earlier one but for its numbers: a keep-alive without data."""
        if exchange.kind not in (WEBSOCKET_IN, WEBSOCKET_OUT) or exchange.size > HEARTBEAT:
            return False
        look = (exchange.kind, re.sub(rb"\d+", b"0", exchange.read()))
        is_known = look in self._beats
        self._beats.add(look)
        return is_known

    def note_stream(self, url: str, *, is_over: bool, is_cut: bool, ends: bool = False) -> None:
        """Note an event of a stream, or its end; ``is_cut``: the site broke it off; ``ends``: it is a text of lines."""
        now = time.monotonic()
        if is_cut:
            self.cut_streams.add(url)
        if is_over:
            self._streams.pop(url, None)
        else:
            first = self._streams[url].first if url in self._streams else now
            self._streams[url] = _OpenStream(first, now, ends)

    @property
    def is_streaming(self) -> bool:
        """Whether a stream is being read that may not have said all: what it lists is not whole yet."""
        now = time.monotonic()
        return any(stream.may_say_more(now, self._quiet_s) for stream in self._streams.values())

    @property
    def open_streams(self) -> frozenset[str]:
        """Addresses of the streams that are read and have not ended."""
        return frozenset(self._streams)

    @property
    def unfinished(self) -> frozenset[str]:
        """Addresses of streams that were broken off, and of texts of lines that have not come to their end."""
        return frozenset((*self.cut_streams, *(url for url, stream in self._streams.items() if stream.ends)))

    def has_body(self, size: int, head: bytes) -> bool:
        """Whether something that came has that size and that beginning."""
        return any(exchange.read(len(head)) == head for exchange in self.exchanges if exchange.size == size)

    def miss(self, url: str, why: str) -> None:
        """Note a body that passed and could not be read."""
        self.missed.append((url, why))
        self.touch()

    def touch(self) -> None:
        """Note that data is still arriving."""
        self._last = time.monotonic()
        self._arrived.set()

    def end(self, error: CloudfilmError) -> None:
        """Mark the traffic as ended; whoever waits gets ``error``."""
        self._over = self._over or error
        self._arrived.set()

    def clear(self) -> None:
        """Forget everything and remove the spooled bodies."""
        self.exchanges.clear()
        for path in self._folder.glob("*"):
            path.unlink(missing_ok=True)
        if self._folder.is_dir():
            self._folder.rmdir()

    # ---- reading

    @property
    def idle_s(self) -> float:
        """Seconds since the last arrival."""
        return time.monotonic() - self._last

    def matching(self, pattern: str) -> list[Exchange]:
        """Every exchange whose address matches the expression, in order, without messages sent to the site."""
        search = re.compile(pattern).search
        return [exchange for exchange in self.exchanges if exchange.kind != WEBSOCKET_OUT and search(exchange.url)]

    async def wait_for(self, pattern: str, *, timeout_s: float) -> Exchange:
        """The first successful exchange whose address matches the expression, including earlier ones.

        A refused exchange (4xx, 5xx) is returned only where no successful one comes in time.

        Raises:
            SiteChanged: none in time. SiteUnreachable: the browser or the page ended while waiting.
        """
        search = re.compile(pattern).search
        give_up = time.monotonic() + timeout_s
        refused: Exchange | None = None
        at = 0
        while True:
            while at < len(self.exchanges):
                exchange = self.exchanges[at]
                at += 1
                if exchange.kind == WEBSOCKET_OUT or not search(exchange.url) or 300 <= exchange.status < 400:
                    continue
                if exchange.ok:
                    return exchange
                refused = refused or exchange
            if not await self._more(give_up - time.monotonic()):
                break
        if refused is not None:
            return refused
        raise SiteChanged(host=self.host, what=Reason.NO_CALL.of(pattern=pattern))

    async def settled(self, quiet_s: float, up_to_s: float) -> bool:
        """Wait until nothing has arrived for ``quiet_s``; False if that takes longer than ``up_to_s``.

        Raises:
            SiteUnreachable: the browser or the page ended while waiting.
        """
        give_up = time.monotonic() + up_to_s
        while True:
            if self.busy:
                self._last = time.monotonic()
            left = min(self._last + quiet_s, give_up) - time.monotonic()
            if left <= 0:
                return self.idle_s >= quiet_s
            await self._more(left)

    async def after(self, count: int, *, timeout_s: float) -> list[Exchange]:
        """The exchanges after the first ``count``, perhaps none; waits for one where there is none yet.

        Raises:
            SiteUnreachable: the browser or the page ended while waiting.
        """
        give_up = time.monotonic() + timeout_s
        while len(self.exchanges) <= count:
            if not await self._more(give_up - time.monotonic()):
                break
        return self.exchanges[count:]

    async def _more(self, timeout_s: float) -> bool:
        """Wait for another exchange, or for a sign that one is on its way; False on a time-out."""
        if self._over is not None:
            raise self._over
        if timeout_s <= 0:
            return False
        self._arrived.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        except TimeoutError:
            return False
        if self._over is not None:
            raise self._over
        return True


def _digest(exchange: Exchange) -> bytes:
    """What tells images of one size apart, where their addresses differ in the query alone, or not at all."""
    return hashlib.blake2b(exchange.read(COMPARED), digest_size=16).digest()


def add_message(traffic: Traffic, url: str, kind: str, message: str | bytes) -> None:
    """Add one WebSocket message to the traffic; where it can't be stored, it ends."""
    data = message.encode() if isinstance(message, str) else message
    try:
        body = traffic.keep(data)
    except CloudfilmError as err:
        traffic.end(err)
        return
    is_text = isinstance(message, str)
    traffic.add(
        Exchange(
            url=url, kind=kind, method="", status=101, body=body, size=len(data), is_text=is_text, when=traffic.now
        )
    )
