"""The way into the activeImage viewer of 锐达 / 瑞金: the share's page, what it asks, and the control that leads to the images.

facts: fixtures/sites/radonline/README.md, fixtures/sites/rjh/README.md
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from providers.toolkit import drive_page
from scraper.contract import (
    CAPTCHA,
    ID_LAST4,
    ID_LAST6,
    NAME,
    PHONE,
    PHONE_LAST4,
    CredentialsRefused,
    NotThereYet,
    Question,
    Reason,
    Session,
    ShareLink,
    SiteUnreachable,
    StudyGone,
    gone,
)

VIEWER, ADDRESS, NAMED = ".image_main", "activeImage.html", "查看影像"
RECALL_S = 120.0  # the control stays disabled while the study is fetched from the archive ("up to a minute", 2026-06)
LOOK_S = 0.25
QUESTIONS: Mapping[Question, str] = {
    ID_LAST4: "身份证(?!.{0,6}[后末].?[六6])",
    ID_LAST6: "身份证",
    PHONE_LAST4: "(?:手机|电话).{0,4}[后末].?[四4]",
    PHONE: "手机|电话",
    NAME: "姓名",
    CAPTCHA: "验证码",
}
CONTROL = """([name]) => {
  if (document.querySelector(".image_main")) return "there";
  const shown = one => one.getClientRects().length > 0 && getComputedStyle(one).visibility !== "hidden";
  const words = one => (one.tagName === "INPUT" ? one.value : one.innerText || "").replace(/\\s/g, "");
  const all = [...document.querySelectorAll("button, a, input[type=button], [role=button], div, span, p, li")].filter(shown);
  const exact = all.filter(one => words(one) === name);
  const near = all.filter(one => words(one).includes(name) && words(one).length <= name.length + 4);
  const named = exact.length ? exact : near;
  if (!named.length) return "absent";
  const off = "[disabled], [aria-disabled=true], .disabled, .is-disabled, [class*='-disabled'], [class*='_disabled']";
  const free = named.filter(one => !one.closest(off));
  if (!free.length) return "waiting";
  document.querySelectorAll("[data-enter]").forEach(one => one.removeAttribute("data-enter"));
  free.at(-1).setAttribute("data-enter", "1");
  return "ready";
}"""


async def enter(link: ShareLink, session: Session) -> None:
    """Bring the viewer up, by way of the share's page; what that asks is asked of the user, once.

    Raises:
        StudyGone: the page says why there are no images, or still fetches them.
        CredentialsRequired, CredentialsRefused: see there.
    """
    await session.open(link.url)
    if ADDRESS not in link.url and await _control(link, session) == "ready":
        await session.page.locator("[data-enter]").first.click()
    await session.which(viewer=VIEWER, timeout_s=session.site_s(RECALL_S))


async def _control(link: ShareLink, session: Session) -> str:
    """Wait until the control that leads to the images can be pressed, or the images are there."""
    give_up, asked, face = time.monotonic() + session.site_s(RECALL_S), tuple[Question, ...](), ""
    while time.monotonic() < give_up:
        face = str(await evaluated(session, CONTROL, [NAMED]))
        if face in ("ready", "there"):
            return face
        if face == "absent" and not asked:
            asked = await _form(session)
        if await drive_page.rests(session):
            closed = gone(await drive_page.words(session), host=link.host)
            if face == "absent" and asked:
                raise CredentialsRefused(asked[0].name, closed.said, host=link.host)
            if (
                face == "absent" or type(closed) is not StudyGone
            ):  # a control that stays disabled, and words that say why
                raise closed
        await asyncio.sleep(LOOK_S)
    if face == "waiting":
        raise NotThereYet(host=link.host)
    raise SiteUnreachable(host=link.host, why=Reason.NO_ANSWER_IN_TIME)


async def _form(session: Session) -> tuple[Question, ...]:
    """Fill an identity form with the user's answers and submit it; gives what it asked."""
    asked = await drive_page.fill_each(session, QUESTIONS)
    if asked and not await drive_page.press(session):
        await session.page.locator(drive_page.FIELD).locator("visible=true").last.press("Enter")
    if asked:
        session.traffic.touch()  # the page's silence counts from here
    return asked


async def evaluated(session: Session, script: str, given: object = None) -> object:
    """Run a script in the newest page."""
    window = await session.window()
    async with window.guard():
        return await session.page.evaluate(script, given)
