"""One link's browser window: its pages, its cookies, everything it received, and requests sent from inside it.

Over 400 lines because it is all that a provider and the capture see of the browser.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scraper.core.errors import CloudfilmError, ForeignHost, NoSuchStudy, SiteChanged, SiteUnreachable
from scraper.core.model import Request
from scraper.core.reasons import Reason
from scraper.core.settings import MOST_DIALOGS, Settings
from scraper.session.browser import page_socket
from scraper.session.browser.cookies import for_browser, from_browser
from scraper.session.browser.downloads import save
from scraper.session.browser.faces import face_shown
from scraper.session.browser.failures import ours, within
from scraper.session.browser.hold import Hold
from scraper.session.browser.page_calls import PageCalls
from scraper.session.browser.page_fetch import FETCH, fetch_arguments
from scraper.session.browser.page_memory import PageMemory
from scraper.session.browser.page_socket import PageSocket
from scraper.session.browser.stillness import Stillness
from scraper.session.browser.traffic import WEBSOCKET_IN, WEBSOCKET_OUT, Traffic, add_message
from scraper.session.door import Door
from scraper.session.http.client import Cookie
from scraper.session.http.response import Response

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Dialog, Page, WebSocket
    from playwright.async_api import Response as PageResponse

CLOSE_S = 10.0  # a window that has not closed by then is left to the browser's own end
LOADED_S = 15.0  # a page whose own scripts take longer is used as it is
LAST_WORDS_S = 3.0  # for a call to fail by itself once its browser is gone
LOOK_EVERY_S = 0.1
DATA = ("document", "xhr", "fetch")  # kinds of requests that a page waits for
UNREADABLE_S = 1.0  # for the tap to finish an answer that the page was not allowed to read


class Window:
    """One link's browser window: its pages, its cookies, and everything it received.

    Over 20 methods because it is all that a provider and the capture see of the browser; most are a few lines.

    Attributes:
        traffic: what was received, from the first navigation on.
        dialogs: texts of the pages' dialogs (``alert``), which are answered with "OK".
        door: decides which addresses its requests may reach.
        holds_answer: whether an address and a body hold an answer of a person.
        on_blocked_host: called once for each host that a page was kept from.
        requests: those of its pages that are kept waiting.
    """

    def __init__(
        self, context: BrowserContext, traffic: Traffic, settings: Settings, closed: Any, door: Door | None
    ) -> None:
        self.door = door or Door(settings)
        self._is_own_door = door is None
        self.refused: dict[str, None] = {}
        self.traffic = traffic
        self.dialogs: list[str] = []
        self.holds_answer: Callable[[str, bytes], bool] = lambda *_: False
        self.on_blocked_host: Callable[[str], None] = lambda _: None
        self._asked: set[Any] = set()  # requests of the pages that have no answer yet
        self._context = context
        self._settings = settings
        self._closed = closed
        self._pages: list[Page] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._guarded: list[asyncio.Timeout] = []
        self._lost: CloudfilmError | None = None
        self.memory: PageMemory | None = None
        self.requests = Hold()

    async def begin(self) -> None:
        """Open the first page."""
        self._context.set_default_timeout(self._settings.timeout_s * 1000)
        self._context.on("page", self._opened)
        self._context.on("dialog", lambda dialog: self._spawn(self._accept(dialog)))
        await self._context.new_page()

    async def look_into_memory(self) -> None:
        """Also take the DICOM objects that pages opened from now on make in their memory."""
        if self.memory is None:
            self.memory = PageMemory(self.traffic)
            with self._translated(self.traffic.host):
                await self.memory.begin(self._context)

    async def leave(self) -> None:
        """Leave the page: an address that differs in its fragment alone loads nothing."""
        with self.quietly():
            if self.page.url != "about:blank":
                await self.page.goto("about:blank")

    @property
    def page(self) -> Page:
        """The newest open page; viewers often open in a new tab."""
        return self._pages[-1]

    @property
    def pages(self) -> tuple[Page, ...]:
        """All open pages, oldest first."""
        return tuple(self._pages)

    @property
    def has_ended(self) -> bool:
        """Whether the browser or the page ended by itself."""
        return self._lost is not None

    @property
    def is_waiting(self) -> bool:
        """Whether the page waits for data from its site; what ``requests`` keeps waiting never reached that."""
        return len(self.unanswered()) > self.requests.waiting_of(DATA)

    def unanswered(self) -> list[tuple[str, bytes]]:
        """The data that its pages asked for and have no answer to yet: address, and what was sent."""
        return [(item.url, item.post_data_buffer or b"") for item in self._asked if item.resource_type in DATA]

    async def answered(self, up_to_s: float) -> None:
        """Wait until what the page has asked for by now is answered, apart from what ``requests`` keeps waiting."""
        asked, give_up = set(self._asked), time.monotonic() + up_to_s
        while len(asked & self._asked) > self.requests.waiting and (left := give_up - time.monotonic()) > 0:
            await self.traffic.after(len(self.traffic.exchanges), timeout_s=min(left, LOOK_EVERY_S))

    def pending(self, pattern: str) -> list[str]:
        """Addresses that a page asked for and has no answer to yet, where the expression is found in them."""
        return [item.url for item in self._asked if re.search(pattern, item.url)]

    async def latest(self) -> Page:
        """The newest page, once its document is loaded."""
        page = self.page
        with ours(self.traffic.host, quiet=True):
            await page.wait_for_load_state("domcontentloaded", timeout=LOADED_S * 1000)
        return self.page

    async def open(self, url: str) -> None:
        """Go to ``url`` and wait for its document.

        Raises:
            BadCertificate: TLS can't be trusted. SiteUnreachable: no connection, no answer in time, or the browser ended.
            NoSuchStudy: 404 or 410 without any text.
        """
        host = self.traffic.host = urlsplit(url).hostname or ""
        self._check()
        if self._is_own_door:
            self.door.belongs_to(url)
        self.door.failure = None
        statuses = list[int]()
        with self._hearing(statuses):
            try:
                with self._translated(host, loading=True):
                    answer = await self.page.goto(url, wait_until="commit")
                    if answer is not None:
                        self.door.lands(url, answer.url)
            except SiteUnreachable as err:
                if self.door.failure is not None and err.reason is Reason.RELAY_REFUSES:
                    raise self.door.failure from err
                if err.reason is not Reason.STATUS_WITHOUT_BODY or not statuses:
                    raise
                if statuses[-1] in (404, 410):
                    raise NoSuchStudy(host=host) from err
                raise SiteUnreachable(host=host, why=f"HTTP {statuses[-1]}") from err
        with ours(host, quiet=True):
            await self.page.wait_for_load_state("domcontentloaded", timeout=LOADED_S * 1000)
        self._check()

    @contextmanager
    def _hearing(self, statuses: list[int]) -> Iterator[None]:
        """Collect the statuses of the page's documents meanwhile."""

        def on_response(answer: PageResponse) -> None:
            if answer.request.is_navigation_request():
                statuses.append(answer.status)

        page = self.page
        page.on("response", on_response)
        try:
            yield
        finally:
            page.remove_listener("response", on_response)

    async def as_phone(self, user_agent: str, width: int, height: int) -> None:
        """Imitate a phone from the next page on: user agent, screen in CSS pixels, touch.

        Raises:
            SiteUnreachable: the browser ended.
        """
        with self._translated(self.traffic.host):
            session = await self._context.new_cdp_session(self.page)
            await session.send("Emulation.setUserAgentOverride", {"userAgent": user_agent})
            screen = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
            await session.send("Emulation.setDeviceMetricsOverride", screen)
            await session.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
            # the same address again, but for its fragment, would load nothing
            await self.page.goto("about:blank")

    def stillness(self) -> Stillness:
        """Start to measure how long the page shows no sign of life."""
        return Stillness(self)

    async def which(self, faces: Mapping[str, str], *, timeout_s: float) -> str:
        """Wait for whichever selector shows first, in the newest page or a frame of it, and return its name.

        Raises:
            SiteChanged: none of them in time, or nothing moves any more. SiteUnreachable: the browser ended.
        """
        stillness = self.stillness()
        loop = asyncio.get_running_loop()
        give_up = loop.time() + timeout_s
        while loop.time() < give_up:
            self._check()
            if face := await face_shown(self.page, faces):
                return face
            if not self._settings.headed and await stillness.lasts_s() >= self._settings.still_s:
                break  # a person might be at work in a visible window
            await asyncio.sleep(LOOK_EVERY_S)
        raise SiteChanged(host=self.traffic.host, what=Reason.PAGE_SHOWS_NONE_OF.of(faces=", ".join(faces)))

    async def cookies(self) -> list[Cookie]:
        """The window's cookies, for the direct client."""
        if self._lost is not None:
            return []
        with ours(self.traffic.host):
            found = await self._context.cookies()
        return [from_browser(item) for item in found]

    async def add_cookies(self, cookies: list[Cookie]) -> None:
        """Add cookies; those that the browser rejects are left out."""
        for cookie in cookies:
            if not cookie.domain:
                continue
            with ours(self.traffic.host, quiet=True):
                await self._context.add_cookies([for_browser(cookie)])

    async def fetch(self, request: Request) -> Response:
        """Send a request from inside the page, with its cookies, TLS and fingerprint, where a site refuses the direct client.

        Raises:
            SiteUnreachable: no answer, or the page is not allowed to ask there.
        """
        host = urlsplit(request.url).hostname or ""
        seen = len(self.traffic.exchanges)
        self.requests.let_pass(request.method, request.url)
        with self._translated(host):
            url = await self.page.evaluate(FETCH, fetch_arguments(request))
        # The page may not read an answer of another origin that does not allow it; the tap has it all the same.
        give_up = time.monotonic() + (LOADED_S if url else UNREADABLE_S)  # whatever else the page asks for meanwhile
        wanted = ((url or request.url).partition("#")[0], request.method)
        while exchanges := await self.traffic.after(seen, timeout_s=give_up - time.monotonic()):
            for exchange in exchanges:
                seen += 1
                if (exchange.url, exchange.method) == wanted:
                    return Response(exchange.status, exchange.headers, exchange.read(), exchange.url)
        raise SiteUnreachable(host=host, why=Reason.NO_ANSWER_IN_TIME if url else Reason.PAGE_CANNOT_ASK)

    async def socket(self, url: str) -> PageSocket | None:
        """The open WebSocket of a page to that address; None where there is none, or it can't be reached."""
        with self.quietly():
            return await page_socket.find(self._context, reversed(self._pages), url)
        return None

    def page_calls(self) -> PageCalls:
        """What watches the functions of its pages, and calls them."""
        return PageCalls(self._context, reversed(self._pages))

    @asynccontextmanager
    async def guard(self, host: str = "") -> AsyncIterator[None]:
        """Work on ``page`` itself in this block: exceptions of the browser's library become our errors.

        Args:
            host: for the errors, where no page is open yet.

        Raises:
            SiteChanged: the page does not show the expected. SiteUnreachable, BadCertificate: as for ``open``.
        """
        # Most of the library's calls end when the browser does, and say so; the odd one that does not is called off.
        guarded = asyncio.timeout(None)
        try:
            with self._translated(host or self.traffic.host):
                async with guarded:
                    self._guarded.append(guarded)
                    try:
                        yield
                    finally:
                        self._guarded.remove(guarded)
        except TimeoutError:
            if self._lost is not None and guarded.expired():
                raise self._lost from None
            raise

    def quietly(self) -> AbstractContextManager[None]:
        """Work on ``page`` where failing does not matter: an error ends the block and nothing else."""
        return ours(self.traffic.host, quiet=True)

    def note_blocked(self, host: str) -> None:
        """Note that a page was kept from a host inside this computer's network."""
        if host not in self.refused:
            self.refused[host] = None
            self.on_blocked_host(host)

    def lost(self, why: str) -> None:
        """Note that the browser or the page has ended; whoever waits gets the error."""
        self.end(SiteUnreachable(host=self.traffic.host, why=why))

    def may_go(self, url: str, body: bytes) -> bool:
        """Whether the page may send this body to an address; if not, the window ends."""
        if self.door.trusts(url) or not self.holds_answer(url, body):
            return True
        self.end(ForeignHost(host=urlsplit(url).hostname, what=Reason.FORM_ANSWERS))
        return False

    def end(self, error: CloudfilmError) -> None:
        """End the traffic with an error, which whoever waits gets."""
        if not self._is_closed and self._lost is None:
            self._lost = error
            self.traffic.end(self._lost)
            for guarded in self._guarded:
                guarded.reschedule(asyncio.get_running_loop().time() + LAST_WORDS_S)

    async def close(self) -> None:
        """End the window and remove what it received. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await within(CLOSE_S, self._context.close())
            await asyncio.to_thread(self.traffic.clear)
        finally:
            await self._closed()

    def _check(self) -> None:
        if self._lost is not None:
            raise self._lost

    @contextmanager
    def _translated(self, host: str, *, loading: bool = False) -> Iterator[None]:
        """Like ``ours``; where the browser ended, with that as the reason."""
        try:
            with ours(host, loading=loading):
                yield
        except CloudfilmError as err:
            if self._lost is not None and err is not self._lost:
                raise self._lost from err
            raise

    # ---- events of the browser

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _opened(self, page: Page) -> None:
        self._pages.append(page)
        page.on("close", self._page_closed)
        page.on("crash", lambda _: self.lost("the page crashed"))
        page.on("websocket", self._socket)
        page.on("request", self._on_request)
        page.on("requestfinished", self._ended)
        page.on("requestfailed", self._ended)
        page.on("download", lambda download: self._spawn(save(download, self.traffic)))

    def _page_closed(self, page: Page) -> None:
        if len(self._pages) > 1 and page in self._pages:
            self._pages.remove(page)
        elif not self._is_closed:
            self.lost("the window was closed")

    def _on_request(self, request: Any) -> None:  # Playwright takes no built-in method for a handler
        self._asked.add(request)

    def _ended(self, request: Any) -> None:
        self._asked.discard(request)

    def _socket(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda message: self.record_message(socket.url, WEBSOCKET_IN, message))
        socket.on("framesent", lambda message: self.record_message(socket.url, WEBSOCKET_OUT, message))

    def record_message(self, url: str, kind: str, message: str | bytes) -> None:
        """Add one WebSocket message to the traffic."""
        add_message(self.traffic, url, kind, message)

    async def _accept(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        if len(self.dialogs) > MOST_DIALOGS:  # it would ask for ever, and block the page meanwhile
            self.end(SiteChanged(host=self.traffic.host, what=Reason.ENDLESS_MESSAGES))
            return
        self.traffic.touch()
        with ours(self.traffic.host, quiet=True):
            await dialog.accept()
