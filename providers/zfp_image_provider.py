"""GE Centricity Universal Viewer ZFP with its newer sockets: groups on one, pixels on another, and only for its own page.

Long because the page has to show each image before it comes: whoever fetches one has its group shown.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from functools import partial

from providers.toolkit import envelope
from scraper.contract import (
    CorruptInstance,
    Field,
    Instance,
    MissingInstances,
    Number,
    OnDemand,
    Origin,
    PixelParts,
    Provider,
    Reason,
    Reply,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    Study,
    gone,
    read,
)

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


class Place(Reply):
    x: float
    y: float


class ZfpImageProvider(Provider):
    name = "zfp-image-provider"
    route = r".*"  # its address is not known: a viewer is recognised by its sockets
    when_asked = "whatever the page before the viewer asks"
    serves = "rebuilt: raw pixels over the viewer's WebSocket, with what its groups say"
    study_list_call = GROUPS
    on_any_host = True

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        groups = await _groups(session)
        if not groups:
            raise gone(await session.screen.message())
        shown = Shown(session, groups)
        by_series: dict[str, dict[str, tuple[GroupReply, SopReply]]] = {}
        for group in groups:
            for sop in group.sops:
                by_series.setdefault(sop.series, {}).setdefault(sop.uid, (group, sop))
        return [_series(shown, uid, list(members.values())) for uid, members in by_series.items()]


async def _groups(session: Session) -> list[GroupReply]:
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


class Shown:
    """What the page has shown until now: the head and the pixels of each image that came on its socket."""

    def __init__(self, session: Session, groups: list[GroupReply]) -> None:
        self._session, self._groups = session, groups
        self._heads: dict[str, HeadReply | None] = {}  # by socket
        self._came: dict[str, tuple[HeadReply, partial[bytes]]] = {}
        self._seen = 0
        self._tries = dict.fromkeys(range(len(groups)), 0)
        self._lock = asyncio.Lock()

    async def image(self, group: GroupReply, sop: SopReply) -> PixelParts:
        """One image; its group is shown where it has not come yet, and once more after the page was loaded again."""
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
        return PixelParts(_tags(group, sop, head), (data,))

    async def _show(self, place: int) -> None:
        """Open a group, and turn the wheel over the picture for as long as images of it come: down, then up."""
        screen, group = self._session.screen, self._groups[place]
        equal = [item.description for item in self._groups[:place]].count(group.description)
        await screen.evaluate(OPEN, [group.description.strip(), equal])
        wanted = {sop.uid for sop in group.sops}
        for turn in (120, -120):
            stage = Place.model_validate(await screen.evaluate(STAGE))
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


def _series(shown: Shown, uid: str, members: list[tuple[GroupReply, SopReply]]) -> Series:
    group = members[0][0]
    return Series(
        series_instance_uid=uid,
        description=group.description.strip(),
        modality=group.modality,
        expected=len(members),
        study=Study(group.study),
        instances=tuple(
            Instance(sop.uid, OnDemand(partial(shown.image, group, sop), Origin.REBUILT), number=sop.number)
            for group, sop in members
        ),
    )


def _tags(group: GroupReply, sop: SopReply, head: HeadReply) -> dict[str, str]:
    """What head and group say; the rest is left out."""
    day, moment = (re.sub(r"[-:/.]", "", text.strip()) for text in (head.date, head.time.partition(".")[0]))
    window = head.window and head.level
    scale = head.slope and head.intercept
    tags = {
        "SOPClassUID": head.sop_class,
        "SOPInstanceUID": sop.uid,
        "SeriesInstanceUID": sop.series,
        "StudyInstanceUID": group.study,
        "Modality": group.modality,
        "SeriesDescription": group.description.strip(),
        "InstanceNumber": "" if sop.number is None else str(sop.number),
        "Rows": str(head.rows),
        "Columns": str(head.columns),
        "BitsAllocated": str(head.allocated),
        "BitsStored": str(head.stored),
        "HighBit": str(head.high),
        "PixelRepresentation": str(head.signed),
        "SamplesPerPixel": str(head.samples),
        "PhotometricInterpretation": head.photometric,
        "WindowWidth": head.window if window else "",
        "WindowCenter": head.level if window else "",
        "RescaleSlope": head.slope if scale else "",
        "RescaleIntercept": head.intercept if scale else "",
        "ContentDate": day if re.fullmatch(r"\d{8}", day) else "",
        "ContentTime": moment if re.fullmatch(r"\d{6}", moment) else "",
        "ImagePositionPatient": _joined(sop.position, "x", "y", "z"),
        "ImageOrientationPatient": _joined(sop.orientation, "rowX", "rowY", "rowZ", "columnX", "columnY", "columnZ"),
        "PixelSpacing": _joined(sop.spacing, "physicalDeltaY", "physicalDeltaX"),  # rows apart first (PS3.3 10.7.1.3)
    }
    return {keyword: value for keyword, value in tags.items() if value}


def _joined(values: Mapping[str, float], *names: str) -> str:
    """The values of a multi-valued tag; empty where one is not given."""
    return "\\".join(f"{values[name]:.10g}" for name in names) if all(name in values for name in names) else ""
