"""Addresses that open an app on a phone (WeChat, Alipay, …): the web address inside, or the name of the app that alone opens it.

Source: the apps' public schemes (``weixin://``, ``alipays://platformapi/startapp?appId=20000067&url=…``), November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

NAMES: Final[Mapping[str, str]] = {
    "weixin": "微信 (WeChat)",
    "wechat": "微信 (WeChat)",
    "wxwork": "企业微信 (WeCom)",
    "alipay": "支付宝 (Alipay)",
    "alipays": "支付宝 (Alipay)",
    "alipayqr": "支付宝 (Alipay)",
    "dingtalk": "钉钉 (DingTalk)",
    "mqqapi": "QQ",
    "mqqopensdkapi": "QQ",
    "baiduboxapp": "百度 (Baidu)",
    "tbopen": "淘宝 (Taobao)",
    "taobao": "淘宝 (Taobao)",
    "upwrp": "云闪付 (UnionPay)",
    "snssdk1128": "抖音 (Douyin)",
}
PAGES: Final = ("alipay.com",)  # web pages that only pass on to the app of their scheme
MAX_LENGTH: Final = 8192  # characters
MOST_LAYERS: Final = 4
_APP: Final = re.compile(rf"(?<![\w.-])({'|'.join(sorted(NAMES, key=len, reverse=True))})://[!-~]*", re.IGNORECASE)
_WEB: Final = re.compile(r"https?://[!-~]+", re.IGNORECASE)


def app_in(text: str) -> str:
    """The name of the app that an address in the text opens; empty where there is none."""
    match = _APP.search(text[:MAX_LENGTH])
    return NAMES[match[1].lower()] if match else ""


def address_in(text: str) -> str:
    """The web address that stands as a parameter in an app's address, however often it is wrapped; empty where there is none."""
    match = _APP.search(text[:MAX_LENGTH])
    return _inside(match[0], MOST_LAYERS) if match else ""


def passed_on(url: str) -> tuple[str, str]:
    """Of a web page that only opens an app: the web address that the app would show, and the app's name. Both empty otherwise."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not any(host == page or host.endswith(f".{page}") for page in PAGES):
        return "", ""
    return _inside(url, MOST_LAYERS), NAMES["alipays"]


def _inside(address: str, layers: int) -> str:
    """The first parameter's value that is a web address, or an app's address with one inside."""
    if not layers:
        return ""
    try:
        parts = urlsplit(address)
        values = [
            value.strip() for _, value in (*parse_qsl(parts.query), *parse_qsl(parts.fragment.rpartition("?")[2]))
        ]
    except ValueError:
        return ""
    for value in values:
        if _APP.match(value) and (found := _inside(value, layers - 1)):
            return found
        if _WEB.fullmatch(value):
            passed, name = passed_on(value)
            return passed or ("" if name else value)
        if "=" in value and (found := _inside(f"x://?{value}", layers - 1)):
            return found
    return ""


__all__ = ["address_in", "app_in", "passed_on"]
