"""Start the proxy, and add what it hands over to a traffic, until it is stopped."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from threading import Thread
from typing import Any, Final

from scraper.core.errors import DiskFull, ExtraMissing, ListenerLost, PortTaken
from scraper.core.settings import Settings
from scraper.isolation.child import Child, ChildLost
from scraper.session.browser.traffic import Traffic
from scraper.session.child_traffic import exchange_of, line_of
from scraper.session.proxy import certificate

_PROGRAM: Final = "scraper.session.proxy.program"
_PATIENCE_S: Final = 150.0  # from one beat to the next
_START_S: Final = 120.0  # its libraries take some 3 s of a quiet processor
_END_S: Final = 10.0


def is_installed() -> bool:
    """Whether the extra ``proxy`` is there."""
    return importlib.util.find_spec("mitmproxy") is not None


class Proxy:
    """The proxy of one run. An async context manager: it listens while the context is entered.

    Args:
        traffic: gets what comes; its folder gets the bodies.
        settings: ``--connect-to``, ``--proxy`` and ``--insecure`` are followed.
        host: to listen on.
        port: to listen on; 0: a free one, in ``port`` afterwards.
        on_host: called with ``passed`` or ``refused`` and a host's name, when it is left alone for the first time.
    """

    def __init__(
        self,
        traffic: Traffic,
        settings: Settings,
        host: str = "127.0.0.1",
        port: int = 0,
        on_host: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self.authority = certificate.make(traffic.folder / "authority")
        self.host = host
        self.port = port
        self._traffic = traffic
        self._settings = settings
        self._on_host = on_host
        self._child = Child(_PROGRAM, (str(traffic.folder),), _PATIENCE_S)
        self._listening: asyncio.Future[int] | None = None
        self._thread: Thread | None = None

    async def __aenter__(self) -> Proxy:
        """Start to listen.

        Raises:
            ExtraMissing: mitmproxy is not installed. PortTaken: somebody else listens there. ListenerLost: it did not start.
        """
        if not is_installed():
            raise ExtraMissing(extra="proxy")
        loop = asyncio.get_running_loop()
        self._listening = loop.create_future()
        try:
            self._child.start()  # before the thread: whoever closes it finds it
        except OSError as err:
            raise ListenerLost from err
        self._thread = Thread(target=self._run, args=(loop,), name="proxy", daemon=True)
        self._thread.start()
        try:
            async with asyncio.timeout(_START_S):
                self.port = await asyncio.shield(self._listening)
        except TimeoutError as err:
            self._child.close()
            raise ListenerLost from err
        except BaseException:
            self._child.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop to listen; its authority's key goes with the folder."""
        try:
            self._child.tell({"stop": True})
            if self._thread is not None:
                await asyncio.to_thread(self._thread.join, _END_S)
        except ChildLost:
            pass
        finally:
            self._child.close()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read what the child says; in a thread of its own."""
        rules = [(rule.host, rule.port or 0, rule.address, rule.to_port or 0) for rule in self._settings.connect_to]
        question = {
            "host": self.host,
            "port": self.port,
            "connect_to": rules,
            "insecure": self._settings.insecure,
            "proxy": self._settings.proxy,
        }
        try:
            for answer, _ in self._child.ask(question):
                loop.call_soon_threadsafe(self._take, answer)
        except ChildLost:
            loop.call_soon_threadsafe(self._lost)
        except RuntimeError:  # the loop has ended
            self._child.close()

    def _take(self, answer: dict[str, Any]) -> None:
        """Take one line in."""
        assert self._listening is not None  # noqa: S101  # made before the thread
        if "port" in answer and answer.get("listening"):
            self._listening.set_result(int(answer["port"]))
        elif "error" in answer:
            error = PortTaken(port=self.port)
            if self._listening.done():
                self._traffic.end(error)
            else:
                self._listening.set_exception(error)
        elif answer.get("full"):
            self._traffic.end(DiskFull(path=str(self._traffic.folder)))
        elif "passed" in answer or "refused" in answer:
            for what in ("passed", "refused"):
                if what in answer:
                    self._on_host(what, str(answer[what]))
        elif "url" in answer:
            try:
                exchange = exchange_of(line_of(answer), self._traffic.folder, self._traffic.now)
            except ChildLost:
                return  # its body was removed, or it is none of ours
            self._traffic.add(exchange)

    def _lost(self) -> None:
        assert self._listening is not None  # noqa: S101
        if self._listening.done():
            self._traffic.end(ListenerLost())
        else:
            self._listening.set_exception(ListenerLost())
