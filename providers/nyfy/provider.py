"""宁夏医科大学总医院影像云 (nyfy), a 万里云 viewer: what it shows arrives over its WebSocket, pixels lie in a store beside it."""

from __future__ import annotations

import asyncio
import time

from providers.nyfy.messages import Messages
from providers.nyfy.stack import LOOK_S, VIEWER, Stack
from scraper.contract import (
    PASSWORD,
    PERSON_S,
    QUIET_S,
    CredentialsRefused,
    Deployment,
    Provider,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    refusal_error,
)

NOTICE, DIALOG = "role=button[name=/我知道了/]", "div.password-input-dialog"
FIELD, CONFIRM = f"{DIALOG} input.el-input__inner", f"{DIALOG} >> role=button[name=/验证密码/]"
DIALOG_S = 4.5  # for the dialog to appear, or not at all
REFUSED_S = 6.0  # a dialog that is still there after the answer


class Nyfy(Provider):
    name = "nyfy"
    route = r"/viewImage/?(?:index\.html)?(?:\?[^#]*)?#/image\?(?:.*&)?data=[^&]+.*"
    asks = (PASSWORD,)
    when_asked = "password, where the share has one"
    serves = "rebuilt: uncompressed frames with the viewer's tags"
    deployments = (Deployment("zhyl.nyfy.com.cn", "宁夏医科大学总医院", "宁夏"),)
    distinctive_routes = (r"/viewImage/(?:\?[^#]*)?#/image\?(?:.*&)?data=[^&]+.*",)
    study_list_call = r"/api/dispRender\?"
    on_any_host = True
    behind = (r"[^/]+/viewImage/[^#]*#/.*",)
    example = "http://zhyl.nyfy.com.cn:50647/viewImage/#/image?data=QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoxMjM0NTY3ODkw"

    def __init__(self) -> None:
        self._messages = Messages()
        self._stack = Stack(self._messages)

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        give_up, since, submitted = time.monotonic() + session.settings.timeout_s, 0.0, 0.0
        while time.monotonic() < give_up:
            self._messages.take(session)
            try:
                face = await session.which(notice=NOTICE, dialog=DIALOG, viewer=VIEWER, timeout_s=LOOK_S)
            except SiteChanged:
                if not submitted and session.traffic.idle_s > QUIET_S:
                    break
                face = ""
            if face == "notice":
                await session.screen.click(NOTICE)
            elif face == "dialog" and not submitted:
                if session.is_left_to_person(PASSWORD):
                    session.tell("person")
                    give_up = time.monotonic() + PERSON_S
                else:
                    await session.screen.fill(FIELD, session.answer(PASSWORD))
                    await session.screen.click(CONFIRM)
                submitted = time.monotonic()
            elif face == "dialog" and not session.settings.headed and time.monotonic() - submitted > REFUSED_S:
                raise CredentialsRefused(PASSWORD.name, (await session.screen.text(DIALOG))[:120])
            elif face == "viewer":
                since = since or time.monotonic()
                if submitted or time.monotonic() - since > DIALOG_S:
                    return
            await asyncio.sleep(LOOK_S)
        raise refusal_error(await session.screen.message())

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        while not self._messages.images and session.traffic.idle_s < QUIET_S:
            await self._messages.wait(session, LOOK_S)
        return await self._stack.describe(link, session)
