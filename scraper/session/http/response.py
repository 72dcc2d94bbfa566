"""A site's answer: its body as text or JSON, and what its status means where nothing else is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from scraper.core import schema
from scraper.core.errors import (
    AsksToWait,
    CloudfilmError,
    NoSuchStudy,
    SessionLapsed,
    SiteBusy,
    SiteChanged,
    SiteUnreachable,
)
from scraper.core.settings import LONGEST_RETRY_AFTER_S

R = TypeVar("R", bound=schema.Reply)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; header names are lower case. ``body`` is empty where it went into ``path``; ``hops`` are addresses passed."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    path: Path | None = None
    hops: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text: UTF-8, else GB18030."""
        return schema.decode_text(self.body)

    @property
    def retry_after_s(self) -> float | None:
        """``Retry-After`` in seconds from now, where the host gave one: a number, or a date (RFC 9110 10.2.3)."""
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return float(value[:12])
        try:
            then = parsedate_to_datetime(value)
        except ValueError:
            return None
        return max((then - datetime.now(then.tzinfo)).total_seconds(), 0.0)

    @property
    def busy(self) -> SiteBusy:
        """The error of a host that is overloaded; where it asks for a longer pause than is waited for, that is said."""
        host, told_s, why = urlsplit(self.url).hostname, self.retry_after_s, f"HTTP {self.status}"
        if told_s is not None and told_s > LONGEST_RETRY_AFTER_S:
            return AsksToWait(host=host, why=why, retry_after_s=round(told_s))
        return SiteBusy(host=host, why=why, retry_after_s=told_s)

    def json(self) -> Any:
        """The body as a JSON value; raises SiteChanged."""
        return schema.read_json(self.body, self.url)

    def read(self, reply: type[R]) -> R:
        """The body as a reply; raises SiteChanged."""
        return schema.read(self.body, reply, self.url)

    @property
    def refusal(self) -> CloudfilmError:
        """The error that a status other than 2xx means where nothing else is said."""
        host, status = urlsplit(self.url).hostname, self.status
        if status in (401, 403):
            return SessionLapsed(host=host)
        if status in (404, 410):
            return NoSuchStudy(host=host)
        if status in (429, 503):
            return self.busy
        if status >= 500:
            return SiteUnreachable(host=host, why=f"HTTP {status}")
        return SiteChanged(host=host, what=f"{urlsplit(self.url).path} answers HTTP {status}")
