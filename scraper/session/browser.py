"""The only door to the browser: finds one, starts it, gives each link a window of its own, and closes everything.

No exception of the browser's library leaves through it: a recipe that works on ``Window.page`` itself does so inside
``Window.guard()``.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from scraper.errors import (
    BadCertificate,
    BrowserMissing,
    CloudfilmError,
    SiteChanged,
    SiteUnreachable,
    UsageError,
)
from scraper.model import Request
from scraper.session.http import Cookie, Response
from scraper.session.installed import find_browser, installed
from scraper.session.tap import Gone, Tap
from scraper.session.traffic import DOWNLOAD, WEBSOCKET_IN, WEBSOCKET_OUT, Exchange, Traffic
from scraper.session.workers import WorkerSockets
from scraper.settings import ConnectTo, Settings, has_screen

if TYPE_CHECKING:
    from playwright.async_api import Browser as Process
    from playwright.async_api import BrowserContext, CDPSession, Dialog, Download, Page, Playwright, WebSocket

FLAGS = (
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
    "--disable-default-apps", "--metrics-recording-only", "--disable-domain-reliability",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",  # WebGL, no GPU
)  # fmt: skip
CLOSE_S = 10.0  # a browser that has not closed by then is killed
LOADED_S = 15.0  # a page whose own scripts take longer is used as it is
LOOK_EVERY_S = 0.1
UNREADABLE_S = 1.0  # for the tap to finish an answer that the page was not allowed to read
DESKTOP = {"viewport": {"width": 1600, "height": 1000}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
PLATFORMS = {"win32": "Windows NT 10.0; Win64; x64", "darwin": "Macintosh; Intel Mac OS X 10_15_7"}
FETCH = """async ({url, method, headers, body}) => {
  try {
    const sent = body === null ? undefined : Uint8Array.from(atob(body), c => c.charCodeAt(0));
    const answer = await fetch(url, {method, headers, body: sent, credentials: "include"});
    await answer.arrayBuffer();
    return answer.url || url;
  } catch (error) { return null; }
}"""


class Browser:
    """One browser process; its windows are opened one after another, and the next waits until the one before is closed.

    Args:
        settings: the run's options.
        spool: a folder for what the windows receive; removed by ``close``.
    """

    def __init__(self, settings: Settings, spool: Path) -> None:
        self._settings = settings
        self._spool = spool
        self._playwright: Playwright | None = None
        self._process: Process | None = None
        self._pid = 0
        self._tap: Tap | None = None
        self._window: Window | None = None
        self._one = asyncio.Lock()
        self._windows = 0

    async def __aenter__(self) -> Browser:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def window(self, *, user_agent: str = "", mobile: bool = False) -> Window:
        """A fresh window that shares nothing with others, its tap armed before the first navigation.

        Raises:
            BrowserMissing: none installed, or none that starts.
            UsageError: a visible window is asked for where there is no screen.
        """
        await self._one.acquire()
        try:
            process = await self._started()
            self._windows += 1
            traffic = Traffic(self._spool / f"window-{self._windows}")
            options: dict[str, Any] = dict(PHONE if mobile else DESKTOP)
            with _ours(""):
                context = await process.new_context(
                    **options,
                    user_agent=user_agent or _user_agent(process.version),
                    locale="zh-CN",
                    timezone_id="Asia/Shanghai",
                    ignore_https_errors=self._settings.insecure,
                    service_workers="block",  # they hide traffic
                    accept_downloads=True,
                )
                self._window = Window(context, traffic, self._settings, self._closed)
                await self._window.begin()
            return self._window
        except BaseException:
            self._window = None
            self._one.release()
            raise

    async def close(self) -> None:
        """Ends the windows, the process and its driver; a process that hangs is killed."""
        try:
            if self._window is not None:
                await self._window.close()
        finally:
            await self._stop()
            await asyncio.to_thread(shutil.rmtree, self._spool, ignore_errors=True)

    async def _closed(self) -> None:
        """The window has ended."""
        if self._tap is not None:
            await self._tap.forget()
        self._window = None
        self._one.release()

    async def _started(self) -> Process:
        if self._process is not None and self._process.is_connected():
            return self._process
        await self._stop()  # what is left of one that crashed
        if self._settings.headed and not has_screen():
            raise UsageError("--headed: there is no screen here (no DISPLAY, no WAYLAND_DISPLAY)")
        paths = list(installed(self._settings.browser_path))
        if not paths:
            raise BrowserMissing
        from playwright.async_api import Error, async_playwright

        self._playwright = await async_playwright().start()
        why = ""
        for path in paths:
            try:
                self._process = await self._launch(self._playwright, path)
                break
            except Error as err:
                why = why or _first_line(err)
        if self._process is None:
            await self._stop()
            raise BrowserMissing(why)
        self._process.on("disconnected", lambda _: self._lost())
        await self._arm(self._process)
        return self._process

    async def _launch(self, playwright: Playwright, path: Path) -> Process:
        self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        rules = [rule for row in self._settings.connect_to if (rule := resolver_rule(row))]
        mapped = [f"--host-resolver-rules={', '.join(rules)}"] if rules else []
        return await playwright.chromium.launch(
            executable_path=path,
            headless=not self._settings.headed,
            args=[*FLAGS, *mapped],
            chromium_sandbox=not _is_root(),
            proxy=proxy_option(self._settings),  # type: ignore[arg-type]  # a TypedDict of the library's own
            downloads_path=self._spool / "downloads",
            handle_sigint=False,  # the program ends the browser itself, after what it was doing
            handle_sigterm=False,
            handle_sighup=False,
        )

    async def _arm(self, process: Process) -> None:
        with _ours(""):
            session: CDPSession = await process.new_browser_cdp_session()
            told = await session.send("SystemInfo.getProcessInfo")
        self._pid = next((one["id"] for one in told["processInfo"] if one["type"] == "browser"), 0)

        async def send(method: str, params: dict[str, Any]) -> dict[str, Any]:
            from playwright.async_api import Error

            try:
                answer: dict[str, Any] = await session.send(method, params)
            except Error as err:
                raise Gone(_first_line(err)) from err
            return answer

        def current() -> Traffic | None:
            return self._window.traffic if self._window else None

        tap = self._tap = Tap(send, current, self._settings.timeout_s)
        session.on("Fetch.requestPaused", tap.paused)
        sockets = WorkerSockets(send, self._heard)
        session.on("Target.targetCreated", lambda event: tap.spawn(sockets.announced(event)))
        session.on("Target.receivedMessageFromTarget", sockets.told)
        await tap.arm()
        await sockets.arm()

    def _heard(self, url: str, kind: str, message: str | bytes) -> None:
        if self._window is not None:
            self._window.heard(url, kind, message)

    def _lost(self) -> None:
        if self._window is not None:
            self._window.lost("the browser ended")

    async def _stop(self) -> None:
        """End the process and the driver, in this order, each within its time."""
        if self._tap is not None:
            await self._tap.forget()
        process, playwright, pid = self._process, self._playwright, self._pid
        self._process, self._playwright, self._tap, self._pid = None, None, None, 0
        closed = process is None or await _within(CLOSE_S, process.close())
        if playwright is not None:
            closed = await _within(CLOSE_S, playwright.stop()) and closed
        if not closed and pid:
            with suppress(OSError):
                os.kill(pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)


class Window:
    """One link's window: its pages, its cookies, and everything it received.

    Attributes:
        traffic: what was received, from the first navigation on.
        said: what the pages said in dialogs (``alert``); they are answered with "OK".
    """

    def __init__(self, context: BrowserContext, traffic: Traffic, settings: Settings, closed: Any) -> None:
        self.traffic = traffic
        self.said: list[str] = []
        self._context = context
        self._settings = settings
        self._closed = closed
        self._pages: list[Page] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._lost: CloudfilmError | None = None

    async def begin(self) -> None:
        """Open the first page."""
        self._context.set_default_timeout(self._settings.timeout_s * 1000)
        self._context.on("page", self._opened)
        self._context.on("dialog", lambda dialog: self._spawn(self._accept(dialog)))
        await self._context.new_page()

    @property
    def page(self) -> Page:
        """The newest page that is open: a viewer often comes in a tab of its own."""
        return self._pages[-1]

    @property
    def pages(self) -> tuple[Page, ...]:
        """All pages that are open, oldest first."""
        return tuple(self._pages)

    async def latest(self) -> Page:
        """The newest page, once its document is there."""
        page = self.page
        with _ours(self.traffic.host, quiet=True):
            await page.wait_for_load_state("domcontentloaded", timeout=LOADED_S * 1000)
        return self.page

    async def open(self, url: str) -> None:
        """Go to ``url`` and wait until its document is there.

        Raises:
            BadCertificate: TLS can't be trusted. SiteUnreachable: no connection, no answer in time, or the browser ended.
        """
        host = self.traffic.host = urlsplit(url).hostname or ""
        self._check()
        with self._translated(host, loading=True):
            await self.page.goto(url, wait_until="commit")
        with _ours(host, quiet=True):
            await self.page.wait_for_load_state("domcontentloaded", timeout=LOADED_S * 1000)
        self._check()

    async def which(self, faces: Mapping[str, str], *, timeout_s: float) -> str:
        """Wait for whichever selector shows first, in the newest page or one of its frames, and give its name.

        Raises:
            SiteChanged: none of them in time. SiteUnreachable: the browser ended.
        """
        from playwright.async_api import Error

        loop = asyncio.get_running_loop()
        give_up = loop.time() + timeout_s
        while loop.time() < give_up:
            self._check()
            for frame in self.page.frames:
                for name, selector in faces.items():
                    with suppress(Error):  # the document was replaced while we looked
                        if await frame.locator(selector).first.is_visible():
                            return name
            await asyncio.sleep(LOOK_EVERY_S)
        raise SiteChanged(host=self.traffic.host, what=f"the page shows none of: {', '.join(faces)}")

    async def cookies(self) -> list[Cookie]:
        """The window's cookies, for the direct client."""
        if self._lost is not None:
            return []
        with _ours(self.traffic.host):
            found = await self._context.cookies()
        return [
            Cookie(
                one.get("name", ""),
                one.get("value", ""),
                one.get("domain", ""),
                one.get("path", "/"),
                one.get("secure", False),
                one.get("expires", -1),
            )
            for one in found
        ]

    async def add_cookies(self, cookies: list[Cookie]) -> None:
        """Put cookies in; one that the browser finds unsound is left out."""
        for cookie in cookies:
            if not cookie.domain:
                continue
            with _ours(self.traffic.host, quiet=True):
                await self._context.add_cookies(
                    [
                        {
                            "name": cookie.name,
                            "value": cookie.value,
                            "domain": cookie.domain,
                            "path": cookie.path or "/",
                            "secure": cookie.secure,
                            "expires": cookie.expires,
                        }
                    ]
                )

    async def fetch(self, request: Request) -> Response:
        """Send a request from inside the page: its cookies, its TLS, its fingerprint. For what refuses the direct client.

        Raises:
            SiteUnreachable: no answer, or the page is not allowed to ask there.
        """
        host = urlsplit(request.url).hostname or ""
        headers = {**request.headers, **(request.sign() if request.sign else {})}
        body = None if request.body is None else base64.b64encode(request.body).decode()
        asked = {"url": request.url, "method": request.method, "headers": headers, "body": body}
        seen = len(self.traffic.exchanges)
        with self._translated(host):
            url = await self.page.evaluate(FETCH, asked)
        # The page may not read an answer of another origin that does not allow it; the tap has it all the same.
        patience = LOADED_S if url else UNREADABLE_S
        wanted = ((url or request.url).partition("#")[0], request.method)
        while fresh := await self.traffic.after(seen, timeout_s=patience):
            for one in fresh:
                seen += 1
                if (one.url, one.method) == wanted:
                    return Response(one.status, one.headers, one.read(), one.url)
        raise SiteUnreachable(host=host, why="no answer in time" if url else "the page can't ask there")

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[None]:
        """Work on ``page`` itself in here: what the browser's library raises becomes one of our errors.

        Raises:
            SiteChanged: the page does not show what was waited for. SiteUnreachable, BadCertificate: as for ``open``.
        """
        with self._translated(self.traffic.host):
            yield

    def quietly(self) -> AbstractContextManager[None]:
        """Work on ``page`` where failing does not matter: whatever goes wrong in here ends the block and nothing else."""
        return _ours(self.traffic.host, quiet=True)

    def lost(self, why: str) -> None:
        """The browser, or the page, is gone: whoever waits hears of it."""
        if not self._is_closed and self._lost is None:
            self._lost = SiteUnreachable(host=self.traffic.host, why=why)
            self.traffic.end(self._lost)

    async def close(self) -> None:
        """End the window and remove what it received. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await _within(CLOSE_S, self._context.close())
            await asyncio.to_thread(self.traffic.clear)
        finally:
            await self._closed()

    def _check(self) -> None:
        if self._lost is not None:
            raise self._lost

    @contextmanager
    def _translated(self, host: str, *, loading: bool = False) -> Iterator[None]:
        """As ``_ours``; where the browser ended, that is the reason."""
        try:
            with _ours(host, loading=loading):
                yield
        except CloudfilmError as err:
            if self._lost is not None and err is not self._lost:
                raise self._lost from err
            raise

    # ---- what the browser tells

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _opened(self, page: Page) -> None:
        self._pages.append(page)
        page.on("close", self._page_closed)
        page.on("crash", lambda _: self.lost("the page crashed"))
        page.on("websocket", self._socket)
        page.on("download", lambda download: self._spawn(self._download(download)))

    def _page_closed(self, page: Page) -> None:
        if len(self._pages) > 1 and page in self._pages:
            self._pages.remove(page)
        elif not self._is_closed:
            self.lost("the window was closed")

    def _socket(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda message: self.heard(socket.url, WEBSOCKET_IN, message))
        socket.on("framesent", lambda message: self.heard(socket.url, WEBSOCKET_OUT, message))

    def heard(self, url: str, kind: str, message: str | bytes) -> None:
        """One WebSocket message."""
        data = message.encode() if isinstance(message, str) else message
        try:
            body = self.traffic.keep(data)
        except CloudfilmError as err:
            self.traffic.end(err)
            return
        self.traffic.add(
            Exchange(
                url=url, kind=kind, method="", status=101, body=body, size=len(data), is_text=isinstance(message, str),
                when=self.traffic.now,
            )
        )  # fmt: skip

    async def _accept(self, dialog: Dialog) -> None:
        self.said.append(dialog.message)
        self.traffic.touch()
        with _ours(self.traffic.host, quiet=True):
            await dialog.accept()

    async def _download(self, download: Download) -> None:
        """A file that the page hands out: by a link, a button, or made in the page itself."""
        from playwright.async_api import Error

        self.traffic.busy += 1
        try:
            path = self.traffic.new_file()
            await asyncio.to_thread(os.replace, await download.path(), path)
        except (Error, OSError) as err:
            self.traffic.miss(download.url, _first_line(err))
        except CloudfilmError as err:
            self.traffic.end(err)
        else:
            named = {"content-disposition": f'attachment; filename="{download.suggested_filename}"'}
            size = path.stat().st_size
            self.traffic.add(
                Exchange(download.url, DOWNLOAD, headers=named, body=path, size=size, when=self.traffic.now)
            )
        finally:
            self.traffic.busy -= 1


@contextmanager
def _ours(host: str, *, loading: bool = False, quiet: bool = False) -> Iterator[None]:
    """Turns the library's exceptions into ours. ``loading``: a time-out means silence; ``quiet``: failing does not matter."""
    from playwright.async_api import Error
    from playwright.async_api import TimeoutError as TookTooLong

    try:
        yield
    except TookTooLong as err:
        if quiet:
            return
        if loading:
            raise SiteUnreachable(host=host, why="no answer in time") from err
        raise SiteChanged(host=host, what="the page does not show what was waited for") from err
    except Error as err:
        if not quiet:
            error = _as_ours(err, host)
            if error is not None:
                raise error from err


