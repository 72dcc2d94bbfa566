"""唐都医院 云影像 (tdcloud): a page with a verification code that a person types, then the viewer of 海纳医信.

facts:    fixtures/sites/tdcloud/README.md
asks:     captcha, always
serves:   rebuilt: lossless JPEG 2000 or raw pixels, with the original's tags
verified: emulated site only
"""

from __future__ import annotations

import contextlib
from functools import partial

from providers.products import zfp
from providers.toolkit import drive_page
from scraper.contract import (
    CAPTCHA,
    AsyncIterator,
    CredentialsRefused,
    Deployment,
    Found,
    Provider,
    Response,
    Session,
    ShareLink,
    SiteBusy,
    gone,
)

CONTROL = ':text-is("查看影像")'
KEY_UP_TO_S = 30.0
VIEWER = r"/ImageViewer/StudyView(?:\?|$)"


class Tdcloud(Provider):
    name = "tdcloud"
    route = r"/(?!.*ImageViewer/).+"
    asks = (CAPTCHA,)
    deployments = (Deployment("tdcloudjp.fmmu.edu.cn", "空军军医大学唐都医院", "西安"),)
    example = "https://tdcloudjp.fmmu.edu.cn/report/share?id=0123456789abcdef"

    def __init__(self) -> None:
        self._is_read = False

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        if not session.settings.headed or session.given(CAPTCHA):
            await drive_page.arrive(session, CONTROL, CAPTCHA)
            await _press(session)
        if not await drive_page.called(session, VIEWER):
            said = await drive_page.words(session)
            is_answered = CAPTCHA.name in session.answers
            raise (
                CredentialsRefused(CAPTCHA.name, said, host=link.host) if is_answered else gone(said, host=link.host)
            )

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        opened = await session.traffic.wait_for(VIEWER, timeout_s=session.settings.timeout_s)

        async def key() -> str | None:
            return await zfp.cache_key(session) or None

        cache_key = ""
        with contextlib.suppress(SiteBusy):  # a key that stays empty: the images will say whether it is needed
            cache_key = await session.poll(key, every_s=0.5, up_to_s=KEY_UP_TO_S)
        viewer = Response(opened.status, opened.headers, opened.read(), opened.url)
        if self._is_read:  # asked once more on the way: the share's page would want another code
            await zfp.renew(session, viewer)
        self._is_read = True
        for series in await zfp.read(session, viewer, cache_key=cache_key):
            yield series


async def _press(session: Session) -> None:
    """Press the control; the code's field stands before it, beside it, or in a dialog that it opens."""
    control = session.page.locator(CONTROL).locator("visible=true").first
    field = session.page.locator(drive_page.FIELD).locator("visible=true")
    is_dialog = not await field.count()
    if is_dialog:
        await control.click()
        session.traffic.touch()  # the page's silence counts from here
        seen = partial(session.traffic.matching, VIEWER)
        if CAPTCHA.name in session.answers or await drive_page.comes(session, seen, field=drive_page.FIELD) != "field":
            return
        await drive_page.answer(session, CAPTCHA)
    else:
        await drive_page.fill(session, CAPTCHA)
        if not await drive_page.press(session):
            await control.click()
            session.traffic.touch()
            return
    if await drive_page.called(session, VIEWER) or (is_dialog and await field.count()):
        return
    if not await control.is_enabled():  # the code was refused
        return
    await control.click()
    session.traffic.touch()
