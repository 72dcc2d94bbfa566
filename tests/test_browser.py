"""The browser's process and windows: found, started, ended, whatever a page or a person does to them."""

import asyncio
import hashlib
import socket
from contextlib import suppress
from dataclasses import replace

import psutil
import pytest
import trustme

from fixtures.sites.generic_channels import site
from scraper.core.errors import BadCertificate, BrowserMissing, NoSuchStudy, SiteChanged, SiteUnreachable, UsageError
from scraper.core.model import Request
from scraper.core.reasons import Reason
from scraper.core.settings import ConnectTo, Settings
from scraper.core.timings import Timings
from scraper.session.browser import Browser, copy_rules, find_browser
from scraper.session.browser.discovery import installed_browsers
from scraper.session.http.client import Cookie
from scraper.testing import borrowed_browser, in_browser_loop
from tests.serving import served

PATIENCE_MS = 120_000
pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")


@pytest.fixture(scope="module")
def port():
    with served(site.app) as number:
        yield number


@pytest.fixture
def settings(port):
    return mapped(port)


def mapped(port: int, **options) -> Settings:
    names = (site.MAIN, site.OTHER, "10.11.12.13")
    options = {"timeout_s": 20.0, **options}
    return Settings(connect_to=tuple(ConnectTo.parse(f"{name}:80:127.0.0.1:{port}") for name in names), **options)


def digests(traffic) -> set[str]:
    return {hashlib.sha256(exchange.read()).hexdigest() for exchange in traffic.exchanges}


@pytest.mark.thorough
async def test_a_start_that_is_called_off_leaves_no_process(settings, tmp_path):
    def children() -> set[int]:
        return {child.pid for child in psutil.Process().children()}

    before = children()
    async with Browser(settings, tmp_path / "spool") as browser:
        starting = asyncio.create_task(browser.window())
        async with asyncio.timeout(120):
            while children() == before:  # noqa: ASYNC110  # a process sends no event
                await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert children() <= before


@in_browser_loop
async def test_every_channel_is_seen_whole(settings, monkeypatch):
    monkeypatch.setattr(
        copy_rules, "WHOLE", site.BIG - 1
    )  # so that a body of a few MB is streamed, and asked for again
    wanted = {name: site.digest(name) for name in (*site.DIRECT, *site.SOCKETS, "big")}
    async with borrowed_browser(settings) as browser:
        window = await browser.window()
        await window.open(f"http://{site.MAIN}/")
        main = window.pages[0]
        has_all = "names => names.every(name => document.title.split(' ').includes(name))"
        received = sorted({*site.DIRECT, *site.SOCKETS} - {"leaving"})
        await main.wait_for_function(has_all, arg=received, polling=100, timeout=PATIENCE_MS)
        await main.click("button >> nth=0")
        await main.wait_for_function(has_all, arg=["big"], polling=100, timeout=PATIENCE_MS)
        await main.click("text=leave")
        await main.wait_for_url("**/arrived")
        await window.traffic.settled(0.3, 5)
        seen = digests(window.traffic)
        lost = {name for name, digest in wanted.items() if digest not in seen}
        assert lost == set()
        asked = window.traffic.matching("/body/post")[0]
        assert (asked.method, asked.request_body, asked.kind) == ("POST", b"asked=1", "xhr")
        assert [exchange.read() for exchange in window.traffic.exchanges if exchange.kind == "websocket-out"] == [
            b"give"
        ] * 5
        assert len(window.pages) == 2


@in_browser_loop
async def test_a_body_that_never_ends_reaches_the_page(settings):
    """It is given up, and goes past us; what else the page asks for is seen meanwhile."""
    hasty = replace(settings, timings=Timings(endless_s=1.0))
    async with borrowed_browser(hasty) as browser:
        window = await browser.window()
        await window.open(f"http://{site.MAIN}/arrived")
        read = "async () => { const one = (await fetch('/unending')).body.getReader(); return (await one.read()).value.length; }"
        size = asyncio.ensure_future(window.page.evaluate(read))
        await window.page.evaluate("() => fetch('/body/chunked').then(one => one.arrayBuffer())")
        async with asyncio.timeout(20):
            assert await size > 0
        assert [why for url, why in window.traffic.missed if url.endswith("/unending")] == ["endless"]
        assert site.digest("chunked") in digests(window.traffic)


def started_since(before: set[int]) -> list[psutil.Process]:
    """The browser of a test's own, its driver first; the one that others share is among those before."""
    drivers = [child for child in psutil.Process().children() if child.pid not in before]
    found: list[psutil.Process] = []
    for driver in drivers:
        with suppress(psutil.NoSuchProcess):
            found += [driver, *driver.children(recursive=True)]
    return found