_NETWORK = {
    "ERR_NAME_NOT_RESOLVED": "its name is not known",
    "ERR_CONNECTION_REFUSED": "the connection was refused",
    "ERR_CONNECTION_RESET": "the connection broke",
    "ERR_CONNECTION_CLOSED": "the connection was closed without an answer",
    "ERR_EMPTY_RESPONSE": "the connection was closed without an answer",
    "ERR_CONNECTION_TIMED_OUT": "no answer in time",
    "ERR_TIMED_OUT": "no answer in time",
    "ERR_ADDRESS_UNREACHABLE": "no route to it",
    "ERR_INTERNET_DISCONNECTED": "no network",
    "ERR_PROXY_CONNECTION_FAILED": "the proxy does not answer",
    "ERR_TUNNEL_CONNECTION_FAILED": "the proxy refuses it",
    "ERR_SSL_PROTOCOL_ERROR": "no TLS connection",
    "ERR_SSL_VERSION_OR_CIPHER_MISMATCH": "no TLS connection",
    "ERR_TOO_MANY_REDIRECTS": "it redirects in a circle",
}


def _as_ours(error: Exception, host: str) -> CloudfilmError | None:
    """The library's error as ours; None where it is none: a navigation that became a download, or another navigation."""
    text = str(error)
    if "ERR_ABORTED" in text or "Download is starting" in text or "interrupted by another navigation" in text:
        return None
    if "ERR_CERT_" in text or "ERR_SSL_OBSOLETE" in text:
        return BadCertificate(host=host, why="certificate")
    _, _, name = text.partition("net::")
    if name:
        code = name.split()[0]
        return SiteUnreachable(host=host, why=_NETWORK.get(code, f"network error {code}"))
    if "has been closed" in text or "crashed" in text:
        return SiteUnreachable(host=host, why="the browser ended")
    return SiteChanged(host=host, what="the page can't be worked with as known")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]


