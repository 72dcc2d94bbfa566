"""圆心云影 (天津市肿瘤医院, tjmucih): its calls are not known; the page shows one image at a time, and is paged through."""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter

from providers.tjmucih.arrived import IMAGE, TURN_MS, ReceivedImages, pause
from providers.toolkit.gate import PageGate
from scraper.contract import (
    PASSWORD,
    Deployment,
    Provider,
    Reason,
    Reply,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    parse_int,
)

DESKTOP, PHONE_BAR, PHONE_ITEM = "div.listbtn button.rightbutton", "div.footer-li", ".listitem"
Pace = tuple[int, bool, int, float]
WIDTH, HEIGHT = 1280, 720  # a taller window hides the phone page's bar
READY = r"() => /^\s*影像ID[:：]/m.test(document.body.innerText)"
READ = r"""selector => ({rows: [...document.querySelectorAll(selector)].map(row => row.innerText)})"""
CLICK = "([selector, place]) => document.querySelectorAll(selector)[place]?.click()"
BAR = """() => [...document.querySelectorAll("div.footer-li")].find(item => item.innerText.includes("序列"))?.click()"""
# Presses 下一页 as a person would who holds it down; a patient one waits for the image before the next press: until the page says
# that it shows another one, too, as what loads meanwhile may be an earlier image.
NEXT_IMAGES = """async ([times, pause, patient]) => {
  const turn = TURN;
  const loaded = () => performance.getEntriesByType("resource").length;
  const label = () => (document.body.innerText.match(/^\\s*影像ID[:：].*/m) || [""])[0];
  const shown = () => [...document.querySelectorAll('button[title="下一页"]')].find(button => button.offsetParent);
  for (let press = 0; press < times; press++) {
    const late = performance.now() + 5000;
    while (!shown() && performance.now() < late) await new Promise(done => setTimeout(done, 50));
    const button = shown();
    if (!button) return false;
    const before = loaded(), labelled = label();
    const is_there = () => loaded() > before && (!labelled || label() !== labelled);
    let turns = pause / turn;
    button.click();
    do await new Promise(done => setTimeout(done, turn));
    while (--turns > 0 && !(patient && is_there()));
  }
  return true;
}""".replace("TURN", str(TURN_MS))
# Round by round, as fast paging can skip images: ms a press, patient, presses too many, and s for a series to open.
PACES = ((0, False, 1, 0.5), (200, True, 5, 1.5), (800, True, 5, 3.0))
UNCOUNTED_PACE = PACES[1]
CLOSED_S = 3.0  # for a phone's list to have closed
AT_ONCE = 40  # presses between two looks at what came
UNCOUNTED_PRESSES = 25  # at a time, through a series that shows no count


class RowsShown(Reply):
    """The list of series, in the page's order."""

    rows: list[str]

    @property
    def counts(self) -> list[int | None]:
        """How many images each row names."""
        named = (re.search(r"序列数量\s*[:：]\s*(\d+)", row) for row in self.rows)
        return [parse_int(match[1]) if match else None for match in named]


class Tjmucih(Provider):
    name = "tjmucih"
    route = r"(?=.*(?:[?&]dignosis=[0-9a-fA-F]{32}(?![0-9a-fA-F])|/mobile)).+"
    asks = (PASSWORD,)
    when_asked = "password, where the share has one"
    serves = "Part 10 files, as the page receives them"
    deployments = (Deployment("zlyy.tjmucih.cn", "天津市肿瘤医院（圆心云影）", "天津"),)
    distinctive_routes = (r"(?=.*[?&]dignosis=[0-9a-fA-F]{32}(?![0-9a-fA-F])).+",)
    study_list_call = IMAGE
    on_any_host = True
    behind = (r"[^/]+/yunyingxiang/.*",)
    gate = PageGate(viewer=f"{DESKTOP}, {PHONE_BAR}", asks=PASSWORD)
    example = "https://zlyy.tjmucih.cn/yunyingxiang/?dignosis=0123456789abcdef0123456789abcdef"

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.screen.size(WIDTH, HEIGHT)
        await super().open_viewer(link, session)

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        arrived = ReceivedImages()
        selector = await _show_list(session)
        await arrived.settle(session)  # rows are filled in one after another
        counts = RowsShown.model_validate(await session.screen.evaluate(READ, selector)).counts
        if not counts:
            raise SiteChanged(what=Reason.SERIES_LIST_EMPTY)
        for pace in PACES:
            for place, count in enumerate(counts):
                if pace is UNCOUNTED_PACE if count is None else arrived.is_short(place, counts):
                    await _page_through(session, place, count, pace, arrived)
        return arrived.described(counts)


async def _show_list(session: Session) -> str:
    """Have the list of series shown; returns its rows' selector. A list that is just closing is opened once more."""
    if await session.screen.count(DESKTOP, hidden=True):
        return DESKTOP
    give_up = time.monotonic() + session.settings.timeout_s
    while not await session.screen.count(PHONE_ITEM):
        if time.monotonic() > give_up:
            raise SiteChanged(what=Reason.NO_SERIES_LIST)
        await session.screen.evaluate(BAR)
        with contextlib.suppress(SiteChanged):
            await session.which(list=PHONE_ITEM, timeout_s=2.0)
    return PHONE_ITEM


async def _page_through(session: Session, place: int, count: int | None, pace: Pace, arrived: ReceivedImages) -> None:
    """Open a series at its first image and page to its end."""
    arrived.take(session)
    selector = await _show_list(session)
    await session.screen.evaluate(CLICK, [selector, place])
    pause_ms, is_patient, more, opened_s = session.site_s(pace[0]), *pace[1:]
    if selector == PHONE_ITEM:
        await session.screen.wait_hidden(PHONE_ITEM, timeout_s=CLOSED_S)
        await session.screen.wait_until(READY)
    await pause(session, opened_s, ends=True)
    grown = arrived.take(session)
    left, fresh = (count or 1) - 1 + more, Counter[str]()
    while left > 0 or count is None:
        presses = min(left, AT_ONCE) if count is not None else UNCOUNTED_PRESSES
        await session.screen.evaluate(NEXT_IMAGES, [presses, pause_ms, is_patient])
        left -= presses
        fresh = arrived.take(session) if left > 0 else await arrived.settle(session)
        grown += fresh
        if count is None and not fresh.total():
            break
        if fresh.total() > AT_ONCE // 2:
            session.tell("collecting", count=sum(map(len, arrived.series.values())))
    arrived.own(place, grown)
    while count is not None and arrived.count(place) > count and fresh.total():  # the row counts too few
        await session.screen.evaluate(NEXT_IMAGES, [UNCOUNTED_PRESSES, pause_ms, is_patient])
        fresh = await arrived.settle(session)
