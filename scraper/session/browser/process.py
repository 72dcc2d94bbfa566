"""The browser's process: found, started with the user's options, watched by one tap, and always ended."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scraper.core.disk import disk_errors
from scraper.core.errors import BrowserMissing, SiteChanged, SiteUnreachable, UsageError
from scraper.core.reasons import Reason
from scraper.core.settings import MOST_SCRIPT_MEGABYTES, Settings, has_screen
from scraper.session.browser.discovery import installed_browsers
from scraper.session.browser.driver import start_driver
from scraper.session.browser.failures import first_line, ours, within
from scraper.session.browser.memory import MemoryWatch
from scraper.session.browser.tap import Tap, TargetClosed
from scraper.session.browser.traffic import Traffic
from scraper.session.browser.window import Window
from scraper.session.browser.worker_sockets import WorkerSockets
from scraper.session.door import Door
from scraper.session.door.relay import Relay

if TYPE_CHECKING:
    from playwright.async_api import Browser as Process
    from playwright.async_api import CDPSession, Playwright

FLAGS = (
    # nothing of the browser's own: no safe browsing, updates, translation, hints, reports, no DNS by HTTPS
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-default-apps",
    "--metrics-recording-only",
    "--disable-domain-reliability",
    "--no-pings",
    "--no-service-autorun",
    "--disable-client-side-phishing-detection",
    "--safebrowsing-disable-auto-update",
    "--disable-breakpad",
    "--disable-field-trial-config",
    "--disable-extensions",
    "--disable-translate",
    "--no-default-browser-check",
    # nothing past the relay: no QUIC, no UDP of WebRTC
    "--disable-quic",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",  # WebGL, no GPU
    # a page is put together by the processor itself: an emulated GPU takes several times as long for what WebGL does not draw
    "--disable-gpu-compositing",
    "--disable-gpu-rasterization",
    "--disable-accelerated-2d-canvas",
    f"--js-flags=--max-old-space-size={MOST_SCRIPT_MEGABYTES}",  # a page whose scripts hold more ends, and not the others
)
CLOSE_S = 10.0  # a browser that has not closed by then is killed
REMOVALS, BETWEEN_S = 20, 0.1  # of its folder, until nothing writes into it any more
OPEN_S = 120.0  # one without a window by then never has one: seconds on any machine, longer at its very first start
DESKTOP = {"viewport": {"width": 1600, "height": 1000}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
PLATFORMS = {"win32": "Windows NT 10.0; Win64; x64", "darwin": "Macintosh; Intel Mac OS X 10_15_7"}


class Browser:
    """One browser process. One window is open at a time; the next one waits until it is closed.

    Args:
        settings: the run's options; what is not a matter of the process may be another for each window.
        spool: a folder for what the windows receive; removed by ``close``.
    """

    def __init__(self, settings: Settings, spool: Path) -> None:
        self._settings = settings
        self._spool = spool
        self._playwright: Playwright | None = None
        self._process: Process | None = None
        self._pid = 0
        self._tap: Tap | None = None
        self._memory: MemoryWatch | None = None
        self._window: Window | None = None
        self._one = asyncio.Lock()
        self._opening: asyncio.Timeout | None = None
        self._windows = 0
        self._port = 0  # of the relay
        self._relay = Relay(lambda: self._window.door if self._window else None, self._note_blocked)
        self._is_spent = False  # ended for what it took
        self.unfenced_why = ""  # why it runs without its sandbox, where it does

    async def __aenter__(self) -> Browser:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def window(
        self, *, user_agent: str = "", mobile: bool = False, door: Door | None = None, settings: Settings | None = None
    ) -> Window:
        """Open a new window that shares nothing with others; its tap is armed before the first navigation.

        Args:
            user_agent: another than a desktop browser's.
            mobile: a phone's screen and touch.
            door: judges where its requests go; by default one whose link is the first address opened.
            settings: of this window, such as its patience and whether it trusts any certificate; by default the browser's.

        Raises:
            BrowserMissing: none installed, or none that starts.
            UsageError: a visible window is asked for where there is no screen.
            SiteUnreachable: the browser ended over it.
        """
        settings = settings or self._settings
        await self._one.acquire()
        try:
            if self._memory is not None and not await asyncio.to_thread(self._memory.reset):
                await self._stop()  # what earlier pages left behind would count as this one's
            has_served = self._process is not None
            try:
                return await self._opened(settings, door, user_agent, mobile=mobile)
            except (SiteUnreachable, SiteChanged):  # of no site yet
                self._window = None
                await self._stop()
                if not has_served:
                    raise
            # It was dying of an earlier link's page, before its library knew.
            return await self._opened(settings, door, user_agent, mobile=mobile)
        except BaseException:
            self._window = None
            self._one.release()
            raise

    async def _opened(self, settings: Settings, door: Door | None, user_agent: str, *, mobile: bool) -> Window:
        process = await self.started()
        self._windows += 1
        traffic = Traffic(self._spool / f"window-{self._windows}", quiet_s=settings.timings.drive.stream_quiet_s)
        options: dict[str, Any] = dict(PHONE if mobile else DESKTOP)
        try:
            # A question that a browser takes with it as it dies is never answered by its library.
            with ours(""):
                async with asyncio.timeout(OPEN_S) as self._opening:
                    context = await process.new_context(
                        **options,
                        user_agent=user_agent or _user_agent(process.version),
                        locale="zh-CN",
                        timezone_id="Asia/Shanghai",
                        ignore_https_errors=settings.insecure,
                        service_workers="allow",  # a page may wait for its own; what they fetch is seen
                        accept_downloads=True,
                    )
                    self._window = Window(context, traffic, settings, self._closed, door)
                    if self._tap is not None:
                        await self._tap.serve(settings)
                        self._window.requests = self._tap.requests
                    await context.grant_permissions([])  # what is not granted is refused, not asked
                    await self._window.begin()
            return self._window
        except TimeoutError as err:
            raise SiteUnreachable(host="", why=Reason.BROWSER_ENDED) from err
        finally:
            self._opening = None

    async def close(self) -> None:
        """End the windows, the process and its driver; kill a process that hangs."""
        try:
            if self._window is not None:
                await self._window.close()
        finally:
            await self._stop()
            await self._relay.close()
            await _remove(self._spool)

    async def _closed(self) -> None:
        """Forget a window that has ended."""
        if self._tap is not None:
            await self._tap.forget()
        self._relay.drop()
        self._window = None
        self._one.release()

    @property
    def asked_hosts(self) -> tuple[str, ...]:
        """Every host that the process contacted."""
        return tuple(self._relay.asked)

    def _note_blocked(self, host: str) -> None:
        """Pass a blocked request to a private address on to the window."""
        if self._window is not None:
            self._window.note_blocked(host)

    async def started(self) -> Process:
        """The library's handle of the process, which is started now where none runs.

        Raises:
            BrowserMissing: none installed, or none that starts.
            UsageError: a visible window is asked for where there is no screen.
        """
        if self._process is not None and self._process.is_connected() and not self._is_spent:
            return self._process
        await self._stop()  # what is left of one that crashed
        if self._settings.headed and not has_screen():
            raise UsageError("--headed: there is no screen here (no DISPLAY, no WAYLAND_DISPLAY)")
        paths = list(installed_browsers(self._settings.browser_path))
        if not paths:
            raise BrowserMissing
        from playwright.async_api import Error

        if not self._port:
            self._port = await self._relay.start()
        with disk_errors(self._spool):
            self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _temporary_in(self._spool):  # the profile lies with what is removed, whatever ends this run
            self._playwright = await start_driver()
        why = ""
        for path in paths:
            try:
                self._process = await self._launch(self._playwright, path)
                break
            except Error as err:
                why = why or first_line(err)
        if self._process is None:
            await self._stop()
            raise BrowserMissing(why)
        self._process.on("disconnected", lambda ended: self._lost() if ended is self._process else None)
        await self._arm(self._process)
        self._watch_memory()
        return self._process

    def _watch_memory(self) -> None:
        """End the browser from now on where it takes too much memory, and record that in the window."""
        loop = asyncio.get_running_loop()

        def exceeded() -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._took_too_much, memory)

        def ended() -> None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._has_ended, memory)

        def image_bytes() -> int:
            window = self._window  # read once: the watch asks from its own thread
            return window.traffic.earned_bytes if window is not None else 0

        memory = self._memory = MemoryWatch(self._pid, image_bytes, exceeded, ended)
        memory.start()

    def _has_ended(self, memory: MemoryWatch) -> None:
        if memory is self._memory:
            self._lost()

    def _took_too_much(self, memory: MemoryWatch) -> None:
        if memory is not self._memory:
            return
        self._is_spent = True
        if self._window is not None:
            what = Reason.PAGE_TOO_LARGE
            self._window.end(SiteChanged(host=self._window.traffic.host, what=what))
        if self._opening is not None:
            self._opening.reschedule(0)

    async def _launch(self, playwright: Playwright, path: Path) -> Process:
        """Start the browser, sandboxed where the system allows; root has no sandbox."""
        from playwright.async_api import Error

        self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.unfenced_why = "root" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
        try:
            return await self._launched(playwright, path)
        except Error as err:
            if self.unfenced_why or "sandbox" not in str(err).lower():
                raise
            self.unfenced_why = "system"
            return await self._launched(playwright, path)

    async def _launched(self, playwright: Playwright, path: Path) -> Process:
        return await playwright.chromium.launch(
            executable_path=path,
            headless=not self._settings.headed,
            args=[*FLAGS, *_by_relay(self._port)],
            chromium_sandbox=not self.unfenced_why,
            downloads_path=self._spool / "downloads",
            handle_sigint=False,  # the program ends the browser itself, after what it was doing
            handle_sigterm=False,
            handle_sighup=False,
            env={**os.environ, **self._own_temporary_folder()},  # else it inherits the driver's
        )

    def _own_temporary_folder(self) -> dict[str, str]:
        """Folder for the browser's socket: in the spool if the path fits the limit of a socket's name (sun_path, 104)."""
        is_short = len(str(self._spool)) + len("/org.chromium.Chromium.XXXXXX/SingletonSocket") < 100
        return {"TMPDIR": str(self._spool)} if is_short and os.name != "nt" else {}

    async def _arm(self, process: Process) -> None:
        with ours(""):
            session: CDPSession = await process.new_browser_cdp_session()
            info = await session.send("SystemInfo.getProcessInfo")
        self._pid = next((item["id"] for item in info["processInfo"] if item["type"] == "browser"), 0)

        async def send(method: str, params: dict[str, Any]) -> dict[str, Any]:
            from playwright.async_api import Error

            try:
                answer: dict[str, Any] = await session.send(method, params)
            except Error as err:
                raise TargetClosed(first_line(err)) from err
            return answer

        def current() -> Traffic | None:
            return self._window.traffic if self._window else None

        def may_go(url: str, body: bytes) -> bool:
            return self._window is None or self._window.may_go(url, body)

        def worker_prelude() -> str:
            return self._window.memory.script if self._window and self._window.memory else ""

        tap = self._tap = Tap(send, current, self._settings, may_go=may_go, worker_prelude=worker_prelude)
        session.on("Fetch.requestPaused", tap.paused)
        sockets = WorkerSockets(send, self._record_message)
        session.on("Target.targetCreated", lambda event: tap.spawn(sockets.announced(event)))
        session.on("Target.receivedMessageFromTarget", sockets.received)
        await tap.arm()
        await sockets.arm()

    def _record_message(self, url: str, kind: str, message: str | bytes) -> None:
        if self._window is not None:
            self._window.record_message(url, kind, message)

    def _lost(self) -> None:
        if self._opening is not None:
            self._opening.reschedule(0)
        if self._window is not None:
            self._window.lost(Reason.BROWSER_ENDED)

    async def _stop(self) -> None:
        """End the process, then the driver, each within its time."""
        if self._tap is not None:
            await self._tap.forget()
        if self._memory is not None:
            self._memory.stop()
        self._memory, self._is_spent = None, False
        process, playwright, pid = self._process, self._playwright, self._pid
        self._process, self._playwright, self._tap, self._pid = None, None, None, 0
        closed = process is None or await within(CLOSE_S, process.close())
        if playwright is not None:
            closed = await within(CLOSE_S, playwright.stop()) and closed
        if not closed and pid:
            with suppress(OSError):
                os.kill(pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)


async def _remove(folder: Path) -> None:
    """Remove the folder, retrying while processes of a killed browser still write into it."""
    for _ in range(REMOVALS):
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        if not folder.exists():
            return
        await asyncio.sleep(BETWEEN_S)


@contextmanager
def _temporary_in(folder: Path) -> Iterator[None]:
    """Let processes that are started in this block keep temporary files in ``folder``."""
    names = ("TEMP", "TMP") if os.name == "nt" else ("TMPDIR",)
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(folder)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _user_agent(version: str) -> str:
    """A desktop browser's name; some sites reject one that calls itself headless."""
    platform = PLATFORMS.get(sys.platform, "X11; Linux x86_64")
    return (
        f"Mozilla/5.0 ({platform}) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/{version.partition('.')[0]}.0.0.0 Safari/537.36"
    )


def _by_relay(port: int) -> list[str]:
    """Options that send everything through the relay, loopback included, and resolve no name."""
    return [
        f"--proxy-server=socks5://127.0.0.1:{port}",
        "--proxy-bypass-list=<-loopback>",  # without it, loopback and link-local addresses go past any proxy
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ]
