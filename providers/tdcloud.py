"""唐都医院 云影像 (tdcloud): a page with a verification code that a person types, then the viewer of 海纳医信.

facts:    fixtures/sites/tdcloud/README.md
asks:     captcha, always
serves:   rebuilt: lossless JPEG 2000 or raw pixels, with the original's tags
verified: emulated site only
"""

from __future__ import annotations

from providers.families import driven, zfp
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
)

CONTROL = ':text-is("查看影像")'
KEY = "() => window.LOAD_IMAGE_CACHE_KEY || (typeof LOAD_IMAGE_CACHE_KEY === 'string' ? LOAD_IMAGE_CACHE_KEY : '')"
KEY_UP_TO_S = 30.0
VIEWER = r"/ImageViewer/StudyView(?:\?|$)"


class Tdcloud(Provider):
    name = "tdcloud"
    route = r"/(?!.*ImageViewer/).+"
    asks = (CAPTCHA,)
    deployments = (Deployment("tdcloudjp.fmmu.edu.cn", "空军军医大学唐都医院", "西安"),)
    example = "https://tdcloudjp.fmmu.edu.cn/report/share?id=0123456789abcdef"

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        if not session.settings.headed or session.given(CAPTCHA):
            await driven.arrive(session, CONTROL, CAPTCHA)
            field = session.page.locator(driven.FIELD).locator("visible=true")
            control = session.page.locator(CONTROL).locator("visible=true").first
            if await field.count():  # the control stands beside the code's field
                await driven.fill(session, CAPTCHA)
                await driven.press(session)
            await control.click()
            session.traffic.touch()  # the page's silence counts from here
        if not await driven.called(session, VIEWER):
            raise CredentialsRefused(CAPTCHA.name, await driven.words(session), host=link.host)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        opened = await session.traffic.wait_for(VIEWER, timeout_s=session.settings.timeout_s)

        async def key() -> str | None:
            page = await (
                await session.window()
            ).latest()  # the viewer's own tab, once the browser has told of it
            return str(await page.evaluate(KEY)) or None

        cache_key = await session.poll(key, every_s=0.5, up_to_s=KEY_UP_TO_S)
        viewer = Response(opened.status, opened.headers, opened.read(), opened.url)
        for series in await zfp.read(session, viewer, cache_key=cache_key):
            yield series
