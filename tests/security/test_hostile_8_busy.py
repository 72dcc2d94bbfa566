"""Row 8: a page that is busy without end, with its own site or with others, is stopped; honest pages go on."""

import asyncio
import sys

import pytest

from scraper.core.errors import ExitCode, NothingNew
from scraper.core.model import Status
from scraper.core.settings import BrowserUse, ConnectTo, Settings
from scraper.session import patience
from scraper.session.browser import find_browser
from scraper.session.door import Door, relay
from scraper.testing import borrowed_browser, first_of, in_browser_loop
from tests.security.played import OTHER, PUBLIC, Played
from tests.security.test_hostile_addresses import answer, server
from tests.security.test_hostile_give_up import run

needs_browser = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
ENDS_S = 240.0
BUSY = """<!doctype html><title>viewer</title><canvas width=600 height=600></canvas><p>loading ...</p><script>
(async () => {
  for (let n = 0; ; n++) { await fetch("/list/" + n); await new Promise(done => setTimeout(done, 100)); }
})();
</script>"""


@needs_browser
async def test_hostile_8_lists_without_end_and_without_an_image_end(tmp_path, monkeypatch):
    """Each answer is another one at another address: until now this put the end off for as long as the page liked."""
    monkeypatch.setattr(patience, "MOST_BUSY_TIMES", 2)
    asked = 0

    async def pages(head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        if b"GET /list/" in head:
            asked += 1
            writer.write(
                answer(f'{{"page": {asked}, "text": "{"a" * 4000}"}}'.encode(), "Content-Type: application/json")
            )
        else:
            writer.write(answer(BUSY.encode(), "Content-Type: text/html"))

    async with server(pages) as port:
        rows = (ConnectTo.parse(f"viewer.test::127.0.0.1:{port}"),)
        options = {"browser": BrowserUse.AUTO, "give_up_s": 3.0, "provider": "universal"}
        result = await run(tmp_path, rows, "http://viewer.test/v/1", ENDS_S, **options)
    assert asked  # how often in that time is the machine's matter; the bound itself is tried below
    assert (result.status, result.exit_code) == (Status.FAILED, ExitCode.SITE)
    assert isinstance(result.error, NothingNew)


async def busy(stored: patience.Patience, *, is_image: bool) -> None:
    async with stored.bounded():
        while True:
            stored.note_page_response(is_image=is_image)
            await asyncio.sleep(0.01)  # the page's own pace


@pytest.mark.parametrize(("is_image", "times"), [(False, "MOST_BUSY_TIMES"), (True, "MOST_LISTING_TIMES")])
async def test_hostile_8_what_a_page_brings_puts_the_end_off_so_often_only(is_image, times, monkeypatch):
    monkeypatch.setattr(patience, times, 2)
    stored = patience.Patience(0.2, "film.test")
    with pytest.raises(NothingNew):
        async with asyncio.timeout(ENDS_S):
            await busy(stored, is_image=is_image)


async def test_hostile_8_images_and_what_is_fetched_put_the_end_off_as_before(monkeypatch):
    monkeypatch.setattr(patience, "MOST_BUSY_TIMES", 1)
    monkeypatch.setattr(patience, "MOST_LISTING_TIMES", 1)
    loop, ahead = asyncio.get_running_loop(), 0.0
    clock = loop.time
    monkeypatch.setattr(loop, "time", lambda: clock() + ahead)  # however busy the machine is
    stored = patience.Patience(60.0, "film.test")
    stored.listed()
    async with asyncio.timeout(None), stored.bounded():
        for _ in range(10):
            await asyncio.sleep(0)
            ahead += 40.0
            stored.note_page_response(is_image=True)


ABROAD = """<!doctype html><title>page</title><script>
window.failed = 0;
(async () => {
  for (let n = 0; window.failed < 5; n++) {
    try { await fetch("http://other.test:%d/count/" + n, {mode: "no-cors"}); } catch { window.failed++; }
  }
  document.title = "done";
})();
</script>"""


@needs_browser
@pytest.mark.skipif(sys.platform == "win32", reason="one loopback address plays two sites")
@pytest.mark.parametrize(("name", "most"), first_of([("MOST_SENT_ABROAD", 8_000), ("MOST_CONNECTIONS_ABROAD", 30)]))
@in_browser_loop
async def test_hostile_8_calls_to_other_sites_end(name, most, monkeypatch):
    monkeypatch.setattr(relay, name, most)
    settings = Settings(timeout_s=60)
    asked = {"count": 0, "home": 0}
    ports = [0]

    async def pages(head: bytes, writer: asyncio.StreamWriter) -> None:
        if b"GET /count/" in head:
            asked["count"] += 1
            writer.write(answer(b"ok"))
        elif b"GET /home" in head:
            asked["home"] += 1
            writer.write(answer(b"home", "Content-Type: text/html"))
        else:
            writer.write(answer((ABROAD % ports[0]).encode(), "Content-Type: text/html"))

    async with server(pages) as port, borrowed_browser(settings) as browser:
        ports[0] = port
        door = Door(settings, Played({"film.test": [PUBLIC], "other.test": [OTHER]}))
        door.belongs_to(f"http://film.test:{port}/page")
        window = await browser.window(door=door)
        async with asyncio.timeout(ENDS_S):
            await window.open(f"http://film.test:{port}/page")
            await window.page.wait_for_function("document.title == 'done'", timeout=60_000)
        assert 10 < asked["count"] < 100
        await window.open(f"http://film.test:{port}/home")  # its own site is reached as before
        assert asked["home"] == 1
        await window.close()
        window = await browser.window(door=door)  # another window begins at nothing
        before = asked["count"]
        await window.open(f"http://film.test:{port}/page")
        await window.page.wait_for_function("document.title == 'done'", timeout=60_000)
        assert asked["count"] > before + 10
        await window.close()
