"""Tokens that a page renews while it runs: what its newest reply gave, and how many requests one of them is good for.

A request that repeats an old token is refused. Where the value that a request carries was given by a reply of the site, and a
later reply of the same call gives another, the later one is sent. Where it is refused all the same, the page is made to ask for
one more image, and renews the token by itself: to do that in its place would spend its own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from scraper.capture.infer.page_made import header_texts
from scraper.capture.observe.own_headers import own_headers
from scraper.capture.observe.received import asked_by
from scraper.capture.surplus import Shape, shape_of
from scraper.core.bounded_json import parse_json
from scraper.core.errors import SessionLapsed
from scraper.session.browser.traffic import Exchange, Traffic

SHORTEST: Final = 8  # characters of a token
MAX_REPLY: Final = 64 * 2**10  # bytes of a reply that gives one
MAX_DEPTH: Final = 6
MAX_FRUITLESS: Final = 2  # renewals after which every request is refused as before
_WORD: Final = re.compile(r"[^\s,;:=&?/\"'<>{}\[\]]+")
_OBJECT: Final = b"{"

T = TypeVar("T")
Path = tuple[str, ...]
AskPage = Callable[[Callable[[], bool]], Awaitable[None]]
"""Has the page ask for more images, until a condition holds or nothing moves it."""


@dataclass(slots=True)
class _Token:
    """A value that requests carry, and the call whose reply gave it: its address without the query, and where it stands.

    ``values`` are those that it had, the newest last.
    """

    url: str
    path: Path
    values: list[str]
    is_in_headers: bool


class Renewals:
    """What is newest of the values that the page's requests for images carry.

    Args:
        traffic: the window's.
        sample: one of the page's requests for an image.
        ask_page: see ``AskPage``.
        named: values that tell one image or series from another; none of them is a token.

    Attributes:
        generation: grows with each new token.
    """

    def __init__(self, traffic: Traffic, sample: Exchange, ask_page: AskPage, named: Collection[str] = ()) -> None:
        self._traffic = traffic
        self._ask_page = ask_page
        self._headers: Mapping[str, str] = own_headers(sample)
        self._shape = _shape(sample)
        self._one = asyncio.Lock()
        self._answered = self._in_flight = 0  # requests of ours with the present token
        self._begin = self._looked = traffic.exchanges.index(sample) if sample in traffic.exchanges else 0
        self._most: int | None = None  # requests that a token is good for
        self._fruitless = 0
        self._was_refused = False
        self.generation = 0
        self._tokens = list(self._given(sample, named))

    def __bool__(self) -> bool:
        """Whether a request carries a value that a reply gave, so that the page may renew it."""
        return bool(self._tokens) and self._fruitless < MAX_FRUITLESS

    @property
    def is_in_headers(self) -> bool:
        """Whether all that may be renewed stands in headers."""
        return all(token.is_in_headers for token in self._tokens)

    def headers(self) -> Mapping[str, str]:
        """The page's own headers, with its newest tokens."""
        self._look()
        return {name: self._renewed(value, self._tokens) for name, value in self._headers.items()}

    def text(self, text: str) -> str:
        """An address, or what is sent there, with the newest tokens where the old ones were refused.

        Until then a value that another reply gives is not known to stand for the same thing.
        """
        return self._renewed(text, self._tokens) if self._was_refused else text

    def _renewed(self, text: str, tokens: Collection[_Token]) -> str:
        for token in tokens:
            for value in token.values[:-1]:
                text = text.replace(value, token.values[-1])
        return text

    async def carried(self, send: Callable[[], Awaitable[T]]) -> T:
        """Send one request; where it is refused as one without a session is, once more with the token that the page renews.

        Raises:
            CloudfilmError: as ``send`` does.
        """
        if not self:
            return await send()
        generation = await self._begin_request()
        try:
            return await self._counted(send, generation)
        except SessionLapsed:
            if not await self._is_renewed(generation):
                raise
        generation = await self._begin_request()
        try:
            return await self._counted(send, generation)
        except SessionLapsed:  # what ends it is something else
            self._most = None
            self._fruitless += 1
            raise

    async def _counted(self, send: Callable[[], Awaitable[T]], generation: int) -> T:
        """Send a request, and count it for the token that it carries."""
        is_answered = False
        try:
            answer = await send()
            is_answered = True
        finally:
            if generation == self.generation:
                self._in_flight -= 1
                self._answered += is_answered
        return answer

    async def _begin_request(self) -> int:
        """Let the page renew a token that is good for no more requests; the generation of the token that is sent then."""
        if self._is_spent():
            async with self._one:
                if self._is_spent():
                    at = self.generation
                    await self._renew()
                    if at == self.generation:
                        self._most = None  # what ends it is no number of requests
        self._look()
        self._in_flight += 1
        return self.generation

    async def _is_renewed(self, generation: int) -> bool:
        """Have the page renew what was refused; whether there is another token now.

        Args:
            generation: as it was when the refused request was sent.
        """
        async with self._one:
            self._look()
            if generation == self.generation and self:
                self._was_refused = True
                self._most = self._answered + self._of_page()
                await self._renew()
                if generation == self.generation:
                    self._fruitless = MAX_FRUITLESS
            return generation != self.generation

    async def _renew(self) -> None:
        at = self.generation

        def is_renewed() -> bool:
            self._look()
            return self.generation != at

        await self._ask_page(is_renewed)

    def _is_spent(self) -> bool:
        """Whether the present token was sent as often as an earlier one was answered."""
        if self._most is None or not self:
            return False
        return self._answered + self._in_flight + self._of_page() >= self._most

    def _of_page(self) -> int:
        """How many requests of the page carried the present token, and were answered."""
        held = [token.values[-1] for token in self._tokens]
        answered = (item for item in self._traffic.exchanges[self._begin :] if item.ok)
        return sum(any(value in text for value in held for text in _texts(item)) for item in answered)

    def _look(self) -> None:
        """Take in what the page received since the last time."""
        exchanges = self._traffic.exchanges
        for place in range(self._looked, len(exchanges)):
            exchange = exchanges[place]
            if not exchange.ok:
                continue
            is_new = False
            for token in self._tokens:
                if exchange.url.partition("?")[0] == token.url:
                    newest = dict(_values(exchange)).get(token.path, "")
                    if len(newest) >= SHORTEST and newest != token.values[-1]:
                        token.values.append(newest)
                        is_new = is_new or token.is_in_headers or self._was_refused
            if not is_new and self._tokens and _shape(exchange) == self._shape:
                is_new = self._has_other_headers(own_headers(exchange))
            if is_new:
                self.generation, self._answered, self._in_flight, self._begin = self.generation + 1, 0, 0, place
        self._looked = len(exchanges)

    def _has_other_headers(self, headers: Mapping[str, str]) -> bool:
        """Take the headers of a newer request for an image where they differ: a token in them may stand in no reply."""
        if headers.keys() != self._headers.keys():
            return False
        before = {name: self._renewed(value, self._tokens) for name, value in self._headers.items()}
        if all(self._renewed(value, self._tokens) == before[name] for name, value in headers.items()):
            return False
        self._headers = headers
        return True

    def _given(self, sample: Exchange, named: Collection[str]) -> Iterator[_Token]:
        """The values of a request that a reply of the site gave before it."""
        of_headers = {word for text in header_texts(sample) for word in _WORD.findall(text)}
        words = of_headers | set(_WORD.findall(asked_by(sample)))
        left = {word for word in words if len(word) >= SHORTEST} - set(named)
        for exchange in reversed(self._traffic.exchanges[: self._looked]):
            for path, value in _values(exchange) if exchange.ok and left else ():
                if value in left:
                    left.discard(value)
                    yield _Token(exchange.url.partition("?")[0], path, [value], value in of_headers)


def _texts(exchange: Exchange) -> Iterator[str]:
    """What a request carries: its own headers, its address and what is sent along."""
    yield from own_headers(exchange).values()
    yield asked_by(exchange)


def _shape(exchange: Exchange) -> Shape:
    return shape_of(exchange.url, (exchange.request_body or b"").decode("utf-8", "replace"))


def _values(exchange: Exchange) -> Iterator[tuple[Path, str]]:
    """The texts of a small JSON reply that stand in no array, with where they stand."""
    if not 0 < exchange.size <= MAX_REPLY or exchange.read(1) != _OBJECT:
        return
    try:
        value = parse_json(exchange.read())
    except (ValueError, RecursionError):
        return
    waiting: list[tuple[Path, Any]] = [((), value)]
    while waiting:
        path, item = waiting.pop()
        if isinstance(item, str):
            yield path, item
        elif isinstance(item, dict) and len(path) < MAX_DEPTH:
            waiting += [((*path, str(name)), inner) for name, inner in item.items()]