@pytest.fixture
def before() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


@in_browser_loop
async def test_windows_share_nothing_and_wait_for_each_other(settings):
    async with borrowed_browser(settings) as browser:
        first = await browser.window()
        await first.add_cookies(
            [Cookie("who", "first", site.MAIN), Cookie("unsound", "x", ""), Cookie("__Host-odd", "y", site.MAIN)]
        )
        await first.open(f"http://{site.MAIN}/arrived")
        assert [(cookie.name, cookie.value) for cookie in await first.cookies()] == [("who", "first")]
        second = asyncio.create_task(browser.window(mobile=True))
        await asyncio.sleep(0)
        assert not second.done()
        await first.close()
        window = await second
        await window.open(f"http://{site.MAIN}/arrived")
        assert await window.cookies() == []
        assert await window.page.evaluate("navigator.maxTouchPoints") > 0
        assert "Headless" not in await window.page.evaluate("navigator.userAgent")
        await window.close()
        hasty = await browser.window(settings=replace(settings, timeout_s=0.2))
        with pytest.raises(SiteChanged):
            async with hasty.guard():
                await hasty.page.click("#no-such-button")  # no longer than its own settings say


@in_browser_loop
async def test_addresses_are_mapped_by_number_too(settings):
    async with borrowed_browser(settings) as browser:
        window = await browser.window()
        await window.open("http://10.11.12.13/arrived")
        assert await window.page.title() == "arrived"


@in_browser_loop
async def test_which_face_shows(settings):
    async with borrowed_browser(settings) as browser:
        window = await browser.window()
        await window.open(f"http://{site.MAIN}/gone")
        assert await window.which({"viewer": "canvas", "expired": "text=已失效"}, timeout_s=10) == "expired"
        with pytest.raises(SiteChanged):
            await window.which({"viewer": "canvas"}, timeout_s=0.3)
        await window.open(f"http://{site.MAIN}/arrived")
        assert await window.which({"viewer": "canvas", "expired": "text=已失效"}, timeout_s=10) == "viewer"


@in_browser_loop
async def test_downloads_and_dialogs(settings):
    async with borrowed_browser(settings) as browser:
        window = await browser.window()
        await window.open(f"http://{site.MAIN}/files")
        page = window.page
        await page.click("text=package")
        package = await window.traffic.wait_for("/package$", timeout_s=10)
        await page.click("#made")
        made = await window.traffic.wait_for("^blob:", timeout_s=10)
        await page.click("#ask")
        assert (package.kind, package.read()) == ("download", b"PK packed")
        assert (made.kind, made.read()) == ("download", b"made in the page")
        assert window.dialogs == ["the share has ended"]


@in_browser_loop
async def test_a_request_from_inside_the_page(settings):
    async with borrowed_browser(settings) as browser:
        window = await browser.window()
        await window.open(f"http://{site.MAIN}/arrived")
        got = await window.fetch(Request(f"http://{site.MAIN}/body/post", "POST", {}, b"asked=1"))
        assert (got.status, got.body) == (200, site.content("post"))
        refused = await window.fetch(Request(f"http://{site.MAIN}/body/post", "POST", {}, b"wrong"))
        assert refused.status == 400
        # The other site does not allow the page to read this; the tap sees it all the same.
        other_origin = await window.fetch(Request(f"http://{site.OTHER}/body/chunked"))
        assert other_origin.body == site.content("chunked")
        with pytest.raises(SiteUnreachable):
            await window.fetch(Request("http://no-such-host.invalid/"))


@in_browser_loop
async def test_a_bad_certificate_and_insecure(tmp_path):
    authority = trustme.CA()
    pair = authority.issue_cert("film.test")
    certificate, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
    pair.private_key_pem.write_to_path(str(key))
    context = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
    with served(site.app, **context) as port:
        rows = (ConnectTo.parse(f"film.test:443:127.0.0.1:{port}"),)
        settings = Settings(connect_to=rows, timeout_s=20)
        async with borrowed_browser(settings) as browser:
            window = await browser.window()
            with pytest.raises(BadCertificate):
                await window.open("https://film.test/arrived")
            await window.close()
            window = await browser.window(settings=replace(settings, insecure=True))
            await window.open("https://film.test/arrived")
            assert await window.page.title() == "arrived"


