"""Answers of emulated sites, changed on their way: seeded, one or more places of each, at the socket."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fixtures.sites import ASGI, Address

Message = MutableMapping[str, Any]
GONE = object()
VALUES: tuple[Any, ...] = (
    GONE,
    None,
    "",
    " ",
    "NaN",
    "null",
    "text",
    "\ud800",
    "\0",
    "\u202e",
    "-1",
    "1e999",
    "0x10",
    "１２",
    "²",
    "a" * 70_000,
    "9" * 5000,
    "http://[",
    "//",
    "..",
    "%",
    "1.2.3",
    "\\",
    True,
    False,
    0,
    -1,
    1,
    10**9,
    10**30,
    -(10**19),
    1.5,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    [None],
    [{}],
    {"": ""},
    {"Value": None},
    [1, "a", None, {}, []],
)


def changed(body: bytes, rng: random.Random) -> bytes:
    """A JSON, XML or HTML body with something in it that nobody expects; any other body as it is."""
    head = body.lstrip()[:1]
    if head in (b"{", b"["):
        try:
            return _json(json.loads(body), rng)
        except ValueError:
            return body
    return _markup(body, rng) if head == b"<" else body


def _json(value: Any, rng: random.Random) -> bytes:
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2, 6))):
        places = list(_places(value))
        if not places or rng.random() < 0.03:
            value = rng.choice(VALUES[1:])
            continue
        holder, key = rng.choice(places)
        new = rng.choice(VALUES)
        if rng.random() < 0.1:
            new = _nested(rng.choice((30, 3000)))
        elif rng.random() < 0.1:
            new = [holder[key]] * 3
        elif rng.random() < 0.1 and isinstance(holder[key], (int, float)):
            new = str(holder[key])
        if new is GONE:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(new)
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return b'{"a":' * 5000 + b"1" + b"}" * 5000


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting and len(found) < 5000:
        inner = waiting.pop()
        if isinstance(inner, (dict, list)):
            for key in list(inner) if isinstance(inner, dict) else range(len(inner)):
                found.append((inner, key))
                waiting.append(inner[key])
    return found


def _markup(body: bytes, rng: random.Random) -> bytes:
    text = body.decode("utf-8", "surrogateescape")
    for _ in range(rng.choice((1, 2, 5))):
        pieces = [
            match.span() for match in re.finditer(r"\"[^\"]{0,200}\"|'[^']{0,200}'|\d+|>[^<]{1,200}<|</?\w+", text)
        ]
        if not pieces:
            break
        start, end = rng.choice(pieces)
        piece = text[start:end]
        value = rng.choice(
            (
                "",
                "NaN",
                "-1",
                "9" * 30,
                "x" * 70_000,
                "\0",
                "&#xd800;",
                "&#0;",
                "<",
                "null",
                "1.5",
                "[{",
                piece * 40,
                "a/b",
            )
        )
        quote = piece[0] if piece[0] in "\"'" else ""
        inside = value if rng.random() < 0.7 or len(piece) < 3 else piece[1:-1] + value
        text = text[:start] + quote + inside + quote + text[end:]
    if rng.random() < 0.1:
        text = text[: rng.randrange(len(text) + 1)]
    if rng.random() < 0.05:
        text = "<div>" * 8_000 + text
    return text.encode("utf-8", "surrogateescape")


INSIDE = ("", "NaN", "-1", "9" * 30, "x" * 70_000, "\0", "&#xd800;", "&#0;", "<", "null", "1.5", "[{", "a/b")


class Mutated:
    """A site whose answers are changed; another seed changes others.

    Args:
        site: the honest one.
    """

    def __init__(self, site: Any) -> None:
        self._site = site
        self.addresses: tuple[Address, ...] = tuple(site.addresses)
        self.originals = site.originals
        self.rng = random.Random(0)
        self.share = 0.35
        self.app: ASGI = self._app

    async def _app(
        self, scope: Message, receive: Callable[[], Awaitable[Any]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            await self._site.app(scope, receive, self._socket(send))
            return
        start: Message = {}
        held: list[bytes] = []

        async def hold(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            held.append(message.get("body", b""))
            if message.get("more_body"):
                return
            body = b"".join(held)
            if self.rng.random() < self.share:
                body = changed(body, self.rng)
            names = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
            start["headers"] = [*names, (b"content-length", str(len(body)).encode())]
            await send(start)
            await send({"type": "http.response.body", "body": body})

        await self._site.app(scope, receive, hold)

    def _socket(self, send: Callable[[Message], Awaitable[None]]) -> Callable[[Message], Awaitable[None]]:
        async def hold(message: Message) -> None:
            if message["type"] == "websocket.send" and message.get("text") and self.rng.random() < self.share:
                text = changed(message["text"].encode(), self.rng).decode("utf-8", "replace")
                message = {**message, "text": text}
            await send(message)

        return hold
