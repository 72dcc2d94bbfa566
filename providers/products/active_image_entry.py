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
    refusal_error,
    refusal_kind,
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
  const shown = element => element.getClientRects().length > 0 && getComputedStyle(element).visibility !== "hidden";
  const words = element => (element.tagName === "INPUT" ? element.value : element.innerText || "").replace(/\\s/g, "");
  const all = [...document.querySelectorAll("button, a, input[type=button], [role=button], div, span, p, li")].filter(shown);
  const exact = all.filter(element => words(element) === name);
  const near = all.filter(element => words(element).includes(name) && words(element).length <= name.length + 4);
  const named = exact.length ? exact : near;
  if (!named.length) return "absent";
  const off = "[disabled], [aria-disabled=true], .disabled, .is-disabled, [class*='-disabled'], [class*='_disabled']";
  const free = named.filter(element => !element.closest(off));
  if (!free.length) return "waiting";
  document.querySelectorAll("[data-enter]").forEach(element => element.removeAttribute("data-enter"));
  free.at(-1).setAttribute("data-enter", "1");
  return "ready";
}"""


async def enter(link: ShareLink, session: Session) -> None:
    """Bring the viewer up, by way of the share's page; what that asks is asked of the user, once.

    Raises:
        StudyGone: the page says why there are no images, or still fetches them.
        CredentialsRequired, CredentialsRefused: the page's form was not answered, or refused the answer.
    """
    await session.open(link.url)
    if ADDRESS not in link.url and await _control(session) == "ready":
        await session.screen.click("[data-enter]")
    await session.which(viewer=VIEWER, timeout_s=session.site_s(RECALL_S))


async def _control(session: Session) -> str:
    """Wait until the control that leads to the images can be pressed, or the images are there."""
    give_up, asked, face = time.monotonic() + session.site_s(RECALL_S), tuple[Question, ...](), ""
    while time.monotonic() < give_up:
        face = str(await session.screen.evaluate(CONTROL, [NAMED]))
        if face in ("ready", "there"):
            return face
        if face == "absent" and not asked:
            asked = await drive_page.fill_fields(session, QUESTIONS)
            if asked:
                await drive_page.submit(session, last=True)
        if await session.screen.is_idle():
            message = await session.screen.message()
            if face == "absent":
                raise CredentialsRefused(asked[0].name, message) if asked else refusal_error(message)
            if refusal_kind(message):  # a control that stays disabled, and words that say why
                raise refusal_error(message)
        await asyncio.sleep(LOOK_S)
    raise NotThereYet if face == "waiting" else SiteUnreachable(why=Reason.NO_ANSWER_IN_TIME)
