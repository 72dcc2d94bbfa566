"""One DICOMweb instance: as a Part 10 file, or from its metadata and frames where a service refuses instances."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from scraper import dicom
from scraper.core.errors import (
    CloudfilmError,
    CorruptInstance,
    MissingInstances,
    NotAnImage,
    NotOriginalDicom,
    SessionLapsed,
    SiteBusy,
    SiteUnreachable,
)
from scraper.core.model import PixelParts, Request, WadoRs
from scraper.core.reasons import Reason
from scraper.core.settings import MOST_INSTANCE_BYTES
from scraper.dicom.largest import largest
from scraper.protocols import wado_rs
from scraper.protocols.dicomweb import below
from scraper.protocols.headers import merged
from scraper.session.http.response import Response

CUTS = 2  # times that an instance's answer breaks off on its way before its frames are asked for, a few at a time
MOST_AT_ONCE = 512 * 2**20  # bytes of several frames
RENDERED_ACCEPT = "image/jpeg, image/png"


class Sending(Protocol):
    """What is needed of the fetcher."""

    async def send(self, request: Request, into: Path | None, limit: int = 0) -> Response:
        """Send one request, its body into a file where one is given, of no more than ``limit`` bytes."""

    def judge(self, response: Response, into: Path | None) -> None:
        """Raise what an answer that is no success means."""


class WadoRsFetch:
    """Fetches instances of one link's services, and remembers what these give out.

    Args:
        sending: the session's fetcher.
        on_bytes: called with the size of each piece that arrives.
    """

    def __init__(self, sending: Sending, on_bytes: Callable[[int], None]) -> None:
        self._sending = sending
        self._on_bytes = on_bytes
        self._metadata = wado_rs.SeriesMetadata()
        self._cut: Counter[str] = Counter()
        self._gives_files = False  # then an object without pixels that does not come is lost, not left out
        self._shows_pictures: dict[str, bool] = {}  # host → does it render what it does not give out

    async def fetch(self, source: WadoRs, into: Path, rebuild: Callable[[PixelParts], Awaitable[None]]) -> bool:
        """Fetch one instance; says whether it is the service's own file.

        Args:
            source: the instance.
            into: the file.
            rebuild: makes a file of metadata and frames.

        Raises:
            NotOriginalDicom: the service gives out pictures of it and nothing else. NotAnImage: no pixels, and no file.
            MissingInstances, CorruptInstance, SessionLapsed, SiteUnreachable: as for ``Fetcher.instance``.
        """
        refusal = await self._file(source, into)
        if refusal is None:
            return True
        try:
            parts = await wado_rs.from_frames(source, self._bytes, self._metadata, self._partly(into))
            await rebuild(parts)
        except NotAnImage:
            is_lost = self._gives_files or isinstance(refusal, (MissingInstances, SiteUnreachable))
            raise (refusal if is_lost else NotAnImage()) from None
        except (CorruptInstance, MissingInstances, SessionLapsed) as err:
            if isinstance(refusal, SiteUnreachable):  # the file may come the next time
                raise refusal from err
            if await self._is_only_shown(source):
                raise NotOriginalDicom(host=urlsplit(source.url).hostname) from err
            raise
        return False

    async def _file(self, source: WadoRs, into: Path) -> CloudfilmError | None:
        """Fetch the Part 10 file, best Accept first; return why there is none if the frames may serve instead."""
        answer = into.with_name(into.name + ".multipart")
        limit = min(largest(source.metadata or source.listed or {}), MOST_INSTANCE_BYTES)
        try:
            for accept in wado_rs.INSTANCE_ACCEPTS:
                request = Request(source.url, headers=merged(source.headers, {"Accept": accept}))
                try:
                    response = await self._sending.send(request, answer, limit)
                except SiteUnreachable as err:
                    self._cut[source.url] += err.partial_response is not None
                    if isinstance(err, SiteBusy) or self._cut[source.url] < CUTS:
                        raise
                    return err
                if response.status in wado_rs.OTHER_KIND:
                    continue
                if response.status in wado_rs.NOT_OFFERED:
                    break
                if response.status in wado_rs.MAYBE_FRAMES:
                    return response.instance_refusal
                self._sending.judge(response, answer)
                kind = response.headers.get("content-type", "")
                try:
                    await asyncio.to_thread(wado_rs.one_instance, answer, kind, into)
                except CorruptInstance as err:
                    if response.status != wado_rs.PARTIAL:  # which says itself that parts are missing
                        raise
                    return err
                await asyncio.to_thread(dicom.ensure_part10, into)
                self._gives_files = True
                return None
        finally:
            answer.unlink(missing_ok=True)
        return CorruptInstance(what=Reason.NOT_AS_A_FILE)

    async def _bytes(self, request: Request) -> Response:
        response = await self._sending.send(request, None)
        self._sending.judge(response, None)
        self._on_bytes(len(response.body))
        return response

    def _partly(self, near: Path) -> wado_rs.Ask:
        """Sends a request for several frames; what came of an answer that broke off is its body."""

        async def ask(request: Request) -> Response:
            body = near.with_name(near.name + ".frames")
            try:
                try:
                    response = await self._sending.send(request, body)
                except SiteUnreachable as err:
                    if not isinstance(err.partial_response, Response) or not err.partial_response.ok:
                        raise
                    response = err.partial_response
                self._sending.judge(response, None)
                if body.stat().st_size > MOST_AT_ONCE:
                    raise CorruptInstance(what=Reason.ANSWER_TOO_LARGE)
                return replace(response, body=await asyncio.to_thread(body.read_bytes), path=None)
            finally:
                body.unlink(missing_ok=True)

        return ask

    async def _is_only_shown(self, source: WadoRs) -> bool:
        """Whether the service renders pictures of what it does not give out."""
        host = urlsplit(source.url).netloc
        if host not in self._shows_pictures:
            headers = merged(source.headers, {"Accept": RENDERED_ACCEPT})
            request = Request(below(source.url, "rendered"), headers=headers)
            response = await self._sending.send(request, None)
            is_picture = response.headers.get("content-type", "").strip().lower().startswith("image/")
            self._shows_pictures[host] = response.ok and is_picture
        return self._shows_pictures[host]
