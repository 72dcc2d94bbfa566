"""``listen``: take the study out of what the person's own browser or phone receives."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scraper.cli import interrupt
from scraper.cli.options import Runs, takes
from scraper.core.errors import UsageError
from scraper.core.messages import say
from scraper.core.output import complain
from scraper.core.settings import Settings

if TYPE_CHECKING:
    from scraper.capture.listened import Progress
    from scraper.pipeline.listening import TrafficSource
    from scraper.session import Session
    from scraper.session.browser.traffic import Traffic

THIS_COMPUTER = "127.0.0.1"


def register(app: typer.Typer, run: Runs) -> None:
    """Add the command; ``run`` is the one place where the event loop runs."""

    @app.command()
    @takes("output", "expect", "name", "insecure", "connect_to", "proxy", "as_json", "quiet", "lang")
    def listen(
        port: Annotated[
            int, typer.Option("--port", min=0, max=65535, help="Where the proxy listens; by default a free port.")
        ] = 0,
        lan: Annotated[
            bool, typer.Option("--lan", help="Let a phone in the same Wi-Fi use the proxy; asks first.")
        ] = False,
        attach: Annotated[
            str,
            typer.Option(
                "--attach",
                metavar="PORT",
                help="Watch a Chrome or Edge that runs with --remote-debugging-port=PORT instead of a proxy.",
            ),
        ] = "",
        yes: Annotated[bool, typer.Option("--yes", help="Answer --lan's question with yes.")] = False,
        *,
        as_json: bool,
        settings: Settings,
    ) -> int:
        """A proxy on this computer that takes the study out of what your own browser or phone receives."""
        if attach and lan:
            raise UsageError("--attach, --lan")
        if lan and not yes and not _agrees(settings):
            complain(say("listen.not-agreed", settings.language))
            return 2
        listener = Listener(settings, port=port, host=_own_address() if lan else THIS_COMPUTER, attach=attach)
        return int(run(listener.run(as_json=as_json)))


def _agrees(settings: Settings) -> bool:
    """Ask whether other devices may use the proxy; no without a terminal."""
    if not settings.interactive:
        return False
    words = say("listen.lan-question", settings.language)
    return bool(typer.confirm(words, default=False, err=True))


def _own_address() -> str:
    """This computer's address in its own network, as the system would choose it; nothing is sent."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address (RFC 5737); UDP sends nothing by connecting
            return str(probe.getsockname()[0])
        except OSError:
            return THIS_COMPUTER


class Listener:
    """One call of ``listen``.

    Args:
        settings: the user's options.
        port: of the proxy; 0: a free one.
        host: where the proxy listens.
        attach: the debugging port of a browser to attach to; empty: a proxy is started.
    """

    def __init__(self, settings: Settings, *, port: int, host: str, attach: str) -> None:
        self._settings = settings
        self._port = port
        self._host = host
        self._attach = attach
        self._is_quiet = settings.verbosity < 0
        self._open = AsyncExitStack()

    async def run(self, *, as_json: bool) -> int:
        """Listen, save what came, print the result; gives the exit code."""
        from scraper.cli.options import asker
        from scraper.cli.sources import SourceRunner
        from scraper.pipeline.listening import LINK, Listening
        from scraper.pipeline.result import Film

        end, loop = asyncio.Event(), asyncio.get_running_loop()
        provider = Listening(self._traffic_source, end, self._begun, self._progress, self._settings.expect)
        runner = SourceRunner(self._settings, asker(self._settings), str, as_json=as_json, listing=False)
        with interrupt.first_press(partial(loop.call_soon_threadsafe, end.set)):
            async with self._open:
                return await runner.run_film("listen", Film(LINK, provider=provider))

    def _traffic_source(self, traffic: Traffic, session: Session) -> TrafficSource:
        if self._attach:
            from scraper.session.browser.attached import AttachedBrowser

            return AttachedBrowser(traffic, self._attach, session.settings)
        from scraper.session.proxy.proxy import Proxy as ListeningProxy

        return ListeningProxy(traffic, session.settings, self._host, self._port, self._host_left_alone)

    def _say(self, message: str, **values: object) -> None:
        if not self._is_quiet:
            complain(say(message, self._settings.language, **values))

    async def _begun(self, traffic_source: TrafficSource) -> None:
        """Say what a person does now."""
        from scraper.session.proxy.proxy import Proxy as ListeningProxy

        if not isinstance(traffic_source, ListeningProxy):
            self._say("listen.attached", port=self._attach)
            return
        authority = traffic_source.authority
        certificate = self._settings.output / "cloudfilm-certificate.cer"
        if self._host != THIS_COMPUTER:
            from scraper.app.phone_page import served

            page = await self._open.enter_async_context(served(self._host, traffic_source.port, authority))
            self._say("listen.phone", page=page, host=self._host, port=traffic_source.port)
            if not self._is_quiet:
                complain(as_code(page))
        else:
            certificate.parent.mkdir(parents=True, exist_ok=True)
            certificate.write_bytes(authority.der)
            self._open.callback(certificate.unlink, missing_ok=True)
            self._say("listen.ready", host=self._host, port=traffic_source.port)
            self._say("listen.browser", command=_browser_command(traffic_source.port, authority.key_digest))
            self._say("listen.certificate", path=certificate, authority=authority.name)
        self._say("listen.end")

    def _host_left_alone(self, what: str, host: str) -> None:
        if what == "refused":
            self._say("listen.refused", host=host)

    def _progress(self, rows: Sequence[Progress]) -> None:
        """One line for each look with something new: what is recognised by now."""
        shown = [
            say(
                "listen.series" if row.expected is not None else "listen.series-open",
                self._settings.language,
                name=row.name or place,
                received=row.received,
                expected=row.expected,
            )
            for place, row in enumerate(rows, start=1)
        ]
        self._say("listen.progress", rows="; ".join(shown))


def _browser_command(port: int, key_digest: str) -> str:
    """A command that opens a browser of its own behind the proxy, with nothing to install and nothing to remove."""
    import shlex
    import tempfile

    from scraper.session.browser.discovery import find_browser

    browser = find_browser()
    words = [
        str(browser or "chrome"),
        f"--proxy-server=127.0.0.1:{port}",
        f"--ignore-certificate-errors-spki-list={key_digest}",
        f"--user-data-dir={Path(tempfile.gettempdir()) / f'cloudfilm-browser-{port}'}",
    ]
    return shlex.join(words)


def as_code(text: str) -> str:
    """The text as a QR code for the terminal."""
    import io

    import segno

    out = io.StringIO()
    segno.make(text, error="m").terminal(out, compact=True)
    return out.getvalue()
