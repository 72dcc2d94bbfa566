"""Recordings as programs make them: Chromium's own (through Playwright), and mitmproxy's ``hardump``."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Page

from fixtures.archives import free_port
from scraper.core.settings import ConnectTo, Settings
from scraper.session.door import Door
from scraper.session.door.relay import Relay
from scraper.testing import borrowed_browser, wait_in_browser_loop

LAST_S = 20.0  # for the last images to come; what fails or never ends is not waited for longer

# The rows are those of ``--connect-to``; a host that is in none of them is left as it is.
MOVES = """
ROWS = {rows}

def server_connect(data):
    host, port = data.server.address[:2]
    for row in ROWS:
        name, number, address, to_port = row.split(":")
        if name == host and int(number) == port:
            data.server.address = (address, int(to_port))
"""
# How many clients are connected: a WebSocket stands in the recording only once it has ended.
COUNTS = """
from pathlib import Path

CLIENTS = set()

def client_connected(client):
    CLIENTS.add(client.id)

def client_disconnected(client):
    CLIENTS.discard(client.id)
    Path({path!r}).write_text(str(len(CLIENTS)))
"""


async def look_through(
    page: Page, link: str, *, password: str = "", is_whole: bool = True, awaited: tuple[str, int] = ("", 0)
) -> None:
    """What a person does: each series from its first image to its last; else until so many addresses of a shape have come."""
    finished: list[str] = []
    started: list[str] = []
    page.on("request", lambda request: started.append(request.url))
    page.on("requestfinished", lambda request: finished.append(request.url))
    await page.goto(link, wait_until="networkidle")
    if password:
        await page.fill("input[type=password]", password)
        await page.click("form button")
        await page.wait_for_selector("nav button")
    give_up = time.monotonic() + 180
    while sum(re.search(awaited[0], url) is not None for url in finished) < awaited[1]:
        assert time.monotonic() < give_up, finished
        await page.wait_for_timeout(100)
    await page.mouse.move(300, 300)
    for button in await page.locator("nav button").all() if is_whole else ():
        await button.click()
        for _ in range(20):
            await page.mouse.wheel(0, 120)
            await page.wait_for_load_state("networkidle")
    give_up = time.monotonic() + LAST_S
    while len(finished) < len(started) and time.monotonic() < give_up:
        await page.wait_for_timeout(
            100
        )  # the state "networkidle" was reached once, and says nothing of the last images


@asynccontextmanager
async def context_in(rows: Sequence[str], **options: Any) -> AsyncIterator[BrowserContext]:
    """A person's own browser, which nothing records, and which reaches the emulated sites.

    Args:
        rows: as those of ``--connect-to``.
        options: of Playwright's ``new_context``.
    """
    settings = Settings(connect_to=tuple(map(ConnectTo.parse, rows)), insecure=True)
    door = Door(settings)
    door.belongs_to(f"https://{rows[0].partition(':')[0]}/")
    relay = Relay(lambda: door, lambda _: None)
    proxy = {"server": f"socks5://127.0.0.1:{await relay.start()}"}
    try:
        async with borrowed_browser(settings) as browser:
            yield await browser.context(ignore_https_errors=True, proxy=proxy, **options)
    finally:
        await relay.close()


def by_chromium(rows: list[str], link: str, folder: Path, *, name: str = "film.har", **more: Any) -> Path:
    """Chromium's own recording; bodies stand in it, or lie in its zip (``name`` ends with .zip) or beside it (``attach-…``)."""
    path = folder / name
    how = "attach" if name.endswith(".zip") or name.startswith("attach") else "embed"

    async def record() -> None:
        options = {"record_har_path": path, "record_har_content": how, "record_har_mode": "full"}
        async with context_in(rows, **options) as context:
            await look_through(await context.new_page(), link, **more)

    wait_in_browser_loop(record)
    return path


def by_mitmproxy(rows: list[str], link: str, folder: Path, *, name: str = "film.har", **more: Any) -> Path:
    """What mitmproxy saves of a browser behind it."""
    path = folder / name

    async def look(port: int) -> None:
        async with borrowed_browser(Settings()) as browser:
            context = await browser.context(ignore_https_errors=True, proxy={"server": f"http://127.0.0.1:{port}"})
            await look_through(await context.new_page(), link, **more)

    with mitmdump(rows, path) as port:
        wait_in_browser_loop(lambda: look(port))
    return path


@contextmanager
def mitmdump(rows: list[str], path: Path) -> Iterator[int]:
    """mitmproxy itself, until the context ends; then the recording is written."""
    script, clients, port = path.with_suffix(".py"), path.with_suffix(".clients"), free_port()
    script.write_text(MOVES.format(rows=json.dumps(rows)) + COUNTS.format(path=str(clients)), encoding="utf-8")
    words = ["--set", f"hardump={path}", "--set", "connection_strategy=lazy", "--set", f"confdir={path.parent / 'ca'}"]
    words += ["--listen-host", "127.0.0.1", "--listen-port", str(port), "--ssl-insecure", "-q", "-s", str(script)]
    program = "from mitmproxy.tools.main import mitmdump; mitmdump()"
    process = subprocess.Popen([sys.executable, "-c", program, *words], stdout=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield port
        give_up = time.monotonic() + LAST_S
        while clients.read_text() != "0" and time.monotonic() < give_up:
            time.sleep(0.05)
        process.terminate()
        process.wait(60)
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + 120
    while True:
        assert process.poll() is None
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            assert time.monotonic() < give_up
            time.sleep(0.1)
