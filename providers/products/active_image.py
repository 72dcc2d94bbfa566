"""锐达 / 瑞金 (activeImage): a Vue viewer whose own functions give the originals, image by image or a series in one zip.

facts: fixtures/sites/radonline/README.md, fixtures/sites/rjh/README.md
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from providers.products.active_image_entry import LOOK_S, RECALL_S, VIEWER, evaluated
from scraper.contract import (
    Asked,
    CorruptInstance,
    Field,
    Instance,
    MissingInstances,
    NoSuchStudy,
    Reason,
    Reply,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    SiteUnreachable,
    Study,
    at_most,
    read,
    whole,
)
from scraper.protocols import zip_archive

PACKED_S, IDLE_S = 1800.0, 120.0  # a big series takes minutes; a page at rest for so long packs nothing
IMAGE_S = 90.0  # an image that takes longer never comes
TRIES = 3  # of one download, or of one image before the viewer is loaded anew
STATE = """() => {
  const main = document.querySelector(".image_main"), vm = main && main.__vue__;
  const state = vm && vm.$store && vm.$store.state;
  if (!state) return null;
  const plain = (one, rest = {}) => ({...Object.fromEntries(Object.entries(one || {})
    .filter(([, value]) => typeof value !== "object" && typeof value !== "function")), ...rest});  // objects may lead in circles
  const rows = list => Array.isArray(list) ? list.map(one => plain(one)) : null;
  const studies = list => Array.isArray(list) ? list.map(one => plain(one, {seriesInfo: rows((one || {}).seriesInfo)})) : null;
  const {select_index, studyList, indexList, seriesInfo} = state;
  return {select_index, studyList: studies(studyList), indexList: studies(indexList), seriesInfo: rows(seriesInfo),
    packs: typeof vm.downOriginal === "function"};
}"""
IMAGE = """async ([guid, series, image, patience]) => {
  const read = blob => new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done({data: reader.result.slice(reader.result.indexOf(",") + 1)});
    reader.onerror = () => fail(reader.error);
    reader.readAsDataURL(blob);
  });
  const late = new Promise((_, fail) => setTimeout(() => fail(new Error("no answer in time")), patience));
  try {
    const provider = document.querySelector(".image_main").__vue__.$store.state.dicomProvider;
    const {blob} = await Promise.race([provider.getImageFileAsync(guid, series, image), late]);
    return await read(blob);
  } catch (error) { return {failed: String(error)}; }
}"""
PACK = """([guid, series, total]) => {
  window.__failed = "";
  (async () => {
    const vm = document.querySelector(".image_main").__vue__, cell = vm.layoutData[vm.sequenceIndex];
    cell.bind_xeguid = guid;
    cell.seriesId = series;
    cell.totalImage = total;
    await vm.downOriginal("CURRENTSERIES");
  })().catch(error => { window.__failed = String(error) || "failed"; });
}"""


class SeriesReply(Reply):
    number: str | None = Field("", alias="seriesNumber")
    description: str | None = Field("", alias="seriesDesc")
    total: str | None = Field("", alias="imageTotal")


class StudyReply(Reply):
    guid: str | None = Field("", alias="xeGUID")
    patient: str | None = Field("", alias="patientName")
    time: str | None = Field("", alias="studyTime")
    description: str | None = Field("", alias="studydescribe")
    modality: str | None = ""
    series: list[SeriesReply] | None = Field(None, alias="seriesInfo")


class State(Reply):
    """What the viewer's store says. One build lists its studies with their series, another the series beside them."""

    selected: str | None = Field("", alias="select_index")
    studies: list[StudyReply] | None = Field(None, alias="studyList")
    index: list[StudyReply] | None = Field(None, alias="indexList")
    series: list[SeriesReply] | None = Field(None, alias="seriesInfo")
    packs: bool = False

    @property
    def study(self) -> StudyReply | None:
        """The study that the link is about; earlier ones of the patient may stand beside it."""
        listed = self.studies or self.index or []
        at = whole(self.selected) or 0
        return listed[at] if 0 <= at < len(listed) else None

    @property
    def is_packed(self) -> bool:
        """Does this build pack a series; the other's provider of images may be there later than its list."""
        return self.packs and bool(self.studies)

    @property
    def listed(self) -> list[SeriesReply]:
        """Its series."""
        return (self.study.series if self.study else None) or self.series or []


# ---- the study


