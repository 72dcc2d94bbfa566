"""Receive exchanges from a child process: each is described by a line of JSON, its body is a numbered file of a folder."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scraper.isolation.child import ChildLost
from scraper.isolation.plain import from_plain
from scraper.session.browser.traffic import Exchange


@dataclass(frozen=True, slots=True)
class ExchangeLine:
    """One exchange, as the child describes it."""

    url: str
    kind: str
    number: int
    size: int
    method: str = "GET"
    status: int = 0
    request_headers: dict[str, str] | None = None
    request_body: str = ""
    headers: dict[str, str] | None = None
    is_text: bool = False
    is_left_out: bool = False


def line_of(answer: dict[str, Any]) -> ExchangeLine:
    """A child's answer as a description of an exchange.

    Raises:
        ChildLost: no answer of our child.
    """
    try:
        named = {name: value for name, value in answer.items() if name != "length"}
        line: ExchangeLine = from_plain(ExchangeLine, named)
    except (ValueError, TypeError) as err:
        raise ChildLost from err
    if not 0 < line.number < 10**7:
        raise ChildLost
    return line


def exchange_of(line: ExchangeLine, folder: Path, when: float) -> Exchange:
    """The exchange, its body in the child's own file.

    Raises:
        ChildLost: there is no plain file of that number.
    """
    body = folder / f"{line.number:07d}"
    try:
        found = body.lstat()
    except FileNotFoundError as err:
        raise ChildLost from err
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size != line.size:
        raise ChildLost
    sent = line.request_body.encode("utf-8", "surrogatepass") or None
    return Exchange(
        line.url,
        line.kind,
        line.method,
        line.request_headers or {},
        sent,
        line.status,
        line.headers or {},
        body if line.size else b"",
        line.size,
        line.is_text,
        when,
    )
