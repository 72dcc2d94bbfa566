"""Row 7, in the browser: what would fill the memory ends the window with a sentence, and the next link's window works."""

import asyncio
import base64
import hashlib
import os
import signal
import zlib

import psutil
import pytest

from scraper.core.errors import CloudfilmError
from scraper.core.settings import MOST_AHEAD_BYTES, MOST_BROWSER_BYTES, MOST_VIEWER_BYTES, Settings
from scraper.session.browser import Browser, Window, processes
from scraper.session.browser.memory import bound
from scraper.session.door import Door
from scraper.testing import borrowed_browser, in_browser_loop
from tests.security.memory import MB, MOST, peak_of_all_processes
from tests.security.played import PUBLIC, Played
from tests.security.test_hostile_addresses import answer, server

FILL = "const kept = []; setInterval(() => kept.push(new Uint8Array(64e6).fill(1)), 5);"
LISTS = "const kept = []; setInterval(() => { for (let i = 0; i < 2e5; i++) kept.push([{a: [i]}]); }, 0);"
FETCH = "fetch('/body').then(one => one.arrayBuffer()).then(one => { document.title = one.byteLength; });"
SOCKET = "new WebSocket(`ws://${location.host}/socket`);"
SOCKETS = "for (let i = 0; i < 8; i++) new WebSocket(`ws://${location.host}/socket`);"
# a viewer that holds each image as it was received, as it was decoded, and as it was drawn: 850 MB for 30
VIEWER = """(async () => { const cache = []; for (let at = 0; at < 30; at++) {
  const image = await (await fetch(`/image?number=${at}`)).arrayBuffer();
  cache.push(image, ...Array.from({length: 6}, () => new Uint8Array(image.byteLength).fill(at + 1))); }
  document.title = `${cache.length}`; })();"""
