"""Parts of a request that its page made up: signatures, nonces. A site may take each of them once only.

A value that the link, the page or a reply of the site gave is none, however random it looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import quote, unquote

from scraper.capture.observe.own_headers import own_headers
from scraper.session.browser.traffic import WEBSOCKET_OUT, Exchange

MAX_REPLY: Final = 4 * 2**20  # bytes of a reply that is searched
_RANDOM: Final = re.compile(  # a UUID, a run of hexadecimal digits or of base64 with letters and digits
    r"(?<![\w+-])(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|(?=[0-9a-f]*\d)(?=[0-9]*[a-f])[0-9a-f]{8,}"
    r"|(?=[0-9A-F]*\d)(?=[0-9]*[A-F])[0-9A-F]{8,}|(?=[\w+-]*\d)(?=[\w+-]*[a-z])(?=[\w+-]*[A-Z])[\w+-]{16,}={0,2})(?![\w+-])"
)
SIGNATURE: Final = re.compile(
    r"sign|sig$|mac$|nonce|ticket|token|auth|hash|digest|proof|check|verif|crypt|secret|once", re.IGNORECASE
)
"""What a header is called that a site checks: one without it, or with another image's, is refused."""


def made_up(
    texts: Iterable[str], sample: Exchange, exchanges: Sequence[Exchange], *known: str, until: float | None = None
) -> bool:
    """Whether some of a request's texts hold a random value that nothing gave the page.

    Args:
        texts: those parts of it that a list does not explain.
        sample: the request.
        exchanges: all that the window received; what came before the request may have given the value.
        known: what else may have given it: the link, the page's address, its cookies.
        until: when the list came; what is given after that may be a ticket for this one image. None: it does not matter.
    """
    words = {word[0] for text in texts for word in _RANDOM.finditer(unquote(text))}
    words = {word for word in words if not any(word in text or word in unquote(text) for text in known)}
    for exchange in exchanges if words else ():
        if exchange is sample:
            break
        is_late = until is not None and exchange.when > until
        if exchange.kind != WEBSOCKET_OUT and exchange.size <= MAX_REPLY and not is_late:
            words -= set(_given(words, exchange))
    return bool(words)


def _given(words: Iterable[str], exchange: Exchange) -> Iterator[str]:
    """Which of some words stand in a reply: its headers, its body."""
    heads, body = "\n".join(exchange.headers.values()), exchange.read()
    for word in words:
        if word in heads or any(text.encode() in body for text in {word, quote(word, safe="")}):
            yield word


def header_texts(exchange: Exchange) -> list[str]:
    """The values of the headers that the page added itself."""
    of_browser = ("user-agent", "referer", "origin")
    return [value for name, value in own_headers(exchange).items() if name not in of_browser]
