"""西安市影像云 (xa_data), the image sharing of Xi'an; NeuView mobile.

facts:    fixtures/sites/xa_data/README.md
asks:     nothing known; what its page may ask is answered by the field's own words, else by a person (--headed)
serves:   Part 10 files, one zip each
verified: emulated site only
"""

from __future__ import annotations

import re
from functools import partial

from providers.products import neuview
from providers.toolkit import drive_page
from scraper.contract import (
    ACCESS_CODE,
    CAPTCHA,
    ID_LAST4,
    ID_LAST6,
    NAME,
    PASSWORD,
    PHONE,
    PHONE_LAST4,
    SMS_CODE,
    WECHAT_PHONE,
    AsyncIterator,
    CaptchaRequired,
    CredentialsRefused,
    Deployment,
    Found,
    Provider,
    Question,
    Reason,
    Session,
    ShareLink,
    SiteChanged,
    StudyGone,
)

TO_IMAGES = "text=/^\\s*查看(影像)?\\s*$/"
# What its page may ask is not known: fields are told by their words, and others are left to a person in the window.
CHECKS = {
    SMS_CODE: "短信",
    PHONE_LAST4: r"(?:手机|电话|尾号).*(?:后|末|尾)|尾号",
    PHONE: "手机|电话",
    ID_LAST6: r"(?:身份证|证件).*(?:六|6)",
    ID_LAST4: r"(?:身份证|证件).*(?:四|4)",
    ACCESS_CODE: "安全码|提取码|访问码",
    PASSWORD: "密码",
    CAPTCHA: "验证码|图形|校验码",
    NAME: "姓名",
}


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
            raise SiteChanged(host=link.host, what=Reason.NO_TOKEN_IN_LINK)
        await session.get(link.url.partition("#")[0])  # the call goes with the page's cookies
        answer = await session.get(neuview.call(link, token["token"]))
        try:
            found = neuview.described(link, answer)
        except (StudyGone, CaptchaRequired) as err:
            if session.settings.browser == "never" or type(err) not in (StudyGone, CaptchaRequired):
                raise
            # neither expired nor cancelled: perhaps only the page itself may ask
            raise SiteChanged(err.said, host=link.host, what=Reason.REFUSAL) from None
        for series in found:
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        faces = {"images": TO_IMAGES} if session.settings.headed else {"check": drive_page.FIELD, "images": TO_IMAGES}
        asked: tuple[Question, ...] = ()
        while face := await drive_page.comes(session, partial(neuview.is_listed, session), **faces):
            if face == "called":
                return
            faces.pop(face)
            if face == "images":
                await session.page.locator(TO_IMAGES).locator("visible=true").first.click()
            else:
                asked = await drive_page.fill_each(session, CHECKS, also_unnamed=False)
                if not asked:
                    raise CaptchaRequired(CAPTCHA.name, await drive_page.words(session), host=link.host)
                await drive_page.press(session)
            session.traffic.touch()  # the page's silence counts from here
        if asked:
            raise CredentialsRefused(asked[0].name, await drive_page.words(session), host=link.host)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        for series in neuview.described(link, await neuview.shown(session)):
            yield series
