"""Attach to a Chrome or Edge that the person started with a debugging port, and copy what its film's hosts answer."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scraper.core.errors import ListenerLost, NoBrowserToAttachTo, UsageError
from scraper.core.settings import Settings
from scraper.session.browser.driver import start_driver
from scraper.session.browser.failures import first_line
from scraper.session.browser.tap import Tap, TargetClosed
from scraper.session.browser.traffic import WEBSOCKET_IN, WEBSOCKET_OUT, Traffic, add_message
from scraper.session.proxy.hosts import Hosts
from scraper.session.proxy.recognise import brings

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, WebSocket


class AttachedBrowser:
    """The person's own browser. An async context manager: its answers are copied while the context is entered.

    Args:
        traffic: gets what comes.
        port: of its debugging interface on this computer.
        settings: the time-out.
    """

    def __init__(self, traffic: Traffic, port: str, settings: Settings) -> None:
        if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise UsageError(f"--attach {port}: PORT")
        self._address = f"http://127.0.0.1:{port}"
        self._traffic = traffic
        self._settings = settings
        self._hosts = Hosts()
        self._looked_at = 0  # exchanges
        self._is_of_interest = False  # the answer that is paused just now
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> AttachedBrowser:
        """Attach.

        Raises:
            NoBrowserToAttachTo: nothing answers there.
        """
        from playwright.async_api import Error

        playwright = await start_driver()
        self._stack.push_async_callback(playwright.stop)
        try:
            browser = await playwright.chromium.connect_over_cdp(self._address, timeout=self._settings.timeout_s * 1000)
        except Error as err:
            await self._stack.aclose()
            raise NoBrowserToAttachTo(address=self._address) from err
        self._stack.push_async_callback(_left, browser)
        browser.on("disconnected", lambda _: self._traffic.end(ListenerLost()))
        await self._arm(browser)
        for context in browser.contexts:
            self._watch(context)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go of the browser; it stays open."""
        await self._stack.aclose()

    async def _arm(self, browser: Browser) -> None:
        from playwright.async_api import Error

        session = await browser.new_browser_cdp_session()

        async def send(method: str, params: dict[str, Any]) -> dict[str, Any]:
            try:
                answer: dict[str, Any] = await session.send(method, params)
            except Error as err:
                raise TargetClosed(first_line(err)) from err
            return answer

        tap = Tap(send, lambda: self._traffic if self._is_of_interest else None, self._settings)

        def paused(event: dict[str, Any]) -> None:
            self._is_of_interest = self._looks_at(event["request"]["url"])
            tap.paused(event)

        async def let_go() -> None:
            try:
                await send("Fetch.disable", {})
            except TargetClosed:
                return
            await tap.forget()

        session.on("Fetch.requestPaused", paused)
        self._stack.push_async_callback(let_go)
        await tap.arm()

    def _looks_at(self, url: str) -> bool:
        """Whether an answer is of a host that may serve a film."""
        for exchange in self._traffic.exchanges[self._looked_at :]:
            if exchange.size and brings(exchange.read(4096), exchange.headers):
                self._hosts.found(urlsplit(exchange.url).hostname or "", exchange.request_headers)
        self._looked_at = len(self._traffic.exchanges)
        host = urlsplit(url).hostname or ""
        self._hosts.note(host)
        return self._hosts.is_decrypted(host)

    def _watch(self, context: BrowserContext) -> None:
        """Hear the sockets of every tab, also of those that are opened later."""

        def tab(page: Page) -> None:
            page.on("websocket", socket)

        def socket(opened: WebSocket) -> None:
            def message(kind: str, data: str | bytes) -> None:
                if self._looks_at(opened.url):
                    add_message(self._traffic, opened.url, kind, data)

            opened.on("framereceived", lambda data: message(WEBSOCKET_IN, data))
            opened.on("framesent", lambda data: message(WEBSOCKET_OUT, data))

        for page in context.pages:
            tab(page)
        context.on("page", tab)


async def _left(browser: Browser) -> None:
    """Disconnect; closing a browser that was attached to does not end it."""
    await browser.close()