async def _within(seconds: float, work: Any) -> bool:
    """Whether ``work`` came to an end in time; how it ended does not matter."""
    from playwright.async_api import Error

    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return False
    except Error:
        return True
    return True


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _user_agent(version: str) -> str:
    """A desktop browser's own; some sites turn away one that calls itself headless."""
    platform = PLATFORMS.get(sys.platform, "X11; Linux x86_64")
    return (
        f"Mozilla/5.0 ({platform}) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/{version.partition('.')[0]}.0.0.0 Safari/537.36"
    )


def resolver_rule(row: ConnectTo) -> str:
    """One ``--connect-to`` as a rule of Chromium's resolver.

    Raises:
        UsageError: a new port for any host, which Chromium has no rule for.
    """
    if not row.address and not row.host:
        raise UsageError(
            f"--connect-to: the browser can't change only the port {row.port or ''} of every host"
        )
    host, address = (
        f"[{name}]" if ":" in name else name for name in (row.host or "*", row.address or row.host)
    )
    pattern = f"{host}:{row.port}" if row.port is not None else host
    return f"MAP {pattern} {address}" + (f":{row.to_port}" if row.to_port is not None else "")


def proxy_option(settings: Settings) -> dict[str, str] | None:
    """The proxy as the library takes it: the user's, else the environment's with this machine itself excluded.

    A host that ``--connect-to`` maps is reached past the proxy, which would look its name up itself.
    """
    around = [row.host for row in settings.connect_to if row.host]
    server = settings.proxy
    if not server:
        found = getproxies_environment()
        server = found.get("https") or found.get("http") or found.get("all") or ""
        around += ["localhost", "127.0.0.1", "[::1]", *found.get("no", "").split(",")]
    if not server:
        return None
    parts = urlsplit(server if "://" in server else f"http://{server}")
    port = f":{parts.port}" if parts.port else ""
    option = {"server": f"{parts.scheme.replace('socks5h', 'socks5')}://{parts.hostname}{port}"}
    if parts.username:
        option |= {"username": parts.username, "password": parts.password or ""}
    bypass = ",".join(dict.fromkeys(name.strip() for name in around if name.strip()))
    return option | ({"bypass": bypass} if bypass else {})


__all__ = ["Browser", "Page", "Traffic", "Window", "find_browser", "proxy_option", "resolver_rule"]
