"""Pages that ask something on the way: their fields are filled with the user's answers and submitted, once.

facts: fixtures/sites/ftimage/README.md, fixtures/sites/tjmucih/README.md, fixtures/sites/tdcloud/README.md
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

from scraper.contract import CAPTCHA, QUIET_S, SMS_CODE, CaptchaRequired, CredentialsRequired, Question, Reply, Session

FIELD = "input:not([type]), input[type=text], input[type=tel], input[type=number], input[type=password]"
WORDS_OF = """selector => ({fields: [...document.querySelectorAll(selector)].map(field => {
  let around = field;
  for (let up = 0; up < 3 && around.parentElement && around.parentElement.querySelectorAll("input").length === 1; up++)
    around = around.parentElement;
  const holder = around === field ? null : field.parentElement;
  const before = field.previousElementSibling || (holder && holder.previousElementSibling);
  const label = (field.labels && field.labels[0] || {}).innerText;
  const near = [field.placeholder, field.name, field.id, field.title, field.getAttribute("aria-label"), label,
    before && before.tagName !== "INPUT" ? before.innerText : ""];
  return [near.join(" "), around.innerText || ""];
})})"""
SUBMIT = ("确定", "确认", "提交", "验证", "登录", "查询", "查看", "进入", "下一步")
BUTTON = "button, a, [role=button], [class*=btn i], [class*=button i]"
PICTURE = "img[src*=captcha i], img[src*=code i], img[src*=verify i], img[src^='data:image'], form img, canvas"


class FieldWords(Reply):
    """What tells a person, and a program, what each field is for: its own words, and those around it."""

    fields: list[tuple[str, str]]


async def answer(session: Session, question: Question) -> None:
    """Fill the page's one field with the user's answer and submit it, once."""
    await fill_answer(session, question)
    await submit(session)


async def fill_answer(session: Session, question: Question, field: str = FIELD) -> None:
    """Fill a field with the user's answer; a picture with characters is shown to the person first.

    Raises:
        CredentialsRequired, CaptchaRequired: nobody answers.
    """
    await session.screen.fill(field, await _answer_to(session, question))


async def fill_fields(
    session: Session, questions: Mapping[Question, str], *, also_unnamed: bool = True
) -> tuple[Question, ...]:
    """Fill each of the page's fields with the user's answer to the question that its words mean; returns the questions.

    Args:
        session: the open page.
        questions: in the order in which fields without words stand → an expression found in a field's words.
        also_unnamed: fields of other words are filled with what is left of the questions, in order; else left alone.

    Raises:
        CredentialsRequired, CaptchaRequired: nobody answers.
    """
    shown = await session.screen.places(FIELD)
    words = FieldWords.model_validate(await session.screen.evaluate(WORDS_OF, FIELD)).fields
    unmatched, matched = dict(questions), dict[int, Question]()
    for kind in (0, 1):
        for question, pattern in questions.items():
            is_meant = re.compile(pattern, re.IGNORECASE | re.DOTALL).search
            place = next((place for place in shown if place not in matched and is_meant(words[place][kind])), None)
            if place is not None and question in unmatched:
                matched[place] = question
                del unmatched[question]
    if also_unnamed:
        matched.update(zip([place for place in shown if place not in matched], unmatched, strict=False))
    for place, question in sorted(matched.items(), key=lambda item: item[0]):
        await session.screen.fill(FIELD, await _answer_to(session, question), place=place, hidden=True)
    return tuple(matched.values())


async def press_button(session: Session) -> bool:
    """Press the button that submits; False where the page shows none."""
    for label in SUBMIT:
        spaced = r"\s*".join(label)  # some frameworks put a blank between two characters
        if await session.screen.click_named(BUTTON, rf"^\s*{spaced}\s*$"):
            return True
        if await session.screen.count(f'input[value="{label}"]'):
            await session.screen.click(f'input[value="{label}"]')
            return True
    return False


async def submit(session: Session, *, last: bool = False) -> None:
    """Press the button that submits, or Enter in the page's first (or last) field where it shows no button."""
    if not await press_button(session):
        await session.screen.press("Enter", FIELD, last=last)


async def _answer_to(session: Session, question: Question) -> str:
    picture: Path | None = None
    if question is CAPTCHA:
        picture = session.spool / "captcha.png"
        await asyncio.to_thread(picture.write_bytes, await session.screen.picture(PICTURE))
    try:
        return session.answer(question, picture=picture)
    except CredentialsRequired:
        if question in (CAPTCHA, SMS_CODE):
            raise CaptchaRequired(question.name, host=session.link.host) from None
        raise


__all__ = ["FIELD", "QUIET_S", "answer", "fill_answer", "fill_fields", "press_button", "submit"]
