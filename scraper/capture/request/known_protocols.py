"""From watching to asking: where the traffic shows a known protocol, everything is asked for by it.

DICOMweb (PS3.18 chapter 10): QIDO-RS lists the series and instances, WADO-RS gives them, with the page's own headers.
WADO-URI (PS3.18 chapter 9): every address that a manifest or the viewer names, as ``application/dicom``.
Source: protocol pages dicomweb and wado_uri, November 2026.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urljoin, urlsplit, urlunsplit

from scraper.capture.observe import dicom_names
from scraper.capture.observe.own_headers import own_headers
from scraper.capture.observe.received import described, text, with_instances
from scraper.core import sniff
from scraper.core.errors import CloudfilmError, CorruptInstance, MissingInstances, SessionLapsed, SiteChanged
from scraper.core.link import is_private
from scraper.core.model import Asked, Instance, Origin, PixelParts, Request, Series, WadoRs, WadoUri
from scraper.core.reasons import Reason
from scraper.core.schema import decode_text
from scraper.protocols import wado_rs
from scraper.protocols.headers import merged
from scraper.session import Response, Session
from scraper.session.browser.traffic import WEBSOCKET_OUT, Exchange

_RS: Final = re.compile(r"^(?P<root>https?://[^?#]+?)/studies(?:/(?P<study>[0-9][0-9.]*)|(?=\?))(?P<rest>[^?#]*)")
_STUDY_ASKED: Final = re.compile(r"[?&](?:StudyInstanceUID|0020000D)=([0-9.]+)")
_RUN: Final = re.compile(r"[^\"'`\s<>\\(),{}]++")  # an address, or a piece of one, within any text
_LOADERS: Final = ("wadouri:", "dicomweb:")  # a viewer's own words before an address
MAX_ADDRESS: Final = 8192  # characters
_NAMED: Final = re.compile(r"(?<=[?&])studyInstanceUIDs?=([^&#]+)", re.IGNORECASE)
_UID: Final = re.compile(r"[0-2](?:\.\d+){4,}")
_PAGE: Final = 25  # a list this long may be the first page of a longer one
_OF_RENDERED: Final = frozenset(
    name.lower()
    for name in (
        "contentType",
        "transferSyntax",
        "rows",
        "columns",
        "region",
        "windowCenter",
        "windowWidth",
        "imageQuality",
        "frameNumber",
        "anonymize",
        "annotation",
        "presentationUID",
        "presentationSeriesUID",
        "charset",
    )
)
MAX_TEXT: Final = 64 * 2**20


def named_studies(address: str) -> list[str]:
    """The studies that a viewer's address names, in its order: one, several in one parameter, or the parameter several times."""
    values = re.split(r"[,\\;]", ",".join(unquote(item) for item in _NAMED.findall(address)))
    return list(dict.fromkeys(item for item in values if _UID.fullmatch(item)))


# ---- DICOMweb


@dataclass(frozen=True, slots=True)
class Root:
    """A DICOMweb service: its address, the page's headers and query (a token), and the studies that were asked for."""

    url: str
    headers: Mapping[str, str]
    query: str
    studies: tuple[str, ...]


def root(exchanges: Sequence[Exchange]) -> Root | None:
    """The DICOMweb service that the viewer speaks to, by its addresses; the one that was used most."""
    seen: dict[str, list[tuple[Exchange, str]]] = defaultdict(list)
    for exchange in exchanges:
        match = _RS.match(exchange.url) if exchange.ok and exchange.kind != WEBSOCKET_OUT else None
        if match and _is_dicomweb(exchange):
            study = match["study"] or next(iter(_STUDY_ASKED.findall(exchange.url)), "")
            seen[match["root"]].append((exchange, study))
    if not seen:
        return None
    address = max(seen, key=lambda name: len(seen[name]))
    last = seen[address][-1][0]
    studies = [study for study, _ in Counter(study for _, study in seen[address] if study).most_common()]
    kept = [
        (name, value) for name, value in parse_qsl(urlsplit(last.url).query) if "token" in name.lower() or name == "key"
    ]
    return Root(address, own_headers(last), urlencode(kept), tuple(studies))


