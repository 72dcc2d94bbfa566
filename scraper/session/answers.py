"""Answers to what a page asks of a person: from an option, the share text or the terminal; each asked once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from scraper.core.errors import CredentialsRequired
from scraper.core.link import ShareLink
from scraper.core.model import Request
from scraper.core.questions import ACCESS_CODE, PASSWORD, Question
from scraper.core.settings import Settings
from scraper.session.door.secrets import holds_any

Ask = Callable[[Question, str, Path | None], str | None]
"""Asks the person at the terminal: the question, the host that asks, a picture to look at. None: nobody can be asked."""


class Answers:
    """The answers given for one link.

    Args:
        link: whose share text may hold some.
        settings: whose options may hold others.
        ask: asks a person.

    Attributes:
        so_far: what was answered, by question.
        secrets: every value that was handed out, to be sent in one form or another.
    """

    def __init__(self, link: ShareLink, settings: Settings, ask: Ask) -> None:
        self.so_far: dict[str, str] = {}
        self.secrets: set[str] = set()
        self._link = link
        self._settings = settings
        self._ask = ask
        self._was_just_asked = False

    def answer(self, question: Question, *, picture: Path | None, ask_again: bool) -> str:
        """Return the user's answer to ``question``; ask where none was given.

        Args:
            question: what is asked.
            picture: to be looked at before one answers.
            ask_again: the earlier answer is used up (a captcha's picture has changed): only a person can answer.

        Raises:
            CredentialsRequired: not given, and nobody can be asked.
        """
        self._was_just_asked = True
        if ask_again or question.name not in self.so_far:
            earlier = "" if ask_again else self.given(question)
            given = earlier or self._ask(question, self._link.host, picture)
            if not given:
                raise CredentialsRequired(question.name, host=self._link.host)
            self.so_far[question.name] = given
            self.secrets.add(given)
        return self.so_far[question.name]

    def given(self, question: Question) -> str:
        """Return the answer that the user gave in advance to ``question``, or an empty text; ask nobody.

        A report prints "密码", "安全码" or "提取码" for one and the same secret, so a password stands in for an access code
        and the other way round where only one was given.
        """
        names = [question.name]
        if question in (PASSWORD, ACCESS_CODE):
            names.append((ACCESS_CODE if question is PASSWORD else PASSWORD).name)
        for given in (self._settings.answers, self._link.answers):
            for name in names:
                if given.get(name):
                    self.secrets.add(given[name])
                    return given[name]
        return ""

    def are_in(self, request: Request) -> bool:
        """Whether an address or a body holds an answer, or is the first body sent after an answer was asked for.

        Headers are the door's concern: it sends none with a secret to another site.
        """
        if self._was_just_asked and request.body:
            return True
        return self.hold(request.url, request.body or b"")

    def hold(self, url: str, body: bytes) -> bool:
        """Whether an address or a body holds a recognisable answer."""
        return any(holds_any(self.secrets, text) for text in (url.encode(), body))

    def were_sent(self) -> None:
        """Note that a request was sent: the next one is no longer the first after an answer."""
        self._was_just_asked = False

    def may_be_in(self, request: Request) -> bool:
        """Whether the next request may carry an answer, plainly or in disguise.

        A body may be encrypted, and a digest may stand in the address of the first request after the answer was asked for.
        """
        was_just_asked, self._was_just_asked = self._was_just_asked, False
        if not self.so_far:
            return False
        shown = any(quote(text, safe="") in request.url for text in self.so_far.values())
        return was_just_asked or shown or request.method != "GET"
