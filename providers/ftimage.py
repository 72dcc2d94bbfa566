"""飞图影像 (FTimage): its calls are not known; the page loads every image by itself, and is listened to.

facts:    fixtures/sites/ftimage/README.md
asks:     nothing; a check that the page may show is filled in by a person
serves:   Part 10 files, as the page receives them
verified: emulated site only

Over 120 lines because what the page announces is held against what it loads, and series that it does not load are opened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from providers.toolkit import drive_page
from scraper.contract import (
    CAPTCHA,
    AsyncIterator,
    Deployment,
    Field,
    Found,
    Instance,
    Provider,
    Reply,
    Series,
    Session,
    ShareLink,
    Study,
    WadoUri,
)

VIEWER = ".title > small, .patientInfo, li[data-seriesuuid]"
IMAGE = (
    r"^https?://[^/]+(?:/[^/?]+){3}/(?P<series>[^/?]+)/[^/?]+/[^/?]+\.dcm(?:\?|$)"  # six segments, the fourth a series
)
TOTALS = re.compile(r"序列\D{0,40}(\d{1,9})\D{0,40}影像\D{0,40}(\d{1,9})")
QUIET_S = 3.0  # without an image, before a series that is short of some is opened
GIVE_UP_S = 12.0
PAGE = r"""() => {
  const text = s => (document.querySelector(s)?.innerText || "").replace(/\u00a0/g, " ").trim();
  return {
    title: text(".title > small"),
    name: text(".patientInfo > *:nth-child(1) > .name"),
    examined: text(".patientInfo > *:nth-child(2) > .value"),
    moment: text(".patientInfo > *:nth-child(5) > .value"),
    series: [...document.querySelectorAll("li[data-seriesuuid]")].map(li => ({
      key: li.dataset.seriesuuid,
      description: (li.querySelector(".desc > .text")?.innerText || "").trim(),
      total: (li.querySelector(".desc > .total")?.innerText || "").replace(/\D/g, ""),
    })),
  };
}"""
TOLD_EVERY = 50  # images between two lines of progress
TARGET = """() => {
  const area = one => one.getBoundingClientRect().width * one.getBoundingClientRect().height;
  const largest = [...document.querySelectorAll("canvas")].sort((a, b) => area(b) - area(a))[0] || document.body;
  const box = largest.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + Math.min(box.height, innerHeight) / 2];
}"""
OPEN = 'key => document.querySelector(`li[data-seriesuuid="${CSS.escape(key)}"]`)?.click()'


class Listed(Reply):
    key: str
    description: str = ""
    total: str = ""

    @property
    def count(self) -> int | None:
        return int(self.total) if self.total else None


class Told(Reply):
    """What the page shows at the moment."""

    title: str = ""
    name: str = ""
    examined: str = ""
    moment: str = ""
    series: list[Listed] = Field(default_factory=list)

    @property
    def totals(self) -> tuple[int, int] | None:
        match = TOTALS.search(self.title)
        return (int(match[1]), int(match[2])) if match else None


@dataclass
class Arrived:
    """Images by series and path: what came, and the addresses of what did not."""

    images: dict[str, dict[str, Instance]] = field(default_factory=dict)
    at: int = 0

    def take(self, session: Session) -> int:
        """Look through what is new; gives how many images it brought."""
        before, fresh = self.count, session.traffic.exchanges[self.at :]
        self.at += len(fresh)
        for exchange in fresh:
            match = re.search(IMAGE, exchange.url)
            if match is None or exchange.method != "GET":
                continue
            images, path = self.images.setdefault(match["series"], {}), urlsplit(exchange.url).path
            if not exchange.ok:
                images.setdefault(path, Instance("", WadoUri(exchange.url, {"Referer": session.page.url}), path))
            elif path not in images or isinstance(images[path].source, WadoUri):
                captured, header = session.captured(exchange)
                images[path] = Instance(header.sop_instance_uid if header else "", captured, path)
        return self.count - before

    @property
    def count(self) -> int:
        return sum(len(images) for images in self.images.values())

    def short(self, told: Told) -> list[str]:
        """The series of which the page shows more images than came."""
        return [listed.key for listed in told.series if len(self.images.get(listed.key, {})) < (listed.count or 1)]

    def is_whole(self, told: Told) -> bool:
        totals = told.totals
        return totals is not None and len(told.series) >= totals[0] and self.count >= totals[1] and not self.short(told)


class Ftimage(Provider):
    name = "ftimage"
    route = r"/(?:dimage|open)/index\.html\?(?=(?:.*&)?(?:stm|hsCode)=[^&#]+).*"
    asks = (CAPTCHA,)
    deployments = (
        Deployment("yyx.ftimage.cn", "飞图影像", "全国"),
        Deployment("app.ftimage.cn", "飞图影像", "全国"),
    )
    marks = (r"/dimage/index\.html\?(?=(?:.*&)?(?:stm|hsCode)=[^&#]+).*",)
    behind = (r"[^/]+/dimage/.*",)
    example = "https://yyx.ftimage.cn/dimage/index.html?stm=0a1b2c3d4e5f"

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        await drive_page.arrive(session, VIEWER, CAPTCHA)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        arrived, opened = Arrived(), set[str]()
        while True:
            grown = arrived.take(session)
            told = Told.model_validate(await session.page.evaluate(PAGE))
            if arrived.is_whole(told):
                break
            if told.totals and arrived.count // TOLD_EVERY > (arrived.count - grown) // TOLD_EVERY:
                session.tell("collecting", count=f"{arrived.count} / {told.totals[1]}")
            if not await session.traffic.after(arrived.at, timeout_s=QUIET_S):
                waiting = [key for key in arrived.short(told) if key not in opened]
                if waiting:
                    opened.add(waiting[0])
                    await _play(session, waiting[0], arrived, told)
                elif session.traffic.idle_s > GIVE_UP_S:
                    break
        for series in _described(told, arrived):
            yield series


async def _play(session: Session, key: str, arrived: Arrived, told: Told) -> None:
    """Open a series that the page did not load by itself, and turn the wheel over it for as long as images come."""
    await session.page.evaluate(OPEN, key)
    wanted = next((listed.count for listed in told.series if listed.key == key), None) or 1
    await session.page.mouse.move(*await session.page.evaluate(TARGET))
    while len(arrived.images.get(key, {})) < wanted:
        for _ in range(8):
            await session.page.mouse.wheel(0, 120)
        if not await session.traffic.after(arrived.at, timeout_s=QUIET_S) or not arrived.take(session):
            return


def _described(told: Told, arrived: Arrived) -> list[Series]:
    digits = "".join(filter(str.isdigit, told.moment))
    study = Study(date=digits[:8] if len(digits) >= 8 else "", description=told.examined, patient_name=told.name)
    found, images = [], dict(arrived.images)
    for listed in told.series:
        instances = tuple(images.pop(listed.key, {}).values())
        expected = max(listed.count, len(instances)) if listed.count is not None else None
        found.append(Series("", "", instances, expected, description=listed.description, key=listed.key, study=study))
    for key, others in images.items():  # series that came and that the page's list does not show
        found.append(Series("", "", tuple(others.values()), len(others), key=key, study=study))
    announced = told.totals[1] if told.totals else 0
    lacking = announced - sum(
        series.expected if series.expected is not None else len(series.instances) for series in found
    )
    if lacking > 0:
        found.append(Series("", "", expected=lacking, key="not listed", study=study))
    return found
