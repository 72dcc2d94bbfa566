"""飞图影像 (FTimage): its calls are not known; the page loads every image by itself, and is listened to.

Long because what the page announces is compared with what it loads, and series that it does not load are opened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from providers.toolkit.gate import PageGate
from scraper.contract import (
    CAPTCHA,
    Deployment,
    Field,
    Instance,
    Provider,
    Reply,
    Series,
    Session,
    ShareLink,
    Study,
    WadoUri,
)

IMAGE = (
    r"^https?://[^/]+(?:/[^/?]+){3}/(?P<series>[^/?]+)/[^/?]+/[^/?]+\.dcm(?:\?|$)"  # six segments, the fourth a series
)
COUNT = re.compile(r"共\D{0,4}(\d{1,6})\s*[张幅]")  # a counter of what is loaded may follow: 共 131张 106→109
TOTALS = re.compile(r"序列\D{0,40}(\d{1,9})\D{0,40}影像\D{0,40}(\d{1,9})")
QUIET_S = 3.0  # without an image, before a series that is short of some is opened
GIVE_UP_S = 12.0
ROWS = """[...document.querySelectorAll("li[data-seriesuuid], a")].filter(row => row.matches("li") ||
  (row.querySelector(":scope > .desc + .total") && !row.closest("li[data-seriesuuid]")))"""  # of either reading
PAGE = r"""() => {
  const text = s => (document.querySelector(s)?.innerText || "").replace(/\u00a0/g, " ").trim();
  return {
    title: text(".title > small"),
    name: text(".patientInfo > *:nth-child(1) > .name"),
    examined: text(".patientInfo > *:nth-child(2) > .value"),
    moment: text(".patientInfo > *:nth-child(5) > .value"),
    series: (ROWS).map(row => ({
      key: row.dataset.seriesuuid || "",
      description: ((row.querySelector(".desc > .text") || row.querySelector(".desc"))?.innerText || "").trim(),
      stated: row.querySelector(".total")?.innerText || "",
    })),
  };
}""".replace("ROWS", ROWS)
MORE_ROWS = (
    """() => { const rail = document.querySelector(".os-viewport"); if (rail) rail.scrollTop = rail.scrollHeight; }"""
)
PROGRESS_EVERY = 50  # images between two lines of progress
TARGET = """() => {
  const area = canvas => canvas.getBoundingClientRect().width * canvas.getBoundingClientRect().height;
  const largest = [...document.querySelectorAll("canvas")].sort((a, b) => area(b) - area(a))[0] || document.body;
  const box = largest.getBoundingClientRect();
  return {x: box.x + box.width / 2, y: box.y + Math.min(box.height, innerHeight) / 2};
}"""
OPEN = """place => { const row = (ROWS)[place], target = row?.querySelector(".desc") || row;
  for (const kind of ["click", "dblclick"]) target?.dispatchEvent(new MouseEvent(kind, {bubbles: true})); }""".replace(
    "ROWS", ROWS
)


class SeriesShown(Reply):
    """A row of the list; without a key where the page does not say whose images are whose."""

    key: str = ""
    description: str = ""
    stated: str = ""

    @property
    def total(self) -> int | None:
        """The count that the row states."""
        match = COUNT.search(self.stated)
        return int(match[1]) if match else None


class PageShown(Reply):
    """What the page shows at the moment."""

    title: str = ""
    name: str = ""
    examined: str = ""
    moment: str = ""
    series: list[SeriesShown] = Field(default_factory=list)

    @property
    def totals(self) -> tuple[int, int] | None:
        """Series and images that the title announces."""
        match = TOTALS.search(self.title)
        return (int(match[1]), int(match[2])) if match else None


class ScreenPoint(Reply):
    x: float
    y: float


@dataclass
class ReceivedImages:
    """Images by series and path: what came, and the addresses of what did not."""

    images: dict[str, dict[str, Instance]] = field(default_factory=dict)
    seen: int = 0  # exchanges

    def take(self, session: Session) -> int:
        """Look through what is new; returns how many images it added."""
        before, fresh = self.count, session.traffic.exchanges[self.seen :]
        self.seen += len(fresh)
        for exchange in fresh:
            match = re.search(IMAGE, exchange.url)
            if match is None or exchange.method != "GET":
                continue
            images, path = self.images.setdefault(match["series"], {}), urlsplit(exchange.url).path
            if not exchange.ok:
                images.setdefault(path, Instance("", WadoUri(exchange.url, {"Referer": session.screen.url}), path))
            elif path not in images or isinstance(images[path].source, WadoUri):
                captured, header = session.captured(exchange)
                images[path] = Instance(header.sop_instance_uid if header else "", captured, path)
        return self.count - before

    @property
    def count(self) -> int:
        return sum(len(images) for images in self.images.values())

    def of(self, key: str) -> int:
        """How many images of a series came."""
        return len(self.images.get(key, {}))

    def short(self, page: PageShown) -> list[int]:
        """The places of rows of which more images are stated than came; of rows without a key any may be such a row."""
        return [
            place
            for place, series in enumerate(page.series)
            if (self.of(series.key) < (series.total or 1) if series.key else not self.is_all(page))
        ]

    def is_all(self, page: PageShown) -> bool:
        """Have as many series and images come as the title announces."""
        totals = page.totals
        return totals is not None and len(self.images) >= totals[0] and self.count >= totals[1]

    def is_whole(self, page: PageShown) -> bool:
        return self.is_all(page) and not self.short(page)


class Ftimage(Provider):
    name = "ftimage"
    route = r"/(?:dimage|open)/index\.html\?(?=(?:.*&)?(?:stm|hsCode)=[^&#]+).*"
    asks = (CAPTCHA,)
    when_asked = "nothing; a check that the page may show is filled in by a person"
    serves = "Part 10 files, as the page receives them"
    deployments = (Deployment("yyx.ftimage.cn", "飞图影像", "全国"), Deployment("app.ftimage.cn", "飞图影像", "全国"))
    distinctive_routes = (r"/dimage/index\.html\?(?=(?:.*&)?(?:stm|hsCode)=[^&#]+).*",)
    behind = (r"[^/]+/dimage/.*",)
    gate = PageGate(viewer=".title > small, .patientInfo, li[data-seriesuuid], a > .desc + .total", asks=CAPTCHA)
    example = "https://yyx.ftimage.cn/dimage/index.html?stm=0a1b2c3d4e5f"

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        arrived, opened = ReceivedImages(), set[int]()
        while True:
            await session.screen.evaluate(MORE_ROWS)
            grown = arrived.take(session)
            page = PageShown.model_validate(await session.screen.evaluate(PAGE))
            if arrived.is_whole(page):
                break
            if page.totals and arrived.count // PROGRESS_EVERY > (arrived.count - grown) // PROGRESS_EVERY:
                session.tell("collecting", count=f"{arrived.count} / {page.totals[1]}")
            if not await session.traffic.after(arrived.seen, timeout_s=QUIET_S):
                waiting = [place for place in arrived.short(page) if place not in opened]
                if waiting:
                    opened.add(waiting[0])
                    await _play(session, waiting[0], page.series[waiting[0]], arrived)
                elif session.traffic.idle_s > GIVE_UP_S:
                    break
        return _described(page, arrived)


async def _play(session: Session, row: int, series: SeriesShown, arrived: ReceivedImages) -> None:
    """Open a series that the page did not load by itself, and turn the wheel over it for as long as images come."""
    before = 0 if series.key else arrived.count
    await session.screen.evaluate(OPEN, row)
    place = ScreenPoint.model_validate(await session.screen.evaluate(TARGET))
    while (arrived.of(series.key) if series.key else arrived.count - before) < (series.total or 1):
        for _ in range(8):
            await session.screen.scroll(place.x, place.y, by=120)
        if not await session.traffic.after(arrived.seen, timeout_s=QUIET_S) or not arrived.take(session):
            return


def _described(page: PageShown, arrived: ReceivedImages) -> list[Series]:
    study = Study(date=page.moment, description=page.examined, patient_name=page.name)
    found, images = [], dict(arrived.images)
    for shown in (row for row in page.series if row.key):
        instances = tuple(images.pop(shown.key, {}).values())
        expected = None if shown.total is None else max(shown.total, len(instances))
        found.append(Series("", "", instances, expected, description=shown.description, key=shown.key, study=study))
    for key, others in images.items():  # series that came and that the page's list does not show
        found.append(Series("", "", tuple(others.values()), len(others), key=key, study=study))
    counts = [len(series.instances) if series.expected is None else series.expected for series in found]
    announced = page.totals[1] if page.totals else sum(row.total or 0 for row in page.series)
    lacking = announced - sum(counts)
    if lacking > 0:
        found.append(Series("", "", expected=lacking, key="not listed", study=study))
    return found
