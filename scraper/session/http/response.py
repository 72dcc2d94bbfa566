"""A site's response: its body as text or JSON, and the default meaning of its status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from scraper.core import schema
from scraper.core.errors import CloudfilmError, SiteChanged, StudyGone
from scraper.core.text import decode_text
from scraper.session.http.status import call_error, instance_error

if TYPE_CHECKING:
    from scraper.core.html import Page

R = TypeVar("R", bound=schema.Reply)


@dataclass(frozen=True, slots=True)
class Response:
    """A response; header names are lower case. ``body`` is empty where it went into ``path``; ``hops`` are addresses passed.

    ``sent``: the headers of the request, ours or the page's own; their names are lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    path: Path | None = None
    hops: tuple[str, ...] = ()
    sent: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text: UTF-8, else GB18030."""
        return decode_text(self.body)

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

    def page(self) -> Page:
        """The body as an HTML page."""
        from scraper.core.html import Page

        return Page(self.text, self.url)

    def json(self) -> Any:
        """The body as a JSON value; raises SiteChanged."""
        return schema.read_json(self.body, self.url)

    def read(self, reply: type[R]) -> R:
        """The body as a reply, whatever the status; raises SiteChanged."""
        return schema.read(self.body, reply, self.url)

    def read_or_empty(self, reply: type[R]) -> R:
        """The same, and the empty reply where the body is none, as of a refusal without words."""
        try:
            return self.read(reply)
        except SiteChanged:
            return reply.empty()

    def unwrap(self, reply: type[R]) -> R:
        """The body as a reply: also that of a refusal, where it has the shape of one.

        Raises:
            SessionLapsed: 401 or 403 without words (StudyGone at the entrance of a share). NoSuchStudy: 404 or 410.
                SiteBusy: 429 or 503. SiteUnreachable: 5xx. SiteChanged: another status, or the JSON is not as known.
        """
        try:
            return self.read(reply)
        except SiteChanged as err:
            if self.ok:
                raise
            if self.status in (401, 403) and issubclass(reply, schema.CheckedReply) and reply.is_entrance:
                raise StudyGone(f"HTTP {self.status}", host=urlsplit(self.url).hostname) from err
            raise self.refusal from err

    def checked(self, reply: type[R]) -> R:
        """The reply of a request that the site agreed to.

        Raises:
            CloudfilmError: what its status, or the CheckedReply itself, says instead; as ``unwrap``.
        """
        if not issubclass(reply, schema.CheckedReply):
            if not self.ok:
                raise self.refusal
            return self.read(reply)
        answer = self.unwrap(reply)
        if not answer.ok:
            raise answer.refusal()
        if not self.ok:
            raise self.refusal
        return answer

    @property
    def refusal(self) -> CloudfilmError:
        """The error that a status other than 2xx means where nothing else is said."""
        parts = urlsplit(self.url)
        return call_error(self.status, parts.hostname, parts.path, self.retry_after_s)

    @property
    def instance_refusal(self) -> CloudfilmError:
        """The error that a status means where an instance was asked for."""
        return instance_error(self.status, urlsplit(self.url).hostname, self.retry_after_s)
