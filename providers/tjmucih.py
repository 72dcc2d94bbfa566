"""圆心云影 (天津市肿瘤医院, tjmucih): its calls are not known; the page shows one image at a time, and is leafed through.

facts:    fixtures/sites/tjmucih/README.md
asks:     password, where the share has one
serves:   Part 10 files, as the page receives them
verified: emulated site only

Over 120 lines because two pages (desktop, phone) are driven, and leafing that skipped an image is done again, more slowly.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from providers.toolkit import drive_page
from scraper.contract import (
    PASSWORD,
    AsyncIterator,
    Deployment,
    Found,
    Instance,
    Problem,
    Provider,
    Reason,
    Reply,
    Series,
    Session,
    ShareLink,
    SiteChanged,
)

DESKTOP, PHONE_BAR, PHONE_ITEM = "div.listbtn button.rightbutton", "div.footer-li", ".listitem"
IMAGE = r"/api/yunyingxiang/get_dcm_jpg"
Pace = tuple[int, bool, int, float]
WIDTH, HEIGHT = 1280, 720  # a taller window hides the phone page's bar
READY = r"() => /^\s*影像ID[:：]/m.test(document.body.innerText)"
READ = r"""selector => [...document.querySelectorAll(selector)].map(one => ({text: one.innerText}))"""
CLICK = "([selector, at]) => document.querySelectorAll(selector)[at]?.click()"
BAR = """() => [...document.querySelectorAll("div.footer-li")].find(one => one.innerText.includes("序列"))?.click()"""
# Presses 下一页 as a person would who holds it down; a patient one waits for the image before the next press.
LEAF = """async ([times, pause, patient]) => {
  performance.setResourceTimingBufferSize(1e6);
  const loaded = () => performance.getEntriesByType("resource").length;
  const shown = () => [...document.querySelectorAll('button[title="下一页"]')].find(one => one.offsetParent);
  for (let at = 0; at < times; at++) {
    const late = performance.now() + 5000;
    while (!shown() && performance.now() < late) await new Promise(done => setTimeout(done, 50));
    const button = shown();
    if (!button) return false;
    const before = loaded(), until = performance.now() + pause;
    button.click();
    do await new Promise(done => setTimeout(done, 15));
    while (performance.now() < until && !(patient && loaded() > before));
  }
  return true;
}"""
# Round by round, as fast leafing can skip images: ms a press, as a patient one, presses too many, and s for a series to open.
PACES = ((0, False, 0, 0.5), (200, True, 5, 1.5), (800, True, 5, 3.0))
UNCOUNTED_PACE = PACES[1]
CLOSED_S = 3.0  # for a phone's list to have closed
QUIET_S = 1.0  # nothing new for this long: the page has what it asked for
AT_ONCE = 40  # presses between two looks at what came
UNCOUNTED_PRESSES = 25  # at a time, through a series that shows no count


class Row(Reply):
    text: str

    @property
    def count(self) -> int | None:
        match = re.search(r"序列数量\s*[:：]\s*(\d+)", self.text)
        return int(match[1]) if match else None


class _Asked(Protocol):
    @property
    def url(self) -> str: ...


@dataclass
class Arrived:
    """What came, by Series Instance UID and SOP Instance UID; ``at``: exchanges looked at."""

    series: dict[str, dict[str, Instance]] = field(default_factory=dict)
    study_instance_uid: str = ""
    at: int = 0
    pending: set[str] = field(default_factory=set)  # addresses that the page asked for and has no answer to yet

    def listen(self, session: Session) -> None:
        """Follow the page's own requests for images, from now on."""

        def asked(request: _Asked) -> None:
            if re.search(IMAGE, request.url):
                self.pending.add(request.url)

        def answered(request: _Asked) -> None:
            self.pending.discard(request.url)

        session.page.on("request", asked)
        session.page.on("requestfinished", answered)
        session.page.on("requestfailed", answered)

    def take(self, session: Session) -> Counter[str]:
        """Look through what is new; gives how many images it brought to each series."""
        fresh, brought = session.traffic.exchanges[self.at :], Counter[str]()
        self.at += len(fresh)
        for exchange in fresh:
            if not re.search(IMAGE, exchange.url) or not exchange.ok or exchange.read(132)[128:] != b"DICM":
                continue
            captured, header = session.captured(exchange)
            if header is None:
                continue  # cut short: the page asks for it again when it is shown again
            self.study_instance_uid = self.study_instance_uid or header.study_instance_uid
            images = self.series.setdefault(header.series_instance_uid, {})
            brought[header.series_instance_uid] += header.sop_instance_uid not in images
            images.setdefault(header.sop_instance_uid, Instance(header.sop_instance_uid, captured))
        return brought

    @property
    def count(self) -> int:
        return sum(len(images) for images in self.series.values())


class Tjmucih(Provider):
    name = "tjmucih"
    route = r"(?=.*(?:[?&]dignosis=[0-9a-fA-F]{32}(?![0-9a-fA-F])|/mobile)).+"
    asks = (PASSWORD,)
    deployments = (Deployment("zlyy.tjmucih.cn", "天津市肿瘤医院（圆心云影）", "天津"),)
    marks = (r"(?=.*[?&]dignosis=[0-9a-fA-F]{32}(?![0-9a-fA-F])).+",)
    calls = IMAGE
    behind = (r"[^/]+/yunyingxiang/.*",)
    example = "https://zlyy.tjmucih.cn/yunyingxiang/?dignosis=0123456789abcdef0123456789abcdef"

    def __init__(self) -> None:
        self._arrived = Arrived()

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await (await session.window()).page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        self._arrived.listen(session)  # first: images are loaded while the page opens
        await session.open(link.url)
        await drive_page.arrive(session, f"{DESKTOP}, {PHONE_BAR}", PASSWORD)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        arrived, owners = self._arrived, dict[int, str]()
        rows = await _rows(session, arrived)
        for pace in PACES:
            for place, row in enumerate(rows):
                is_due = pace is UNCOUNTED_PACE if row.count is None else _is_short(place, rows, owners, arrived)
                if is_due:
                    await _leaf(session, place, row, pace, arrived, owners)
        for series in _described(rows, owners, arrived):
            yield series


