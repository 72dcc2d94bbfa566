"""Patience is measured from the last sign of life, and driving a viewer of no images comes to an end."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from fixtures.sites.generic_viewer.site import png
from scraper.capture import Capture
from scraper.core.errors import CloudfilmError, NotOriginalDicom, SiteChanged, UnknownViewer
from scraper.core.link import parse_url
from scraper.core.settings import Settings
from scraper.session import Session
from scraper.session.browser import find_browser
from scraper.session.http.client import Http
from scraper.session.http.pace import Pace
from scraper.testing import borrowed_browser, in_browser_loop
from tests.serving import served

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")

HANGS_S = 240  # what takes so long did not end
DEAD = "<h1>影像</h1><p>正在加载，请稍候</p>"
ALIVE = """<h1>影像</h1><p></p><script>let n = 0; const e = document.querySelector("p");
const timer = setInterval(() => { e.textContent = `正在调阅 ${++n}`; if (n === 12) { clearInterval(timer);
  document.body.append(document.createElement("canvas")); } }, 300);</script>"""
LISTED = """<ul></ul><canvas width=300 height=300></canvas><script>
const say = n => fetch(`/thing?n=${n}`).then(a => a.blob()).then(createImageBitmap).then(picture => {
  document.querySelector("canvas").getContext("2d").drawImage(picture, 0, 0, 300, 300); });
for (let n = 0; n < 5; n++) { const e = document.createElement("li"); e.textContent = `序列${n} (9张)`;
  e.onclick = () => say(n); document.querySelector("ul").append(e); }
fetch("/list").then(() => say(0));</script>"""


class Pages:
    """Pages that come to nothing; counts what is asked for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.app = Starlette(
            routes=[
                Route("/v/{kind}", self.page),
                Route("/list", lambda _: JSONResponse({"ok": True})),
                Route("/thing", self.thing),
                Route("/{rest:path}", lambda _: Response(status_code=204)),
            ]
        )

    async def page(self, request):
        text = {"dead": DEAD, "alive": ALIVE, "listed": LISTED}[request.path_params["kind"]]
        return HTMLResponse(f"<!doctype html><meta charset=utf-8><body>{text}")

    async def thing(self, request):
        number = request.query_params["n"]
        self.asked[number] += 1
        return Response(png(256, int(number)), media_type="image/png")


@asynccontextmanager
async def shown(kind, folder, **options):
    pages = Pages()
    settings = Settings(timeout_s=20, **options)
    with served(pages.app) as port:
        link = parse_url(f"http://127.0.0.1:{port}/v/{kind}")
        async with borrowed_browser(settings) as browser, asyncio.timeout(HANGS_S):
            session = Session(
                link,
                settings,
                Http(settings, Pace(4, None)),
                start_window=browser.window,
                ask=lambda *_: None,
                spool=folder / "s",
            )
            try:
                await session.open(link.url)
                yield pages, link, session
            finally:
                await session.close()


@in_browser_loop
async def test_verdicts_b16_a_page_that_stands_still_is_given_up(tmp_path):
    async with shown("dead", tmp_path, still_s=1.5) as (_, link, session):
        with pytest.raises(SiteChanged):
            await session.which(viewer="canvas", timeout_s=3600)
        with pytest.raises(UnknownViewer):
            await Capture(link, session).run()


@pytest.mark.thorough
@in_browser_loop
async def test_verdicts_b16_a_page_that_moves_is_waited_for(tmp_path):
    async with shown("alive", tmp_path, still_s=1.5) as (_, _, session):
        assert await session.which(viewer="canvas", timeout_s=3600) == "viewer"


@pytest.mark.thorough
@in_browser_loop
async def test_verdicts_b21_where_nothing_is_dicom_each_entry_gets_one_look(tmp_path):
    async with shown("listed", tmp_path) as (pages, link, session):
        with pytest.raises(CloudfilmError) as ended:
            await Capture(link, session).run()
    assert isinstance(ended.value, (NotOriginalDicom, UnknownViewer))
    assert all(times == 1 for number, times in pages.asked.items() if number != "0")