async def series(link: ShareLink, session: Session) -> AsyncIterator[Series]:
    """The series of the study that the open viewer shows.

    Raises:
        SiteChanged: the viewer lists none in time. NoSuchStudy: it lists no image.
    """
    state = await _state(link, session)
    study = state.study
    if study is None or not study.guid:
        raise SiteChanged(host=link.host, what=Reason.VIEWER_LISTS_NO_STUDY)
    counts = [whole(item.total) or 0 for item in state.listed]
    if not any(counts):
        raise NoSuchStudy(host=link.host)
    viewer = _Viewer(link, session, study.guid)
    told = Study(
        date="".join(filter(str.isdigit, (study.time or "").partition(" ")[0]))[:8],
        modality=study.modality or "",
        description=study.description or "",
        patient_name=study.patient or "",
        key=study.guid,
    )
    for place, (item, count) in enumerate(zip(state.listed, counts, strict=True)):
        if not count:  # no images: nothing to fetch
            continue
        make = viewer.packed if state.is_packed else viewer.image
        yield Series(
            study_instance_uid="",
            series_instance_uid="",
            key=f"{place}/{item.number or ''}",
            number=whole(item.number),
            description=(item.description or "").strip(),
            modality=study.modality or "",
            expected=count,
            study=told,
            instances=at_most(
                Instance("", Asked(partial(make, place, image, count)), key=str(image), number=image + 1)
                for image in range(count)
            ),
        )


async def _state(link: ShareLink, session: Session) -> State:
    give_up = time.monotonic() + RECALL_S
    while time.monotonic() < give_up:
        told = await evaluated(session, STATE)
        if isinstance(told, dict):
            state = read(json.dumps(told).encode(), State, session.page.url)
            if state.listed:
                return state
        await asyncio.sleep(LOOK_S)
    raise SiteChanged(host=link.host, what=Reason.NO_SERIES_LIST)


@dataclass
class _Packed:
    """One series as the page packed it: its objects, in the order of the zip."""

    paths: list[Path]


class _Viewer:
    """The page's own functions; they work on one image, or one series, at a time."""

    def __init__(self, link: ShareLink, session: Session, guid: str) -> None:
        self._link = link
        self._session = session
        self._guid = guid
        self._one = asyncio.Lock()
        self._failures = 0
        self._packed: dict[int, _Packed] = {}

    async def image(self, series: int, image: int, total: int) -> bytes:
        """One image, by the viewer's own provider.

        Raises:
            SiteUnreachable: it refuses; it may give it the next time.
        """
        del total
        async with self._one:
            told = await evaluated(self._session, IMAGE, [self._guid, series, image, IMAGE_S * 1000])
            if isinstance(told, dict) and "data" in told:
                self._failures = 0
                return base64.b64decode(str(told["data"]))
            self._failures += 1
            if self._failures % TRIES == 0:  # its socket is gone
                await self._reload()
        raise SiteUnreachable(host=self._link.host, why=Reason.REFUSED_FOR_NOW)

    async def _reload(self) -> None:
        window = await self._session.window()
        async with window.guard():
            await self._session.page.reload(wait_until="domcontentloaded")
        await self._session.which(viewer=VIEWER, timeout_s=RECALL_S)
        await _state(self._link, self._session)

    async def packed(self, series: int, image: int, total: int) -> Path:
        """One image out of its series' zip, which the page packs at the first question.

        Raises:
            MissingInstances: the zip holds fewer. CorruptInstance: it holds more, and nobody knows which are meant.
        """
        async with self._one:
            paths = self._packed[series].paths if series in self._packed else []
            if not paths or (image < len(paths) and not paths[image].exists()):  # taken away, and asked for once more
                self._packed[series] = await self._download(series, total)
                paths = self._packed[series].paths
        if image >= len(paths):
            raise MissingInstances(why=Reason.ZIP_OBJECTS.of(count=len(paths)))
        if image == total - 1 and len(paths) > total:
            raise CorruptInstance(what=Reason.ZIP_OBJECTS.of(count=len(paths)))
        return paths[image]

    async def _download(self, series: int, total: int) -> _Packed:
        """Have the page pack a series; what failed, or came short, is asked for again, three times in all."""
        best = _Packed([])
        for attempt in range(TRIES):
            archive = await self._packing(series, total)
            if archive is None:
                continue
            folder = self._session.spool / f"series-{series}-{attempt}"
            members = await asyncio.to_thread(zip_archive.unpack_all, archive, folder)
            paths = [member.path for member in members if member.path is not None]
            if len(paths) > len(best.paths):
                best = _Packed(paths)
            if len(best.paths) >= total:
                break
        if not best.paths:
            raise MissingInstances(why=Reason.STUDY_NOT_PACKED)
        return best

    async def _packing(self, series: int, total: int) -> Path | None:
        """One call of the page's download; None where it failed."""
        session, traffic = self._session, self._session.traffic
        seen = len(traffic.exchanges)
        session.tell("packing", host=self._link.host)
        traffic.touch()
        await evaluated(session, PACK, [self._guid, series, total])
        give_up = time.monotonic() + PACKED_S
        while time.monotonic() < give_up and (traffic.busy or traffic.idle_s < IDLE_S):
            for exchange in await traffic.after(seen, timeout_s=1.0):
                seen += 1
                if exchange.kind == "download":
                    return traffic.spooled(exchange)
            if await evaluated(session, "() => window.__failed"):
                return None
        return None