@in_browser_loop
async def test_sites_that_are_not_there(settings):
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as other:
        refused, quiet = other.getsockname()[1], silent.getsockname()[1]
        other.close()
        async with borrowed_browser(Settings(timeout_s=1.5)) as browser:
            window = await browser.window()
            for url, why in (
                ("http://no-such-host.invalid/", Reason.NAME_UNKNOWN),
                (f"http://127.0.0.1:{refused}/", Reason.CONNECTION_REFUSED),
                (f"http://127.0.0.1:{quiet}/", Reason.NO_ANSWER_IN_TIME),
            ):
                with pytest.raises(SiteUnreachable) as caught:
                    await window.open(url)
                assert caught.value.values["why"] == why


@in_browser_loop
async def test_an_error_without_a_word_is_told_by_its_status(settings):
    async with borrowed_browser(settings) as browser:
        window = await browser.window()
        for status, kind, why in (
            (404, NoSuchStudy, None),
            (410, NoSuchStudy, None),
            (503, SiteUnreachable, "HTTP 503"),
        ):
            with pytest.raises(kind) as caught:
                await window.open(f"http://{site.MAIN}/wordless/{status}")
            assert caught.value.values.get("why") == why


async def test_a_killed_browser_is_an_error_the_next_window_a_new_one_and_nothing_is_left_behind(
    settings, tmp_path, before
):
    async with Browser(settings, tmp_path / "spool") as browser:
        window = await browser.window()
        await window.open(f"http://{site.MAIN}/arrived")
        waiting = asyncio.create_task(window.traffic.wait_for("never", timeout_s=60))
        asyncio.get_running_loop().call_later(0.1, main_process(before).kill)
        with pytest.raises(SiteUnreachable):
            async with window.guard():
                await asyncio.get_running_loop().create_future()  # a call that the dying browser never answers
        with pytest.raises(SiteUnreachable):
            await waiting
        with pytest.raises(SiteUnreachable):
            async with window.guard():
                await window.page.click("canvas")
        with pytest.raises(SiteUnreachable):
            await window.which({"viewer": "canvas"}, timeout_s=30)
        assert await window.cookies() == []
        await window.close()
        fresh = await browser.window()
        await fresh.open(f"http://{site.MAIN}/arrived")
        assert await fresh.page.title() == "arrived"
        await fresh.close()
        await fresh.close()
        await browser.window()
        own = started_since(before)
        assert len(own) > 2
        await browser.close()  # with a window; and once more at the end
    assert psutil.wait_procs(own, timeout=30)[1] == []
    assert started_since(before) == []
    assert list(tmp_path.iterdir()) == []


def main_process(before: set[int]) -> psutil.Process:
    """The browser of a test's own itself: its children have a type, and what reports crashes has no ``--headless``."""
    for item in started_since(before)[1:]:
        with suppress(psutil.Error):  # others end meanwhile
            words = " ".join(item.cmdline())
            if "--headless" in words and "--type=" not in words:
                return item
    raise AssertionError("it has no process")


@in_browser_loop
async def test_a_recipe_that_waits_in_vain(settings):
    async with borrowed_browser(settings) as browser:
        window = await browser.window()
        await window.open(f"http://{site.MAIN}/arrived")
        with pytest.raises(SiteChanged):
            async with window.guard():
                await window.page.click("#no-such-button", timeout=200)
        with pytest.raises(SiteChanged):
            async with window.guard():
                await window.page.evaluate("no.such.function()")


@pytest.mark.parametrize("lacking", ["missing", "broken"])
async def test_no_browser_that_starts(lacking, tmp_path):
    path = tmp_path / "chrome"
    if lacking == "broken":
        path.write_text("#!/bin/sh\nexit 3\n")
        path.chmod(0o700)
    async with Browser(Settings(browser_path=str(path)), tmp_path / "spool") as browser:
        with pytest.raises(BrowserMissing):
            await browser.window()
        if lacking == "missing":  # it starts no driver
            with pytest.raises(BrowserMissing):  # the first failure left no lock behind
                await browser.window()


async def test_no_screen(tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    async with Browser(Settings(headed=True), tmp_path / "spool") as browser:
        with pytest.raises(UsageError):
            await browser.window()


def test_where_browsers_are_looked_for(tmp_path, monkeypatch):
    for revision in ("chromium-999", "chromium-1200"):
        folder = tmp_path / "ms" / revision / "chrome-linux64"
        folder.mkdir(parents=True)
        (folder / "chrome").touch(0o700)
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "ms"))
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "chromium").touch(0o700)
    assert [path.relative_to(tmp_path).parts[:2] for path in installed_browsers()][:3] == [
        ("ms", "chromium-1200"),
        ("ms", "chromium-999"),
        ("chromium",),
    ]
    assert find_browser(str(tmp_path / "absent")) is None
    assert find_browser("chromium") == tmp_path / "chromium"