SHARED = "new SharedWorker('/shared.js');"
HOLD = "window.kept = new Uint8Array(300e6).fill(1); document.title = 'holds';"
PAGES = {
    "fill": FILL,
    "lists": LISTS,
    "socket": SOCKET,
    "sockets": SOCKETS,
    "shared": SHARED,
    "packed": FETCH,
    "chunked": FETCH,
    "viewer": VIEWER,
    "hold": HOLD,
    "calm": "",
}
ATTACKS = [kind for kind in PAGES if kind not in ("viewer", "hold", "calm")]
IMAGE = bytes(128) + b"DICM\2\0\0\0UL\4\0" + bytes(4 * MB)
MESSAGE_MB = {"socket": 400, "sockets": 90, "shared": 400}
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def bomb(size: int) -> bytes:
    packing = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join(packing.compress(bytes(MB)) for _ in range(size // MB)) + packing.flush()


async def send_socket(head: bytes, writer: asyncio.StreamWriter, size: int) -> None:
    """One text message (RFC 6455 5.2) of that size, a piece at a time."""
    key = next(
        line.partition(b":")[2].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
    )
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()  # noqa: S324  # as the protocol asks
    writer.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )
    writer.write(b"\x81\x7f" + size.to_bytes(8, "big"))
    for _ in range(size // MB):
        writer.write(b"a" * MB)
        await writer.drain()
    await asyncio.sleep(30)  # the site leaves it open; ended with the window


async def send_chunked(writer: asyncio.StreamWriter, size: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(size // MB):
        writer.write(b"100000\r\n" + b"[" * MB + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\n")


def site(kind: str):
    packed = bomb(3000 * MB) if kind == "packed" else b""

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        path = head.split(b" ")[1].decode()
        if path == "/socket":
            await send_socket(head, writer, MESSAGE_MB[kind] * MB)
        elif path == "/body" and kind == "packed":
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n"
            )
            writer.write(packed)
        elif path == "/body":
            await send_chunked(writer, 2000 * MB)
        elif path == "/cut":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n")
            await writer.drain()
        elif path == "/shared.js":
            writer.write(answer(SOCKET.encode(), "Content-Type: text/javascript"))
        elif path.startswith("/image"):
            writer.write(answer(IMAGE, "Content-Type: application/dicom"))
        elif path == "/page":
            writer.write(
                answer(f"<title>page</title><script>{PAGES[kind]}</script>".encode(), "Content-Type: text/html")
            )
        else:
            writer.write(answer(b"<title>calm</title>", "Content-Type: text/html"))

    return handler


async def looked_at(window: Window, port: int) -> None:
    await window.open(f"http://film.test:{port}/page")
    await window.traffic.wait_for("/never", timeout_s=90)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ATTACKS)
async def test_hostile_7_what_fills_the_browser_ends_its_window_alone(kind, tmp_path):
    settings = Settings(timeout_s=20)
    before = {child.pid for child in psutil.Process().children()}
    with peak_of_all_processes() as peak:
        async with server(site(kind)) as port, Browser(settings, tmp_path / "spool") as browser:
            door = Door(settings, Played({"film.test": [PUBLIC]}))
            door.belongs_to(f"http://film.test:{port}/page")
            window = await browser.window(door=door)
            # a script that fills its own heap may meet that limit first (MOST_SCRIPT_MEGABYTES), which ends the page
            with pytest.raises(
                CloudfilmError, match="page-too-large|the page crashed" if kind == "lists" else "page-too-large"
            ):
                await looked_at(window, port)
            await window.close()
            window = await browser.window(door=door)
            await window.open(f"http://film.test:{port}/calm")
            assert await window.page.title() == "calm"
            await window.close()
    assert 200 * MB < peak.size < MOST
    assert {child.pid for child in psutil.Process().children()} <= before


def refused(*_: object) -> None:
    raise psutil.AccessDenied


def test_hostile_7_what_a_process_holds_in_all_is_counted_without_the_program(monkeypatch):
    looks, pid = processes.Portable(), os.getpid()
    assert 0 < looks.share(pid) <= looks.taken(pid)
    monkeypatch.setattr(processes.psutil.Process, "memory_full_info", refused)
    monkeypatch.setattr(processes, "OF_PROGRAM_BYTES", MB)
    assert 0 < looks.share(pid) < looks.taken(pid)
    monkeypatch.setattr(processes, "OF_PROGRAM_BYTES", 2**50)
    assert looks.share(pid) == 0


@pytest.mark.parametrize("is_exact", [True, pytest.param(False, marks=pytest.mark.thorough)], ids=["exact", "whole"])
@pytest.mark.parametrize(
    "kind", ["fill", *(pytest.param(kind, marks=pytest.mark.thorough) for kind in ("sockets", "chunked"))]
)
@in_browser_loop
async def test_hostile_7_where_there_is_no_proc(kind, is_exact, tmp_path, monkeypatch):
    """As on Windows and macOS, of which the latter says of some processes only what they hold in all.

    As in a batch, too: another browser of the program goes on.
    """
    settings = Settings(timeout_s=20)
    async with server(site(kind)) as port, borrowed_browser(settings) as other:
        door = Door(settings, Played({"film.test": [PUBLIC]}))
        door.belongs_to(f"http://film.test:{port}/page")
        calm = await other.window(door=door)
        await calm.open(f"http://film.test:{port}/calm")
        monkeypatch.setattr(processes, "of_this_system", processes.Portable)
        if not is_exact:
            monkeypatch.setattr(processes.psutil.Process, "memory_full_info", refused)
        before = {child.pid for child in psutil.Process().children()}  # the suite's own browser among them
        async with Browser(settings, tmp_path / "spool") as browser:
            window = await browser.window(door=door)
            (driver,) = {child.pid for child in psutil.Process().children()} - before
            assert {driver} < set(processes.Portable().found(driver)) == set(processes.FromProc().found(driver))
            await window.open(f"http://film.test:{port}/calm")
            assert await window.page.title() == "calm"
            with pytest.raises(CloudfilmError, match="page-too-large"):
                await looked_at(window, port)
            await window.close()
        assert processes.Portable().found(driver) == []
        assert await calm.page.title() == "calm"


@pytest.mark.parametrize("where", ["browser", pytest.param("program", marks=pytest.mark.thorough)])
@in_browser_loop
async def test_hostile_7_what_was_left_behind_before_it_does_not_end_the_next_window(where):
    """As in a batch: an earlier link's page that is slow to end, and what the program holds of other links' images."""
    settings = Settings(timeout_s=20)
    async with server(site("hold")) as port, borrowed_browser(settings) as browser:
        door = Door(settings, Played({"film.test": [PUBLIC]}))
        door.belongs_to(f"http://film.test:{port}/page")
        await (await browser.window(door=door)).close()
        earlier = await browser.process.started()
        held = bytearray()
        if where == "browser":
            page = await (await browser.context()).new_page()
            await page.evaluate("() => { window.kept = new Uint8Array(600e6).fill(1); }")
        else:
            held = bytearray(b"x") * (600 * MB)
        window = await browser.window(door=door)
        assert (await browser.process.started() is earlier) is (where == "program")
        await window.open(f"http://film.test:{port}/page")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.7):  # some ten looks
                await window.traffic.wait_for("/never", timeout_s=90)
        assert await window.page.title() == "holds"
        await window.close()
        assert len(held) in (0, 600 * MB)


@in_browser_loop
async def test_a_response_that_is_cut_short_is_no_answer():
    settings = Settings(timeout_s=20)
    async with server(site("calm")) as port, borrowed_browser(settings) as browser:
        door = Door(settings, Played({"film.test": [PUBLIC]}))
        door.belongs_to(f"http://film.test:{port}/page")
        window = await browser.window(door=door)
        await window.open(f"http://film.test:{port}/page")
        assert (
            await window.page.evaluate("() => fetch('/cut').then(one => one.text()).then(() => 'whole', () => 'cut')")
            == "cut"
        )
        assert [why for url, why in window.traffic.missed if url.endswith("/cut")] == ["cut short"]
        assert not window.traffic.matching("/cut")
        await window.close()


async def allowing_late(head: bytes, writer: asyncio.StreamWriter) -> None:
    """Two origins in one: a page, and an interface that answers a preflight at once and ends its body late."""
    allows = "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Headers: token\r\nContent-Type: application/json"
    method, path = head.split(b" ")[:2]
    if path == b"/page":
        writer.write(answer(b"<title>page</title>", "Content-Type: text/html"))
        return
    whole = answer(b"OK" if method == b"OPTIONS" else bytes(1000), allows)
    at = whole.index(b"\r\n\r\n") + 4
    writer.write(whole[:at])
    await writer.drain()
    await asyncio.sleep(0.1 if method == b"OPTIONS" else 0.3)
    writer.write(whole[at:])


@in_browser_loop
async def test_a_call_is_not_cancelled_where_the_preflight_ends_after_it_began():
    settings = Settings(timeout_s=20)
    async with server(allowing_late) as page_port, server(allowing_late) as port, borrowed_browser(settings) as browser:
        door = Door(settings, Played({"film.test": [PUBLIC]}))
        window = await browser.window(door=door)
        door.belongs_to(f"http://film.test:{page_port}/page")
        await window.open(f"http://film.test:{page_port}/page")
        fetch = f"fetch('http://film.test:{port}/data', {{headers: {{token: 'x'}}}})"
        assert await window.page.evaluate(f"() => {fetch}.then(one => one.text()).then(one => one.length)") == 1000
        assert [exchange.size for exchange in window.traffic.matching("/data")] == [1000]
        assert not window.traffic.missed
        await window.close()


@pytest.mark.parametrize("how", ["dies", pytest.param("ended", marks=pytest.mark.thorough)])
async def test_hostile_8_a_browser_that_ends_between_two_links_is_replaced_and_an_end_with_its_driver_noticed(
    how, tmp_path
):
    """The former while the next link's window opens, too; the latter as the system ends them where its memory is full."""
    settings = Settings(timeout_s=20)
    before = set(processes.of_this_system().found())

    def own() -> list[int]:
        return [pid for pid in processes.of_this_system().found() if pid not in before]

    async with server(site("calm")) as port, Browser(settings, tmp_path / "spool") as browser:
        door = Door(settings, Played({"film.test": [PUBLIC]}))
        door.belongs_to(f"http://film.test:{port}/page")
        await (await browser.window(door=door)).close()
        dying = own()
        if how == "dies" and os.name != "nt":
            for pid in dying:
                os.kill(pid, signal.SIGSTOP)  # it is there, and answers nothing more
            asyncio.get_running_loop().call_later(0.3, processes.kill, dying)
        else:
            processes.kill(dying)
        window = await browser.window(door=door)  # before the library knows of it, perhaps before it is dead
        await window.open(f"http://film.test:{port}/page")
        assert await window.page.title() == "page"
        processes.kill(own())
        async with asyncio.timeout(20):
            with pytest.raises(CloudfilmError, match="browser"):
                await window.traffic.wait_for("/never", timeout_s=90)
        await window.close()
        assert (set(browser.asked_hosts), set(door.refused)) == ({"film.test"}, set())  # for none of its starts


def test_hostile_7_images_that_came_raise_the_bound_up_to_a_second_one():
    laptop = 8000 * MB
    assert bound(0, laptop) == MOST_BROWSER_BYTES
    assert bound(MOST_AHEAD_BYTES, laptop) < 1400 * MB  # until a page turns out to have to show all images itself
    assert bound(150 * MB, laptop) > 2 * 1040 * MB  # what OHIF took for them
    assert bound(16_000 * MB, laptop) == MOST_VIEWER_BYTES
    assert bound(16_000 * MB, 4000 * MB) == 2000 * MB  # half of the computer's memory
    assert bound(16_000 * MB, 1000 * MB) == MOST_BROWSER_BYTES


@pytest.mark.thorough
async def test_hostile_7_a_viewer_that_holds_many_images_is_not_ended(tmp_path):
    settings = Settings(timeout_s=20)
    with peak_of_all_processes() as peak:
        async with server(site("viewer")) as port, Browser(settings, tmp_path / "spool") as browser:
            door = Door(settings, Played({"film.test": [PUBLIC]}))
            door.belongs_to(f"http://film.test:{port}/page")
            window = await browser.window(door=door)
            await window.open(f"http://film.test:{port}/page")
            await window.page.wait_for_function("document.title === '210'", timeout=170_000)
            await window.close()
    assert peak.size > MOST_BROWSER_BYTES


@pytest.mark.thorough
async def test_hostile_7_an_ordinary_window_is_far_below_the_bound(tmp_path):
    settings = Settings(timeout_s=20)
    with peak_of_all_processes() as peak:
        async with server(site("calm")) as port, Browser(settings, tmp_path / "spool") as browser:
            door = Door(settings, Played({"film.test": [PUBLIC]}))
            door.belongs_to(f"http://film.test:{port}/calm")
            window = await browser.window(door=door)
            await window.open(f"http://film.test:{port}/calm")
            assert len(processes.of_this_system().found()) > 2
            await window.close()
    assert peak.size < MOST_BROWSER_BYTES * 0.7
