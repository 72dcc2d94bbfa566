"""Send requests like the viewer's own by HTTP: directly if the site allows that, else from inside the page.

What the viewer unpacks itself (base64 in JSON, gzip) is unpacked here as well.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from scraper import dicom
from scraper.capture.infer.preparation import Staging
from scraper.capture.infer.templates import Record
from scraper.capture.infer.volatile import VolatileParts
from scraper.capture.observe.own_headers import own_headers
from scraper.capture.observe.received import SENT, asked_by
from scraper.capture.observe.recognise import DICOM, BrokenPackage, DicomObject, Recogniser
from scraper.capture.request.renewals import AskPage, Renewals
from scraper.core.errors import (
    CloudfilmError,
    CorruptInstance,
    MissingInstances,
    NotCheckedInTime,
    SessionLapsed,
    SiteUnreachable,
)
from scraper.core.model import Header, OnDemand, Request, Source, WadoUri
from scraper.core.reasons import Reason
from scraper.core.sniff import HEAD, sniff
from scraper.session import Response, Session
from scraper.session.browser.traffic import Exchange
from scraper.session.http.status import NO_CONTENT, PAGE_MAY_PASS

NOT_STAGED: Final = (MissingInstances, CorruptInstance, SiteUnreachable)  # answers for what a site has not prepared


@dataclass(frozen=True, slots=True)
class RequestShape:
    """How an image of the viewer came: the headers, and whether the answer was the object itself."""

    headers: Mapping[str, str]
    is_bare: bool


class HttpReplayer:
    """Asks in the viewer's own way.

    Args:
        session: the link's conversation.
        sample: one of the viewer's requests for an image, with its answer.
        new_file: returns an unused name in the spool.
        volatile: generates the volatile parts of a request.
        records: request → the list's entry that it was made of.
        staging: what the page asked for before images, and whether images came only at a later try.
        ask_page: has the page ask for one more image, so that it renews a token that has run out.
    """

    def __init__(  # noqa: PLR0913  # what may be known of the page's requests
        self,
        session: Session,
        sample: Exchange,
        new_file: Callable[[], Path],
        volatile: VolatileParts | None = None,
        records: Mapping[str, Record] | None = None,
        staging: Staging | None = None,
        *,
        ask_page: AskPage | None = None,
    ) -> None:
        headers = own_headers(sample)
        if sample.request_body and "content-type" in sample.request_headers:
            headers["content-type"] = sample.request_headers["content-type"]
        is_bare = sample.method == "GET" and sniff(sample.read(HEAD)) in DICOM
        self._shape = RequestShape(headers, is_bare)
        self._session = session
        self._sample = asked_by(sample)
        self._recogniser = Recogniser(new_file)
        self._new_file = new_file
        self._volatile = volatile or VolatileParts(())
        self._filled = self._volatile.filled
        self._records = records or {}
        self._staging = staging or Staging()
        self._prepared: dict[tuple[str, bytes | None], asyncio.Task[None]] = {}
        named = {value for record in (records or {}).values() for value in record.fields.values()}
        self._renewals = Renewals(session.traffic, sample, ask_page, named) if ask_page is not None else None
        self._through_page = False
        self._one = asyncio.Lock()  # the page's replies are distinguished by their address

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

    async def header_of(self, asked: str) -> Header:
        """The header of the one object that a request gives; the object is removed.

        Raises:
            CloudfilmError: as for a source.
        """
        path = await self._object(asked)
        try:
            return await asyncio.to_thread(dicom.header, path)
        finally:
            path.unlink(missing_ok=True)

    def source(self, asked: str) -> Source:
        """The source of one learnt request."""
        renewals = self._renewals
        if self._shape.is_bare and not self._through_page and not self._staging:
            if not renewals:
                return WadoUri(self._filled(asked), self._shape.headers)
            if renewals.is_in_headers:
                return WadoUri(self._filled(asked), sign=renewals.headers, token=renewals)

        async def ask() -> Path:
            send = partial(self._object, asked)
            return await (renewals.carried(send) if renewals else send())

        return OnDemand(ask)

    async def _object(self, asked: str) -> Path:
        """The one object that a request gives; where it is not there, once more after what the page asked for beforehand.

        Raises:
            SessionLapsed: refused. MissingInstances: not there. CorruptInstance: no object, or several.
        """
        try:
            return await self._once(asked)
        except NOT_STAGED:
            if not (await self._is_prepared(asked) or self._staging.is_late):
                raise
        for pause_s in self._session.settings.timings.drive.staging_pauses_s:
            try:
                return await self._once(asked)
            except NOT_STAGED:
                await asyncio.sleep(pause_s)
        return await self._once(asked)

    async def _is_prepared(self, asked: str) -> bool:
        """Ask for what the page asked for before such an image, each request once a run; False if there is no such request."""
        record = self._records.get(asked)
        requests = (
            [preparation.request(record, self._volatile) for preparation in self._staging.preparations]
            if record
            else []
        )
        known = [item for item in requests if item is not None]
        for request in known:
            key = (request.url, request.body)
            if key not in self._prepared:
                self._prepared[key] = asyncio.ensure_future(self._send(request))
            await asyncio.shield(self._prepared[key])
        return bool(known)

    async def _send(self, request: Request) -> None:
        with contextlib.suppress(CloudfilmError):  # if it was of need, the image will say so
            await self._answer(request)

    async def _once(self, asked: str) -> Path:
        """The one object that a request gives now."""
        text, headers = self._filled(asked), self._shape.headers
        if self._renewals:
            text, headers = self._renewals.text(text), {**headers, **self._renewals.headers()}
        url, is_sent, body = text.partition(SENT)
        request = Request(url, "POST" if is_sent else "GET", headers, body.encode() if is_sent else None)
        response = await self._answer(request)
        if response.status in PAGE_MAY_PASS:
            raise SessionLapsed(host=self._session.link.host)
        if not response.ok or response.status == NO_CONTENT:
            raise response.instance_refusal
        return await asyncio.to_thread(self._only, response)

    async def _answer(self, request: Request) -> Response:
        if not self._through_page:
            return await self._session.request(request)
        async with self._one:
            return await (await self._session.window()).fetch(request)

    def _only(self, response: Response) -> Path:
        spooled = self._new_file()
        spooled.write_bytes(response.body)
        try:
            pieces = list(self._recogniser.scan(spooled, response.headers.get("content-type", "")))
        finally:
            spooled.unlink(missing_ok=True)
        objects = [piece.path for piece in pieces if isinstance(piece, DicomObject)]
        if len(objects) != 1:
            for path in objects:
                path.unlink(missing_ok=True)
            if any(isinstance(piece, BrokenPackage) and piece.what is Reason.NOT_READ_IN_TIME for piece in pieces):
                raise NotCheckedInTime
            raise CorruptInstance(what=Reason.NO_DICOM_OBJECT)
        return objects[0]
