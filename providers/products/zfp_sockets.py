"""The sockets of GE's newer Zero Footprint viewer: its groups of images, and the pixels that come for the page alone.

The page has to show each image before it comes: whoever fetches one has its group shown. ``providers.cif.socket`` reads the
older protocol of the same viewer.

facts: fixtures/sites/zfp_image_provider/README.md
"""

from __future__ import annotations

import asyncio
import re
import time
from functools import partial

from providers.toolkit import envelope
from scraper.contract import CorruptInstance, Field, MissingInstances, Number, Reason, Reply, Session, SiteChanged, read

GROUPS, IMAGES = r"/data-provider(?:[/?#]|$)", r"/image-provider(?:[/?#]|$)"
GROUP_QUIET_S, IMAGE_QUIET_S = 2.0, 3.0  # without another group; without another image of the group that is shown
TURNS = 8  # of the wheel, between two looks at what came
OPEN = """([words, place]) => {
  const named = [...document.body.querySelectorAll("*")].filter(item => item.getClientRects().length && words &&
    (item.innerText || item.title || item.alt || "").includes(words));
  const target = named.filter(item => !named.some(other => other !== item && item.contains(other)))[place];
  for (const kind of ["click", "dblclick"]) target?.dispatchEvent(new MouseEvent(kind, {bubbles: true}));
}"""
STAGE = """() => {
  const boxes = [...document.querySelectorAll("canvas, img")].map(item => item.getBoundingClientRect());
  boxes.push(document.body.getBoundingClientRect());
  const box = boxes.sort((a, b) => b.width * b.height - a.width * a.height)[boxes.length > 1 ? 1 : 0];
  return {x: box.x + box.width / 2, y: box.y + Math.min(box.height, innerHeight - box.y) / 2};
}"""


class EventReply(Reply):
    name: str = Field(alias="eventName")
    payload: object = None


class SopReply(Reply):
    uid: str = Field(alias="sopInstanceUid")
    series: str = Field("", alias="seriesInstanceUid")
    number: Number = Field(None, alias="instanceNumber")
    position: dict[str, float] = Field(default_factory=dict, alias="imagePosition")
    orientation: dict[str, float] = Field(default_factory=dict, alias="imageOrientation")
    spacing: dict[str, float] = Field(default_factory=dict, alias="pixelSpacing")


class GroupReply(Reply):
    study: str = Field("", alias="studyInstanceUid")
    description: str = ""
    modalities: tuple[str, ...] = ()
    sops: tuple[SopReply, ...] = Field((), alias="dicomSops")

    @property
    def modality(self) -> str:
        return self.modalities[0] if len(self.modalities) == 1 else ""


class HeadReply(Reply):
    uid: str = Field(alias="sopInstanceUid")
    sop_class: str = Field("", alias="sopClassUid")
    rows: int = Field(alias="dimensions.rows")
    columns: int = Field(alias="dimensions.columns")
    allocated: int = Field(alias="bitsAllocated")
    stored: int = Field(alias="bitsStored")
    high: int = Field(alias="highBit")
    signed: int = Field(alias="pixelRepresentation")
    samples: int = Field(1, alias="samplesPerPixel")
    photometric: str = Field(alias="photometricInterpretation")
    intercept: str = Field("", alias="rescaleInfo.intercept")
    slope: str = Field("", alias="rescaleInfo.slope")
    window: str = Field("", alias="windowLevel.window")
    level: str = Field("", alias="windowLevel.level")
    date: str = Field("", alias="imageDate")
    time: str = Field("", alias="imageTime")


class ScreenPoint(Reply):
    x: float
    y: float


async def groups_of(session: Session) -> list[GroupReply]:
    """Every group that was announced to the page, once no more arrive."""
    groups, seen = list[GroupReply](), 0
    last = time.monotonic()
    while time.monotonic() - last < (GROUP_QUIET_S if groups else session.settings.timeout_s):
        fresh = await session.traffic.after(seen, timeout_s=GROUP_QUIET_S)
        seen += len(fresh)
        for exchange in fresh:
            if exchange.kind != "websocket-in" or not exchange.is_text or not re.search(GROUPS, exchange.url):
                continue
            event = read(exchange.read(), EventReply, exchange.url)
            if event.name == "ON_DICOM_GROUP_ADDED":
                groups.append(envelope.nested(event.payload, GroupReply, exchange.url))
                last = time.monotonic()
        if not fresh and await session.screen.is_idle():
            break
    return groups


class ShownImages:
    """What the page has shown until now: the head and the pixels of each image that came on its socket."""

    def __init__(self, session: Session, groups: list[GroupReply]) -> None:
        self._session, self._groups = session, groups
        self._heads: dict[str, HeadReply | None] = {}  # by socket
        self._came: dict[str, tuple[HeadReply, partial[bytes]]] = {}
        self._seen = 0
        self._tries = dict.fromkeys(range(len(groups)), 0)
        self._lock = asyncio.Lock()

    async def image(self, group: GroupReply, sop: SopReply) -> tuple[HeadReply, bytes]:
        """Head and pixels of one image; its group is shown until it comes, and once more after a reload of the page."""
        async with self._lock:
            self._take()
            place = self._groups.index(group)
            while sop.uid not in self._came and self._tries[place] < 2:
                if self._tries[place]:
                    await self._session.screen.reload()
                    await self._session.traffic.settled(GROUP_QUIET_S, self._session.settings.timeout_s)
                self._tries[place] += 1
                await self._show(place)
        if sop.uid not in self._came:
            raise MissingInstances(why=Reason.NOTHING)
        head, pixels = self._came[sop.uid]
        data = pixels()
        wanted = head.rows * head.columns * head.samples * -(-head.allocated // 8)
        if len(data) != wanted:
            raise CorruptInstance(what=Reason.PIXEL_BYTES.of(found=len(data), expected=wanted))
        return head, data

    async def _show(self, place: int) -> None:
        """Open a group, and turn the wheel over the picture for as long as images of it come: down, then up."""
        screen, group = self._session.screen, self._groups[place]
        equal = [item.description for item in self._groups[:place]].count(group.description)
        await screen.evaluate(OPEN, [group.description.strip(), equal])
        wanted = {sop.uid for sop in group.sops}
        for turn in (120, -120):
            stage = ScreenPoint.model_validate(await screen.evaluate(STAGE))
            while not wanted <= self._came.keys():
                for _ in range(TURNS):
                    await screen.scroll(stage.x, stage.y, by=turn)
                before = len(self._came)
                until = time.monotonic() + IMAGE_QUIET_S
                while len(self._came) == before and time.monotonic() < until:
                    await self._session.traffic.after(self._seen, timeout_s=IMAGE_QUIET_S)
                    self._take()
                if len(self._came) == before:
                    break

    def _take(self) -> None:
        """Look through what is new: on each socket, a head and then its pixels."""
        fresh = self._session.traffic.exchanges[self._seen :]
        self._seen += len(fresh)
        for exchange in fresh:
            if exchange.kind != "websocket-in" or not re.search(IMAGES, exchange.url):
                continue
            if exchange.is_text:
                self._heads[exchange.url] = _head(exchange.read(), exchange.url)
            elif head := self._heads.pop(exchange.url, None):
                self._came[head.uid] = (head, partial(exchange.read))


def _head(message: bytes, url: str) -> HeadReply | None:
    try:
        return read(message, HeadReply, url)
    except SiteChanged:  # another message
        return None
