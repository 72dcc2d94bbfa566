"""The viewer's stack of images on the screen, stepped through, and the store that their pixels are fetched from.

facts: fixtures/sites/nyfy/README.md
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

from providers.nyfy.messages import Messages
from providers.products.wanliyun import Json, describe_study, number, shape, tags, text
from scraper.contract import (
    CorruptInstance,
    Instance,
    MissingInstances,
    OnDemand,
    Origin,
    PixelParts,
    Problem,
    Reason,
    Request,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    parse_int,
)

VIEWER = "iframe.image-iframe"
STORE_PORT, SUFFIX = 50650, "_{:05d}"
LAST = """() => { const field = document.querySelector("div.scroll-bar .el-slider__input input.el-input__inner");
  return field ? Number(field.max) : -1; }"""
STEP = """place => { const field = document.querySelector("div.scroll-bar .el-slider__input input.el-input__inner");
  field.value = String(place); field.dispatchEvent(new Event("input", {bubbles: true}));
  field.dispatchEvent(new Event("change", {bubbles: true})); }"""
STEP_S, LOOK_S = 0.09, 0.3  # the viewer's own pace (protocol page nyfy)
QUIET_S = 3.0  # no message for so long: the viewer has sent all that it will
PRESSES = 15  # without anything new: the series is at its end
CACHED_S = 10.0  # for an image's pixels to reach the store once it is shown
AT_ONCE = 2  # requests that the store was asked in the field


class Stack:
    """One viewer's images: stepped through once, then fetched one by one."""

    def __init__(self) -> None:
        self._messages = Messages()
        self._driving = asyncio.Lock()
        self._fetching = asyncio.Semaphore(AT_ONCE)

    async def describe(self, link: ShareLink, session: Session) -> list[Series]:
        """Every series that the messages name; the one on the screen is stepped through first."""
        messages = self._messages
        messages.take(session)
        while not messages.images and session.traffic.idle_s < QUIET_S:
            await messages.wait(session, LOOK_S)
        count = await self._step_through(session)
        if not messages.images:
            raise SiteChanged(what=Reason.VIEWER_LISTS_NO_IMAGE)
        return [self._series(link, session, uid, count if uid == messages.shown else None) for uid in messages.series]

    def _series(self, link: ShareLink, session: Session, uid: str, count: int | None) -> Series:
        of_study, record = self._messages.series[uid]
        images = self._messages.of(uid)
        if not images:  # named by the tree, and never opened up in it
            return Series(of_study, uid, number=number(record, "num")).with_problem(Problem("missing-series"))
        sources = {image: OnDemand(partial(self._image, link, session, image), Origin.REBUILT) for image in images}
        series = Series(
            study_instance_uid=of_study,
            series_instance_uid=uid,
            instances=tuple(
                Instance(image, source, number=number(self._messages.images[image][1], "num"))
                for image, source in sources.items()
            ),
            expected=None if count is None else max(count, len(images)),
            number=number(record, "num"),
            description=text(record, "des"),
            modality=text(record, "modality"),
            study=describe_study(self._messages.studies[of_study], record),
        )
        return series if count is not None else series.with_problem(Problem("count-unknown", fatal=False))

    async def _step_through(self, session: Session) -> int | None:
        """Show every image of the current series, at the viewer's own pace; returns how many, None: the viewer has no count."""
        frame = await session.screen.inside(VIEWER)
        last = parse_int(await frame.evaluate(LAST)) or 0
        if last < 0:
            await self._press_through(session)
        for place in range(1, last + 1):
            await frame.evaluate(STEP, place)
            await self._messages.wait(session, STEP_S)
            if place % 50 == 0:
                session.tell("collecting", count=len(self._messages.images))
        await session.traffic.settled(QUIET_S, session.settings.timeout_s)
        self._messages.take(session)
        return last + 1 if last >= 0 else None

    async def _press_through(self, session: Session) -> None:
        """Without a slider: press keys until nothing new comes."""
        await (await session.screen.inside(VIEWER)).click("canvas, img, body")
        idle, known = 0, -1
        while idle < PRESSES:
            await session.screen.press("PageDown" if idle > PRESSES // 2 else "ArrowDown")
            await self._messages.wait(session, STEP_S)
            now = len(self._messages.images) + len(self._messages.cached)
            idle, known = (0 if now > known else idle + 1), now

    async def _image(self, link: ShareLink, session: Session, uid: str) -> PixelParts:
        """One image: its tags, and its frames from the store."""
        of_series, image = self._messages.images[uid]
        of_study, series = self._messages.series[of_series]
        async with self._fetching:
            record = dict(image)
            frames = await self._frames(link, session, uid, of_study, record)
        return PixelParts(tags(self._messages.studies[of_study], series, record, len(frames)), frames)

    async def _frames(
        self, link: ShareLink, session: Session, uid: str, of_study: str, image: Json
    ) -> tuple[bytes, ...]:
        """The frames, under either form of their names; what is not in the store yet is shown, and asked for once more."""
        known = next((url for url, _ in self._messages.cached.values() if "/h5Cache/" in url), "")
        store = known.partition("/h5Cache/")[0] or f"{link.scheme}://{link.host}:{STORE_PORT}"
        base = f"{store}/h5Cache/{of_study}/{uid}"
        count = number(image, "frame_num") or 1
        for is_last in (False, True):
            url, size = self._messages.cached.get(uid, ("", 0))
            address = url or text(image, "furl") or base
            image.setdefault("fsz", size)
            first = await _frame(link, session, address, 0)
            if first is not None:
                rest = [await _frame(link, session, address, place) for place in range(1, count)]
                if any(frame is None for frame in rest):
                    raise MissingInstances(why="HTTP 404")
                _check(image, first, size if count == 1 else 0)
                return (first, *(frame for frame in rest if frame is not None))
            if is_last or not await self._show(session, uid):
                break
        raise MissingInstances(why="HTTP 404")

    async def _show(self, session: Session, uid: str) -> bool:
        """Bring an image up in the viewer, where its series is the one shown; True once its pixels are reported as stored."""
        messages, of_series = self._messages, self._messages.images[uid][0]
        if of_series != messages.shown:
            return False
        async with self._driving:
            before = messages.cached.pop(uid, None)
            listed = messages.of(of_series)
            frame, place = await session.screen.inside(VIEWER), listed.index(uid)
            if (parse_int(await frame.evaluate(LAST)) or 0) >= 1:
                await frame.evaluate(STEP, place - 1 if place else 1)
                await frame.evaluate(STEP, place)
            else:
                for key in ["ArrowUp"] * len(listed) + ["ArrowDown"] * place:
                    await session.screen.press(key)
            give_up = time.monotonic() + CACHED_S
            while uid not in messages.cached and time.monotonic() < give_up:
                await messages.wait(session, LOOK_S)
            if uid not in messages.cached and before is not None:
                messages.cached[uid] = before
            return uid in messages.cached


async def _frame(link: ShareLink, session: Session, address: str, frame: int) -> bytes | None:
    """One frame: as it is named, else with (or without) the frame's number; None where neither is there."""
    plain = address.removesuffix(SUFFIX.format(0))
    named = plain + SUFFIX.format(frame)
    forms = [named] if frame else [address, plain if address == named else named]
    for url in forms:
        response = await session.request(Request(link.join(url), headers={"Referer": link.url}))
        if response.ok and response.body:
            return response.body
        if response.status in (401, 403, 429) or response.status >= 500:
            raise response.refusal
    return None


def _check(image: Json, frame: bytes, size: int) -> None:
    """Reject a frame of another length than the viewer announced: it was cut off, or is of another form."""
    rows, columns, samples, item = shape(image)
    wanted = rows * columns * samples * item
    if (wanted and len(frame) != wanted) or (size and len(frame) != size):
        raise CorruptInstance(what=Reason.ANNOUNCED_BYTES.of(found=len(frame), expected=size or wanted))
