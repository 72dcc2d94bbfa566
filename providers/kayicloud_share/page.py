"""The share's page: whether it asks for the password, how that is typed, and what the page got for it.

facts: fixtures/sites/kayicloud_share/README.md
"""

from __future__ import annotations

import asyncio
import re
import time

from providers.kayicloud_share.server import OtherInfoReply
from providers.toolkit import drive_page
from scraper.contract import LOOK_S, PASSWORD, QUIET_S, Session, SiteChanged

STUDIES, INFO = r"/StudyData/GetStudies\?", r"/StudyData/GetShareInfo\?"
TYPED = INFO + r"(?:[^#]*&)?password=[^&#]"
BOXES = "input:not([type=hidden]):not([type=checkbox]):not([type=button])"


async def has_boxes(session: Session) -> bool:
    """Does the page ask for the password; it does not where it lists the study, or comes to rest without boxes."""
    give_up = time.monotonic() + session.settings.timeout_s
    while not any(re.search(STUDIES, exchange.url) for exchange in session.traffic.exchanges):
        try:
            await session.which(boxes=BOXES, timeout_s=LOOK_S)
        except SiteChanged:
            if session.traffic.idle_s > QUIET_S or time.monotonic() > give_up:
                return False
        else:
            return True
    return False


async def enter_password(session: Session) -> None:
    """Type the password, one digit a box, and send it once: by itself, by Enter, or by a button."""
    password, known = session.answer(PASSWORD), len(session.traffic.exchanges)
    has_one_each = await session.screen.count(BOXES) >= len(password)
    for place, typed in enumerate(password if has_one_each else [password]):
        await session.screen.fill(BOXES, typed, place=place)
    if not await _is_sent(session, known):
        await session.screen.press("Enter")
        if not await _is_sent(session, known):
            await drive_page.press_button(session)


async def _is_sent(session: Session, known: int) -> bool:
    """Has the page sent the password since the first ``known`` exchanges."""
    give_up = time.monotonic() + LOOK_S
    while True:
        answered = (exchange.url for exchange in session.traffic.exchanges[known:])
        if session.screen.pending(TYPED) or any(re.search(TYPED, url) for url in answered):
            return True
        if time.monotonic() > give_up:
            return False
        await asyncio.sleep(0.05)


def share_reply(session: Session, kind: type[OtherInfoReply]) -> OtherInfoReply | None:
    """The newest answer to the page's own question for the share; it may have asked without a password first."""
    asked = [call for call in session.traffic.exchanges if re.search(INFO, call.url) and call.method == "GET"]
    return asked[-1].response().unwrap(kind) if asked else None
