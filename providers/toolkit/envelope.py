"""Sites that say what is wrong in the answer's own JSON, whatever its HTTP status.

facts: fixtures/sites/zscloud/README.md, fixtures/sites/medapi/README.md, fixtures/sites/efilmcloud/README.md
"""

from __future__ import annotations

import json
from typing import TypeVar
from urllib.parse import urlsplit

from providers.toolkit import drive_page
from scraper.contract import (
    Page,
    Reply,
    Response,
    Session,
    SessionLapsed,
    SiteChanged,
    StudyGone,
    gone,
    read,
)

R = TypeVar("R", bound=Reply)
UNSEEN = "script, style, template, noscript, [hidden]"
REFUSALS = ("无效", "非法", "无权", "拒绝", "禁止", "错误", "失败", "invalid", "denied", "forbidden", "error")
LONGEST_SAID = 160  # characters of a page that is a message and nothing else


def told(answer: Response, reply: type[R]) -> R:
    """The answer as ``reply``: also that of a refusal, where its body has the shape of one.

    Raises:
        SessionLapsed: 401 or 403 without words. NoSuchStudy: 404 or 410. SiteBusy: 429 or 503. SiteUnreachable: 5xx.
        SiteChanged: another status, or the JSON is not as known.
    """
    if answer.ok:
        return answer.read(reply)
    try:
        return answer.read(reply)
    except SiteChanged as err:
        raise answer.refusal from err


def entered(answer: Response, reply: type[R]) -> R:
    """The answer to a share's first call: refused without words, the share itself is what is no longer valid.

    Raises:
        StudyGone: 401 or 403 without words; else as ``told``.
    """
    try:
        return told(answer, reply)
    except SessionLapsed as err:
        raise StudyGone(f"HTTP {answer.status}", host=urlsplit(answer.url).hostname) from err


def nested(value: object, reply: type[R], url: str) -> R:
    """A value inside an answer, given as JSON or as the text of JSON; raises SiteChanged."""
    return read((value if isinstance(value, str) else json.dumps(value)).encode(), reply, url)


def shown(answer: Response) -> str:
    """What a page shows of itself, in one line; its scripts and what they keep hidden left out."""
    page = Page(answer.text, answer.url)
    for node in page.all(UNSEEN):
        node.decompose()
    return page.words("body") or page.words("title")


def closed_door(answer: Response) -> StudyGone | None:
    """The error that a page means which is a message and nothing else ("链接已过期"); None where it is no such page."""
    said = shown(answer)
    if not said or len(said) > LONGEST_SAID:
        return None
    error = gone(said, host=urlsplit(answer.url).hostname or "")
    has_script = Page(answer.text).find("script") is not None
    is_refusal = not has_script and any(word in said.lower() for word in REFUSALS)
    return error if type(error) is not StudyGone or is_refusal else None


async def heard(session: Session, pattern: str) -> Response | None:
    """The answer that the open page had to a call of its own; None where it has come to rest without such a call."""
    if not await drive_page.called(session, pattern):
        return None
    call = await session.traffic.wait_for(pattern, timeout_s=session.settings.timeout_s)
    return Response(call.status, call.headers, call.read(), call.url)
