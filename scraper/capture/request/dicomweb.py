"""Request a study by DICOMweb (PS3.18 chapter 10) from the service that the viewer uses.

QIDO-RS lists the series and instances, WADO-RS gives them, with the page's own headers.
Source: protocol page dicomweb, November 2026.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from scraper.capture.observe.own_headers import own_headers
from scraper.capture.observe.received import described, with_instances
from scraper.core.errors import (
    CloudfilmError,
    CorruptInstance,
    MissingInstances,
    NoSuchStudy,
    SessionLapsed,
    SiteChanged,
    SiteUnreachable,
)
from scraper.core.model import Header, Instance, OnDemand, Origin, PixelParts, Request, Series, WadoRs
from scraper.core.reasons import Reason
from scraper.core.text import decode_text
from scraper.protocols import dicom_json, dicomweb, wado_rs
from scraper.protocols.dicom_json import DataSet, text
from scraper.protocols.dicomweb import SERIES_UID, SOP_UID, STUDY_UID, Service
from scraper.protocols.headers import merged
from scraper.session import Response, Session
from scraper.session.browser.traffic import WEBSOCKET_OUT, Exchange
from scraper.session.http.status import NO_CONTENT, PAGE_MAY_PASS

REFUSALS: Final = (SiteChanged, NoSuchStudy, SessionLapsed, SiteUnreachable)  # of a list
_NAMED: Final = re.compile(r"(?<=[?&])studyInstanceUIDs?=([^&#]+)", re.IGNORECASE)
_UID: Final = re.compile(r"[0-2](?:\.\d+){4,}")
STUDY_KEYWORD: Final = "StudyInstanceUID"
PATIENT_ID: Final = "00100020"
PATIENT_NAME: Final = "00100010"
_PAGE: Final = 25  # a list this long may be the first page of a longer one


def named_studies(address: str) -> list[str]:
    """The studies that a viewer's address names, in its order: one, several in one parameter, or the parameter several times."""
    values = re.split(r"[,\\;]", ",".join(unquote(item) for item in _NAMED.findall(address)))
    return list(dict.fromkeys(item for item in values if _UID.fullmatch(item)))


@dataclass(frozen=True, slots=True)
class Root:
    """A DICOMweb service as the page's own requests open it, and the studies that were asked for."""

    service: Service
    studies: tuple[str, ...]


def root(exchanges: Sequence[Exchange]) -> Root | None:
    """The DICOMweb service that the viewer speaks to, by its addresses; the one that was used most."""
    seen: dict[str, list[tuple[Exchange, str]]] = defaultdict(list)
    for exchange in exchanges:
        found = dicomweb.root_and_study(exchange.url) if exchange.ok and exchange.kind != WEBSOCKET_OUT else None
        if found and _is_dicomweb(exchange):
            seen[found[0]].append((exchange, found[1]))
    if not seen:
        return None
    address = max(seen, key=lambda name: len(seen[name]))
    last = seen[address][-1][0]
    studies = [study for study, _ in Counter(study for _, study in seen[address] if study).most_common()]
    tokens = {
        name: value for name, value in parse_qsl(urlsplit(last.url).query) if "token" in name.lower() or name == "key"
    }
    return Root(Service(address, own_headers(last), tokens), tuple(studies))


def _is_dicomweb(exchange: Exchange) -> bool:
    if dicomweb.is_known_call(exchange.url):  # a viewer of pictures, whose service may give the originals too
        return True
    content_type = exchange.content_type.lower()
    is_named = "dicom" in content_type or content_type.startswith("multipart/related")
    return is_named or f'"{STUDY_UID}"' in decode_text(exchange.read(4096))