async def _rows(session: Session, arrived: Arrived) -> list[Row]:
    """The list of series, in the page's order; settled, as rows are filled in one after another."""
    selector = await _list(session)
    await _settled(session, arrived)
    found = [Row.model_validate(item) for item in await session.page.evaluate(READ, selector)]
    if not found:
        raise SiteChanged(host=session.link.host, what=Reason.SERIES_LIST_EMPTY)
    return found


async def _list(session: Session) -> str:
    """Have the list of series shown; gives its rows' selector. A list that is just closing is opened once more."""
    if await session.page.locator(DESKTOP).count():
        return DESKTOP
    give_up = time.monotonic() + session.settings.timeout_s
    while not await session.page.locator(PHONE_ITEM).first.is_visible():
        if time.monotonic() > give_up:
            raise SiteChanged(host=session.link.host, what=Reason.NO_SERIES_LIST)
        await session.page.evaluate(BAR)
        with contextlib.suppress(SiteChanged):
            await session.which(list=PHONE_ITEM, timeout_s=2.0)
    return PHONE_ITEM


async def _leaf(session: Session, place: int, row: Row, pace: Pace, arrived: Arrived, owners: dict[int, str]) -> None:
    """Open a series at its first image and leaf to its end; ``owners`` learns which Series Instance UID it is."""
    arrived.take(session)
    selector = await _list(session)
    await session.page.evaluate(CLICK, [selector, place])
    pause_ms, is_patient, more, opened_s = pace
    if selector == PHONE_ITEM:
        with (await session.window()).quietly():
            closed = session.page.locator(PHONE_ITEM).first
            await closed.wait_for(state="hidden", timeout=CLOSED_S * 1000)
        await session.page.wait_for_function(READY)
    await session.traffic.after(len(session.traffic.exchanges), timeout_s=opened_s)
    brought = arrived.take(session)
    left = (row.count or 1) - 1 + more
    while left > 0 or row.count is None:
        presses = min(left, AT_ONCE) if row.count is not None else UNCOUNTED_PRESSES
        await session.page.evaluate(LEAF, [presses, pause_ms, is_patient])
        left -= presses
        fresh = arrived.take(session) if left > 0 else await _settled(session, arrived)
        brought += fresh
        if row.count is None and not fresh.total():
            break
        if fresh.total() > AT_ONCE // 2:
            session.tell("collecting", count=arrived.count)
    free = _free(owners, arrived)
    mine = [uid for uid, _ in brought.most_common() if uid in free and brought[uid]]
    if place not in owners and mine:
        owners[place] = mine[0]


async def _settled(session: Session, arrived: Arrived) -> Counter[str]:
    """Wait until the page has every image that it asked for, and has asked for no more since; gives what came."""
    give_up = time.monotonic() + session.settings.timeout_s
    while time.monotonic() < give_up:
        fresh = await session.traffic.after(len(session.traffic.exchanges), timeout_s=QUIET_S)
        if not fresh and not arrived.pending:
            break
    return arrived.take(session)


def _is_short(place: int, rows: list[Row], owners: dict[int, str], arrived: Arrived) -> bool:
    """May the row's series lack images: some row's does, and it is not known that it is not this one's."""
    counts, by_size = _matched(rows, owners, arrived)
    sizes = [len(arrived.series[uid]) for uid in by_size]
    if len(sizes) >= len(counts) and all(size >= count for size, count in zip(sizes, counts, strict=False)):
        return False
    return place not in owners or len(arrived.series[owners[place]]) < (rows[place].count or 0)


def _free(owners: dict[int, str], arrived: Arrived) -> list[str]:
    return [uid for uid in arrived.series if uid not in owners.values()]


def _matched(rows: list[Row], owners: dict[int, str], arrived: Arrived) -> tuple[list[int], list[str]]:
    """The counts that the rows show and the series that came, each largest first.

    The page's rows bear no UID, so rows are matched with series by size: which row is whose changes nothing in what is
    there and what is missing, and no series can stand for two rows.
    """
    uncounted = {owners[place] for place, row in enumerate(rows) if row.count is None and place in owners}
    by_size = sorted(set(arrived.series) - uncounted, key=lambda uid: len(arrived.series[uid]), reverse=True)
    return sorted((row.count for row in rows if row.count is not None), reverse=True), by_size


def _described(rows: list[Row], owners: dict[int, str], arrived: Arrived) -> list[Series]:
    """Series by the UID that their files bear; what the page counts and did not give is missing from them."""
    counts, by_size = _matched(rows, owners, arrived)
    is_all_counted = all(row.count is not None for row in rows)
    expected: dict[str, int | None] = dict(zip(by_size, counts, strict=False))
    found = [
        Series(arrived.study_instance_uid, "", expected=count, key=f"not there {at}")
        for at, count in enumerate(counts[len(by_size) :])
    ]
    for uid, images in arrived.series.items():
        count = expected.get(uid, len(images) if is_all_counted else None)
        unknown = (Problem("count-unknown", fatal=False),) if count is None else ()
        found.append(Series(arrived.study_instance_uid, uid, tuple(images.values()), count, left_out=unknown))
    return found
