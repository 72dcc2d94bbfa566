"""Sites whose calls nobody knows: the page is brought up, driven, and listened to.

facts: fixtures/sites/ftimage/README.md, fixtures/sites/tjmucih/README.md, fixtures/sites/tdcloud/README.md
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from scraper.contract import (
    CAPTCHA,
    SMS_CODE,
    CaptchaRequired,
    CredentialsRefused,
    CredentialsRequired,
    Question,
    Session,
    SiteChanged,
    gone,
)

FIELD = "input:not([type]), input[type=text], input[type=tel], input[type=number], input[type=password]"
WORDS_OF = """selector => [...document.querySelectorAll(selector)].map(one => {
  let around = one;
  for (let up = 0; up < 3 && around.parentElement && around.parentElement.querySelectorAll("input").length === 1; up++)
    around = around.parentElement;
  const holder = around === one ? null : one.parentElement;
  const before = one.previousElementSibling || (holder && holder.previousElementSibling);
  const label = (one.labels && one.labels[0] || {}).innerText;
  const near = [one.placeholder, one.name, one.id, one.title, one.getAttribute("aria-label"), label,
    before && before.tagName !== "INPUT" ? before.innerText : ""];
  return [near.join(" "), around.innerText || ""];
})"""  # what tells a person, and a program, what each field is for: its own words, and those around it
SUBMIT = ("确定", "确认", "提交", "验证", "登录", "查询", "查看", "进入", "下一步")
BUTTON = "button, a, [role=button], [class*=btn i], [class*=button i]"
PICTURE = "img[src*=captcha i], img[src*=code i], img[src*=verify i], img[src^='data:image'], form img, canvas"
LOOK_S = 0.5  # between two looks at the page
QUIET_S = 8.0  # a page that shows nothing known and asks for nothing this long has said what it has to say
PERSON_S = 240.0  # for a person at the window (field reports: 2 to 4 minutes)
LONGEST_SAID = 120


async def arrive(session: Session, viewer: str, question: Question) -> None:
    """Wait until the page shows ``viewer``; a check on the way is passed with the user's answer, or by a person at the window.

    Raises:
        CredentialsRequired, CaptchaRequired: the page asks, and nobody answers. CredentialsRefused: it asks again.
        StudyGone: neither viewer nor check; carries the words that the page shows instead.
    """
    face = await _face(session, viewer)
    if face == "viewer":
        return
    if face == "words":
        raise gone(await words(session), host=session.link.host)
    if session.settings.headed:
        session.tell("person")
        await _wait(session, viewer, PERSON_S, question)
        return
    await answer(session, question)
    await _wait(session, viewer, session.settings.timeout_s, question)


async def answer(session: Session, question: Question) -> None:
    """Fill the page's one field with the user's answer and submit it, once."""
    await fill(session, question)
    if not await press(session):
        await session.page.locator(FIELD).locator("visible=true").first.press("Enter")
    session.traffic.touch()  # the page's silence counts from here: a person may have been long in answering


async def fill(session: Session, question: Question) -> None:
    """Fill the page's one field with the user's answer; a picture with characters is shown to the person first.

    Raises:
        CredentialsRequired, CaptchaRequired: nobody answers.
    """
    given = await _given(session, question)
    await session.page.locator(FIELD).locator("visible=true").first.fill(given)


async def fill_each(
    session: Session, questions: Mapping[Question, str], *, also_unnamed: bool = True
) -> tuple[Question, ...]:
    """Fill each of the page's fields with the user's answer to the question that its words mean; gives what was asked.

    Args:
        session: the open page.
        questions: in the order in which fields without words stand → an expression found in a field's words.
        also_unnamed: fields of other words are filled with what is left of the questions, in order; else left alone.

    Raises:
        CredentialsRequired, CaptchaRequired: nobody answers.
    """
    fields = session.page.locator(FIELD)
    shown = [at for at in range(await fields.count()) if await fields.nth(at).is_visible()]
    words_of = await session.page.evaluate(WORDS_OF, FIELD)
    left, meant = dict(questions), dict[int, Question]()
    for place in (0, 1):
        for question, pattern in questions.items():
            found = re.compile(pattern, re.IGNORECASE | re.DOTALL).search
            fit = next((at for at in shown if at not in meant and found(words_of[at][place])), None)
            if fit is not None and question in left:
                meant[fit] = question
                del left[question]
    if also_unnamed:
        meant.update(zip([at for at in shown if at not in meant], left, strict=False))
    for at, question in sorted(meant.items(), key=lambda item: item[0]):
        await fields.nth(at).fill(await _given(session, question))
    return tuple(meant.values())


async def _given(session: Session, question: Question) -> str:
    """The user's answer; for the characters of a picture the person is shown it first."""
    picture = await _picture(session) if question is CAPTCHA else None
    try:
        return session.answer(question, picture=picture)
    except CredentialsRequired:
        if question in (CAPTCHA, SMS_CODE):
            raise CaptchaRequired(question.name, host=session.link.host) from None
        raise


