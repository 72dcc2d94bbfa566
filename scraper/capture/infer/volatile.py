"""Parts of a request that change every time (counter, timestamp, nonce) and aren't data from the site.

Such a part is recognised in the viewer's own requests: they agree in all but identifiers, and this part differs in each. It
is blanked before anything is inferred, and generated for each request of ours.
"""

from __future__ import annotations

import random
import re
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

_PIECE: Final = re.compile(
    r"(?P<uuid>[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})|(?P<random>(?<![\d.])0\.\d{8,20}(?![\d.]))"
    r"|(?P<number>(?<![\w.])\d{1,16}(?![\w.]))"
)
_BLANK: Final = re.compile("\1([a-z]+)\2")
_ODD: Final = re.compile(r"(?<![\w.%+#-])[\w.%+-]*[\d#][\w.%+#-]*")  # a whole run of such characters
_OF_REQUEST: Final = re.compile(  # what stands before a name that a page makes up; any other may be an image's own
    r"(req|msg|message|trace|nonce|seq|call|corr|[^a-z]rid|[^a-z]tid)\w{0,32}[\"':=\s]{0,8}$", re.IGNORECASE
)
DAY_S: Final = 86_400


class VolatileParts:
    """Blanks such pieces and fills the blanks.

    Args:
        asked: the viewer's requests, in order.
    """

    def __init__(self, asked: Sequence[str]) -> None:
        self._next = 1
        self._slots: dict[str, dict[int, str]] = {}  # what a request looks like -> which piece of it is what
        groups: dict[str, list[list[re.Match[str]]]] = defaultdict(list)
        for text in dict.fromkeys(asked):
            groups[_look(text)].append(list(_PIECE.finditer(text)))
        for look, pieces in groups.items():
            self._slots[look] = {}
            for place, column in enumerate(zip(*pieces, strict=True)):
                if kind := self._kind(column):
                    self._slots[look][place] = kind

    def __bool__(self) -> bool:
        """Whether there is any such piece."""
        return any(self._slots.values())

    def _kind(self, column: Sequence[re.Match[str]]) -> str:
        """What a piece is, by its values in the order of the requests; nothing where it is a value like any other."""
        values = [match[0] for match in column]
        kind = column[0].lastgroup or ""
        if len(set(values)) < len(values) or len(values) < 2:
            return ""
        if kind == "uuid":
            made_up = all(
                _OF_REQUEST.search(match.string[max(match.start() - 32, 0) : match.start()]) for match in column
            )
            return kind if made_up else ""
        if kind == "random":
            return kind
        numbers = [int(text) for text in values]
        now = time.time()
        for name, unit in (("seconds", 1), ("clock", 1000)):
            if all(abs(number / unit - now) < DAY_S for number in numbers):
                return name
        steps = {after - before for before, after in pairwise(sorted(numbers))}
        if len(values) > 2 and steps == {1}:
            self._next = max(self._next, *numbers) + 1
            return "running"
        return ""

    def blanked(self, request: str) -> str:
        """The request with a blank for each such piece."""
        slots = self._slots.get(_look(request), {})
        place = -1

        def blank(match: re.Match[str]) -> str:
            nonlocal place
            place += 1
            return f"\1{slots[place]}\2" if place in slots else match[0]

        return _PIECE.sub(blank, request) if slots else request

    def filled(self, request: str) -> str:
        """The request with its blanks filled, as the viewer would now."""
        return _BLANK.sub(lambda match: self._value(match[1]), request)

    def _value(self, kind: str) -> str:
        match kind:
            case "running":
                self._next += 1
                return str(self._next - 1)
            case "clock":
                return str(int(time.time() * 1000))
            case "seconds":
                return str(int(time.time()))
            case "random":
                return f"0.{random.getrandbits(52):016d}"  # as a page's Math.random()
            case _:
                return str(uuid.uuid4())


def _look(request: str) -> str:
    """A request with its numbers, names and identifiers taken out: alike for all requests of one kind."""
    plain, count = _PIECE.subn("#", request)
    return f"{count} {_ODD.sub('#', plain)}"
