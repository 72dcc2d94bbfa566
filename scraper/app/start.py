"""Start and end the window: one server on loopback, one window; a second call finds the first."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import uvicorn

from scraper.app.guard import Guard
from scraper.app.server import Window
from scraper.app.studies import OpenStudies
from scraper.core.leftovers import RunFolder
from scraper.core.settings import Settings, data_folder
from scraper.isolation.own_program import NO_CONSOLE, child_command
from scraper.verify import Inspector

GRACE_S: Final = 8.0  # without any page: a reload takes less, and a window that is closed has left no work behind
WORKING_GRACE_S: Final = 60.0  # the same while a study is being fetched
FIRST_PAGE_S: Final = 120.0  # that a browser may take to open the page at all
_LOOK_S: Final = 0.5
_STATE: Final = "window.json"
_PATIENCE_S: Final = 120.0  # for a file that is read or a frame that is decoded


async def serve(settings: Settings, show: Callable[[str], None], announce: Callable[[str], None]) -> None:
    """Serve the window until its last page is closed.

    Args:
        settings: the options of the command.
        show: opens an address in a window.
        announce: tells the address at the terminal.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    host = f"127.0.0.1:{listening.getsockname()[1]}"
    token = secrets.token_urlsafe(24)
    address = f"http://{host}/{token}/"
    with RunFolder() as scratch:
        async with Inspector(timeout_s=_PATIENCE_S) as frames, Inspector(1, _PATIENCE_S) as files:
            frames.warm()
            studies = OpenStudies(frames, files, scratch)
            window = Window(settings, scratch, studies)
            window.board.attach()
            config = uvicorn.Config(
                Guard(window.application(), host, token),
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=1,
            )
            server = uvicorn.Server(config)
            state = _remember(address)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_served(server, listening))
                    group.create_task(ended_with_its_pages(server, window))
                    announce(address)
                    group.create_task(asyncio.to_thread(show, address))
            finally:
                await asyncio.to_thread(window.stop)
                state.unlink(missing_ok=True)


async def _served(server: uvicorn.Server, listening: socket.socket) -> None:
    await server.serve(sockets=[listening])


async def ended_with_its_pages(
    server: uvicorn.Server,
    window: Window,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Stop the server once no page has been connected for a while; a laptop that slept is given the time again."""
    last = clock()
    while not server.should_exit:
        await pause(_LOOK_S)
        now = clock()
        if window.pages or now - last > 10 * _LOOK_S:
            window.left_at = now
        last = now
        grace = FIRST_PAGE_S if not window.was_seen else WORKING_GRACE_S if window.is_busy else GRACE_S
        if now - window.left_at > grace:
            server.should_exit = True
    window.is_ending = True
    window.board.changed()


# ---- a second call


def _state_file() -> Path:
    return data_folder() / _STATE


def _remember(address: str) -> Path:
    """Leave the address where a second call of the same user finds it."""
    path = _state_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as out:  # noqa: PTH123  # a descriptor, no path
        json.dump({"address": address}, out)
    part.replace(path)
    return path


def running() -> str:
    """The address of a window that this user has open already; empty where there is none."""
    try:
        address = str(json.loads(_state_file().read_text(encoding="utf-8"))["address"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if not address.startswith("http://127.0.0.1:"):
        return ""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError), opener.open(address + "words.json", timeout=3) as response:
        if response.status == 200:
            return address
    return ""


# ---- a window


def show_window(address: str) -> None:
    """Open the address: in a window of its own where pywebview is installed, else in the default browser."""
    webview = _webview()
    if webview is None:
        webbrowser.open(address)
        return
    subprocess.Popen(  # noqa: S603  # this very program: a toolkit wants the main thread of a process
        child_command("scraper.app.start", "own_window"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        creationflags=NO_CONSOLE,
    ).communicate(address)


def _webview() -> Any:
    with contextlib.suppress(ImportError):
        import webview

        return webview
    return None


def own_window() -> None:
    """Show the address on standard input, which no list of processes shows, in a window of its own."""
    webview = _webview()
    webview.create_window("cloudfilm", sys.stdin.read(), width=1280, height=860, min_size=(400, 500))
    webview.start()
