"""宁夏医科大学总医院影像云 (nyfy), a 万里云 viewer: what it shows arrives over its WebSocket, pixels lie in a store beside it.

facts:    fixtures/sites/nyfy/README.md
asks:     password, where the share has one
serves:   rebuilt: uncompressed frames with the viewer's tags
verified: emulated site only

Over 120 lines because the page is driven, and its list of images is put together from messages.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

from providers.products.wanliyun import Json, described, number, shape, study_uid, tags, text
from providers.toolkit import drive_page
from scraper.contract import (
    PASSWORD,
    Asked,
    AsyncIterator,
    CorruptInstance,
    CredentialsRefused,
    Deployment,
    Found,
    Instance,
    MissingInstances,
    Origin,
    PixelParts,
    Problem,
    Provider,
    Reason,
    Request,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    gone,
)

MAGIC, STORE_PORT, SUFFIX = b"wanliyun", 50650, "_{:05d}"
HEAD = 32  # bytes between the magic and the JSON, at most (six were seen)
NOTICE, DIALOG = "role=button[name=/我知道了/]", "div.password-input-dialog"
FIELD, CONFIRM = f"{DIALOG} input.el-input__inner", f"{DIALOG} >> role=button[name=/验证密码/]"
VIEWER = "iframe.image-iframe"
LAST = """() => { const one = document.querySelector("div.scroll-bar .el-slider__input input.el-input__inner");
  return one ? Number(one.max) : -1; }"""
STEP = """at => { const one = document.querySelector("div.scroll-bar .el-slider__input input.el-input__inner");
  one.value = String(at); one.dispatchEvent(new Event("input", {bubbles: true}));
  one.dispatchEvent(new Event("change", {bubbles: true})); }"""
STEP_S, LOOK_S = 0.09, 0.3  # the viewer's own pace (protocol page nyfy)
DIALOG_S = 4.5  # for the dialog to appear, or not at all
REFUSED_S = 6.0  # a dialog that is still there after the answer
QUIET_S = 3.0  # no message for so long: the viewer has said what it has to say
PRESSES = 15  # without anything new: the series is at its end
CACHED_S = 10.0  # for an image's pixels to reach the store once it is shown
AT_ONCE = 2  # requests that the store was asked in the field


@dataclass
class Told:
    """What the viewer's messages said so far: studies, series and images by UID, and where their pixels lie."""

    studies: dict[str, Json] = field(default_factory=dict)
    series: dict[str, tuple[str, Json]] = field(default_factory=dict)  # with its study's UID
    images: dict[str, tuple[str, Json]] = field(default_factory=dict)  # with its series' UID
    cached: dict[str, tuple[str, int]] = field(default_factory=dict)  # address, bytes (0: not said)
    at: int = 0  # exchanges looked at

    def take(self, session: Session) -> None:
        """Read what is new."""
        fresh = session.traffic.exchanges[self.at :]
        self.at += len(fresh)
        for exchange in fresh:
            if exchange.kind == "websocket-in" and exchange.read(len(MAGIC)) == MAGIC:
                self._message(exchange.read())

    def _message(self, body: bytes) -> None:
        message = _json(body)
        data = message.get("data")
        if message.get("funcName") == "OnCached" and text(message, "iiuid"):
            self.cached[text(message, "iiuid")] = (text(message, "furl"), number(message, "fsz") or 0)
        elif message.get("funcName") == "OnThreeLevelChanged" and isinstance(data, dict):
            self._grown(data)

    def _grown(self, data: Json) -> None:
        study, series, image = (item if isinstance(item := data.get(key), dict) else {} for key in ("sdy", "srs", "ii"))
        uid = study_uid(study) or (self.series.get(text(series, "srsuid")) or (next(iter(self.studies), ""), {}))[0]
        self.studies[uid] = self.studies.get(uid, {}) | study
        if of_series := text(series, "srsuid"):
            self.series[of_series] = (uid, self.series.get(of_series, ("", {}))[1] | series)
            if name := text(image, "uid"):
                self.images[name] = (of_series, self.images.get(name, ("", {}))[1] | image)

    def of(self, series: str) -> list[str]:
        """The images of a series, in the order of their numbers."""
        return sorted(
            (uid for uid, (owner, _) in self.images.items() if owner == series),
            key=lambda uid: (number(self.images[uid][1], "num") or 0, uid),
        )

    @property
    def shown(self) -> str:
        """The series that the viewer shows: the one whose images come to the store."""
        counts: dict[str, int] = {}
        for uid in self.cached:
            if uid in self.images:
                counts[self.images[uid][0]] = counts.get(self.images[uid][0], 0) + 1
        return max(counts, key=lambda item: counts[item], default="")