async def press(session: Session) -> bool:
    """Press the button that submits; False where the page shows none."""
    buttons = session.page.locator(BUTTON).locator("visible=true")
    for label in SUBMIT:
        spaced = r"\s*".join(label)  # some frameworks put a blank between two characters
        words = re.compile(rf"^\s*{spaced}\s*$")
        for button in (
            buttons.filter(has_text=words),
            session.page.locator(f'input[value="{label}"]:visible'),
        ):
            if await button.count():
                await button.first.click()
                return True
    return False


async def called(session: Session, pattern: str) -> bool:
    """Wait for a call of the page's; False where the page has come to rest without it, or nobody led it there in time."""

    def has_called() -> bool:
        return any(not 300 <= exchange.status < 400 for exchange in session.traffic.matching(pattern))

    return await comes(session, has_called) == "called"


async def comes(session: Session, has_called: Callable[[], object], **faces: str) -> str:
    """What comes first: ``called``, the page made its call; one of ``faces``; nothing, as it came to rest or nobody led it on."""
    give_up = time.monotonic() + (PERSON_S if session.settings.headed else session.settings.timeout_s)
    while time.monotonic() < give_up:
        if has_called():
            return "called"
        with contextlib.suppress(SiteChanged):
            return await session.which(timeout_s=LOOK_S, **faces)
        if not session.settings.headed and await rests(session):
            break
    return ""


async def rests(session: Session) -> bool:
    """Has the page shown all that it will: nothing came for a while, and it waits for nothing."""
    return session.traffic.idle_s > QUIET_S and not (await session.window()).is_waiting


async def words(session: Session) -> str:
    """What the page shows, in one line; first what it said in a dialog of the browser's."""
    said = list((await session.window()).dialogs)[-1:]
    text = str(await session.page.evaluate("() => document.body ? document.body.innerText : ''"))
    return " ".join(" ".join([*said, text]).split())[:LONGEST_SAID]


async def _face(session: Session, viewer: str) -> str:
    """``viewer``, ``check``, or ``words`` where neither has shown and the page has come to rest."""
    give_up = time.monotonic() + session.settings.timeout_s
    while True:
        try:
            return await session.which(viewer=viewer, check=FIELD, timeout_s=LOOK_S)
        except SiteChanged:
            if await rests(session) or time.monotonic() > give_up:
                return "words"


async def _wait(session: Session, viewer: str, up_to_s: float, question: Question) -> None:
    """Wait for the viewer; a field that stays there while nothing more comes means that the answer was refused."""
    give_up = time.monotonic() + up_to_s
    while time.monotonic() < give_up:
        try:
            await session.which(viewer=viewer, timeout_s=LOOK_S)
        except SiteChanged:
            if not session.settings.headed and await rests(session):
                break
        else:
            return
    raise CredentialsRefused(question.name, await words(session), host=session.link.host)


async def _picture(session: Session) -> Path | None:
    """The picture with the characters to be typed, as a file a person can look at; else the whole page."""
    path = session.spool / "captcha.png"
    picture = session.page.locator(PICTURE).locator("visible=true")
    shot = await (picture.first if await picture.count() else session.page).screenshot()
    await asyncio.to_thread(path.write_bytes, shot)
    return path
