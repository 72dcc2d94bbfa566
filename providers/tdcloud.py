"""唐都医院 云影像 (tdcloud): a page with a verification code that a person types, then the viewer of 海纳医信."""

from __future__ import annotations

from providers.products import zfp
from providers.toolkit.gate import PageGate
from scraper.contract import CAPTCHA, Deployment, Provider, Series, Session, ShareLink

KEY_UP_TO_S = 30.0
VIEWER = r"/ImageViewer/StudyView(?:\?|$)"


class Tdcloud(Provider):
    name = "tdcloud"
    route = r"/(?!.*ImageViewer/).+"
    asks = (CAPTCHA,)
    when_asked = "captcha, always"
    serves = "rebuilt: lossless JPEG 2000 or raw pixels, with the original's tags"
    deployments = (Deployment("tdcloudjp.fmmu.edu.cn", "空军军医大学唐都医院", "西安"),)
    gate = PageGate(called=VIEWER, asks=CAPTCHA, control=':text-is("查看影像")')
    example = "https://tdcloudjp.fmmu.edu.cn/report/share?id=0123456789abcdef"

    def __init__(self) -> None:
        self._is_read = False

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        viewer = (await session.traffic.wait_for(VIEWER, timeout_s=session.settings.timeout_s)).response()

        cache_key = await zfp.wait_for_cache_key(session, KEY_UP_TO_S)
        if self._is_read:  # asked once more on the way: the share's page would want another code
            await zfp.renew(session, viewer)
        self._is_read = True
        return await zfp.read(session, viewer, cache_key=cache_key)
