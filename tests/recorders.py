"""Recordings as programs make them: Chromium's own (through Playwright), and mitmproxy's ``hardump``."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from fixtures.archives import free_port
from scraper.session.browser import find_browser

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


def look_through(
    page: Page, link: str, *, password: str = "", is_whole: bool = True, awaited: tuple[str, int] = ("", 0)
) -> None:
    """What a person does: each series from its first image to its last; else until so many addresses of a shape have come."""
    finished: list[str] = []
    page.on("requestfinished", lambda request: finished.append(request.url))
    page.goto(link, wait_until="networkidle")
    if password:
        page.fill("input[type=password]", password)
        page.click("form button")
        page.wait_for_selector("nav button")
    give_up = time.monotonic() + 180
    while sum(re.search(awaited[0], url) is not None for url in finished) < awaited[1]:
        assert time.monotonic() < give_up, finished
        page.wait_for_timeout(100)
    page.mouse.move(300, 300)
    for button in page.locator("nav button").all() if is_whole else ():
        button.click()
        for _ in range(20):
            page.mouse.wheel(0, 120)
            page.wait_for_load_state("networkidle")
    page.wait_for_load_state("networkidle")


def by_chromium(rows: list[str], link: str, folder: Path, *, name: str = "film.har", **more: Any) -> Path:
    """Chromium's own recording; bodies stand in it, or lie in its zip (``name`` ends with .zip) or beside it (``attach-…``)."""
    rules = [f"MAP {host} {address}" for host, _, address in (row.split(":", 2) for row in rows)]
    path = folder / name
    how = "attach" if name.endswith(".zip") or name.startswith("attach") else "embed"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(), args=["--no-sandbox", f"--host-resolver-rules={','.join(rules)}"]
        )
        context = browser.new_context(
            ignore_https_errors=True, record_har_path=path, record_har_content=how, record_har_mode="full"
        )
        look_through(context.new_page(), link, **more)
        context.close()
        browser.close()
    return path


def by_mitmproxy(rows: list[str], link: str, folder: Path, *, name: str = "film.har", **more: Any) -> Path:
    """What mitmproxy saves of a browser behind it."""
    path = folder / name
    with mitmdump(rows, path) as port, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(), args=["--no-sandbox"], proxy={"server": f"http://127.0.0.1:{port}"}
        )
        context = browser.new_context(ignore_https_errors=True)
        look_through(context.new_page(), link, **more)
        context.close()
        browser.close()
    return path


@contextmanager
def mitmdump(rows: list[str], path: Path) -> Iterator[int]:
    """mitmproxy itself, until the context ends; then the recording is written."""
    script, port = path.with_suffix(".py"), free_port()
    script.write_text(MOVES.format(rows=json.dumps(rows)), encoding="utf-8")
    words = ["--set", f"hardump={path}", "--set", "connection_strategy=lazy", "--set", f"confdir={path.parent / 'ca'}"]
    words += ["--listen-host", "127.0.0.1", "--listen-port", str(port), "--ssl-insecure", "-q", "-s", str(script)]
    program = "from mitmproxy.tools.main import mitmdump; mitmdump()"
    process = subprocess.Popen([sys.executable, "-c", program, *words], stdout=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield port
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
