"""The eUnity viewer: its page decodes, and the pixels are taken out of its decoder's memory, one image on the screen at a time.

facts: fixtures/sites/gjwlyy/README.md
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from scraper.contract import Field, Number, Reason, Reply, Session, SiteChanged

READY_S = 60.0  # for the viewer's program to be there and show an image
IMAGE_S = 30.0  # for one image of full resolution
STILL_S = 1.5  # a key that changes nothing for so long has nothing to change
LEVEL_S, UNSURE_S = (0.08, 1.0)  # without a further tile: where the image is covered, and where its size is not known

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
    for (const name of [...Object.keys(bytesOf), ...Object.keys(seen), ...Object.keys(module).filter(key => gray.test(key))]) {
      if (armed.has(name) && module === got.module) continue;
      let given = module[name] && wrapped(name, module[name], module);
      Object.defineProperty(module, name, {configurable: true, enumerable: true, get: () => given,
        set: real => { given = real && wrapped(name, real, module); }});
      armed.add(name);
    }
    Object.defineProperty(got, "module", {value: module, configurable: true, enumerable: false});
  };
  let current = window.Module;
  arm(current);
  Object.defineProperty(window, "Module", {configurable: true, get: () => current,
    set: value => { current = value; arm(value); }});
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
THUMBNAILS = "#thumbnailListContainer"
WIDTH = "selector => document.querySelector(selector).getBoundingClientRect().width"
READY = """() => !!(window.VIEWER && VIEWER.getViewerState && VIEWER.getViewerState().selectedImage)"""
FORGET = "() => Object.assign(window.__eunity, {tiles: [], size: null, lut: null})"
STATE = "() => VIEWER.getViewerState()"
CHANGED = """async ([before, patience]) => {
  const began = performance.now(), got = window.__eunity;
  const shown = () => {
    const image = VIEWER.getViewerState().selectedImage || {};
    return [image.seriesUID, image.instanceUID, image.frameNumber || 1].join(" ");
  };
  while (shown() === before && (performance.now() - began < patience || got.busy)) {
    await new Promise(done => setTimeout(done, 15));
  }
  return VIEWER.getViewerState();
}"""
WHOLE = """async ([covered, unsure, patience]) => {
  const began = performance.now(), got = window.__eunity;
  const enough = () => {
    if (!got.size) return false;
    const [w, h] = got.size, full = got.tiles.filter(tile => tile.width === w);
    const places = new Map((full.length ? full : got.tiles).map(tile => [[tile.x, tile.y, tile.w, tile.h].join(), tile]));
    return [...places.values()].reduce((sum, tile) => sum + tile.w * tile.h, 0) >= w * h
      || full.reduce((sum, tile) => sum + tile.w * tile.h, 0) >= w * h;
  };
  const still = () => performance.now() - Math.max(got.last, began);
  while (performance.now() - began < patience) {
    if (got.tiles.length && !got.busy && still() > (enough() ? covered : unsure)) break;
    await new Promise(done => setTimeout(done, 15));
  }
  const text = data => { let out = "";
    for (let at = 0; at < data.length; at += 32768) out += String.fromCharCode(...data.subarray(at, at + 32768));
    return btoa(out); };
  return {size: got.size, lut: got.lut, rescale: got.rescale,
    tiles: got.tiles.map(tile => ({...tile, data: text(tile.data)}))};
}"""


class StudyReply(Reply):
    uid: str = ""
    accession: str = Field("", alias="accessionNumber")
    description: str = ""


class SeriesReply(Reply):
    study: str = Field("", alias="studyUID")
    uid: str = Field(alias="seriesUID")


class Selected(Reply):
    study: str = Field("", alias="studyUID")
    series: str = Field(alias="seriesUID")
    instance: str = Field(alias="instanceUID")
    number: Number = Field(None, alias="instanceNumber")
    frame: Number = Field(None, alias="frameNumber")

    @property
    def key(self) -> str:
        """What tells an image on the screen from the next."""
        return f"{self.series} {self.instance} {self.frame or 1}"


class State(Reply):
    """``VIEWER.getViewerState()``."""

    patient_name: str = Field("", alias="patient.name")
    patient_id: str = Field("", alias="patient.patientID")
    gender: str = Field("", alias="patient.gender")
    studies: tuple[StudyReply, ...] = ()
    series: tuple[SeriesReply, ...] = Field((), alias="seriesData")
    selected: Selected | None = Field(None, alias="selectedImage")


class TileReply(Reply):
    width: int
    x: int
    y: int
    w: int
    h: int
    sample: int
    signed: bool | None = None
    data: str


class DecodedReply(Reply):
    """What the hook has gathered for one image."""

    tiles: tuple[TileReply, ...] = ()
    size: tuple[int, int] | None = None
    lut: tuple[float, ...] = ()
    rescale: tuple[float, ...] = ()


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


class EunityScreen:
    """The viewer on the screen: the image that it shows, and the keys that change it."""

    def __init__(self, session: Session) -> None:
        self._screen = session.screen

    async def ready(self) -> State:
        """Wait until an image is shown.

        Raises:
            SiteChanged: none in time.
        """
        await self._screen.wait_until(READY, timeout_s=READY_S)
        return await self._state(STATE)

    async def _state(self, script: str, given: object = None) -> State:
        value = await self._screen.evaluate(script, given)
        if not isinstance(value, dict):
            raise SiteChanged(what=Reason.VIEWER_LISTS_NO_STUDY)
        return State.model_validate(value)

    async def press(self, key: str, before: Selected) -> State:
        """Press a key; returns the state once another image is shown, or the same after a while."""
        await self._screen.evaluate(FORGET)
        await self._screen.press(key)
        return await self._state(CHANGED, [before.key, STILL_S * 1000])

    async def click_thumbnail(self, place: int, before: Selected) -> State:
        """Show a series by its picture in the list; items are 125 pixels apart (protocol page gjwlyy)."""
        await self._screen.evaluate(FORGET)
        if not await self._screen.count(THUMBNAILS):
            await self._screen.click("button.pinBtn")
        width, x = await self._screen.evaluate(WIDTH, THUMBNAILS), 63 + 125 * place
        if isinstance(width, (int, float)) and x < width:  # what lies beyond its edge can't be pressed
            await self._screen.click(THUMBNAILS, position=(x, 55))
        return await self._state(CHANGED, [before.key, STILL_S * 1000])

    async def decoded(self) -> Decoded:
        """What was decoded since the last key, once it is whole, or after a while."""
        value = await self._screen.evaluate(WHOLE, [LEVEL_S * 1000, UNSURE_S * 1000, IMAGE_S * 1000])
        reply = DecodedReply.model_validate(value)
        tiles = tuple(
            Tile(tile.width, tile.x, tile.y, tile.w, tile.h, tile.sample, base64.b64decode(tile.data), tile.signed)
            for tile in reply.tiles
        )
        return Decoded(tiles, reply.size, reply.lut, reply.rescale)
