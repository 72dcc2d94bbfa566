"""西安市影像云 (xa_data), the image sharing of Xi'an; NeuView mobile.

facts:    fixtures/sites/xa_data/README.md
asks:     nothing known; whatever its page may ask, a person answers in the window (--headed)
serves:   Part 10 files, one zip each
verified: emulated site only
"""

from __future__ import annotations

import re

from providers.families import neuview
from scraper.contract import (
    CAPTCHA,
    WECHAT_PHONE,
    AsyncIterator,
    CaptchaRequired,
    Deployment,
    Found,
    Provider,
    Response,
    Session,
    ShareLink,
    SiteChanged,
    StudyGone,
)

TO_IMAGES = "text=/^\\s*查看(影像)?\\s*$/"
CHECK = "input[type=text]:visible, input[type=tel]:visible, input[type=number]:visible, input[type=password]:visible"
HEADED_S = 300.0  # a person reads, types and waits for an SMS


class XaData(Provider):
    name = "xa_data"
    route = r".*[?&#]title=.*|.*_SIGN_.*"
    deployments = (Deployment("yxy.xa-data.cn", "西安市影像云", "陕西"),)
    user_agent = WECHAT_PHONE  # the page's mobile template is the one that works
    mobile = True
    calls = neuview.CALLED
    example = "https://yxy.xa-data.cn/NeuView/mobile/?title=CT&r=1700000000000#A1_SIGN_0a1b2c_OPEN_undefined&bType=2d"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        token = re.search(neuview.IN_FRAGMENT, link.target)
        if token is None:
            raise SiteChanged(host=link.host, what="no token in the link; its page has it")
        await session.get(link.url.partition("#")[0])  # the call goes with the page's cookies
        answer = await session.get(neuview.call(link, token["token"]))
        try:
            found = neuview.described(link, answer)
        except StudyGone as err:
            if type(err) is not StudyGone:
                raise
            # neither expired nor cancelled: perhaps only the page itself may ask
            raise SiteChanged(err.said, host=link.host, what="a refusal") from None
        for series in found:
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        face = await session.which(viewer="canvas", images=TO_IMAGES, check=CHECK)
        if face == "check" and not session.settings.headed:
            raise CaptchaRequired(CAPTCHA.name, host=link.host)
        if face == "images":
            await session.page.click(TO_IMAGES)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        patience = HEADED_S if session.settings.headed else session.settings.timeout_s
        called = await session.traffic.wait_for(neuview.CALLED, timeout_s=patience)
        for series in neuview.described(
            link, Response(called.status, called.headers, called.read(), called.url)
        ):
            yield series
