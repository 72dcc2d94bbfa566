"""A large body that was cut short goes on where it stopped, where the site lets it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from scraper.core.errors import SiteUnreachable
from scraper.core.model import Request
from scraper.core.reasons import Reason
from scraper.protocols.headers import merged
from scraper.session.http.response import Response


class Send(Protocol):
    """``Session.request``."""

    def __call__(
        self, request: Request, *, into: Path | None, on_bytes: Callable[[int], None] | None
    ) -> Awaitable[Response]:
        """Send one request, its body into a file."""


class Resumable:
    """One large body on its way into a file, over as many tries as it takes.

    Args:
        send: sends one request.
        request: a GET.
        into: the file.

    Source:
        RFC 9110 13.1.5 (If-Range) and 14 (Range, Content-Range).
    """

    def __init__(self, send: Send, request: Request, into: Path) -> None:
        self.into = into
        self._send = send
        self._request = request
        self._head: Response | None = None  # of the answer that was cut short

    @property
    def size(self) -> int:
        """Bytes on the disk that the next try need not ask for."""
        return self.into.stat().st_size if self._head is not None and self.into.exists() else 0

    def start_over(self) -> None:
        """What came is of no use."""
        self._head = None

    async def attempt(self, on_bytes: Callable[[int], None] | None = None) -> Response:
        """Make one attempt. After a success the whole body is in the file; a refusal's body is at its ``path``.

        Raises:
            SiteUnreachable: cut short; what came is kept for the next try where the site can go on from there.
        """
        have = self.size
        if have:
            return await self._go_on(have, on_bytes)
        try:
            return await self._send(self._request, into=self.into, on_bytes=on_bytes)
        except SiteUnreachable as err:
            head = err.partial_response
            self._head = head if isinstance(head, Response) and _can_go_on(head) else None
            raise

    async def _go_on(self, have: int, on_bytes: Callable[[int], None] | None) -> Response:
        rest = self.into.with_name(self.into.name + ".rest")
        headers = merged(self._request.headers, {"Range": f"bytes={have}-", "Accept-Encoding": "identity"})
        if validator := _validator(self._head):
            headers = merged(headers, {"If-Range": validator})
        try:
            response = await self._send(replace(self._request, headers=headers), into=rest, on_bytes=on_bytes)
        except SiteUnreachable as err:
            if _starts_at(err.partial_response, have):
                _append(rest, self.into)
            raise
        if response.status == 206 and _starts_at(response, have):
            _append(rest, self.into)
        elif response.status == 200:  # it changed meanwhile, or the site can't go on after all
            rest.replace(self.into)
        elif response.status in (206, 416):
            self._head = None
            raise SiteUnreachable(host=urlsplit(response.url).hostname, why=Reason.ANSWER_CUT_SHORT)
        else:
            return response
        return replace(response, status=200, path=self.into)


def _can_go_on(head: Response) -> bool:
    """Whether the site says that it gives parts; a packed body can't be continued."""
    return (
        head.status == 200
        and head.headers.get("accept-ranges", "").strip().lower() == "bytes"
        and head.headers.get("content-encoding", "identity") == "identity"
    )


def _validator(head: Response | None) -> str:
    if head is None:
        return ""
    etag = head.headers.get("etag", "")
    return etag if etag and not etag.startswith("W/") else head.headers.get("last-modified", "")


def _starts_at(head: object, offset: int) -> bool:
    if not isinstance(head, Response) or head.status != 206:
        return False
    match = re.match(r"bytes (\d+)-", head.headers.get("content-range", ""))
    return match is not None and int(match.group(1)) == offset


def _append(rest: Path, into: Path) -> None:
    with into.open("ab") as out, rest.open("rb") as more:
        shutil.copyfileobj(more, out, 2**20)
    rest.unlink()
