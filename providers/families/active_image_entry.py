"""The way into the activeImage viewer of 锐达 / 瑞金: the share's page, what it asks, and the control that leads to the images.

facts: fixtures/sites/radonline/README.md, fixtures/sites/rjh/README.md
"""

from __future__ import annotations

import asyncio
import time

from providers.families import driven
from scraper.contract import (
    ID_LAST4,
    ID_LAST6,
    NAME,
    PHONE,
    PHONE_LAST4,
    CredentialsRefused,
    Question,
    Session,
    ShareLink,
    SiteUnreachable,
    gone,
)

VIEWER, ADDRESS = ".image_main", "activeImage.html"
RECALL_S = 120.0  # the control stays disabled while the study is fetched from the archive ("up to a minute", 2026-06)
LOOK_S = 0.25
QUESTIONS: tuple[tuple[str, Question], ...] = (
    ("身份证后六", ID_LAST6), ("身份证", ID_LAST4), ("手机号后四", PHONE_LAST4), ("手机", PHONE), ("电话", PHONE), ("姓名", NAME),
)  # fmt: skip


CONTROL = """() => {
  const named = [...document.querySelectorAll("button, a, [role=button], div, span, p")].filter(one =>
    one.innerText && one.innerText.trim() === "查看影像" && one.offsetParent !== null);
  if (!named.length) return "absent";
  const free = named.filter(one => !one.closest("[disabled], .is-disabled, .disabled, [aria-disabled=true]"));
  if (!free.length) return "waiting";
  document.querySelectorAll("[data-enter]").forEach(one => one.removeAttribute("data-enter"));
  free.at(-1).setAttribute("data-enter", "1");
  return "ready";
}"""


async def enter(link: ShareLink, session: Session) -> None:
    """Bring the viewer up, by way of the share's page; what that asks is asked of the user, once.

    Raises:
        StudyGone: the page says why there are no images. CredentialsRequired, CredentialsRefused: see there.
    """
    await session.open(link.url)
    if ADDRESS not in link.url:
        await _control(link, session)
        await session.page.locator("[data-enter]").first.click()
    await session.which(viewer=VIEWER, timeout_s=RECALL_S)


async def _control(link: ShareLink, session: Session) -> None:
    """Wait until the control that leads to the images can be pressed."""
    give_up, has_answered = time.monotonic() + RECALL_S, False
    while time.monotonic() < give_up:
        face = await evaluated(session, CONTROL)
        if face == "ready":
            return
        if face == "absent" and not has_answered and await _form(session):
            has_answered = True
        elif face == "absent" and session.traffic.idle_s > driven.QUIET_S:
            said = await driven.words(session)
            if has_answered:
                raise CredentialsRefused(
                    (await _questions(session) or [ID_LAST4])[0].name, said, host=link.host
                )
            raise gone(said, host=link.host)
        elif face == "waiting":
            session.traffic.touch()  # the page fetches the study from the archive
        await asyncio.sleep(LOOK_S)
    raise SiteUnreachable(host=link.host, why="still preparing")


async def _questions(session: Session) -> list[Question]:
    """What the page's visible fields ask for, in their order."""
    fields = session.page.locator(driven.FIELD).locator("visible=true")
    found = []
    for at in range(await fields.count()):
        label = "one => [one.placeholder, one.name, one.closest('label, p, div')?.innerText].join(' ')"
        words = str(await fields.nth(at).evaluate(label)).replace(" ", "")
        found.append(next((question for word, question in QUESTIONS if word in words), ID_LAST4))
    return found


async def _form(session: Session) -> bool:
    """Fill an identity form with the user's answers and submit it; False where there is none."""
    asked = await _questions(session)
    if not asked:
        return False
    fields = session.page.locator(driven.FIELD).locator("visible=true")
    for at, question in enumerate(asked):
        await fields.nth(at).fill(session.answer(question))
    if not await driven.press(session):
        await fields.last.press("Enter")
    session.traffic.touch()  # the page's silence counts from here
    return True


async def evaluated(session: Session, script: str, given: object = None) -> object:
    """Run a script in the newest page."""
    window = await session.window()
    async with window.guard():
        return await session.page.evaluate(script, given)
