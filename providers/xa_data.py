"""西安市影像云 (xa_data), the image sharing of Xi'an; NeuView mobile."""

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
    CaptchaRequired,
    CredentialsRefused,
    Deployment,
    Provider,
    Question,
    Reason,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    StudyGone,
)

TO_IMAGES = "text=/^\\s*查看(影像)?\\s*$/"
# What its page may ask is not known: fields are recognised by their words, and others are left to a person in the window.
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
    route = (r".*[?&#]title=.*", r".*_SIGN_.*")
    when_asked = (
        "nothing known; what its page may ask is answered by the field's own words, else by a person (--headed)"
    )
    serves = "Part 10 files, one zip each"
    deployments = (Deployment("yxy.xa-data.cn", "西安市影像云", "陕西"),)
    user_agent = WECHAT_PHONE  # the page's mobile template is the one that works
    study_list_call = neuview.CALLED
    on_any_host = True
    example = "https://yxy.xa-data.cn/NeuView/mobile/?title=CT&r=1700000000000#A1_SIGN_0a1b2c_OPEN_undefined&bType=2d"

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        token = re.search(neuview.IN_FRAGMENT, link.target)
        if token is None:
            raise SiteChanged(what=Reason.NO_TOKEN_IN_LINK)
        await session.get(link.without_fragment)  # the call goes with the page's cookies
        try:
            return neuview.describe(link, await session.get(neuview.call(link, token["token"])))
        except (StudyGone, CaptchaRequired) as err:
            if type(err) not in (StudyGone, CaptchaRequired):  # expired or cancelled: the page knows no more
                raise
            raise session.only_in_page(Reason.REFUSAL, err) from None

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        faces = {"images": TO_IMAGES} if session.settings.headed else {"check": drive_page.FIELD, "images": TO_IMAGES}
        asked: tuple[Question, ...] = ()
        while face := await session.screen.wait_for_face(partial(neuview.is_listed, session), **faces):
            if face == "called":
                return
            faces.pop(face)
            if face == "images":
                await session.screen.click(TO_IMAGES)
                continue
            asked = await drive_page.fill_fields(session, CHECKS, also_unnamed=False)
            if not asked:
                raise CaptchaRequired(CAPTCHA.name, await session.screen.message())
            await drive_page.press_button(session)
        if asked:
            raise CredentialsRefused(asked[0].name, await session.screen.message())

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        return neuview.describe(link, await neuview.shown(session))
