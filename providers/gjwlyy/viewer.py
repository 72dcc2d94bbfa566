"""The eUnity viewer: its page decodes, and the pixels are taken out of its decoder's memory, one image on the screen at a time.

facts: fixtures/sites/gjwlyy/README.md
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from scraper.contract import Field, Reason, Reply, Session, SiteChanged

READY_S = 60.0  # for the viewer's program to be there and show an image
IMAGE_S = 30.0  # for one image of full resolution
STILL_S = 1.5  # a key that changes nothing for so long has nothing to change
LEVEL_S, UNSURE_S = (
    0.08,
    1.0,
)  # without a further tile: where the image is covered, and where its size is not known

HOOK = """(() => {
  const got = window.__eunity = {tiles: [], size: null, lut: null, rescale: null, busy: 0, last: 0};
  const bytesOf = {inverseHaar16FromByteArrays: 2, inverseHaar8FromByteArrays: 1, inverseHaarFromByteArrays: 0};
  const touch = () => { got.last = performance.now(); };
  const seen = {
    createNewModalityLutFromRescale: args => { got.rescale = args.slice(0, 2).map(Number); },
    createNewLutInMemoryHandle: args => { got.lut = args.slice(0, 5).map(Number); },
  };
  const tile = (name, args, module) => {
    const [signed, ptr, width, region] = bytesOf[name] ? args : [null, args[0], args[1], args[2]];
    const [x, y, w, h] = Array.from(region, Number);
    const bytes = bytesOf[name] || (got.lut && got.lut[0] > 1 ? 2 : 1);
    const data = module.HEAPU8.slice(ptr, ptr + w * h * bytes);
    got.tiles.push({signed: signed === null ? null : Boolean(signed), width: Number(width), x, y, w, h, sample: bytes, data});
    touch();
  };
  const wrapped = (name, real, module) => function (...args) {
    const result = real.apply(this, args);
    if (name in bytesOf) tile(name, args, module); else (seen[name] || seen.createNewLutInMemoryHandle)(args);
    return result;
  };
  const armed = new Set(), gray = /^createNewLutToGray\\w*InMemoryHandle$/;
  const arm = module => {
    if (!module) return;
    for (const name of [...Object.keys(bytesOf), ...Object.keys(seen), ...Object.keys(module).filter(one => gray.test(one))]) {
      if (armed.has(name) && module === got.module) continue;
      let given = module[name] && wrapped(name, module[name], module);
      Object.defineProperty(module, name, {configurable: true, enumerable: true, get: () => given,
        set: real => { given = real && wrapped(name, real, module); }});
      armed.add(name);
    }
    Object.defineProperty(got, "module", {value: module, configurable: true, enumerable: false});
  };
  let kept = window.Module;
  arm(kept);
  Object.defineProperty(window, "Module", {configurable: true, get: () => kept, set: value => { kept = value; arm(value); }});
  const look = setInterval(() => {
    try { arm((0, eval)("typeof Module === 'undefined' ? null : Module")); } catch (error) { clearInterval(look); }
  }, 10);
  const {open, send} = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (method, url, ...rest) {
    this.__image = String(url).includes("CustomImageServlet");
    return open.call(this, method, url, ...rest);
  };
  XMLHttpRequest.prototype.send = function (body) {
    if (this.__image) {
      got.busy += 1;
      this.addEventListener("loadend", () => {
        got.busy -= 1;
        touch();
        if (this.response instanceof ArrayBuffer) look_at(this.response);
      });
    }
    return send.call(this, body);
  };
  const fetched = window.fetch;
  window.fetch = async function (given, options) {
    const answer = fetched.call(this, given, options);
    if (!String(given && given.url || given).includes("CustomImageServlet")) return answer;
    got.busy += 1;
    try {
      const response = await answer;
      look_at(await response.clone().arrayBuffer());
      return response;
    } finally { got.busy -= 1; touch(); }
  };
  const look_at = buffer => {
    if (buffer.byteLength < 32) return;
    const view = new DataView(buffer);
    if (String.fromCharCode(...new Uint8Array(buffer, 0, 8)) !== "CLOCLHAA") return;
    got.size = [view.getUint32(24, true), view.getUint32(28, true)];
  };
})()"""
READY = """() => !!(window.VIEWER && VIEWER.getViewerState && VIEWER.getViewerState().selectedImage)"""
FORGET = "() => Object.assign(window.__eunity, {tiles: [], size: null, lut: null})"
STATE = "() => VIEWER.getViewerState()"
CHANGED = """async ([before, patience]) => {
  const began = performance.now(), got = window.__eunity;
  const shown = () => {
    const one = VIEWER.getViewerState().selectedImage || {};
    return [one.seriesUID, one.instanceUID, one.frameNumber || 1].join(" ");
  };
  while (shown() === before && (performance.now() - began < patience || got.busy)) {
    await new Promise(done => setTimeout(done, 5));
  }
  return VIEWER.getViewerState();
}"""
WHOLE = """async ([covered, unsure, patience]) => {
  const began = performance.now(), got = window.__eunity;
  const enough = () => {
    if (!got.size) return false;
    const [w, h] = got.size, full = got.tiles.filter(one => one.width === w);
    const places = new Map((full.length ? full : got.tiles).map(one => [[one.x, one.y, one.w, one.h].join(), one]));
    return [...places.values()].reduce((sum, one) => sum + one.w * one.h, 0) >= w * h
      || full.reduce((sum, one) => sum + one.w * one.h, 0) >= w * h;
  };
  const still = () => performance.now() - Math.max(got.last, began);
  while (performance.now() - began < patience) {
    if (got.tiles.length && !got.busy && still() > (enough() ? covered : unsure)) break;
    await new Promise(done => setTimeout(done, 5));
  }
  const text = data => { let out = "";
    for (let at = 0; at < data.length; at += 32768) out += String.fromCharCode(...data.subarray(at, at + 32768));
    return btoa(out); };
  return {size: got.size, lut: got.lut, rescale: got.rescale,
    tiles: got.tiles.map(one => ({...one, data: text(one.data)}))};
}"""


class Patient(Reply):
    name: str | None = ""
    patient: str | None = Field("", alias="patientID")
    gender: str | None = ""


class StudyReply(Reply):
    uid: str | None = ""
    accession: str | None = Field("", alias="accessionNumber")
    description: str | None = ""


class SeriesReply(Reply):
    study: str | None = Field("", alias="studyUID")
    uid: str = Field(alias="seriesUID")


class Selected(Reply):
    study: str | None = Field("", alias="studyUID")
    series: str = Field(alias="seriesUID")
    instance: str = Field(alias="instanceUID")
    number: str | None = Field("", alias="instanceNumber")
    frame: str | None = Field("1", alias="frameNumber")
    cursor: str | None = Field("", alias="imageCursor")

    @property
    def key(self) -> str:
        """What tells one shown image from the next."""
        return f"{self.series} {self.instance} {self.frame or 1}"


class State(Reply):
    """``VIEWER.getViewerState()``."""

    patient: Patient | None = None
    studies: list[StudyReply] = Field(default_factory=list)
    series: list[SeriesReply] = Field(default_factory=list, alias="seriesData")
    selected: Selected | None = Field(None, alias="selectedImage")


@dataclass(frozen=True, slots=True)
class Tile:
    """What the decoder left in memory once; ``width`` is the image's at that level, the rest the tile's place and size."""

    width: int
    x: int
    y: int
    w: int
    h: int
    sample: int  # bytes
    data: bytes = field(repr=False)
    signed: bool | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """All that the page decoded for one image. ``size``: (columns, rows) as its container says, where it was seen."""

    tiles: tuple[Tile, ...]
    size: tuple[int, int] | None
    lut: tuple[float, ...]  # bytes allocated, signed, bits stored, window centre, window width
    rescale: tuple[float, ...]  # slope, intercept


class Screen:
    """The viewer on the screen: what it shows, and the keys that change it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def ready(self) -> State:
        """Wait until an image is shown.

        Raises:
            SiteChanged: none in time.
        """
        window = await self._session.window()
        async with window.guard():
            await self._session.page.wait_for_function(READY, timeout=READY_S * 1000)
        return await self._state(STATE)

    async def _state(self, script: str, given: object = None) -> State:
        window = await self._session.window()
        async with window.guard():
            told = await self._session.page.evaluate(script, given)
        if not isinstance(told, dict):
            raise SiteChanged(host=self._session.link.host, what=Reason.VIEWER_LISTS_NO_STUDY)
        return State.model_validate(told)

    async def press(self, key: str, before: Selected) -> State:
        """Press a key; gives the state once another image is shown, or the same after a while."""
        window = await self._session.window()
        async with window.guard():
            await self._session.page.evaluate(FORGET)
            await self._session.page.keyboard.press(key)
        return await self._state(CHANGED, [before.key, STILL_S * 1000])

    async def click_thumbnail(self, place: int, before: Selected) -> State:
        """Show a series by its picture in the list; items stand 125 pixels apart (protocol page gjwlyy)."""
        window = await self._session.window()
        async with window.guard():
            await self._session.page.evaluate(FORGET)
            canvas = self._session.page.locator("#thumbnailListContainer")
            if not await canvas.is_visible():
                await self._session.page.locator("button.pinBtn").first.click()
            box, x = await canvas.bounding_box(), 63 + 125 * place
            if box is not None and x < box["width"]:  # what lies beyond its edge can't be pressed
                await canvas.click(position={"x": x, "y": 55})
        return await self._state(CHANGED, [before.key, STILL_S * 1000])

    async def decoded(self) -> Decoded:
        """What was decoded since the last key, once it is whole, or after a while."""
        window = await self._session.window()
        async with window.guard():
            told = await self._session.page.evaluate(WHOLE, [LEVEL_S * 1000, UNSURE_S * 1000, IMAGE_S * 1000])
        tiles = tuple(
            Tile(
                **{name: item[name] for name in ("width", "x", "y", "w", "h", "sample", "signed")},
                data=base64.b64decode(item["data"]),
            )
            for item in told["tiles"]
        )
        size = told["size"]
        return Decoded(
            tiles,
            (int(size[0]), int(size[1])) if size else None,
            tuple(told["lut"] or ()),
            tuple(told["rescale"] or ()),
        )
