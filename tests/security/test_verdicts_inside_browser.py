"""Pages that lead on to another host, in the browser: inside to inside works, from the open network to the inside does not."""

import asyncio
import contextlib

import pytest

from scraper.core.errors import CloudfilmError
from scraper.core.settings import Settings
from scraper.session.browser import find_browser
from scraper.session.door import Door
from scraper.testing import borrowed_browser, in_browser_loop
from tests.security.played import LAN, PUBLIC, Played, Trap
from tests.security.test_hostile_addresses import answer, server

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
NAMES = {"film.hospital.test": ["192.168.77.1"], "viewer.hospital.test": ["10.20.30.40"], "film.test": [PUBLIC]}
WAYS = ("302", "307", "script", "replace", "meta", "header", "form", "twice")


def first_page(way: str, target: str) -> bytes:
    """What leads on, in one of the ways that a site has."""
    html = "Content-Type: text/html"
    if way in ("302", "307"):
        return answer(b"", f"Location: {target}", status=f"{way} Moved")
    if way == "header":
        return answer(b"<title>first</title>", html, f"Refresh: 0; url={target}")
    body = {
        "script": f"<script>location = '{target}'</script>",
        "replace": f"<script>setTimeout(() => location.replace('{target}'), 50)</script>",
        "meta": f"<meta http-equiv=refresh content='0;url={target}'>",
        "form": f"<form id=f action='{target}'></form><script>document.getElementById('f').submit()</script>",
    }[way]
    return answer(f"<!doctype html><title>first</title>{body}".encode(), html)


@pytest.mark.parametrize(
    ("host", "way"),
    [
        pytest.param(host, way, marks=() if place == 0 else pytest.mark.thorough)
        for host in ("film.hospital.test", "film.test")
        for place, way in enumerate(WAYS)
    ],
)
@in_browser_loop
async def test_verdicts_b10_a_page_that_leads_on_in_the_browser(host, way):
    settings = Settings(timeout_s=10)
    target, at, is_inside = "", "127.0.0.1", host == "film.hospital.test"

    async def pages(head: bytes, writer: asyncio.StreamWriter) -> None:
        path = head.split(b" ")[1]
        if way == "twice" and path == b"/s/1":
            writer.write(answer(b"", "Location: /s/2", status="302 Found"))
        else:
            writer.write(first_page("script" if way == "twice" else way, target))

    with Trap(LAN) as trap:
        target = f"http://viewer.hospital.test:{trap.port}/viewer"
        async with server(pages, LAN if is_inside else at) as port, borrowed_browser(settings) as browser:
            door = Door(settings, Played(NAMES))
            door.belongs_to(f"http://{host}:{port}/s/1")
            window = await browser.window(door=door)
            blocked: list[str] = []
            window.on_blocked_host = blocked.append
            with contextlib.suppress(CloudfilmError):
                await window.open(f"http://{host}:{port}/s/1")
            async with asyncio.timeout(15):
                while not (trap.lines or "viewer.hospital.test" in door.refused):  # noqa: ASYNC110  # a thread's
                    await asyncio.sleep(0.05)
            if is_inside:
                assert trap.lines[0].startswith("GET /viewer")
                assert not door.refused
                return
            await window.traffic.settled(0.3, 1.0)
            assert trap.lines == []
            assert "viewer.hospital.test" in door.refused
            assert blocked == ["viewer.hospital.test"]
