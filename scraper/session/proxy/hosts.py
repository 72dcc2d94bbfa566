"""Which hosts' connections the proxy decrypts: each at its first look, then only those that serve images, or lists of them.

Hosts of banks, payments, chats, mail and of the system's own services are never decrypted (``untouched.toml``). A client that
refuses the proxy's certificate is left alone from then on, so that it works again at its next try.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from scraper.core.domains import site_of

FIRST_LOOK_S: Final = 180.0  # a person logs in and opens the film within that time
FIRST_LOOK_EXCHANGES: Final = 200  # a page's scripts, styles and calls, before its first list or image


@cache
def untouched() -> tuple[str, ...]:
    """Domains whose hosts, and all below them, are never decrypted."""
    table = tomllib.loads((Path(__file__).parent / "untouched.toml").read_text(encoding="utf-8"))
    return tuple(sorted({name for names in table.values() for name in names}))


def is_untouched(host: str) -> bool:
    """Whether a host is one of those domains, or below one."""
    name = host.lower().rstrip(".")
    parts = name.split(".")
    known = frozenset(untouched())
    return any(".".join(parts[place:]) in known for place in range(len(parts)))


@dataclass(slots=True)
class _Seen:
    """What is known of one host."""

    since: float
    exchanges: int = 0


@dataclass(slots=True)
class Hosts:
    """Decides by what was seen.

    Args:
        clock: seconds, monotonic.
    """

    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _sites: set[str] = field(default_factory=set)  # registrable domains with images, or lists of them
    _refused: set[str] = field(default_factory=set)

    def is_decrypted(self, host: str) -> bool:
        """Whether a host's connection is decrypted, and what passes on one still looked at; an unnamed host's never is."""
        if not host or is_untouched(host) or host in self._refused:
            return False
        if site_of(host) in self._sites:
            return True
        seen = self._seen.get(host)
        if seen is None:
            return True
        return seen.exchanges < FIRST_LOOK_EXCHANGES and self.clock() - seen.since < FIRST_LOOK_S

    def refuse(self, host: str) -> None:
        """A client did not take our certificate for it: it is left alone."""
        if site_of(host) not in self._sites:
            self._refused.add(host)

    def note(self, host: str) -> None:
        """Count an exchange."""
        seen = self._seen.setdefault(host, _Seen(self.clock()))
        seen.exchanges += 1

    def found(self, host: str, headers: Mapping[str, str]) -> None:
        """An image or a list came from a host: its site is decrypted from now on, and so is the page that asked for it."""
        self._sites.add(site_of(host))
        for name in ("referer", "origin"):
            page = urlsplit(headers.get(name, "")).hostname or ""
            if page and not is_untouched(page):
                self._sites.add(site_of(page))
