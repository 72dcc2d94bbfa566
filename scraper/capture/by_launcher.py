"""Read the manifest or package that a page hands to a viewer program on the computer, and use it as a list."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urljoin

from scraper.capture.drive import elements
from scraper.capture.examination import Examination
from scraper.capture.plan import Plan, Strategy, StrategyKind
from scraper.core import launchers, sniff
from scraper.core.errors import CloudfilmError
from scraper.core.model import Request
from scraper.core.text import decode_text
from scraper.session.browser.traffic import WEBSOCKET_OUT, asked_directly

MAX_TEXT: Final = 4 * 2**20  # bytes of one text that is searched
MAX_MANIFESTS: Final = 4
_TEXTS: Final = (sniff.Kind.JSON, sniff.Kind.XML, sniff.Kind.HTML, sniff.Kind.TEXT)
_LAUNCH: Final = re.compile(
    rf"(?:{'|'.join(launchers.SCHEMES)})://[^\s\"<>\\]{{4,8000}}|\$dicom:(?:get|rs)\b[^<>\\$]{{4,2000}}", re.IGNORECASE
)


class ByLauncher(Strategy):
    """Reads manifests and packages that are meant for viewer programs; what they list is planned by other strategies."""

    by = StrategyKind.WADO_URI

    def __init__(self) -> None:
        self._tried: set[str] = set()
        self._searched = 0  # exchanges

    async def plan(self, examination: Examination) -> Plan | None:
        """Take in the manifests that came up since the last time; gives no plan of its own."""
        exchanges = examination.exchanges
        found = await asyncio.to_thread(lambda: list(self._in_texts(examination, self._searched)))
        self._searched = len(exchanges)
        for url in [*found, *await self._in_page(examination)]:
            if url not in self._tried and len(self._tried) < MAX_MANIFESTS:
                self._tried.add(url)
                await self._take(url, examination)
        return None

    def _in_texts(self, examination: Examination, start: int) -> Iterator[str]:
        for exchange in examination.exchanges[start:]:
            is_text = exchange.ok and exchange.kind != WEBSOCKET_OUT and exchange.size <= MAX_TEXT
            if is_text and sniff.sniff(exchange.read(sniff.HEAD)) in _TEXTS:
                text = html.unescape(decode_text(exchange.read()))
                yield from (url for match in _LAUNCH.finditer(text) if (url := launchers.address_in(match[0])))

    async def _in_page(self, examination: Examination) -> list[str]:
        """What the page's links lead to: launch addresses, and documents that hold one."""
        window = await examination.session.window()
        found = []
        for address in await elements.launch_addresses(window, launchers.SCHEMES):
            if url := launchers.address_in(address):
                found.append(url)
            elif address.partition("?")[0].endswith(".jnlp"):
                found.append(urljoin(window.page.url, address))
        return found

    async def _take(self, url: str, examination: Examination) -> None:
        """Ask for a manifest or package, and take in what came."""
        request = Request(url)
        try:
            response = await examination.session.request(request)
        except CloudfilmError:
            return
        exchange = asked_directly(request, response, examination.observations.new_file())
        if not exchange.ok:
            return
        await examination.observations.take_reply(exchange)
        if b"$dicom:" in exchange.read(MAX_TEXT):  # a JNLP document
            for match in _LAUNCH.finditer(html.unescape(decode_text(exchange.read(MAX_TEXT)))):
                inner = launchers.address_in(match[0])
                if inner and inner not in self._tried and len(self._tried) < MAX_MANIFESTS:
                    self._tried.add(inner)
                    await self._take(inner, examination)
