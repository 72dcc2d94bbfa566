"""Secrets in a request: headers that may be tokens, and answers in any form in which pages send them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus, unquote_to_bytes, urlsplit

PLAIN = frozenset(
    {
        "accept",
        "accept-language",
        "accept-encoding",
        "user-agent",
        "range",
        "if-range",
        "cache-control",
        "pragma",
        "content-type",
        "x-requested-with",
        "connection",
        "origin",
        "referer",
    }
)
"""Headers that a browser sends to any host; all others may hold a token, whatever their name."""


SHORTEST_PACKED = 6  # characters of Base64; fewer stand in any text by chance


def plain_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that identify nobody; of ``Referer`` its origin alone, for a link is a secret."""
    plain = {name: value for name, value in headers.items() if name.lower() in PLAIN}
    return {name: _origin(value) if name.lower() == "referer" else value for name, value in plain.items()}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/" if parts.netloc else ""


def holds_any(secrets: Iterable[str], text: bytes) -> bool:
    """Whether a text holds an answer of a person: plain, encoded, or as a digest that pages make of it."""
    plain = unquote_to_bytes(text.replace(b"+", b" "))
    lowered = text.lower()
    for secret in secrets:
        if any(form in text or form in plain for form in _forms(secret)):
            return True
        if any(digest in lowered for digest in _digests(secret)):
            return True
    return False


def _forms(secret: str) -> set[bytes]:
    raw = secret.encode()
    forms = {raw, quote(secret, safe="").encode(), quote_plus(secret).encode()}
    forms |= {secret.encode("gb18030"), secret.encode("utf-16-le"), secret.encode("ascii", "backslashreplace")}
    packed = base64.b64encode(raw).rstrip(b"=")
    if len(packed) >= SHORTEST_PACKED:
        forms |= {packed, base64.urlsafe_b64encode(raw).rstrip(b"="), raw.hex().encode()}
    return {form for form in forms if form}


def _digests(secret: str) -> list[bytes]:
    raw = secret.encode()
    made = [hashlib.new(name, raw, usedforsecurity=False) for name in ("md5", "sha1", "sha256", "sha512")]
    if hashlib.algorithms_available & {"sm3"}:
        made.append(hashlib.new("sm3", raw, usedforsecurity=False))
    texts = [item.hexdigest().encode() for item in made]
    return [*texts, *(text[8:24] for text in texts[:1])]  # the middle of an MD5, as many Chinese sites have it