def _is_dicomweb(one: Exchange) -> bool:
    said = one.content_type.lower()
    return "dicom" in said or said.startswith("multipart/related") or ('"0020000D"' in decode_text(one.read(4096)))


class DicomWeb:
    """Asks a DICOMweb service for one study.

    Args:
        session: the link's conversation.
        service: as ``root`` found it.
        folder: for what comes through the page.
    """

    def __init__(self, session: Session, service: Root, folder: Path) -> None:
        self._session = session
        self._service = service
        self._folder = folder
        self._through_page = False
        self._gives_whole = True
        self._told_more = False
        self._files = 0
        self._metadata = wado_rs.SeriesMetadata()

    async def series(self, study: str) -> list[Series]:
        """Every series with every instance.

        Raises:
            SiteChanged: the service does not list them.
        """
        found: list[Series] = []
        base = f"studies/{quote(study, safe='')}/series"
        for listed in await self._list(base):
            uid = text(listed, "0020000E")
            if not uid:
                continue
            try:
                instances = await self._list(f"{base}/{quote(uid, safe='')}/instances")
            except (SiteChanged, SessionLapsed):
                instances = await self._list(f"{base}/{quote(uid, safe='')}/metadata")
            about = described(
                {"0020000D": {"Value": [study]}, **(instances[0] if instances else {}), **_filled(listed)}
            )
            tags = [instance for instance in instances if text(instance, "00080018")]
            addresses = [self._url(f"{base}/{uid}/instances/{quote(text(tag, '00080018'), safe='')}") for tag in tags]
            if tags and not found:
                self._gives_whole = await self._is_whole(addresses[0])
            sources = [self._instance(tag, url) for tag, url in zip(tags, addresses, strict=True)]
            found.append(with_instances(about, sources, len({instance.sop_instance_uid for instance in sources})))
        if not any(item.instances for item in found):
            raise SiteChanged(host=urlsplit(self._service.url).hostname, what=Reason.NO_SERIES_LIST_OF_STUDY)
        return found

    def _instance(self, tags: Mapping[str, Any], url: str) -> Instance:
        """Directly as a file, where the service gives files; else what must be asked for in our own way."""
        uid, number = text(tags, "00080018"), text(tags, "00200013")
        source = WadoRs(url, self._service.headers, listed=tags)
        order = int(number) if number.lstrip("-").isdigit() else None
        if self._gives_whole and not self._through_page:
            return Instance(uid, source, number=order)

        async def ask() -> bytes | PixelParts:
            return await (
                self._whole(source) if self._gives_whole else wado_rs.from_frames(source, self._judged, self._metadata)
            )

        origin = Origin.ORIGINAL if self._gives_whole else Origin.REBUILT
        return Instance(uid, Asked(ask, origin), number=order)

    async def _is_whole(self, url: str) -> bool:
        """Whether the service gives instances as files; some give frames and metadata only."""
        try:
            await self._whole(WadoRs(url, self._service.headers))
        except CorruptInstance:
            return False
        except MissingInstances:
            return True
        return True

    def _url(self, path: str, **query: str) -> str:
        asked = "&".join(part for part in (self._service.query, urlencode(query)) if part)
        return f"{self._service.url}/{path}" + (f"?{asked}" if asked else "")

    async def _list(self, path: str) -> list[Mapping[str, Any]]:
        """A QIDO-RS list, page after page, or metadata.

        Raises:
            SiteChanged: no list, or refused.
        """
        found: dict[str, Mapping[str, Any]] = {}
        while True:
            page = await self._json(self._url(path, **({"offset": str(len(found))} if found else {})))
            fresh = [item for item in page if _name(item) not in found]
            found |= {_name(item): item for item in fresh}
            if not fresh or not (self._told_more or len(page) >= _PAGE):
                return list(found.values())

    async def _json(self, url: str) -> list[Mapping[str, Any]]:
        headers = merged(self._service.headers, {"Accept": wado_rs.JSON_ACCEPT})
        response = await self._ask(Request(url, headers=headers))
        self._told_more = "299" in response.headers.get("warning", "")
        if response.status == 204:
            return []
        if not response.ok:
            raise SiteChanged(
                host=urlsplit(url).hostname,
                what=Reason.ANSWERS_HTTP.of(path=urlsplit(url).path, status=response.status),
            )
        value = response.json()
        return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []

    async def _ask(self, request: Request) -> Response:
        """Directly; where that is refused, from inside the page, and from then on always so."""
        if not self._through_page:
            try:
                response = await self._session.request(request)
                if response.ok or response.status not in (401, 403, 412, 418, 429, 503):
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
        if response.status in (404, 410):
            raise MissingInstances(why=f"HTTP {response.status}")
        if not response.ok:
            raise CorruptInstance(what=f"HTTP {response.status}")
        return response


