"""锐达 / 瑞金 (activeImage): a Vue viewer whose own functions give the originals, image by image or a series in one zip.

facts: fixtures/sites/radonline/README.md, fixtures/sites/rjh/README.md
"""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from providers.products.active_image_entry import LOOK_S, RECALL_S, VIEWER, enter
from providers.toolkit import envelope
from scraper.contract import (
    CorruptInstance,
    Field,
    Instance,
    MissingInstances,
    NoSuchStudy,
    Number,
    OnDemand,
    Problem,
    Provider,
    Reason,
    Reply,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    SiteUnreachable,
    Study,
    at_most,
    parse_int,
)
from scraper.protocols import zip_archive

PACKED_S, IDLE_S = 1800.0, 120.0  # a big series takes minutes; a page at rest for so long packs nothing
ENDED_S = 60.0  # for the file to come, once the page's own function says that it has ended
READY_S = 20.0  # for the viewer's provider of images to be there
IMAGE_S = 90.0  # an image that takes longer never comes
TRIES = 3  # of one download, or of one image before the viewer is loaded again
STATE = """() => {
  const main = document.querySelector(".image_main"), vm = main && main.__vue__;
  const state = vm && vm.$store && vm.$store.state;
  if (!state) return null;
  const plain = (record, rest = {}) => ({...Object.fromEntries(Object.entries(record || {})
    .filter(([, value]) => typeof value !== "object" && typeof value !== "function")), ...rest});  // objects may lead in circles
  const rows = list => Array.isArray(list) ? list.map(item => plain(item)) : null;
  const studies = list => Array.isArray(list) ? list.map(item => plain(item, {seriesInfo: rows((item || {}).seriesInfo)})) : null;
  const {select_index, studyList, indexList, seriesInfo} = state;
  return {select_index, studyList: studies(studyList), indexList: studies(indexList), seriesInfo: rows(seriesInfo),
    packs: typeof vm.downOriginal === "function"};
}"""
IMAGE = """async ([guid, series, image, ready, patience]) => {
  const provided = async () => {  // it may be there later than the list of series
    for (const until = Date.now() + ready; ; await new Promise(done => setTimeout(done, 50))) {
      const main = document.querySelector(".image_main"), provider = main && main.__vue__.$store.state.dicomProvider;
      if (provider || Date.now() > until) return provider;
    }
  };
  const read = blob => new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done({data: reader.result.slice(reader.result.indexOf(",") + 1)});
    reader.onerror = () => fail(reader.error);
    reader.readAsDataURL(blob);
  });
  const late = new Promise((_, fail) => setTimeout(() => fail(new Error("no answer in time")), patience));
  try {
    const provider = await provided();
    const {blob} = await Promise.race([provider.getImageFileAsync(guid, series, image), late]);
    return await read(blob);
  } catch (error) { return {failed: String(error)}; }
}"""
PACK = """([guid, series, total]) => {
  window.__failed = "";
  window.__ended = false;
  (async () => {
    const vm = document.querySelector(".image_main").__vue__, cell = vm.layoutData[vm.sequenceIndex];
    cell.bind_xeguid = guid;
    cell.seriesId = series;
    cell.totalImage = total;
    const work = vm.downOriginal("CURRENTSERIES");
    await work;
    window.__ended = Boolean(work) && typeof work.then === "function";  // else it only began
  })().catch(error => { window.__failed = String(error) || "failed"; });
}"""


class SeriesReply(Reply):
    number: str = Field("", alias="seriesNumber")
    description: str = Field("", alias="seriesDesc")
    total: Number = Field(None, alias="imageTotal")


class StudyReply(Reply):
    guid: str = Field("", alias="xeGUID")
    patient: str = Field("", alias="patientName")
    time: str = Field("", alias="studyTime")
    description: str = Field("", alias="studydescribe")
    modality: str = ""
    series: tuple[SeriesReply, ...] = Field((), alias="seriesInfo")


