"""A call as data: a request that a platform's page makes of its site, in terms of the share link and of earlier replies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from scraper.core.errors import CredentialsRefused
from scraper.core.link import ShareLink
from scraper.core.model import Request
from scraper.core.questions import Question
from scraper.core.refusals import refusal_kind
from scraper.core.schema import CheckedReply, Reply
from scraper.protocols.headers import merged
from scraper.session.http.encode import body_of, with_query

if TYPE_CHECKING:
    from scraper.session.http.response import Response
    from scraper.session.session import Session

C = TypeVar("C", bound=CheckedReply)
Known = Reply | Mapping[str, str]
_PLACE = re.compile(r"\{([\w|]+(?:\|=[^{}]*)?)\}")
_PATH = re.compile(r"(?:https?://[^/]*|\{\w+\})?(?P<path>/[\w./-]+)")


@dataclass(frozen=True, slots=True)
class Call:
    """One request of the page's own: a POST where it has ``json`` or ``form``, else a GET.

    ``{name}`` in a text stands for the value of that name: one that is given with the request, a field of an earlier reply
    that is given with it, the route's group or the link's parameter, in any capitals; nothing, where there is none.
    ``{a|b|=text}``: the first that there is, else the text. ``{url}``, ``{origin}``, ``{host}`` and ``{path}`` are the link's.

    Attributes:
        url: as seen from the link's page; a value at its very beginning is an address.
        question: what the site may ask first, and whose ``{answer}`` the call then carries; see ``entered``.
        method: where it is another than one would think.
    """

    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, object] | None = None
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    question: Question | None = None
    method: str = ""

    @property
    def path(self) -> str:
        """The plain part of its path, up to the first value; nothing, where it begins with one."""
        match = _PATH.match(self.url)
        return match["path"] if match else ""

    def at(self, path: str) -> Call:
        """The same call at another ``path``: a site may move it."""
        return replace(self, url=self.url.replace(self.path, path, 1))

    @property
    def pattern(self) -> str:
        """An expression found in the address of this call."""
        path = re.sub(r"^(?:https?://[^/]*|\{\w+\})", "", self.url).partition("?")[0]
        return "[^/?#]*".join(map(re.escape, _PLACE.sub("\0", path).split("\0"))) + r"(?:\?|$)"

    def request(self, link: ShareLink, *known: Known, **given: str) -> Request:
        """The request, with the values ``given``, else those ``known`` from before, else the link's."""
        value = partial(_value, link, (given, *known))

        def filled(texts: Mapping[str, str]) -> dict[str, str]:
            return {name: _PLACE.sub(value, text) for name, text in texts.items()}

        begins = _PLACE.match(self.url)
        rest = self.url[begins.end() :] if begins else self.url
        address = (value(begins) if begins else "") + _PLACE.sub(lambda place: quote(value(place), safe=""), rest)
        url = with_query(link.join(address), filled(self.params))
        texts = {name: text for name, text in (self.json or {}).items() if isinstance(text, str)}
        json = None if self.json is None else {**self.json, **filled(texts)}
        kind, body = body_of(json, None if self.form is None else filled(self.form), None)
        method = self.method or ("GET" if self.json is None and self.form is None else "POST")
        return Request(url, method, merged(kind, filled(self.headers)), body or None)

    async def send(self, link: ShareLink, session: Session, *known: Known, **given: str) -> Response:
        """The site's response; values as for ``request``."""
        return await session.send(self.request(link, *known, **given))

    async def entered(self, link: ShareLink, session: Session, response: Response, reply: type[C]) -> C:
        """What the site gives; where the response asks the question, the call is sent with the user's answer, once.

        Raises:
            CredentialsRequired: nobody answers. CredentialsRefused: the answer was wrong. As ``reply`` says: another refusal.
        """
        given = response.unwrap(reply)
        if self.question is not None and given.asks:
            given = (await self.send(link, session, answer=session.answer(self.question))).unwrap(reply)
            if not given.ok and refusal_kind(given.site_message) is None:
                raise CredentialsRefused(self.question.name, given.site_message)
        if not given.ok:
            raise given.refusal()
        return given


def _value(link: ShareLink, known: tuple[Known, ...], place: re.Match[str]) -> str:
    own = {"host": link.host, "origin": link.origin, "path": link.path, "url": link.without_fragment}
    for name in place[1].split("|"):
        if name[:1] == "=":
            return name[1:]
        found = (item.get(name) if isinstance(item, Mapping) else getattr(item, name, None) for item in (*known, own))
        if value := next(filter(None, found), None) or link.param(name):
            return str(value)
    return ""