def _name(tags: Mapping[str, Any]) -> str:
    return text(tags, "00080018") or text(tags, "0020000E")


def _filled(tags: Mapping[str, Any]) -> dict[str, Any]:
    return {tag: value for tag, value in tags.items() if isinstance(value, Mapping) and value.get("Value")}


# ---- WADO-URI


def wado_uris(
    exchanges: Sequence[Exchange], page_url: str, lists: Sequence[Any] = ()
) -> dict[tuple[str, str], list[Instance]]:
    """(study, series) → instances, from every WADO-URI address that was asked for, stands in a text, or follows from a list."""
    found: dict[tuple[str, str], dict[str, Instance]] = defaultdict(dict)
    headers = next(
        (own_headers(exchange) for exchange in reversed(exchanges) if "requestType=WADO" in exchange.url), {}
    )
    for address in (*_addresses(exchanges), *_of_lists(lists)):
        for study, series, uid, url in _wado(address, page_url):
            found[study, series].setdefault(uid, Instance(uid, WadoUri(url, headers)))
    return {names: list(instances.values()) for names, instances in found.items()}


def _addresses(exchanges: Sequence[Exchange]) -> Iterator[str]:
    budget = MAX_TEXT
    for exchange in exchanges:
        if exchange.kind == WEBSOCKET_OUT or not exchange.ok:
            continue
        if "requesttype=wado" in exchange.url.lower():
            yield exchange.url
        if exchange.size > budget or sniff.sniff(exchange.read(sniff.HEAD)) not in _TEXTS:
            continue
        body = decode_text(exchange.read())
        budget -= len(body)
        if "requesttype=wado" in body.lower():
            plain = html.unescape(body.replace("\\/", "/").replace("\\u0026", "&"))
            yield from _wado_in(plain)


def _wado_in(text: str) -> Iterator[str]:
    """The WADO-URI addresses that stand in a text."""
    for run in _RUN.finditer(text):
        address = run[0]
        if len(address) > MAX_ADDRESS or "requesttype=wado" not in address.lower().partition("?")[2]:
            continue
        if text[run.end() : run.end() + 1] in ("{", "`"):
            address = address[:-1]  # the mark of a template's blank, or its last letter
        loader = next((literal for literal in _LOADERS if address.lower().startswith(literal)), "")
        yield address[len(loader) :]


def names_objects(exchanges: Sequence[Exchange], lists: Sequence[Any]) -> bool:
    """Whether some list or text names WADO-URI objects, rather than the viewer's own requests alone."""
    asked = {exchange.url for exchange in exchanges}
    named = (item for item in (*_addresses(exchanges), *_of_lists(lists)) if _OBJECT.search(item))
    return any(address not in asked for address in named)


