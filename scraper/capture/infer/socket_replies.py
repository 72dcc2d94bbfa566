"""Match replies on a socket to the viewer's messages: by the id in the reply, else to the oldest unanswered message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from scraper.capture.infer.templates import Rule
from scraper.capture.infer.volatile import VolatileParts
from scraper.capture.observe import correlate
from scraper.capture.observe.received import SENT, Observations
from scraper.session.browser.traffic import WEBSOCKET_OUT, Exchange

MAX_COMPARED: Final = 200  # replies that a header field's meaning is inferred from


def sent_messages(exchanges: Sequence[Exchange], observations: Observations) -> list[str]:
    """Text messages sent on sockets that delivered images, each with its address, in the form of ``asked_by``."""
    image_sockets = {exchanges[place].url for place, _ in observations.socket_messages}
    return [
        message_key(exchange)
        for exchange in exchanges
        if exchange.kind == WEBSOCKET_OUT and exchange.is_text and exchange.url in image_sockets
    ]


def message_key(message: Exchange) -> str:
    """A message as rules know it: with its socket's address, as ``asked_by`` writes a request."""
    return f"{message.url}{SENT}{message.read().decode('utf-8', 'replace')}"


def matched_replies(
    exchanges: Sequence[Exchange], observations: Observations, rule: Rule, volatile: VolatileParts
) -> tuple[dict[str, str], int]:
    """The image that each message of the rule was answered with, and how many messages were unanswered at once at most.

    An answer is that of the message that names it, else of the one that its own header names, else of the oldest that has none.
    """
    images = dict(observations.socket_messages)
    named = ReplyMatcher(exchanges, observations, rule)
    waiting: list[str] = []
    found: dict[str, str] = {}
    most = 1
    for place, exchange in enumerate(exchanges):
        if (
            exchange.kind == WEBSOCKET_OUT
            and exchange.is_text
            and (asked := volatile.blanked(message_key(exchange))) in rule.records
        ):
            waiting.append(asked)
        elif place in images and waiting:
            most = max(most, len(waiting))
            its = named.request(place, images[place], waiting)
            if its is not None:
                waiting.remove(its)
                found.setdefault(its, images[place])
    return found, most


class ReplyMatcher:
    """Matches replies to messages.

    Args:
        exchanges: everything that came and was sent, in order.
        observations: what it received.
        rule: what the messages were learnt as.
    """

    def __init__(self, exchanges: Sequence[Exchange], observations: Observations, rule: Rule) -> None:
        self._exchanges = exchanges
        self._slot: correlate.FieldPath | None = None
        self._values: dict[str, str] = {}
        answers = [
            (correlate.id_fields(exchanges, place), uid) for place, uid in observations.socket_messages[:MAX_COMPARED]
        ]
        for name, _ in rule.template.blanks:
            values = {record.fields[name]: key for key, record in rule.records.items()}
            if len(values) == len(rule.records) and (slot := correlate.find(answers, values)):
                self._slot, self._values = slot, values
                break

    def request(self, place: int, uid: str, waiting: Sequence[str]) -> str | None:
        """The one of the waiting messages that the answer at that place is for; None where it is for none of them."""
        key = next((key for key in waiting if uid in key), None)
        if key is None and self._slot is not None:
            key = self._values.get(correlate.id_fields(self._exchanges, place).get(self._slot, ""))
            return key if key in waiting else None
        return key or next(iter(waiting), None)
