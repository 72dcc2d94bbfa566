"""Classify the words of a site's refusal: the share is over or unknown, a question is open, the site has a fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from scraper.core.errors import (
    CaptchaRequired,
    CloudfilmError,
    CredentialsError,
    CredentialsRefused,
    CredentialsRequired,
    LinkExpired,
    NoSuchStudy,
    ShareCancelled,
    SiteBusy,
    SiteChanged,
    StudyGone,
)
from scraper.core.questions import (
    ACCESS_CODE,
    ACCOUNT,
    CAPTCHA,
    ID_LAST4,
    ID_LAST6,
    NAME,
    PASSWORD,
    PHONE,
    PHONE_LAST4,
    SMS_CODE,
    Question,
)
from scraper.core.reasons import Reason

_WORDS: Final[Mapping[type[StudyGone], str]] = {
    LinkExpired: """
        过期 · 失效 · 到期 · 逾期 · 过有效期 · 过了有效期 · 出有效期 · 有效期已 · 不在有效期 · expire · hết hạn · quá hạn
    """,
    ShareCancelled: """
        取消 · 撤销 · 撤回 · 收回 · 关闭分享 · 分享已关闭 · 关闭了分享 · 关闭此分享 · 关闭该分享 · 停止分享 · 分享已停止
        终止分享
        cancel · revoke · withdrawn · thu hồi · đã hủy · đã huỷ
    """,
    NoSuchStudy: """
        不存在 · 未找到 · 没有找到 · 找不到 · 未查询到 · 未查到 · 查无 · not found · no such · not exist
        không tìm thấy · không tồn tại
    """,
}
_GONE: Final = {
    kind: tuple(word.strip() for word in re.split(r"[·\n]", words.strip())) for kind, words in _WORDS.items()
}
# what a share's answer says that wants a code or a password, or another one
_ASKS = (
    *("提取码", "分享码", "取件码", "访问码", "验证码", "授权码", "安全码", "密码", "口令", "验证身份"),
    *("password", "access code", "share code", "sharecode"),
)
# what a refusal tells the person to give or to do first
_TO_BE_DONE = re.compile(
    r"请(?:先|您|重新|在|于|使用|通过|用)*[^，,。；;]{0,8}?(?:输入|填写|提供|绑定|完成|进行|验证|核验|校验|登录|登陆|授权|认证)"
    r"|(?:需要?|须|尚?未)(?:先|您)?[^，,。；;]{0,6}(?:输入|填写|绑定|验证|核验|校验|登录|登陆|认证|实名)"
    r"|please (?:enter|log ?in|sign in|verify|provide)"
)
_WRONG_ANSWER = re.compile(r"错误|不正确|有误|不匹配|不符|不一致|不对|失败|incorrect|wrong|mismatch")
# whose words they are; the first that fits
_ASKED: Final[tuple[tuple[re.Pattern[str], Question], ...]] = (
    (re.compile(r"短信|动态码|sms"), SMS_CODE),
    (re.compile(r"(?:手机|电话|尾号).{0,4}(?:后|末|尾)|尾号"), PHONE_LAST4),
    (re.compile(r"手机|电话|phone|mobile"), PHONE),
    (re.compile(r"(?:身份证|证件).{0,6}(?:六|6)"), ID_LAST6),
    (re.compile(r"(?:身份证|证件).{0,6}(?:四|4)"), ID_LAST4),
    (re.compile(r"安全码|提取码|取件码|访问码|分享码|授权码|access code|share code"), ACCESS_CODE),
    (re.compile(r"密码|口令|password"), PASSWORD),
    (re.compile(r"验证码|校验码|captcha"), CAPTCHA),
    (re.compile(r"姓名"), NAME),
    (re.compile(r"登录|登陆|账号|log ?in|sign in|account"), ACCOUNT),
)
# a fault of the site's own, or images that are still on their way, of which nothing follows for the share
_FAULTS = re.compile(
    r"(?:系统|服务器?|网络|接口|后台|数据库)[^，,。；;]{0,4}(?:异常|繁忙|忙|出错|错误|故障|维护|超时|不可用)"
    r"|内部错误|请求超时|internal (?:server )?error|service unavailable|system busy"
    r"|正在(?:归档|准备|生成|打包|压缩|传输|同步|下载|上传|获取|调阅|处理|迁移|回迁)"
    r"|请?稍(?:后|候)(?:再试|重试|再来|$)|try again later"
)
# said by services that could not decrypt or verify a request
_WRONG_KEY = ("签名", "验签", "解密", "invalid signature", "signature mismatch", "padding is invalid", "bad decrypt")


def refusal_error(
    detail: str, *, host: str = "", or_else: Callable[..., CloudfilmError] = StudyGone, is_sealed: bool = False
) -> CloudfilmError:
    """The error that a site's refusal means, by its words.

    LinkExpired, ShareCancelled, NoSuchStudy; CredentialsError where a person must give or do something first, or
    gave something wrong; SiteBusy where the site speaks of a fault of its own or of waiting; else ``or_else``, and always
    that where it is a CredentialsError.

    Args:
        detail: the site's words.
        host: the site's.
        or_else: the error for other words.
        is_sealed: the provider signs or seals the call itself (and not the link), so that a site which can't check or open
            it has another key: SiteChanged.
    """
    named = {"host": host} if host else {}
    kind = refusal_kind(detail)
    if kind is None and is_sealed and any(words in detail.lower() for words in _WRONG_KEY):
        return SiteChanged(detail, what=Reason.SIGNING_KEY, **named)
    if kind is not None:
        return kind(detail, **named)
    error = or_else(detail, **named)
    if isinstance(error, CredentialsError):
        return error
    return _open_question(detail, named) or (SiteBusy(detail, **named) if is_fault(detail) else error)


def _open_question(detail: str, named: Mapping[str, str]) -> CredentialsError | None:
    """The error for words that tell a person to do something first ("请先绑定手机号"), or that refuse an answer; else None."""
    lowered = detail.lower()
    question = next((question for words, question in _ASKED if words.search(lowered)), None)
    if _WRONG_ANSWER.search(lowered) and question not in (None, NAME, ACCOUNT):
        return CredentialsRefused(question.name, detail, **named)
    if not _TO_BE_DONE.search(lowered):
        return None
    if question is None or question is CAPTCHA:
        is_check = question is not None or re.search("验证|核验|认证|实名|verify", lowered)
        return CaptchaRequired(CAPTCHA.name, detail, **named) if is_check else None
    return CredentialsRequired(question.name, detail, **named)


def is_fault(detail: str) -> bool:
    """Do the words speak of a fault of the site's own ("系统异常"), or of images on their way ("正在归档")."""
    return _FAULTS.search(detail.lower()) is not None


def refusal_kind(detail: str) -> type[StudyGone] | None:
    """The error class for words that say a share is expired, cancelled or not there; None for other words."""
    lowered = detail.lower()
    return next((kind for kind, words in _GONE.items() if any(word in lowered for word in words)), None)


def is_question(detail: str) -> bool:
    """Do the words ask for a code or a password (or refuse one), and not say that the share itself is over."""
    lowered = detail.lower()
    return refusal_kind(detail) is None and any(word in lowered for word in _ASKS)