def named_objects(exchanges: Sequence[Exchange], lists: Sequence[Any]) -> set[str]:
    """SOP Instance UIDs that a text or a list names by their WADO-URI address; what was only asked for is not among them."""
    asked = {exchange.url for exchange in exchanges}
    addresses = (*(item for item in _addresses(exchanges) if item not in asked), *_of_lists(lists))
    return {uid for address in addresses for _, _, uid, _ in _wado(html.unescape(address), "")}


def _of_lists(lists: Sequence[Any]) -> Iterator[str]:
    """Addresses of the objects of a list that names its service once and then UIDs (Weasis: ``wado_query``, ``wadoURL``)."""
    for fields in (item for value in lists for item in dicom_names.contexts(value)):
        service = next((str(value) for name, value in fields.items() if _SERVICE.fullmatch(name)), "")
        said = {dicom_names.keyword_of(name): str(value) for name, value in fields.items()}
        uids = [said.get(name, "") for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
        if service and all(uids):
            query = urlencode(dict(zip(("studyUID", "seriesUID", "objectUID"), uids, strict=True)))
            more = next((str(value) for name, value in fields.items() if _PARAMETERS.fullmatch(name)), "").strip("&")
            yield f"{service}{'&' if '?' in service else '?'}requestType=WADO&{query}" + (f"&{more}" if more else "")


_OBJECT: Final = re.compile(r"objectUID=[\d.]+", re.IGNORECASE)
_PARAMETERS: Final = re.compile(r"additionn?al_?parameters", re.IGNORECASE)  # as Weasis spells it, and as it is spelt
_SERVICE: Final = re.compile(
    r"wado_?(url|uri|root|base)|base_?url", re.IGNORECASE
)  # ``baseUrl``: of Weasis' ``arcQuery``
_TEXTS: Final = (sniff.Kind.JSON, sniff.Kind.XML, sniff.Kind.HTML, sniff.Kind.TEXT)


def _wado(address: str, page_url: str) -> Iterator[tuple[str, str, str, str]]:
    """The parts of one address, and the address that asks for the object as it is stored."""
    parts = urlsplit(urljoin(page_url, address))
    page = urlsplit(page_url)
    given = parse_qsl(parts.query)
    named = {name.lower(): value for name, value in given}
    if not named.get("objectuid"):
        return
    kept = [(name, value) for name, value in given if name.lower() not in _OF_RENDERED]
    host = parts.hostname or ""
    inside = (is_private(host) or "." not in host) and not is_private(page.hostname or "")
    scheme, place = (page.scheme, page.netloc) if inside else (parts.scheme, parts.netloc)
    query = urlencode([*kept, ("contentType", "application/dicom")])
    url = urlunsplit((scheme, place, parts.path, query, ""))
    yield named.get("studyuid", ""), named.get("seriesuid", ""), named["objectuid"], url


async def listed_by_wado_uri(
    session: Session, exchanges: Sequence[Exchange], page_url: str, lists: Sequence[Any] = ()
) -> list[Series]:
    """The series whose objects have WADO-URI addresses, if the site does give one of them as DICOM; else nothing."""
    found = await asyncio.to_thread(wado_uris, exchanges, page_url, lists)
    series = [
        with_instances(Series(study, uid, key="" if uid else "wado"), instances, len(instances))
        for (study, uid), instances in found.items()
    ]
    for item in series[:1]:
        source = item.instances[0].source
        if isinstance(source, WadoUri) and not await is_dicom(session, source):
            return []
    return series


async def is_dicom(session: Session, source: WadoUri) -> bool:
    """Whether the address gives DICOM; asked once, before many are trusted."""
    try:
        response = await session.request(Request(source.url, headers=source.headers, sign=source.sign))
    except CloudfilmError:
        return False
    return response.ok and sniff.sniff(response.body[: sniff.HEAD]) in wado_rs.DICOM


def numbered(series: Sequence[Series]) -> list[Series]:
    """Series without a UID get keys that tell them apart, the same on the next run."""
    return [
        item if item.series_instance_uid else replace(item, key=f"series-{place}")
        for place, item in enumerate(series, 1)
    ]
