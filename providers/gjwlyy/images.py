"""Every image of the eUnity viewer's study, shown by keys one after another, and put together from what was decoded.

facts: fixtures/sites/gjwlyy/README.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from providers.gjwlyy.viewer import Decoded, EunityScreen, Selected, State, Tile
from scraper.contract import Session


@dataclass
class ShownImage:
    """An image that was on the screen. ``path``: its samples; None where they did not come whole."""

    selected: Selected
    columns: int = 0
    rows: int = 0
    path: Path | None = None
    decoded: Decoded | None = field(default=None, repr=False)


async def collect(screen: EunityScreen, state: State, session: Session) -> dict[str, ShownImage]:
    """Every image of every series that the viewer can be made to show, by ``Selected.key``."""
    shown: dict[str, ShownImage] = {}
    now = state.selected
    if now is None:
        return shown
    await _take(screen, now, shown, session)
    seen: set[str] = set()
    while True:
        now = await _series(screen, now, shown, session)
        seen.add(now.series)
        following = (await screen.press("ArrowRight", now)).selected
        if following is None or following.series in seen:
            following = await _by_thumbnail(screen, state, seen, following or now)
        if following is None:
            return shown
        now = following
        await _take(screen, now, shown, session)


async def _series(screen: EunityScreen, now: Selected, shown: dict[str, ShownImage], session: Session) -> Selected:
    """One series, from the first image to the last; the last is looked up first, so that no key is pressed in vain."""
    last = (await screen.press("End", now)).selected or now
    await _take(screen, last, shown, session)
    if last.series != now.series:
        return last
    at = (await screen.press("Home", last)).selected or last
    await _take(screen, at, shown, session)
    while at.key != last.key:
        following = (await screen.press("ArrowDown", at)).selected
        if following is None or following.key == at.key or following.series != at.series:
            break
        at = following
        await _take(screen, at, shown, session)
        session.tell("collecting", count=len(shown))
    return at


async def _by_thumbnail(screen: EunityScreen, state: State, seen: set[str], now: Selected) -> Selected | None:
    for place, series in enumerate(state.series):
        if series.uid not in seen:
            seen.add(series.uid)
            clicked = (await screen.click_thumbnail(place, now)).selected
            if clicked is not None and clicked.series == series.uid:
                return clicked
    return None


async def _take(screen: EunityScreen, now: Selected, shown: dict[str, ShownImage], session: Session) -> None:
    """Take what was decoded for the image on the screen, unless it is there."""
    known = shown.get(now.key)
    if known is not None and known.path is not None:
        return
    decoded = await screen.decoded()
    put_together = await asyncio.to_thread(image, decoded)
    if put_together is None:
        shown[now.key] = ShownImage(now, decoded=decoded)
        return
    columns, rows, samples = put_together
    path = session.spool / f"image-{len(shown)}"
    await asyncio.to_thread(path.write_bytes, samples)
    light = Decoded(decoded.tiles[-1:], decoded.size, decoded.lut, decoded.rescale)
    shown[now.key] = ShownImage(now, columns, rows, path, light)


def image(found: Decoded) -> tuple[int, int, bytes] | None:
    """(columns, rows, samples) of the full resolution; None where its tiles do not cover it.

    Where all tiles name the same place, they stand in rows from the top left, as they came.
    """
    width = found.size[0] if found.size else max((tile.width for tile in found.tiles), default=0)
    full = [tile for tile in found.tiles if tile.width == width] or list(found.tiles)
    if not full or not width:
        return None
    height = found.size[1] if found.size else 0
    placed = _placed(full, width, height)
    height = height or max((tile.y + tile.h for tile in placed), default=0)
    side, deep, size = max(tile.w for tile in full), max(item.h for item in full), full[-1].sample
    latest: Mapping[tuple[int, int], Tile] = {
        (tile.x, tile.y): tile
        for tile in placed
        if tile.x % side == tile.y % deep == 0
        and (tile.w, tile.h) == (min(side, width - tile.x), min(deep, height - tile.y))
        and len(tile.data) == tile.w * tile.h * size
    }
    if sum(tile.w * tile.h for tile in latest.values()) != width * height:
        return None
    out = bytearray(width * height * size)
    for tile in latest.values():
        for row in range(tile.h):
            start = ((tile.y + row) * width + tile.x) * size
            out[start : start + tile.w * size] = tile.data[row * tile.w * size : (row + 1) * tile.w * size]
    return width, height, bytes(out)


def _placed(tiles: Sequence[Tile], width: int, height: int) -> list[Tile]:
    """The tiles where they belong; the last ones are those of the highest level."""
    if len({(tile.x, tile.y) for tile in tiles}) > 1:
        return list(tiles)
    side, deep = max(tile.w for tile in tiles), max(tile.h for tile in tiles)
    count = -(-width // side) * -(-height // deep) if height else len(tiles)
    placed: list[Tile] = []
    x = y = 0
    for tile in tiles[-count:]:
        if x >= width:
            x, y = 0, y + placed[-1].h
        placed.append(replace(tile, x=x, y=y))
        x += tile.w
    return placed