class DicomWeb:
    """Asks a DICOMweb service for one study.

    Args:
        session: the link's conversation.
        service: of the viewer, as ``root`` found it.
        folder: for what comes through the page.
    """

    def __init__(self, session: Session, service: Service, folder: Path) -> None:
        self._session = session
        self._service = service
        self._folder = folder
        self._through_page = False
        self._gives_whole = True
        self._files = 0
        self._metadata = wado_rs.SeriesMetadata()

    async def series(self, study: str) -> list[Series]:
        """Every series with every instance.

        Raises:
            SiteChanged: the service does not list them.
        """
        found: list[Series] = []
        for listed in await self._list(f"{dicomweb.study_path(study)}/series"):
            uid = text(listed, SERIES_UID)
            if not uid:
                continue
            rows = [row for row in await self._instances(study, uid) if text(row, SOP_UID)]
            about = described({STUDY_UID: {"Value": [study]}, **(rows[0] if rows else {}), **_filled(listed)})
            paths = [dicomweb.instance_path(study, uid, text(row, SOP_UID)) for row in rows]
            if rows and not found:
                self._gives_whole = await self._is_whole(self._service.file_url(paths[0]))
            sources = [self._instance(row, self._service.file_url(path)) for row, path in zip(rows, paths, strict=True)]
            found.append(with_instances(about, sources, len({instance.sop_instance_uid for instance in sources})))
        if not any(item.instances for item in found):
            raise SiteChanged(host=urlsplit(self._service.root).hostname, what=Reason.NO_SERIES_LIST_OF_STUDY)
        return found

    async def patient(self, study: str) -> Header:
        """What the service says of a study's patient; empty where it says nothing."""
        rows = list[DataSet]()
        for path, asked in (("/studies", {STUDY_KEYWORD: study}), (f"{dicomweb.study_path(study)}/metadata", {})):
            with suppress(*REFUSALS):
                page, _ = await self._page(path, asked)
                rows += [row for row in page if text(row, STUDY_UID) == study and text(row, PATIENT_ID)]
            if rows:
                break
        row = rows[0] if rows else {}
        patient_id, name = text(row, PATIENT_ID), text(row, PATIENT_NAME)
        return Header("", "", "", study, "", patient_id=patient_id, patient_name=name)

    async def _instances(self, study: str, series: str) -> list[DataSet]:
        """The instances of a series, by its list; where that is refused, by its metadata."""
        path = dicomweb.series_path(study, series)
        try:
            return await self._list(f"{path}/instances")
        except REFUSALS:
            return await self._list(f"{path}/metadata")

    def _instance(self, row: DataSet, url: str) -> Instance:
        """Directly as a file, where the service gives files; else what must be asked for in our own way."""
        uid, number = text(row, SOP_UID), text(row, dicomweb.INSTANCE_NUMBER)
        source = WadoRs(url, self._service.headers, listed=row)
        order = int(number) if number.lstrip("-").isdigit() else None
        if self._gives_whole and not self._through_page:
            return Instance(uid, source, number=order)

        async def ask() -> bytes | PixelParts:
            return await (
                self._whole(source) if self._gives_whole else wado_rs.from_frames(source, self._judged, self._metadata)
            )

        origin = Origin.ORIGINAL if self._gives_whole else Origin.REBUILT
        return Instance(uid, OnDemand(ask, origin), number=order)

    async def _is_whole(self, url: str) -> bool:
        """Whether the service gives instances as files; some give frames and metadata only."""
        try:
            await self._whole(WadoRs(url, self._service.headers))
        except (CorruptInstance, SessionLapsed, SiteUnreachable):
            return False
        except MissingInstances:
            return True
        return True

    async def _list(self, path: str) -> list[DataSet]:
        """A QIDO-RS list, page after page, or metadata.

        Raises:
            SiteChanged, NoSuchStudy, SessionLapsed, SiteUnreachable: no list, or refused.
        """
        rows = dicomweb.Rows()
        while True:
            page, names_more = await self._page(path, {"offset": str(len(rows))} if rows else {})
            if not rows.add(page) or not (names_more or len(page) >= _PAGE):
                return rows.found

    async def _page(self, path: str, asked: Mapping[str, str]) -> tuple[list[DataSet], bool]:
        """One page of a list, and whether the service says that there is more."""
        headers = merged(self._service.headers, {"Accept": dicomweb.JSON_ACCEPTS[0]})
        response = await self._ask(Request(self._service.list_url(path, asked), headers=headers))
        if response.status == dicomweb.NO_CONTENT:
            return [], False
        if not response.ok:
            raise response.refusal
        return dicom_json.data_sets(response.json()) or [], dicomweb.names_more(response.headers)

    async def _ask(self, request: Request) -> Response:
        """Directly; where that is refused, from inside the page, and from then on always so."""
        if not self._through_page:
            try:
                response = await self._session.request(request)
                if response.ok or response.status not in PAGE_MAY_PASS:
                    return response
            except CloudfilmError:
                response = None
            through = await (await self._session.window()).fetch(request)
            self._through_page = through.ok
            return through if through.ok or response is None else response
        return await (await self._session.window()).fetch(request)

    async def _whole(self, source: WadoRs) -> bytes:
        """One instance as a file.

        Raises:
            CorruptInstance: the service gives none, or a broken one. MissingInstances: it has it no more.
        """
        refused: CorruptInstance | None = None
        for accept in wado_rs.INSTANCE_ACCEPTS:
            try:
                response = await self._judged(Request(source.url, headers=merged(source.headers, {"Accept": accept})))
            except CorruptInstance as err:
                refused = err
                continue
            self._files += 1
            answer = self._folder / f"page-{self._files}"
            into = answer.with_suffix(".dcm")
            try:
                await asyncio.to_thread(answer.write_bytes, response.body)
                wado_rs.one_instance(answer, response.headers.get("content-type", ""), into)
                return await asyncio.to_thread(into.read_bytes)
            finally:
                answer.unlink(missing_ok=True)
                into.unlink(missing_ok=True)
        raise refused or CorruptInstance(what=Reason.NOTHING)

    async def _judged(self, request: Request) -> Response:
        response = await self._ask(request)
        if not response.ok or response.status == NO_CONTENT:
            raise response.instance_refusal
        return response


def _filled(row: DataSet) -> dict[str, Any]:
    return {tag: value for tag, value in row.items() if isinstance(value, Mapping) and value.get("Value")}
