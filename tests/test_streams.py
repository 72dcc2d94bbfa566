"""Event streams and JSON lines that a page reads piece by piece: each comes once, whichever way the page reads it."""

import asyncio

import pytest
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from fixtures.sites import application
from scraper.core.settings import ConnectTo, Settings
from scraper.session.browser import Browser, copy_rules, find_browser
from scraper.session.browser.traffic import EVENT, Traffic
from tests.serving import served

HOST = "streams.test"
WORKER = "fetch('/lines?worker').then(async a => { for await (const _ of a.body); postMessage(1); });"
WAYS = {
    "reader": "const r = (await fetch('/lines?reader')).body.getReader(); while (!(await r.read()).done);",
    "each": "for await (const piece of (await fetch('/lines?each')).body);",
    "decoded": "const r = (await fetch('/lines?decoded')).body.pipeThrough(new TextDecoderStream()).getReader();"
    "while (!(await r.read()).done);",
    "text": "await (await fetch('/lines?text')).text();",
    "xhr": "await new Promise(done => { const x = new XMLHttpRequest(); x.open('GET', '/lines?xhr');"
    "x.onprogress = () => x.responseText; x.onload = () => done(x.responseText); x.send(); });",
    "worker": "await new Promise(done => { new Worker('/worker.js').onmessage = done; });",
    "cut": "try { const r = (await fetch('/lines?cut')).body.getReader(); while (!(await r.read()).done); } catch { }",
    # several pieces may come out of one read, and this stream does not end
    "events": "const r = (await fetch('/events', {method: 'POST'})).body.getReader(), d = new TextDecoder();"
    "for (let t = ''; !t.includes('unfinished');) t += d.decode((await r.read()).value, {stream: true});",
}


async def lines(request):
    async def pieces():
        for piece in (b'{"id": 1}\n{"i', b'd": "\xe5', b"\xbd", b'\xb1"}\r\n\n', b'{"id": 3}'):
            yield piece
            await asyncio.sleep(0.05)
        if request.url.query == "cut":
            raise ConnectionResetError

    return StreamingResponse(pieces(), media_type="application/x-ndjson")


async def events(_):
    async def pieces():
        for piece in (b": well\n\nevent: a\ndata: {\ndata: }\nid: 7\n\nda", b"ta:last\n\n", b"data: unfinished\n"):
            yield piece
            await asyncio.sleep(0.05)
        await asyncio.sleep(60)

    return StreamingResponse(pieces(), media_type="text/event-stream; charset=utf-8")


APP = application(
    Route("/", lambda _: HTMLResponse("<title>streams</title>")),
    Route("/worker.js", lambda _: Response(WORKER, media_type="text/javascript")),
    Route("/lines", lines),
    Route("/events", events, methods=["POST"]),
)


@pytest.mark.thorough
@pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
async def test_every_way_to_read_a_stream(tmp_path):
    with served(APP) as port:
        settings = Settings(connect_to=(ConnectTo.parse(f"{HOST}:80:127.0.0.1:{port}"),), timeout_s=20.0)
        async with Browser(settings, tmp_path / "spool") as browser:
            window = await browser.window()
            await window.look_into_memory()
            await window.open(f"http://{HOST}/")
            for script in WAYS.values():
                await window.page.evaluate(f"async () => {{ {script} }}")
            async with asyncio.timeout(20):
                least = 3 * (len(WAYS) - 2) + 2 + 2
                while (
                    sum(exchange.kind == EVENT for exchange in window.traffic.exchanges) < least
                    or not window.traffic.cut_streams
                ):
                    await window.traffic.after(len(window.traffic.exchanges), timeout_s=1)
            events_of = {}
            for exchange in window.traffic.exchanges:
                if exchange.kind == EVENT:
                    events_of.setdefault(exchange.url.rpartition("/")[2], []).append(exchange.read().decode())
            unfinished = {url.rpartition("/")[2] for url in window.traffic.unfinished}
            cut = {url.rpartition("?")[2] for url in window.traffic.cut_streams}
    assert unfinished == {"lines?cut"}
    assert events_of.pop("events") == ["{\n}", "last"]
    assert events_of.keys() == {f"lines?{name}" for name in WAYS if name != "events"}
    whole = ['{"id": 1}', '{"id": "影"}', '{"id": 3}']
    assert events_of.pop("lines?cut")[:2] == whole[:2]
    assert events_of == dict.fromkeys(events_of, whole)
    assert cut == {"cut"}


def test_what_is_read_by_lines_is_not_held_back():
    request = {"method": "GET", "url": f"https://{HOST}/x"}
    event = {"responseStatusCode": 200, "request": request, "resourceType": "Fetch"}
    plans = {copy_rules.plan_of(event, {"content-type": f"{name};x"}, programs=False) for name in copy_rules.BY_LINES}
    assert plans == {copy_rules.CopyPlan.PASS}


def test_a_stream_is_read_until_it_ends(tmp_path):
    traffic = Traffic(tmp_path / "spool", HOST)
    assert not traffic.is_streaming
    traffic.note_stream("a", is_over=False, is_cut=False)
    assert traffic.is_streaming
    traffic.note_stream("a", is_over=True, is_cut=True)
    assert not traffic.is_streaming
    assert traffic.cut_streams == {"a"}


def test_lines_that_have_not_come_to_their_end_are_no_whole_list(tmp_path):
    traffic = Traffic(tmp_path / "spool", HOST)
    traffic.note_stream("lines", is_over=False, is_cut=False, ends=True)
    traffic.note_stream("events", is_over=False, is_cut=False)
    assert traffic.unfinished == {"lines"}
    traffic.note_stream("lines", is_over=True, is_cut=False)
    assert traffic.unfinished == set()


@pytest.mark.parametrize(("ends", "is_read"), [(True, True), (False, False)], ids=["lines", "events"])
def test_a_pause_ends_a_channel_and_no_text_of_lines(ends, is_read, tmp_path):
    traffic = Traffic(tmp_path / "spool", HOST, quiet_s=0.0)
    traffic.note_stream("list", is_over=False, is_cut=False, ends=ends)
    assert traffic.is_streaming is is_read
