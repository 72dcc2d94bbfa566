"""What a page asks of a person: given by option, in the share text, or at the terminal; asked once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from scraper.core.errors import CredentialsRequired
from scraper.core.link import ShareLink
from scraper.core.model import ACCESS_CODE, PASSWORD, Question, Request
from scraper.core.settings import Settings
from scraper.session.door.secrets import holds_any

Ask = Callable[[Question, str, Path | None], str | None]
"""Asks the person at the terminal: the question, the host that asks, a picture to look at. None: nobody can be asked."""


class Answers:
    """One link's answers.

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

    def answer(self, question: Question, *, picture: Path | None, anew: bool) -> str:
        """What the user gives for ``question``.

        Args:
            question: what is asked.
            picture: to be looked at before one answers.
            anew: what was answered before is spent (the characters of a picture that is gone): only a person can answer.

        Raises:
            CredentialsRequired: not given, and nobody can be asked.
        """
        self._was_just_asked = True
        if anew or question.name not in self.so_far:
            said = "" if anew else self.given(question)
            given = said or self._ask(question, self._link.host, picture)
            if not given:
                raise CredentialsRequired(question.name, host=self._link.host)
            self.so_far[question.name] = given
            self.secrets.add(given)
        return self.so_far[question.name]

    def given(self, question: Question) -> str:
        """What the user gave already for ``question``, or nothing; nobody is asked.

        A report prints "密码", "安全码" or "提取码" for one and the same secret, so a password stands in for an access code
        and the other way round where only one was given.
        """
        names = [question.name]
        if question in (PASSWORD, ACCESS_CODE):
            names.append((ACCESS_CODE if question is PASSWORD else PASSWORD).name)
        for given in (self._settings.answers, self._link.said):
            for name in names:
                if given.get(name):
                    self.secrets.add(given[name])
                    return given[name]
        return ""

    def are_in(self, request: Request) -> bool:
        """Whether an address or a body holds an answer: recognised, or the first body after an answer was asked for.

        Of headers the door itself lets nothing through to another site.
        """
        if self._was_just_asked and request.body:
            return True
        return self.hold(request.url, request.body or b"")

    def hold(self, url: str, body: bytes) -> bool:
        """Whether an address or a body holds an answer that can be recognised."""
        return any(holds_any(self.secrets, text) for text in (url.encode(), body))

    def were_sent(self) -> None:
        """A request left: the next one is no longer the first after an answer."""
        self._was_just_asked = False

    def may_be_in(self, request: Request) -> bool:
        """Whether the next request to be sent may carry an answer: as it is in the address, or in some disguise.

        A body may be encrypted, and a digest may stand in the address of the first request after the answer was asked for.
        """
        was_just_asked, self._was_just_asked = self._was_just_asked, False
        if not self.so_far:
            return False
        shown = any(quote(text, safe="") in request.url for text in self.so_far.values())
        return was_just_asked or shown or request.method != "GET"