def _json(body: bytes) -> Json:
    """The object from the first brace to the last; a byte of the head before it may look like a brace."""
    end = body.rfind(b"}") + 1
    start = body.find(b"{", len(MAGIC))
    while 0 <= start <= len(MAGIC) + HEAD:
        try:
            message = json.loads(body[start:end].decode("utf-8", "replace"))
        except ValueError:
            start = body.find(b"{", start + 1)
        else:
            return message if isinstance(message, dict) else {}
    return {}  # a message of another kind


class Nyfy(Provider):
    name = "nyfy"
    route = r"/viewImage/?(?:index\.html)?(?:\?[^#]*)?#/image\?(?:.*&)?data=[^&]+.*"
    asks = (PASSWORD,)
    deployments = (Deployment("zhyl.nyfy.com.cn", "宁夏医科大学总医院", "宁夏"),)
    marks = (r"/viewImage/(?:\?[^#]*)?#/image\?(?:.*&)?data=[^&]+.*",)
    calls = r"/api/dispRender\?"
    behind = (r"[^/]+/viewImage/[^#]*#/.*",)
    example = "http://zhyl.nyfy.com.cn:50647/viewImage/#/image?data=QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoxMjM0NTY3ODkw"

    def __init__(self) -> None:
        self._told = Told()
        self._driving = asyncio.Lock()
        self._asking = asyncio.Semaphore(AT_ONCE)

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        give_up, since, submitted = time.monotonic() + session.settings.timeout_s, 0.0, 0.0
        while time.monotonic() < give_up:
            self._told.take(session)
            try:
                face = await session.which(notice=NOTICE, dialog=DIALOG, viewer=VIEWER, timeout_s=LOOK_S)
            except SiteChanged:
                face = "words" if not submitted and session.traffic.idle_s > drive_page.QUIET_S else ""
            if face == "words":
                break
            if face == "notice":
                await session.page.locator(NOTICE).first.click()
            elif face == "dialog" and not submitted:
                if session.settings.headed and not session.given(PASSWORD):
                    session.tell("person")
                    give_up = time.monotonic() + drive_page.PERSON_S
                else:
                    await session.page.locator(FIELD).first.fill(session.answer(PASSWORD))
                    await session.page.locator(CONFIRM).first.click()
                submitted = time.monotonic()
            elif face == "dialog" and not session.settings.headed and time.monotonic() - submitted > REFUSED_S:
                said = " ".join((await session.page.locator(DIALOG).first.inner_text()).split())
                raise CredentialsRefused(PASSWORD.name, said[: drive_page.LONGEST_SAID], host=link.host)
            elif face == "viewer":
                since = since or time.monotonic()
                if submitted or time.monotonic() - since > DIALOG_S:
                    return
            await asyncio.sleep(LOOK_S)
        raise gone(await drive_page.words(session), host=link.host)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        told = self._told
        frame = await _frame(session)
        while not told.images and session.traffic.idle_s < drive_page.QUIET_S:
            await session.traffic.after(len(session.traffic.exchanges), timeout_s=LOOK_S)
            told.take(session)
        count = await self._leafed(session, frame)
        if not told.images:
            raise SiteChanged(host=link.host, what=Reason.VIEWER_LISTS_NO_IMAGE)
        shown = told.shown
        for uid, (of_study, series) in told.series.items():
            images = told.of(uid)
            if not images:  # named by the tree, and never opened up in it
                yield Series(of_study, uid, number=number(series, "num"), left_out=(Problem("missing-series"),))
                continue
            study, is_counted = told.studies[of_study], uid == shown and count is not None
            yield Series(
                of_study,
                uid,
                tuple(self._instance(link, session, image) for image in images),
                max(count or 0, len(images)) if is_counted else None,
                number(series, "num"),
                text(series, "des"),
                text(series, "modality"),
                study=described(study, series),
                left_out=() if is_counted else (Problem("count-unknown", fatal=False),),
            )

    async def _leafed(self, session: Session, frame: Any) -> int | None:
        """Show every image of the current series, at the viewer's own pace; gives how many it has, None: it does not say."""
        told, last = self._told, int(await frame.evaluate(LAST))
        if last < 0:
            await self._pressed(session, frame)
        for at in range(1, last + 1):
            await frame.evaluate(STEP, at)
            await session.traffic.after(len(session.traffic.exchanges), timeout_s=STEP_S)
            told.take(session)
            if at % 50 == 0:
                session.tell("collecting", count=len(told.images))
        await session.traffic.settled(QUIET_S, session.settings.timeout_s)
        told.take(session)
        return last + 1 if last >= 0 else None

    async def _pressed(self, session: Session, frame: Any) -> None:
        """Without a slider: leaf by keys until nothing new comes."""
        await frame.locator("canvas, img, body").locator("visible=true").first.click()
        idle, known = 0, -1
        while idle < PRESSES:
            await session.page.keyboard.press("PageDown" if idle > PRESSES // 2 else "ArrowDown")
            await session.traffic.after(len(session.traffic.exchanges), timeout_s=STEP_S)
            self._told.take(session)
            now = len(self._told.images) + len(self._told.cached)
            idle, known = (0 if now > known else idle + 1), now

    # ---- pixels

    def _instance(self, link: ShareLink, session: Session, uid: str) -> Instance:
        of_series, image = self._told.images[uid]
        of_study, series = self._told.series[of_series]
        study = self._told.studies[of_study]

        async def ask() -> PixelParts:
            async with self._asking:
                told = dict(image)
                frames = await self._frames(link, session, uid, of_study, told)
            return PixelParts(tags(study, series, told, len(frames)), frames)

        return Instance(uid, Asked(ask, Origin.REBUILT), number=number(image, "num"))

    async def _frames(
        self, link: ShareLink, session: Session, uid: str, of_study: str, image: Json
    ) -> tuple[bytes, ...]:
        """The frames, under either form of their names; what is not in the store yet is shown, and asked for once more."""
        said = next((furl for furl, _ in self._told.cached.values() if "/h5Cache/" in furl), "")
        store = said.partition("/h5Cache/")[0] or f"{link.scheme}://{link.host}:{STORE_PORT}"
        base = f"{store}/h5Cache/{of_study}/{uid}"
        count = number(image, "frame_num") or 1
        for is_last in (False, True):
            furl, size = self._told.cached.get(uid, ("", 0))
            address = furl or text(image, "furl") or base
            image.setdefault("fsz", size)
            first = await self._one(link, session, address, 0)
            if first is not None:
                rest = [await self._one(link, session, address, at) for at in range(1, count)]
                if any(item is None for item in rest):
                    raise MissingInstances(why="HTTP 404")
                _check(image, first, size if count == 1 else 0)
                return (first, *(data for data in rest if data is not None))
            if is_last or not await self._show(session, uid):
                break
        raise MissingInstances(why="HTTP 404")

    async def _one(self, link: ShareLink, session: Session, address: str, frame: int) -> bytes | None:
        """One frame: as it is named, else with (or without) the frame's number; None where neither is there."""
        plain = address.removesuffix(SUFFIX.format(0))
        named = plain + SUFFIX.format(frame)
        forms = [named] if frame else [address, plain if address == named else named]
        for url in forms:
            answer = await session.request(Request(ShareLink(link.url).join(url), headers={"Referer": link.url}))
            if answer.ok and answer.body:
                return answer.body
            if answer.status in (401, 403, 429) or answer.status >= 500:
                raise answer.refusal
        return None

    async def _show(self, session: Session, uid: str) -> bool:
        """Bring an image up in the viewer, where its series is the one shown; True once its pixels are said to be stored."""
        told, of_series = self._told, self._told.images[uid][0]
        if of_series != told.shown:
            return False
        async with self._driving, (await session.window()).guard():
            before = told.cached.get(uid)
            told.cached.pop(uid, None)
            listed = told.of(of_series)
            frame, place = await _frame(session), listed.index(uid)
            if int(await frame.evaluate(LAST)) >= 1:
                await frame.evaluate(STEP, place - 1 if place else 1)
                await frame.evaluate(STEP, place)
            else:
                for key in ["ArrowUp"] * len(listed) + ["ArrowDown"] * place:
                    await session.page.keyboard.press(key)
            give_up = time.monotonic() + CACHED_S
            while uid not in told.cached and time.monotonic() < give_up:
                await session.traffic.after(len(session.traffic.exchanges), timeout_s=LOOK_S)
                told.take(session)
            if uid not in told.cached and before is not None:
                told.cached[uid] = before
            return uid in told.cached


def _check(image: Json, frame: bytes, size: int) -> None:
    """A frame is as long as the viewer said; one that is not has been cut off, or is of another form."""
    rows, columns, samples, item = shape(image)
    wanted = rows * columns * samples * item
    if (wanted and len(frame) != wanted) or (size and len(frame) != size):
        raise CorruptInstance(what=Reason.ANNOUNCED_BYTES.of(found=len(frame), expected=size or wanted))


async def _frame(session: Session) -> Any:
    """The viewer's own frame; where it has none, the page itself is the viewer."""
    holder = session.page.locator(VIEWER)
    if await holder.count():
        found = await (await holder.first.element_handle()).content_frame()
        if found is not None:
            await found.wait_for_load_state("domcontentloaded")
            return found
    return session.page.main_frame
