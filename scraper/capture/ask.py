"""Asks for what was learnt: as the viewer did, directly where the site allows that, else from inside the page.

What the viewer unpacks itself (base64 in JSON, gzip) is unpacked here as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scraper.capture.catch import SENT, asked_by
from scraper.capture.promote import own_headers
from scraper.capture.recognise import DICOM, Object, Recogniser
from scraper.errors import CloudfilmError, CorruptInstance, MissingInstances, SessionLapsed
from scraper.model import Asked, Request, Source, WadoUri
from scraper.protocols.sniff import HEAD, sniff
from scraper.session import Response, Session
from scraper.session.traffic import Exchange

REFUSED: Final = (401, 403, 412, 418, 429, 503)
GONE: Final = (404, 410)


@dataclass(frozen=True, slots=True)
class _How:
    """How an image of the viewer came: the headers, and whether the answer was the object itself."""

    headers: Mapping[str, str]
    is_bare: bool


class Asker:
    """Asks in the viewer's own way.

    Args:
        session: the link's conversation.
        sample: one of the viewer's requests for an image, with its answer.
        new_file: gives a name in the spool that nobody uses.
        filled: writes what a request has anew.
    """

    def __init__(
        self,
        session: Session,
        sample: Exchange,
        new_file: Callable[[], Path],
        filled: Callable[[str], str] = str,
    ) -> None:
        headers = own_headers(sample)
        if sample.request_body and "content-type" in sample.request_headers:
            headers["content-type"] = sample.request_headers["content-type"]
        is_bare = sample.method == "GET" and sniff(sample.read(HEAD)) in DICOM
        self._how = _How(headers, is_bare)
        self._session = session
        self._sample = asked_by(sample)
        self._recogniser = Recogniser(new_file)
        self._new_file = new_file
        self._filled = filled
        self._through_page = False
        self._one = asyncio.Lock()  # the page's answers are told apart by their address

    async def prepare(self) -> None:
        """Find out whether the site answers outside the page too.

        Raises:
            SessionLapsed: it answers neither way any more.
        """
        for through_page in (False, True):
            self._through_page = through_page
            try:
                (await self._object(self._sample)).unlink(missing_ok=True)
            except CloudfilmError:
                continue
            return
        raise SessionLapsed(host=self._session.link.host)

    def source(self, asked: str) -> Source:
        """The source of one learnt request."""
        if self._how.is_bare and not self._through_page:
            return WadoUri(self._filled(asked), self._how.headers)

        async def ask() -> Path:
            return await self._object(asked)

        return Asked(ask)

    async def _object(self, asked: str) -> Path:
        """The one object that a request gives.

        Raises:
            SessionLapsed: refused. MissingInstances: not there. CorruptInstance: no object, or several.
        """
        url, is_sent, body = self._filled(asked).partition(SENT)
        request = Request(
            url, "POST" if is_sent else "GET", self._how.headers, body.encode() if is_sent else None
        )
        response = await self._answer(request)
        if response.status in REFUSED:
            raise SessionLapsed(host=self._session.link.host)
        if response.status in GONE:
            raise MissingInstances(why=f"HTTP {response.status}")
        return await asyncio.to_thread(self._only, response)

    async def _answer(self, request: Request) -> Response:
        if not self._through_page:
            return await self._session.request(request)
        async with self._one:
            return await (await self._session.window()).fetch(request)

    def _only(self, response: Response) -> Path:
        if not response.ok:
            raise CorruptInstance(what=f"HTTP {response.status}")
        spooled = self._new_file()
        spooled.write_bytes(response.body)
        try:
            pieces = list(self._recogniser.look(spooled, response.headers.get("content-type", "")))
        finally:
            spooled.unlink(missing_ok=True)
        objects = [piece.path for piece in pieces if isinstance(piece, Object)]
        if len(objects) != 1:
            for path in objects:
                path.unlink(missing_ok=True)
            raise CorruptInstance(what="no DICOM object")
        return objects[0]


__all__ = ["Asker"]
