"""西安市影像云 (xa_data), the image sharing of Xi'an; NeuView mobile."""

from __future__ import annotations

from providers.products import neuview
from providers.toolkit.gate import PageGate
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
    CredentialsError,
    Deployment,
    Reason,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    StudyGone,
)

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


class XaData(neuview.NeuView):
    name = "xa_data"
    route = (r".*[?&#]title=.*", r".*_SIGN_.*")
    when_asked = (
        "nothing known; what its page may ask is answered by the field's own words, else by a person (--headed)"
    )
    serves = "Part 10 files, one zip each"
    deployments = (Deployment("yxy.xa-data.cn", "西安市影像云", "陕西"),)
    gate = PageGate(called=neuview.is_listed, asks=CHECKS, control="text=/^\\s*查看(影像)?\\s*$/")
    example = "https://yxy.xa-data.cn/NeuView/mobile/?title=CT&r=1700000000000#A1_SIGN_0a1b2c_OPEN_undefined&bType=2d"

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        named = link.matched(f"[^#]*{neuview.IN_FRAGMENT}.*")
        if named is None:
            raise SiteChanged(what=Reason.NO_TOKEN_IN_LINK)
        await session.get(link.without_fragment)  # the call goes with the page's cookies
        try:
            return neuview.describe(link, await neuview.LIST.send(named, session))
        except (StudyGone, CredentialsError) as err:
            is_over = isinstance(err, StudyGone) and type(err) is not StudyGone
            if is_over:  # expired or cancelled: the page knows no more
                raise
            raise session.only_in_page(Reason.REFUSAL, err) from None
