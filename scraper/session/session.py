"""One link's conversation with its site: the direct client and the browser, sharing one cookie jar.

Over 400 lines because a quarter is the signatures and errors that every provider looks up here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar, Unpack, overload

from scraper.core.disk import disk_errors
from scraper.core.errors import CloudfilmError, CorruptInstance, SiteBusy, SiteChanged
from scraper.core.link import ShareLink
from scraper.core.model import Captured, Header, Request
from scraper.core.questions import Question
from scraper.core.reasons import Reason
from scraper.core.schema import Reply
from scraper.core.settings import TIMEOUT_S, BrowserUse, Settings
from scraper.protocols.headers import merged
from scraper.session.answers import Answers, Ask
from scraper.session.direct import DirectRequests
from scraper.session.door.door import connected_to
from scraper.session.guard import Guard
from scraper.session.http.client import Cookie, Http
from scraper.session.http.encode import body_of, encode_query, with_query
from scraper.session.http.response import Response
from scraper.session.patience import Patience
from scraper.session.websocket import Socket

if TYPE_CHECKING:
    from scraper.session.browser import Page, Window
    from scraper.session.browser.screen import Screen
    from scraper.session.browser.traffic import Exchange, Traffic
    from scraper.session.dimse.archive import Archive

R = TypeVar("R", bound=Reply)
T = TypeVar("T")


class GetOptions(TypedDict, total=False):
    """What ``Session.get`` takes besides the address and the reply: typed once for both of its results."""

    params: Mapping[str, str] | None
    headers: Mapping[str, str] | None
    hops: int


class PostOptions(GetOptions, total=False):
    """What ``Session.post`` takes besides the address and the reply."""

    json: object
    form: Mapping[str, str] | None
    data: bytes | None


class Session:
    """What a provider speaks through. One per link; never shared between patients.

    Over 20 methods because it is all that a provider sees of the network; most pass a call on to the part that does the work.

    Args:
        link: the share link.
        settings: the run's options.
        http: this link's direct client.
        start_window: opens this link's browser window, at the first need.
        ask: asks a person.
        spool: a folder for this link's large bodies; made when it is first needed.
        tell: shows a short line of progress: the name of a message ``say.<name>``, and its values.
        hosts: that the provider names besides the link's own site; a person's answers may go there.
        page: the page whose ``Origin`` and ``Referer`` requests carry; empty: only those of the request itself.
    """

    def __init__(  # noqa: PLR0913  # what one link owns, named
        self,
        link: ShareLink,
        settings: Settings,
        http: Http,
        *,
        start_window: Callable[[], Awaitable[Window]],
        ask: Ask,
        spool: Path,
        tell: Callable[..., None] = lambda *_, **__: None,
        hosts: tuple[str, ...] = (),
        page: str = "",
    ) -> None:
        self.link = link
        self.settings = settings
        self._spool = spool
        self.tell = tell
        self._http = http
        http.door.belongs_to(link.url, hosts)
        http.door.on_inside = lambda host: tell("inside", host=host)
        self._start_window = start_window
        self._window: Window | None = None
        self.patience = Patience(settings.give_up_s, link.host, http.pace.hold)
        self._answers = Answers(link, settings, ask)
        guard = Guard(http.door, self._answers, self._exchanges)
        self.direct = DirectRequests(settings, http, guard, self.patience, self._cookies_of_window, page=page)
        self._beats: dict[str, asyncio.Task[None]] = {}
        self._endings: list[Callable[[], Awaitable[None]]] = []

    def turn_to(self, url: str) -> None:
        """Let requests go where those of a link could; of a recording, whose page is known only once it was read."""
        self._http.door.belongs_to(url)

    # ---- what the page asks of a person

    def answer(self, question: Question, *, picture: Path | None = None, ask_again: bool = False) -> str:
        """Return the user's answer to ``question``; see ``Answers.answer``.

        Raises:
            CredentialsRequired: not given, and nobody can be asked.
        """
        return self._answers.answer(question, picture=picture, ask_again=ask_again)

    @property
    def answers(self) -> Mapping[str, str]:
        """The answers so far, by question."""
        return dict(self._answers.so_far)

    def given(self, question: Question) -> str:
        """Return the answer that the user gave in advance to ``question``, or an empty text; ask nobody."""
        return self._answers.given(question)

    def is_left_to_person(self, question: Question) -> bool:
        """Does a person answer ``question`` in the window itself: it is shown (``--headed``), and nothing was given."""
        return self.settings.headed and not self.given(question)

    def only_in_page(self, what: str, otherwise: CloudfilmError) -> CloudfilmError:
        """The error for what only the site's own page can do: it is opened in the browser, if allowed; else ``otherwise``."""
        if self.settings.browser is BrowserUse.NEVER:
            return otherwise
        return SiteChanged(otherwise.detail, host=self.link.host, what=what)

    # ---- speaking to the site directly

    @overload
    async def get(self, url: str, *, reply: type[R], **asked: Unpack[GetOptions]) -> R: ...
    @overload
    async def get(self, url: str, *, reply: None = None, **asked: Unpack[GetOptions]) -> Response: ...
    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        reply: type[R] | None = None,
        hops: int = 12,
    ) -> R | Response:
        """GET ``url``; with ``reply`` the response's JSON, checked, else the Response whatever its status.

        Raises:
            CloudfilmError: where a reply was due, what the status, or the reply itself, says instead; see
                ``Response.checked``. SiteUnreachable: no connection.
        """
        response = await self.direct.send_patiently(Request(with_query(url, params), headers=dict(headers or {})), hops)
        return response if reply is None else response.checked(reply)

    @overload
    async def post(self, url: str, *, reply: type[R], **sent: Unpack[PostOptions]) -> R: ...
    @overload
    async def post(self, url: str, *, reply: None = None, **sent: Unpack[PostOptions]) -> Response: ...
    async def post(  # noqa: PLR0913  # what a POST may carry, all by keyword
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
        data: bytes | None = None,
        reply: type[R] | None = None,
        hops: int = 12,
    ) -> R | Response:
        """POST to ``url``: JSON, a form, bytes, or nothing. Result and errors as for ``get``."""
        sent, body = body_of(json, form, data)
        request = Request(with_query(url, params), "POST", merged(sent, headers), body)
        response = await self.direct.send_patiently(request, hops)
        return response if reply is None else response.checked(reply)

    async def send(self, request: Request, *, hops: int = 12) -> Response:
        """Send a request as ``get`` and ``post`` do: patient with a busy host, but with an answer in it only once."""
        return await self.direct.send_patiently(request, hops)

    def hops(
        self, url: str, *, most: int = 12, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[Response, str]]:
        """Go from redirect to redirect, each with the checked address it leads to; see ``DirectRequests.hops``."""
        return self.direct.hops(url, most=most, headers=headers)

    async def request(
        self,
        request: Request,
        *,
        hops: int = 12,
        into: Path | None = None,
        on_bytes: Callable[[int], None] | None = None,
        limit: int = 0,
    ) -> Response:
        """Send one request with this link's cookies; see ``DirectRequests.send``."""
        return await self.direct.send(request, hops=hops, into=into, on_bytes=on_bytes, limit=limit)

    def websocket(
        self, url: str, *, headers: Mapping[str, str] | None = None, subprotocols: tuple[str, ...] = ()
    ) -> AbstractAsyncContextManager[Socket]:
        """Open a WebSocket with this link's cookies; see ``DirectRequests.websocket``."""
        named = merged({"Origin": self.link.origin}, headers)
        return self.direct.websocket(url, headers=named, subprotocols=subprotocols)

    def archive(self, *, calling: str, listen: int, move: bool, tls: Mapping[str, str] | None = None) -> Archive:
        """The archive that the link names, over the DICOM network protocol; connects at the first request.

        Args:
            calling: the AE title of this computer.
            listen: the port of this computer that a C-MOVE sends to.
            move: ask by C-MOVE at once; else by C-GET, and by C-MOVE where that is refused.
            tls: files of its certificates, ``ca``, ``cert`` and ``key``; None: in the clear.
        """
        from scraper.session.dimse.archive import Archive, RetrievalService
        from scraper.session.dimse.reach import Peer
        from scraper.session.dimse.tls import Tls

        link, settings = self.link, self.settings
        address = connected_to(link.host, link.port, settings)
        secured = None if tls is None else Tls.of(tls, insecure=settings.insecure)
        peer = Peer(link.host, address, link.ae_title, calling, listen, settings.timeout_s, secured)
        archive = Archive(peer, self.spool, RetrievalService.MOVE if move else RetrievalService.GET, self._http.pace)
        self.at_close(archive.close)
        return archive

    async def _cookies_of_window(self) -> list[Cookie]:
        return [] if self._window is None else await self._window.cookies()

    def _exchanges(self) -> Sequence[Exchange]:
        return self._window.traffic.exchanges if self._window else ()

    def trusts(self, url: str) -> bool:
        """Whether a token or an answer may go to an address: the link's own site, or a host that the provider names."""
        return self._http.door.trusts(url)

    def site_s(self, seconds: float) -> float:
        """A wait for the site to do something, as long as it takes there; tests on emulated sites shorten it."""
        return seconds * self.settings.timings.site_scale

    async def poll(
        self, ask: Callable[[], Awaitable[T | None]], *, every_s: float, up_to_s: float, what: str = ""
    ) -> T:
        """Ask repeatedly until the answer is not None; each wait shows the message ``say.<what>``.

        ``up_to_s`` is how long it usually takes at most; a ``--timeout`` that the user gave counts instead.

        Raises:
            SiteBusy: none in ``up_to_s``.
        """
        every_s, up_to_s = self.site_s(every_s), self.site_s(up_to_s)
        if self.settings.timeout_s != TIMEOUT_S:
            up_to_s = self.settings.timeout_s
        clock = self._http.pace.hold.clock
        give_up = clock() + up_to_s
        self.patience.renew(up_to_s)
        while True:
            answer = await ask()
            if answer is not None:
                return answer
            if clock() + every_s > give_up:
                raise SiteBusy(host=self.link.host, why=Reason.STILL_PREPARING)
            waited_s = round(clock() - give_up + up_to_s)
            self.tell(what or "preparing", host=self.link.host, waited_s=waited_s, up_to_s=round(up_to_s))
            await asyncio.sleep(every_s)

    def keep_alive(self, request: Request, *, every_s: float) -> None:
        """Send ``request`` repeatedly until the session closes, as the page does to keep its cookie valid."""

        async def beat() -> None:
            while True:
                await asyncio.sleep(every_s)
                with contextlib.suppress(CloudfilmError):  # if it no longer helps, the images will say so
                    await self.request(request)

        if request.url not in self._beats:
            self._beats[request.url] = asyncio.create_task(beat())

    @property
    def spool(self) -> Path:
        """The folder for large bodies, created at the first use; removed when the link is done.

        Raises:
            DiskFull, NotWritable: it can't be made.
        """
        with disk_errors(self._spool):
            self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._spool

    async def unpaused(self) -> None:
        """Wait as long as a person has paused the run."""
        await self._http.pace.hold.passed()

    def at_close(self, ending: Callable[[], Awaitable[None]]) -> None:
        """Run ``ending`` when the session closes, for what a provider keeps open over many instances."""
        self._endings.append(ending)

    @property
    def http(self) -> Http:
        """The direct client itself, for ``fetch``."""
        return self._http

    # ---- through the browser

    async def window(self) -> Window:
        """This link's window, started at the first call with the direct client's cookies."""
        if self._window is None:
            self._window = await self._start_window()
            self._window.traffic.on_news = lambda is_image: self.patience.note_page_response(is_image=is_image)
            self._window.holds_answer = self._answers.hold
            await self._window.add_cookies(self._http.cookies())
        return self._window

    async def open(self, url: str) -> None:
        """Go to ``url`` in the browser; the first call starts it.

        Raises:
            BrowserMissing: none installed. SiteUnreachable, BadCertificate: the page did not come.
        """
        await (await self.window()).open(url)

    @property
    def page(self) -> Page:
        """The page that ``open`` loaded, or the newest one where the site opened another."""
        return self.open_window.page

    @property
    def traffic(self) -> Traffic:
        """Everything that the window has received."""
        return self.open_window.traffic

    @property
    def open_window(self) -> Window:
        """The window that ``open`` started."""
        if self._window is None:
            raise RuntimeError("the provider must call session.open() first")
        return self._window

    @property
    def screen(self) -> Screen:
        """The open page as a person uses it: what a provider fills, presses and reads."""
        from scraper.session.browser.screen import Screen

        return Screen(self)

    async def captured_reply(self, pattern: str) -> Response | None:
        """The answer that the open page had to a call of its own; None where it has come to rest without such a call."""
        if not await self.screen.has_called(pattern):
            return None
        return (await self.traffic.wait_for(pattern, timeout_s=self.settings.timeout_s)).response()

    async def which(self, *, timeout_s: float | None = None, **faces: str) -> str:
        """Wait for whichever selector shows first, and return its name.

        Raises:
            SiteChanged: none of them in time.
        """
        return await self.open_window.which(faces, timeout_s=timeout_s or self.settings.timeout_s)

    async def seen(self, pattern: str, reply: type[R], *, timeout_s: float | None = None) -> R:
        """The viewer's own call whose address matches ``pattern``, as ``reply``, including earlier ones.

        Raises:
            SiteChanged: no such call in time, or not as known.
        """
        exchange = await self.traffic.wait_for(pattern, timeout_s=timeout_s or self.settings.timeout_s)
        return exchange.response().checked(reply)

    def captured(self, exchange: Exchange) -> tuple[Captured, Header | None]:
        """A body that the page received, as a source, and its DICOM header; None where it is no readable DICOM file.

        Raises:
            DiskFull, NotWritable: a small body kept in memory could not be spooled.
        """
        path = self.traffic.spooled(exchange)
        try:
            from scraper import dicom  # pydicom takes its time to load

            return Captured(path), dicom.header(path)
        except CorruptInstance:
            return Captured(path), None

    async def close(self) -> None:
        """Close the window and the connections."""
        for beat in self._beats.values():
            beat.cancel()
        await asyncio.gather(*self._beats.values(), return_exceptions=True)
        for ending in self._endings:
            with contextlib.suppress(CloudfilmError):  # a connection that is gone needs no ending
                await ending()
        try:
            if self._window is not None:
                await self._window.close()
        finally:
            self._window = None
            await self._http.close()


__all__ = ["Ask", "Cookie", "Http", "Response", "Session", "encode_query", "with_query"]
