"""圆心云影 (天津市肿瘤医院, tjmucih): its calls are not known; the page shows one image at a time, and is leafed through.

facts:    fixtures/sites/tjmucih/README.md
asks:     password, where the share has one
serves:   Part 10 files, as the page receives them
verified: emulated site only

Over 120 lines because two pages (desktop, phone) are driven, and leafing that skipped an image is done again, more slowly.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from providers.families import driven
from scraper.contract import (
    PASSWORD,
    AsyncIterator,
    Deployment,
    Found,
    Instance,
    Problem,
    Provider,
    Reply,
    Series,
    Session,
    ShareLink,
    SiteChanged,
)

DESKTOP, PHONE_BAR, PHONE_ITEM = "div.listbtn button.rightbutton", "div.footer-li", ".listitem"
IMAGE = r"/api/yunyingxiang/get_dcm_jpg"
WIDTH, HEIGHT = 1280, 720  # a taller window hides the phone page's bar
READY = r"() => /^\s*影像ID[:：]/m.test(document.body.innerText)"
READ = r"""selector => [...document.querySelectorAll(selector)].map(one => ({text: one.innerText}))"""
CLICK = "([selector, at]) => document.querySelectorAll(selector)[at]?.click()"
BAR = """() => [...document.querySelectorAll("div.footer-li")].find(one => one.innerText.includes("序列"))?.click()"""
# Presses 下一页 as a person would who holds it down; a patient one waits for the image before the next press.
LEAF = """async ([times, pause, patient]) => {
  performance.setResourceTimingBufferSize(1e6);
  const loaded = () => performance.getEntriesByType("resource").length;
  for (let at = 0; at < times; at++) {
    const button = document.querySelector('button[title="下一页"]');
    if (!button) return false;
    const before = loaded(), until = performance.now() + pause;
    button.click();
    do await new Promise(done => setTimeout(done, 15));
    while (performance.now() < until && !(patient && loaded() > before));
  }
  return true;
}"""
PACES = ((0, False), (200, True), (800, True))  # ms, round by round: fast leafing can skip images
QUIET_S = 1.2  # nothing new for this long: the page has what it asked for
AT_ONCE = 40  # presses between two looks at what came
UNCOUNTED_PRESSES = 25  # at a time, through a series that shows no count


class Row(Reply):
    text: str

    @property
    def count(self) -> int | None:
        match = re.search(r"序列数量\s*[:：]\s*(\d+)", self.text)
        return int(match[1]) if match else None


@dataclass
class Arrived:
    """What came, by Series Instance UID and SOP Instance UID; ``at``: exchanges looked at."""

    series: dict[str, dict[str, Instance]] = field(default_factory=dict)
    study_instance_uid: str = ""
    at: int = 0

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
    example = "https://zlyy.tjmucih.cn/yunyingxiang/?dignosis=0123456789abcdef0123456789abcdef"

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await (await session.window()).page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        await session.open(link.url)
        await driven.arrive(session, f"{DESKTOP}, {PHONE_BAR}", PASSWORD)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        rows = await _rows(session)
        arrived, owners = Arrived(), dict[int, str]()
        for pace in PACES:
            for place, row in enumerate(rows):
                if not _is_whole(place, row, owners, arrived):
                    await _leaf(session, place, row, pace, arrived, owners)
        _match_the_rest(rows, owners, arrived)
        for series in _described(rows, owners, arrived):
            yield series


async def _rows(session: Session) -> list[Row]:
    """The list of series, in the page's order; settled, as rows are filled in one after another."""
    selector = await _list(session)
    await session.traffic.settled(QUIET_S, session.settings.timeout_s)
    found = [Row.model_validate(one) for one in await session.page.evaluate(READ, selector)]
    if not found:
        raise SiteChanged(host=session.link.host, what="the list of series is empty")
    return found


async def _list(session: Session) -> str:
    """Have the list of series shown; gives its rows' selector."""
    if await session.page.locator(DESKTOP).count():
        return DESKTOP
    if not await session.page.locator(PHONE_ITEM).first.is_visible():
        await session.page.evaluate(BAR)
    await session.which(list=PHONE_ITEM)
    return PHONE_ITEM


async def _leaf(
    session: Session, place: int, row: Row, pace: tuple[int, bool], arrived: Arrived, owners: dict[int, str]
) -> None:
    """Open a series at its first image and leaf to its end; ``owners`` learns which Series Instance UID it is."""
    arrived.take(session)
    selector = await _list(session)
    await session.page.evaluate(CLICK, [selector, place])
    if selector == PHONE_ITEM:
        await session.page.wait_for_function(READY)
    brought = await _settled(session, arrived)
    left = (row.count or 1) - 1
    while left > 0 or row.count is None:
        presses = min(left, AT_ONCE) if row.count is not None else UNCOUNTED_PRESSES
        await session.page.evaluate(LEAF, [presses, *pace])
        left -= presses
        fresh = arrived.take(session) if left > 0 else await _settled(session, arrived)
        brought += fresh
        if row.count is None and not fresh.total():
            break
        if fresh.total() > AT_ONCE // 2:
            session.tell(str(arrived.count))
    if brought.total():
        owners.setdefault(place, brought.most_common(1)[0][0])


async def _settled(session: Session, arrived: Arrived) -> Counter[str]:
    await session.traffic.settled(QUIET_S, session.settings.timeout_s)
    return arrived.take(session)


def _is_whole(place: int, row: Row, owners: dict[int, str], arrived: Arrived) -> bool:
    """Has the row's series come; one that came before it was opened is known by its count, where that is its alone."""
    if place not in owners and row.count is not None:
        free = [uid for uid in _free(owners, arrived) if len(arrived.series[uid]) == row.count]
        if len(free) == 1:
            owners[place] = free[0]
    return place in owners and (row.count is None or len(arrived.series[owners[place]]) >= row.count)


def _free(owners: dict[int, str], arrived: Arrived) -> list[str]:
    return [uid for uid in arrived.series if uid not in owners.values()]


def _match_the_rest(rows: list[Row], owners: dict[int, str], arrived: Arrived) -> None:
    """Rows that brought nothing new when opened belong to the series that came earlier: equal counts first."""
    for is_equal in (True, False):
        for place, row in enumerate(rows):
            free = [uid for uid in _free(owners, arrived) if not is_equal or len(arrived.series[uid]) == row.count]
            if place not in owners and free:
                owners[place] = max(free, key=lambda uid: len(arrived.series[uid]))


def _described(rows: list[Row], owners: dict[int, str], arrived: Arrived) -> list[Series]:
    """Series by the UID that their files bear; what the page counts and did not give is missing from them."""
    found, expected = [], dict[str, int | None]()
    for place, row in enumerate(rows):
        uid = owners.get(place)
        if uid is None:
            found.append(Series(arrived.study_instance_uid, "", expected=row.count or 1, key=f"序列{place + 1}"))
        elif row.count is not None:
            expected[uid] = (expected.get(uid) or 0) + row.count
        else:
            expected.setdefault(uid, None)
    for uid, images in arrived.series.items():
        count = expected.get(uid, len(images))
        unknown = (Problem("count-unknown", fatal=False),) if count is None else ()
        found.append(Series(arrived.study_instance_uid, uid, tuple(images.values()), count, left_out=unknown))
    return found
