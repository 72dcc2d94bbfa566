"""The login form before a viewer: recognise what its fields ask, fill in the user's answers, and submit once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scraper.capture.drive import elements
from scraper.core.errors import CaptchaRequired, CredentialsRefused, CredentialsRequired
from scraper.core.questions import (
    ACCESS_CODE,
    ACCOUNT,
    CAPTCHA,
    ID_LAST4,
    ID_LAST6,
    NAME,
    PASSWORD,
    PHONE,
    PHONE_LAST4,
    SMS_CODE,
    Question,
)
from scraper.session import Session

if TYPE_CHECKING:
    from scraper.session.browser import Window

LONGEST_DETAIL: Final = 60  # characters of a page's refusal
FEWEST_BOXES: Final = 3  # fields of one character each that ask for one code
QUESTIONS: Final = (
    (re.compile(r"短信|sms", re.IGNORECASE), SMS_CODE),
    (re.compile(r"身份证.{0,4}(后|末)?.{0,2}(6|六)"), ID_LAST6),
    (re.compile(r"身份证"), ID_LAST4),
    (re.compile(r"(手机|电话).{0,4}(后|末|尾).{0,2}(4|四)"), PHONE_LAST4),
    (
        re.compile(
            r"账号|帐号|账户|帐户|用户名|登录名|就诊卡|诊疗卡|卡号|病历号|门诊号|住院号|account|user", re.IGNORECASE
        ),
        ACCOUNT,
    ),
    (re.compile(r"手机|电话|phone|mobile", re.IGNORECASE), PHONE),
    (re.compile(r"验证码|图形码|附加码|captcha", re.IGNORECASE), CAPTCHA),
    (re.compile(r"安全码|访问码|提取码|查看码|校验码|access|code", re.IGNORECASE), ACCESS_CODE),
    (re.compile(r"密码|password|口令", re.IGNORECASE), PASSWORD),
    (re.compile(r"姓名|name", re.IGNORECASE), NAME),
)
SENT: Final = re.compile(r"短信|(获取|发送).{0,4}验证码|sms", re.IGNORECASE)
SEARCH: Final = re.compile(r"搜索|检索|关键|search|filter|keyword", re.IGNORECASE)
_GAP: Final = re.compile(r"(?<=[\u4e00-\u9fff])[\s\u3000]+(?=[\u4e00-\u9fff])")

FIELDS = (
    "() => {"
    + elements.DEEP
    + """ return deep("input").filter(e => {
    const r = e.getBoundingClientRect();
    return r.width > 8 && r.height > 8 && !e.disabled && !e.readOnly
      && ["text", "password", "tel", "number", ""].includes(e.getAttribute("type") || ""); })
  .map((e, i) => { e.dataset.cloudfilmField = String(i);
    const label = e.labels && e.labels[0] ? e.labels[0].innerText : "";
    let near = e.closest("div, p, tr, form, label");
    while (near && near.parentElement && !near.innerText.trim()) near = near.parentElement;
    return {mark: String(i), secret: e.type === "password", single: e.maxLength === 1, number: e.type === "number",
      own: [e.placeholder, label, e.title, e.getAttribute("aria-label")].filter(Boolean).join(" "),
      near: near ? near.innerText.slice(0, 40) : "", name: [e.name, e.id].filter(Boolean).join(" ")}; }); }"""
)
PICTURE = """(mark) => {
  const field = document.querySelector(`[data-cloudfilm-field="${mark}"]`).getBoundingClientRect();
  const far = r => Math.hypot(r.x + r.width / 2 - field.x - field.width / 2, r.y + r.height / 2 - field.y - field.height / 2);
  const all = [...document.querySelectorAll("img, canvas, svg, [style*=background-image]")].filter(e => {
    const r = e.getBoundingClientRect();
    return r.width >= 30 && r.width <= 500 && r.height >= 12 && r.height <= 250 && far(r) < 350; });
  all.sort((a, b) => far(a.getBoundingClientRect()) - far(b.getBoundingClientRect()));
  document.querySelectorAll("[data-cloudfilm-picture]").forEach(e => delete e.dataset.cloudfilmPicture);
  if (all[0]) all[0].dataset.cloudfilmPicture = "1";
  return !!all[0]; }"""
HAS_BUTTON = """() => ![...document.querySelectorAll("canvas")].some(e => e.offsetParent)
  && [...document.querySelectorAll("button, [type=submit], [type=button], [role=button], a")].some(e =>
    e.offsetParent
    && /^(确\\s?[定认]|提\\s?交|查\\s?询|查\\s?看|登\\s?录|进\\s?入|验\\s?证|下一步|(ok|submit|enter|next|verify)$)/i
      .test((e.innerText || e.value || "").trim()))"""

Field = tuple[Any, dict[str, Any]]


class Form:
    """Answers the forms of one window.

    Args:
        session: the link's conversation.
        window: its window.
    """

    def __init__(self, session: Session, window: Window) -> None:
        self._session = session
        self._window = window
        self.given: list[str] = []  # the last answers
        self._sent: dict[str, str] = {}  # a form by its questions -> what the page said before it was answered

    async def is_secret(self) -> bool:
        """Whether the page asks for a secret."""
        return any(field["secret"] for _, field in await self._fields())

    async def is_left_to_person(self) -> bool:
        """Whether the page asks for what a person at the visible window answers in the page itself."""
        return any(self._session.is_left_to_person(question) for _, question in await self._asked())

    async def fill(self) -> Field | None:
        """Fill in what the page asks; gives the last field, None where nothing is asked.

        Raises:
            CredentialsRequired, CaptchaRequired: not given, and no person can be asked.
            CredentialsRefused: the same form shows again, with the words that came with it.
        """
        asked = await self._asked()
        if not asked:
            return None
        form = " ".join(question.name for _, question in asked)
        page_text = await elements.page_text(self._window)
        if form in self._sent:
            raise CredentialsRefused(
                self._refused(asked).name, _fresh(self._sent[form], page_text), host=self._session.link.host
            )
        self._sent[form] = page_text
        self.given = []
        boxes = _boxes([field for (_, field), _ in asked])
        for number, ((frame, field), question) in enumerate(asked):
            answer = await self._answer(frame, field, question)
            self.given.append(answer)
            if number in boxes:
                answer = answer[boxes[number] : boxes[number] + 1]
            with self._window.quietly():
                await frame.fill(f'[data-cloudfilm-field="{field["mark"]}"]', answer)
        return asked[-1][0]

    async def is_there(self, field: Field) -> bool:
        """Whether a field is still shown."""
        return any(
            item["mark"] == field[1]["mark"] and item["name"] == field[1]["name"] for _, item in await self._fields()
        )

    def _refused(self, asked: Sequence[tuple[Field, Question]]) -> Question:
        """What was refused is most likely the secret."""
        kinds = [question for _, question in asked]
        return next((kind for kind in kinds if kind in (PASSWORD, ACCESS_CODE)), kinds[0])

    async def _fields(self) -> list[Field]:
        found = []
        for frame in self._window.page.frames:
            with self._window.quietly():
                found += [(frame, field) for field in await frame.evaluate(FIELDS)]
        return found

    async def _asked(self) -> list[tuple[Field, Question]]:
        """The fields that ask something, and what."""
        fields = await self._fields()
        asked = [(field, question) for field in fields if (question := _question(field[1]))]
        if asked:
            return asked
        singles = [field for field in fields if field[1]["single"]]
        is_lone = len(fields) == 1 and not fields[0][1]["number"] and not SEARCH.search(_words(fields[0][1]))
        lone = fields if is_lone else []
        if len(singles) >= FEWEST_BOXES or (lone and await self._can_be_sent()):
            question = (
                _by_words(await elements.page_text(self._window)) or PASSWORD
            )  # what nothing is said of is the link's password
            return [(single, question) for single in (singles if len(singles) >= FEWEST_BOXES else lone)]
        return []

    async def _can_be_sent(self) -> bool:
        for frame in self._window.page.frames:
            with self._window.quietly():
                if await frame.evaluate(HAS_BUTTON):
                    return True
        return False

    async def _answer(self, frame: Any, field: dict[str, Any], question: Question) -> str:
        if question is not CAPTCHA:
            return self._session.answer(question)
        picture = await self._picture(frame, field)
        if picture is None and not self._session.given(CAPTCHA):  # a code that was sent, or printed
            is_sent = SENT.search(await elements.page_text(self._window)) is not None
            return self._session.answer(SMS_CODE if is_sent else ACCESS_CODE)
        spent = CAPTCHA.name in self._session.answers
        try:
            return self._session.answer(question, picture=picture, ask_again=spent)
        except CredentialsRequired:
            raise CaptchaRequired(CAPTCHA.name, host=self._session.link.host, picture=str(picture or "")) from None

    async def _picture(self, frame: Any, field: dict[str, Any]) -> Path | None:
        """The picture whose characters are to be typed, as a file to be looked at; None where none is near."""
        shot: bytes | None = None
        with self._window.quietly():
            if await frame.evaluate(PICTURE, field["mark"]):
                shot = await frame.locator("[data-cloudfilm-picture]").first.screenshot(timeout=5000)
        if shot is None:
            return None
        path = self._session.spool / "captcha.png"
        await asyncio.to_thread(path.write_bytes, shot)
        return path


def _words(field: dict[str, Any]) -> str:
    return _GAP.sub("", f"{field['own']} {field['near']} {field['name']}")


def _question(field: dict[str, Any]) -> Question | None:
    """What a field asks for: by its own words, else by those around it, else by its name in the program."""
    if SEARCH.search(field["own"]):
        return None
    own = next((found for key in ("own", "near", "name") if (found := _by_words(field[key]))), None)
    if field["secret"] and own not in (PASSWORD, ACCESS_CODE, ID_LAST4, ID_LAST6, PHONE_LAST4):
        return PASSWORD
    return own


def _by_words(text: str) -> Question | None:
    plain = _GAP.sub("", text)
    return next((question for wording, question in QUESTIONS if wording.search(plain)), None)


def _boxes(fields: Sequence[dict[str, Any]]) -> dict[int, int]:
    """Fields that take one character each, and the place of theirs within the answer that they share."""
    singles = [number for number, field in enumerate(fields) if field["single"]]
    return {number: place for place, number in enumerate(singles)} if len(singles) > 1 else {}


def _fresh(before: str, after: str) -> str:
    """The first line that the page did not say before."""
    known = set(before.splitlines())
    lines = (line.strip() for line in after.splitlines() if line not in known)
    return next((line[:LONGEST_DETAIL] for line in lines if line), "")
