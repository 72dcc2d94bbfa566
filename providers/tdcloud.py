"""唐都医院 云影像 (tdcloud): a page with a verification code that a person types, then the viewer of 海纳医信."""

from __future__ import annotations

import contextlib
from functools import partial

from providers.products import zfp
from providers.toolkit import drive_page
from scraper.contract import (
    CAPTCHA,
    CredentialsRefused,
    Deployment,
    Provider,
    Series,
    Session,
    ShareLink,
    SiteBusy,
    refusal_error,
)

CONTROL = ':text-is("查看影像")'
KEY_UP_TO_S = 30.0
VIEWER = r"/ImageViewer/StudyView(?:\?|$)"


class Tdcloud(Provider):
    name = "tdcloud"
    route = r"/(?!.*ImageViewer/).+"
    asks = (CAPTCHA,)
    when_asked = "captcha, always"
    serves = "rebuilt: lossless JPEG 2000 or raw pixels, with the original's tags"
    deployments = (Deployment("tdcloudjp.fmmu.edu.cn", "空军军医大学唐都医院", "西安"),)
    example = "https://tdcloudjp.fmmu.edu.cn/report/share?id=0123456789abcdef"

    def __init__(self) -> None:
        self._is_read = False

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        if not session.is_left_to_person(CAPTCHA):
            await drive_page.reach_viewer(session, CONTROL, CAPTCHA)
            await _press_control(session)
        if not await session.screen.has_called(VIEWER):
            refused = partial(CredentialsRefused, CAPTCHA.name)
            message = await session.screen.message()
            raise refused(message) if CAPTCHA.name in session.answers else refusal_error(message)

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        viewer = (await session.traffic.wait_for(VIEWER, timeout_s=session.settings.timeout_s)).response()

        async def key() -> str | None:
            return await zfp.cache_key(session) or None

        cache_key = ""
        with contextlib.suppress(SiteBusy):  # a key that stays empty: the images will say whether it is needed
            cache_key = await session.poll(key, every_s=0.5, up_to_s=KEY_UP_TO_S)
        if self._is_read:  # asked once more on the way: the share's page would want another code
            await zfp.renew(session, viewer)
        self._is_read = True
        return await zfp.read(session, viewer, cache_key=cache_key)


async def _press_control(session: Session) -> None:
    """Press the control; the code's field stands before it, next to it, or in a dialog that it opens."""
    screen = session.screen
    is_dialog = not await screen.count(drive_page.FIELD)
    if is_dialog:
        await screen.click(CONTROL)
        seen = partial(session.traffic.matching, VIEWER)
        if CAPTCHA.name in session.answers or await screen.wait_for_face(seen, field=drive_page.FIELD) != "field":
            return
        await drive_page.answer(session, CAPTCHA)
    else:
        await drive_page.fill_answer(session, CAPTCHA)
        if not await drive_page.press_button(session):
            await screen.click(CONTROL)
            return
    is_asked_again = is_dialog and await screen.count(drive_page.FIELD)
    if await screen.has_called(VIEWER) or is_asked_again or not await screen.is_enabled(CONTROL):
        return  # reached, or the code was refused
    await screen.click(CONTROL)
