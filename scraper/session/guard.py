"""Keep a person's answers on the link's site: each request is checked before it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scraper.core.errors import ForeignHost
from scraper.core.model import Request
from scraper.core.reasons import Reason
from scraper.session.answers import Answers
from scraper.session.door import Door

if TYPE_CHECKING:
    from scraper.session.browser.traffic import Exchange
    from scraper.session.http.response import Response

CALLS = ("xhr", "fetch", "websocket-out", "direct")  # by a page's own program: its documents and pictures aside


class Guard:
    """Check a link's requests by what they hold and where they go.

    Args:
        door: knows the hosts that may get a person's answers.
        answers: a person's.
        exchanges: returns the requests of the browser's page so far.
    """

    def __init__(self, door: Door, answers: Answers, exchanges: Callable[[], Sequence[Exchange]]) -> None:
        self._door = door
        self.answers = answers
        self._exchanges = exchanges
        self._noted = 0  # exchanges that the door knows of
        door.gave_answers = lambda: bool(answers.secrets)

    def check(self, request: Request) -> None:
        """Refuse to send a person's answers to another site than the link's, except to hosts that its own page called.

        Raises:
            ForeignHost: it holds an answer, and goes to a host that has no right to it.
        """
        if self._door.trusts(request.url):
            return
        self._note_calls()
        if not self._door.was_called(request.url) and self.answers.are_in(request):
            raise ForeignHost(host=urlsplit(request.url).hostname, what=Reason.AN_ANSWER)

    def check_refusal(self, request: Request, response: Response) -> None:
        """Replace a refusal by another site's host that was not given its token: the viewer in the browser may do better.

        Raises:
            ForeignHost: the refusal is for want of the token.
        """
        if response.status not in (401, 403) or response.hops or self._door.trusts(request.url):
            return
        if request.sign or len(self._door.cleared(request.url, request.headers)) < len(request.headers):
            raise ForeignHost(host=urlsplit(request.url).hostname, what=Reason.A_TOKEN)

    def _note_calls(self) -> None:
        """Tell the door which hosts the page called, and with which headers."""
        exchanges = self._exchanges()
        for exchange in exchanges[self._noted :]:
            if exchange.kind in CALLS:
                self._door.note_call(exchange.url, exchange.request_headers)
        self._noted = len(exchanges)
