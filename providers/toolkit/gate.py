"""What stands between a link's page and its viewer, as data: what the page may show, and what is done then.

facts: fixtures/sites/ftimage/README.md, fixtures/sites/shdc/README.md, fixtures/sites/nyfy/README.md
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from providers.toolkit import drive_page
from providers.toolkit.drive_page import FIELD
from scraper.contract import (
    CAPTCHA,
    LOOK_S,
    PERSON_S,
    CaptchaRequired,
    CloudfilmError,
    CredentialsRefused,
    Question,
    Session,
    SiteChanged,
    refusal_error,
)

SENT_S = 6.0  # for a check to close once it is passed


@dataclass(frozen=True, slots=True)
class PageGate:
    """What a page may show until its viewer is there; selectors mean visible elements. What is not given is not looked for.

    Attributes:
        viewer: shows once the images are there.
        called: the same where nothing shows it: an expression for the address of the page's own call, or a function that
            finds the call and judges it; then ``watch`` says why there was none.
        asks: the check's question; or several, each with an expression for the words of its field.
        field: the check's own; by default any that can be typed in.
        confirm: pressed to send the answer; by default the button that says so, or Enter.
        notice: in the way of everything, pressed whenever it shows.
        control: leads to the images; pressed once, and once more after the check.
        refused: shows where the answer, or the link itself, is refused.
        late_s: for a check to be laid over a viewer that is there already.
    """

    viewer: str = ""
    called: str | Callable[[Session], object] = ""
    asks: Question | Mapping[Question, str] | None = None
    field: str = FIELD
    confirm: str = ""
    notice: str = ""
    control: str = ""
    refused: str = ""
    late_s: float = 0.0

    async def enter(self, session: Session) -> None:
        """Bring the viewer up on the open page; a check is passed with the user's answer, once, or by a person at the window.

        A page that comes to rest without a viewer has refused, in the words that it shows.

        Raises:
            CredentialsRequired, CaptchaRequired: the page asks, and nobody answers. CredentialsRefused: it does so again.
            StudyGone: neither viewer nor check, or the words of ``refused``.
        """
        asked, faces, is_left = tuple[Question, ...](), self._faces(), False
        while face := await self._wait_for_face(session, faces, asked, is_left=is_left):
            if face == "viewer" and "check" in faces and self.late_s:
                with contextlib.suppress(SiteChanged):
                    face = await session.which(check=self.field, timeout_s=self.late_s)
            match face:
                case "refused":
                    raise _refusal(asked, await session.screen.text(self.refused))
                case "check":
                    faces = self._faces()
                    del faces["check"]
                    is_left = session.settings.headed and not any(map(session.given, self._questions))
                    asked = await self._pass_check(session, is_left=is_left)
                case "notice":
                    await session.screen.click(self.notice)
                case "control":
                    await session.screen.click(faces.pop("control"))
                    if not (self.viewer or self.called):
                        return
                case _:
                    await self._see_check_close(session, asked, is_left=is_left)
                    return
        if asked or isinstance(self.called, str):
            raise _refusal(asked, await session.screen.message())

    @property
    def _questions(self) -> tuple[Question, ...]:
        return () if self.asks is None else (self.asks,) if isinstance(self.asks, Question) else tuple(self.asks)

    def _faces(self) -> dict[str, str]:
        """In the order in which they count: a field of the check's own before the viewer that it may lie over."""
        check = {"check": self.field if self.asks else ""}
        viewer = {"viewer": self.viewer}
        first = viewer | check if self.field == FIELD else check | viewer
        faces = {"notice": self.notice} | first | {"control": self.control, "refused": self.refused}
        return {name: selector for name, selector in faces.items() if selector}

    async def _pass_check(self, session: Session, *, is_left: bool) -> tuple[Question, ...]:
        """Fill the check, and send it once, or leave it to the person; returns what was asked."""
        if is_left:
            session.tell("person")
            return self._questions[:1]
        asked = self._questions
        if isinstance(self.asks, Question):
            await drive_page.fill_answer(session, self.asks, self.field)
        else:
            asked = await drive_page.fill_fields(session, self.asks or {}, also_unnamed=False)
        if not asked:
            raise CaptchaRequired(CAPTCHA.name, await session.screen.message())
        if self.confirm:
            await session.screen.click(self.confirm)
        elif self.field != FIELD or not await drive_page.press_button(session):
            if self.control and await session.screen.count(self.control):
                await session.screen.click(self.control)
            else:
                await session.screen.press("Enter", self.field)
        return asked

    async def _wait_for_face(
        self, session: Session, faces: Mapping[str, str], asked: tuple[Question, ...], *, is_left: bool
    ) -> str:
        """What shows first; empty where the page has come to rest without, or where no person led it there in time."""
        give_up = time.monotonic() + (PERSON_S if is_left else session.settings.timeout_s)
        while time.monotonic() < give_up:
            if self._has_called(session):
                return "called"
            with contextlib.suppress(SiteChanged):
                face = await session.which(timeout_s=LOOK_S, **faces)
                if face != "control" or await self._is_free(session, asked):
                    return face
                await asyncio.sleep(LOOK_S)
            if not is_left and await session.screen.is_idle():
                break
        return ""

    async def _is_free(self, session: Session, asked: tuple[Question, ...]) -> bool:
        """Can the control be pressed: it is neither disabled nor behind a check that stays."""
        is_behind = bool(asked) and bool(await session.screen.count(self.field))
        return not is_behind and await session.screen.is_enabled(self.control)

    def _has_called(self, session: Session) -> object:
        if not isinstance(self.called, str):
            return self.called(session)
        calls = session.traffic.matching(self.called) if self.called else ()
        return any(not 300 <= exchange.status < 400 for exchange in calls)

    async def _see_check_close(self, session: Session, asked: tuple[Question, ...], *, is_left: bool) -> None:
        """A check that stays where it lies over the viewer was not passed."""
        if not asked or self.field == FIELD:
            return
        await session.screen.wait_hidden(self.field, timeout_s=PERSON_S if is_left else SENT_S)
        if await session.screen.count(self.field):
            raise _refusal(asked, await session.screen.message())


def _refusal(asked: tuple[Question, ...], message: str) -> CloudfilmError:
    return CredentialsRefused(asked[0].name, message) if asked else refusal_error(message)
