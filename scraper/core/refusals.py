"""Classify the words of a site's refusal: the share has expired, was cancelled, is unknown, or our key is out of date."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from scraper.core.errors import CloudfilmError, LinkExpired, NoSuchStudy, ShareCancelled, SiteChanged, StudyGone
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
# said by services that could not decrypt or verify a request
_WRONG_KEY = ("签名", "验签", "解密", "invalid signature", "signature mismatch", "padding is invalid", "bad decrypt")


def refusal_error(
    detail: str, *, host: str = "", or_else: Callable[..., CloudfilmError] = StudyGone, is_sealed: bool = False
) -> CloudfilmError:
    """The error that a site's refusal means, by its words: LinkExpired, ShareCancelled, NoSuchStudy; else ``or_else``.

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
    return (kind or or_else)(detail, **named)


def refusal_kind(detail: str) -> type[StudyGone] | None:
    """The error class for words that say a share is expired, cancelled or not there; None for other words."""
    lowered = detail.lower()
    return next((kind for kind, words in _GONE.items() if any(word in lowered for word in words)), None)


def is_question(detail: str) -> bool:
    """Do the words ask for a code or a password (or refuse one), and not say that the share itself is over."""
    lowered = detail.lower()
    return refusal_kind(detail) is None and any(word in lowered for word in _ASKS)
