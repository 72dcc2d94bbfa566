"""DICOM objects that a page holds in memory, whatever it made them of: decrypted, put together of chunks, unpacked, decoded.

Also the events of a stream (HTML Living Standard, 9.2) and the lines of one of JSON texts, whose body may never end: a site that
looks a study up may send its list so.

A script of ours looks at the buffers that the page hands to its parser and reports each object once; what the page received as
it is, is not sent again. It runs in every frame before the page's own scripts, and in workers.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from scraper.core.errors import CloudfilmError
from scraper.core.sniff import BARE_DATA_SETS, HEAD, Kind, sniff
from scraper.session.browser.copy_rules import BY_LINES
from scraper.session.browser.traffic import DRAWN, EVENT, IN_MEMORY, Exchange, Traffic

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext

MAX_OBJECT: Final = 512 * 2**20  # bytes
MAX_UNFINISHED: Final = 256 * 2**20  # bytes of objects that are being reported
MAX_OBJECTS: Final = 20_000  # of one window
MAX_EVENTS: Final = 5_000  # of one window
MAX_EVENT: Final = 16 * 2**20  # bytes
CUT: Final = "cut"  # the end of a stream that the site broke off
ENDS: Final = ("over", CUT)
ENOUGH: Final = -1  # the answer to samples that nobody wants: no more of them
SAMPLES: Final = "samples"  # the header that says what was drawn
DICOM: Final = (Kind.PART10, Kind.META_FIRST, *BARE_DATA_SETS)


@cache
def _source() -> str:
    return resources.files(__package__).joinpath("page_memory.js").read_text(encoding="utf-8").strip()


@dataclass(slots=True)
class _Report:
    """An object that is being reported, piece by piece."""

    size: int
    url: str
    when: float
    samples: str = ""  # of what sort, where it is no object
    pieces: list[bytes] = field(default_factory=list)
    received: int = 0


class PageMemory:
    """Takes what the script reports into the traffic of one window.

    Args:
        traffic: the window's.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._name = f"_{secrets.token_hex(8)}"
        self._reports: dict[int, _Report] = {}
        self._known: set[tuple[int, bytes, bytes]] = set()
        self._tickets = 0
        self._events = 0
        self._looked = 0
        self._is_dicom_there = False

    @property
    def script(self) -> str:
        """What is put before a page's or a worker's own scripts."""
        source = _source()
        given = map(json.dumps, (self._name, source, BY_LINES))
        return f"({source})({', '.join(given)});\n"

    async def begin(self, context: BrowserContext) -> None:
        """Look into the pages that are opened from now on."""
        await context.expose_binding(self._name, lambda _, message: self._take(message))
        await context.add_init_script(script=self.script)

    def _take(self, message: Any) -> int:
        """One message of the script; gives the number under which the object's bytes are wanted, 0 where they are not."""
        if not isinstance(message, Mapping):
            return 0
        try:
            if "text" in message:
                self._read(message["text"], message.get("from"), message.get("end"), ends=message.get("ends") is True)
                return 0
            if "ticket" not in message:
                return self._announced(message)
            self._continued(message)
        except (binascii.Error, TypeError, ValueError):
            self._reports.pop(_number(message.get("ticket")), None)
        except CloudfilmError as err:  # the disk is full
            self._traffic.end(err)
        return 0

    def _read(self, text: object, url: object, end: object, *, ends: bool) -> None:
        """Take one event or line of a stream, which ``ends`` at some time; it is a reply of the stream's address."""
        self._events += 1
        if not isinstance(text, str) or not isinstance(url, str) or self._events > MAX_EVENTS:
            return
        self._traffic.note_stream(url[:8192], is_over=end in ENDS, is_cut=end == CUT, ends=ends)
        data = text.encode("utf-8", "replace")
        if url.startswith(("https:", "http:")) and 0 < len(data) <= MAX_EVENT:
            body = self._traffic.keep(data)
            self._traffic.add(Exchange(url[:8192], EVENT, body=body, size=len(data), when=self._traffic.now))

    def _announced(self, message: Mapping[str, Any]) -> int:
        size = _number(message.get("size"))
        head, tail = base64.b64decode(message["head"]), base64.b64decode(message["tail"])
        samples = _samples(message.get("pixels"))
        if samples and not self._wants_samples():
            return ENOUGH
        unfinished = sum(report.size for report in self._reports.values())
        if not 0 < size <= MAX_OBJECT or (self._reports and unfinished + size > MAX_UNFINISHED):
            return 0
        if len(self._known) >= MAX_OBJECTS:
            return 0
        if not samples and ((size, head, tail) in self._known or self._traffic.has_body(size, head)):
            return 0
        self._tickets += 1
        self._known.add((size, head, tail if not samples else str(self._tickets).encode()))
        url = f"memory:{str(message.get('from'))[:500]}"
        self._reports[self._tickets] = _Report(size, url, self._traffic.now, samples)
        self._traffic.touch()
        return self._tickets

    def _continued(self, message: Mapping[str, Any]) -> None:
        ticket = _number(message["ticket"])
        report = self._reports.get(ticket)
        if report is None:
            return
        if "data" in message:
            piece = base64.b64decode(message["data"])
            report.received += len(piece)
            if report.received > report.size:
                raise ValueError("more than was announced")
            report.pieces.append(piece)
            return
        del self._reports[ticket]
        if report.received == report.size:
            body = self._traffic.keep(b"".join(report.pieces))
            kind, headers = (DRAWN, {SAMPLES: report.samples}) if report.samples else (IN_MEMORY, {})
            self._traffic.add(
                Exchange(report.url, kind, method="", headers=headers, body=body, size=report.size, when=report.when)
            )

    def _wants_samples(self) -> bool:
        """Whether what a page draws is of use: nothing of DICOM came by itself."""
        exchanges = self._traffic.exchanges
        for exchange in exchanges[self._looked :]:
            words = exchange.content_type.lower()
            is_named = "application/dicom" in words or words.startswith("multipart/related")
            is_dicom = exchange.kind == IN_MEMORY or (exchange.kind != DRAWN and sniff(exchange.read(HEAD)) in DICOM)
            self._is_dicom_there = self._is_dicom_there or (is_named and "json" not in words) or is_dicom
        self._looked = len(exchanges)
        return not self._is_dicom_there


def _samples(about: object) -> str:
    """What the script says of samples, as JSON: their kind, columns and rows, and what came with them; empty for an object."""
    if not isinstance(about, Mapping) or not isinstance(about.get("kind"), str):
        return ""
    words = about.get("words")
    named = [str(item)[:200] for item in words[:50]] if isinstance(words, list) else []
    size = {"width": _number(about.get("width")), "height": _number(about.get("height"))}
    return json.dumps({"kind": about["kind"][:4], **size, "words": named})


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
