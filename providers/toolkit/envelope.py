"""Sites that answer with JSON inside JSON, or with a page that is a message and nothing else.

facts: fixtures/sites/zscloud/README.md, fixtures/sites/medapi/README.md, fixtures/sites/mtywcloud/README.md
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

from scraper.contract import (
    CloudfilmError,
    Page,
    Reply,
    Response,
    ShareLink,
    UnusableLink,
    parse_json,
    read,
    refusal_error,
    refusal_kind,
)

R = TypeVar("R", bound=Reply)
UNSEEN = "script, style, template, noscript, [hidden]"
REFUSALS = ("无效", "非法", "无权", "拒绝", "禁止", "错误", "失败", "invalid", "denied", "forbidden", "error")
LONGEST_MESSAGE = 160  # characters of a page that is a message and nothing else


def nested(value: object, reply: type[R], url: str) -> R:
    """A value inside an answer, given as JSON or as the text of JSON; nothing at all is an empty object. Raises SiteChanged."""
    text = value if isinstance(value, str) else json.dumps(value)
    return read((b"{}" if text.strip() in ("", "null") else text.encode()), reply, url)


def in_link(link: ShareLink, opened: Callable[[], object], *needed: str) -> dict[str, object]:
    """The object that a parameter of the link holds, as JSON or a mapping, once it is ``opened`` (decoded, deciphered).

    Raises:
        UnusableLink: it does not open, or one of the keys ``needed`` has nothing: damaged, or of a version that is not known.
    """
    try:
        value = opened()
        value = parse_json(value) if isinstance(value, (bytes, str)) else value
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not all(value.get(name) for name in needed):
        raise UnusableLink(link=link.redacted)
    return value


def visible_message(response: Response) -> str:
    """What a page shows of itself, in one line; its scripts and what they keep hidden left out."""
    page = Page(response.text, response.url)
    for node in page.all(UNSEEN):
        node.decompose()
    return page.words("body") or page.words("title")


def page_refusal(response: Response) -> CloudfilmError | None:
    """The error of a page that is a message and nothing else ("链接已过期"); None for any other page."""
    message = visible_message(response)
    if not message or len(message) > LONGEST_MESSAGE:
        return None
    has_script = Page(response.text).find("script") is not None
    is_refusal = not has_script and any(word in message.lower() for word in REFUSALS)
    return refusal_error(message) if refusal_kind(message) or is_refusal else None


def page_error(response: Response) -> CloudfilmError | None:
    """The same, or what the status of a page says: a refusal in its own words, or a fault of the site."""
    if (error := page_refusal(response)) or response.ok:
        return error
    if response.status >= 500 or response.status == 429:
        return response.refusal
    return refusal_error(visible_message(response)[:LONGEST_MESSAGE] or f"HTTP {response.status}")