class State(Reply):
    """The viewer's store. One build lists its studies with their series, another the series by themselves."""

    selected: Number = Field(None, alias="select_index")
    studies: tuple[StudyReply, ...] = Field((), alias="studyList")
    index: tuple[StudyReply, ...] = Field((), alias="indexList")
    series: tuple[SeriesReply, ...] = Field((), alias="seriesInfo")
    packs: bool = False

    @property
    def study(self) -> StudyReply:
        """The study that the link is about; earlier ones of the patient may be listed with it."""
        listed, place = self.studies or self.index, self.selected or 0
        return listed[place] if 0 <= place < len(listed) else StudyReply.empty()

    @property
    def further(self) -> int:
        """How many other studies the viewer lists."""
        guids = {study.guid for study in (*self.studies, *self.index)}
        return len(guids - {self.study.guid, ""})

    @property
    def is_packed(self) -> bool:
        """Whether this build packs a series."""
        return self.packs and bool(self.studies)

    @property
    def listed(self) -> tuple[SeriesReply, ...]:
        """Its series."""
        return self.study.series or self.series


# ---- the study


class ActiveImage(Provider):
    """Every hospital's."""

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        """Go by way of the share's page."""
        await enter(link, session)

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        """List what the viewer holds."""
        return await describe(link, session)


async def describe(link: ShareLink, session: Session) -> list[Series]:
    """The series of the study that the open viewer shows.

    Raises:
        SiteChanged: the viewer lists none in time. NoSuchStudy: it lists no image.
    """
    state = await _state(session)
    study = state.study
    if not study.guid:
        raise SiteChanged(what=Reason.VIEWER_LISTS_NO_STUDY)
    if not any(series.total for series in state.listed):
        raise NoSuchStudy
    viewer = _Viewer(link, session, study.guid)
    make = viewer.packed if state.is_packed else viewer.image
    known = Study("", study.time, study.modality, study.description, study.patient, study.guid)
    found = [
        Series(
            study_instance_uid="",
            series_instance_uid="",
            key=f"{place}/{series.number}",
            number=parse_int(series.number),
            description=series.description.strip(),
            modality=study.modality,
            expected=series.total,
            study=known,
            instances=at_most(
                Instance("", OnDemand(partial(make, place, image, series.total)), key=str(image), number=image + 1)
                for image in range(series.total)
            ),
        )
        for place, series in enumerate(state.listed)
        if series.total  # without images there is nothing to fetch
    ]
    if state.further:
        values = {"count": state.further, "why": Reason.LINK_IS_FOR_ONE}
        found[0] = found[0].with_problem(Problem("further-study", values=values, fatal=False))
    return found


async def _state(session: Session) -> State:
    give_up = time.monotonic() + RECALL_S
    while time.monotonic() < give_up:
        value = await session.screen.evaluate(STATE)
        if isinstance(value, dict):
            state = envelope.nested(value, State, session.screen.url)
            if state.listed:
                return state
        await asyncio.sleep(LOOK_S)
    raise SiteChanged(what=Reason.NO_SERIES_LIST)


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
        self._turn = asyncio.Lock()
        self._failures = 0
        self._packed: dict[int, _Packed] = {}

    async def image(self, series: int, image: int, total: int) -> bytes:
        """One image, by the viewer's own provider.

        Raises:
            SiteUnreachable: it refuses; it may give it the next time.
        """
        del total
        async with self._turn:
            reply = await self._session.screen.evaluate(
                IMAGE, [self._guid, series, image, READY_S * 1000, IMAGE_S * 1000]
            )
            if isinstance(reply, dict) and "data" in reply:
                self._failures = 0
                return base64.b64decode(str(reply["data"]))
            self._failures += 1
            if self._failures % TRIES == 0:  # its socket is gone
                await self._reload()
        raise SiteUnreachable(host=self._link.host, why=Reason.REFUSED_FOR_NOW)

    async def _reload(self) -> None:
        await self._session.screen.reload()
        await self._session.which(viewer=VIEWER, timeout_s=RECALL_S)
        await _state(self._session)

    async def packed(self, series: int, image: int, total: int) -> Path:
        """One image out of its series' zip, which the page packs at the first question.

        Raises:
            MissingInstances: the zip holds fewer. CorruptInstance: it holds more, and nobody knows which are meant.
        """
        async with self._turn:
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
        await session.screen.evaluate(PACK, [self._guid, series, total])
        give_up = time.monotonic() + PACKED_S
        while time.monotonic() < give_up and (traffic.busy or traffic.idle_s < IDLE_S):
            for exchange in await traffic.after(seen, timeout_s=1.0):
                seen += 1
                if exchange.kind == "download":
                    return traffic.spooled(exchange)
            if await session.screen.evaluate("() => window.__failed"):
                return None
            if give_up > time.monotonic() + ENDED_S and await session.screen.evaluate("() => window.__ended"):
                give_up = time.monotonic() + ENDED_S
        return None
