"""Request images by WADO-URI (PS3.18 chapter 9): every address that a list or the viewer contains.

Each is asked for as ``application/dicom``. Source: protocol page wado_uri, November 2026.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from scraper import dicom
from scraper.capture.infer import single_request, templates
from scraper.capture.infer.templates import Rule
from scraper.capture.observe import dicom_names
from scraper.capture.observe.own_headers import own_headers
from scraper.capture.observe.received import Manifest, with_instances
from scraper.core import sniff
from scraper.core.errors import CloudfilmError
from scraper.core.link import is_private
from scraper.core.model import Header, Instance, Request, Series, Source, WadoUri
from scraper.core.text import decode_text
from scraper.protocols import wado_rs
from scraper.protocols.dicomweb import is_arc
from scraper.session import Session
from scraper.session.browser.traffic import WEBSOCKET_OUT, Exchange

_RUN: Final = re.compile(r"[^\"'`\s<>\\(),{}]++")  # an address, or a piece of one, within any text
_LOADERS: Final = ("wadouri:", "dicomweb:")  # a viewer's own words before an address
MAX_ADDRESS: Final = 8192  # characters
MAX_TEXT: Final = 64 * 2**20
_UID: Final = re.compile(r"[0-2](?:\.\d+){4,}")
_OBJECT: Final = re.compile(r"objectUID=[\d.]+", re.IGNORECASE)
_PARAMETERS: Final = re.compile(r"additionn?al_?parameters", re.IGNORECASE)  # as Weasis spells it, and as it is spelt
_SERVICE: Final = re.compile(
    r"wado_?(url|uri|root|base)|base_?url", re.IGNORECASE
)  # ``baseUrl``: of Weasis' ``arcQuery``
_TEXTS: Final = (sniff.Kind.JSON, sniff.Kind.XML, sniff.Kind.HTML, sniff.Kind.TEXT)
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


def wado_uris(
    exchanges: Sequence[Exchange], page_url: str, lists: Sequence[Any] = (), more: Collection[str] = ()
) -> dict[tuple[str, str], list[Instance]]:
    """(study, series) → instances, from every WADO-URI address that was asked for, stands in a text, or follows from a list."""
    found: dict[tuple[str, str], dict[str, Instance]] = defaultdict(dict)
    headers = _viewer_headers(exchanges)
    for address in (*more, *_addresses(exchanges), *_of_lists(lists)):
        for study, series, uid, url in _wado(address, page_url):
            found[study, series].setdefault(uid, Instance(uid, WadoUri(url, headers)))
    return {names: list(instances.values()) for names, instances in found.items()}


def _viewer_headers(exchanges: Sequence[Exchange]) -> dict[str, str]:
    """The page's own headers of its last WADO-URI request."""
    last = (own_headers(exchange) for exchange in reversed(exchanges) if "requestType=WADO" in exchange.url)
    return next(last, {})


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


def rule_of(manifests: Sequence[Manifest], exchanges: Sequence[Exchange], origins: Collection[str] = ()) -> Rule | None:
    """How a viewer's WADO-URI requests for pictures follow from a list of bare UIDs.

    Args:
        manifests: what came as lists.
        exchanges: what the viewer received.
        origins: requests that gave objects; where there are any, their own rule gives the rest.
    """
    asked = [exchange.url for exchange in exchanges if exchange.ok and exchange.kind != WEBSOCKET_OUT]
    asked = list(dict.fromkeys(url for url in asked if "requesttype=wado" in url.lower() and _OBJECT.search(url)))
    if not asked or any(url in origins for url in asked):
        return None
    found = templates.rules(manifests, asked) if len(asked) > 1 else single_request.rules(manifests, asked)
    for rule in found:
        uids = {uid for address in rule.records for _, _, uid, _ in _wado(address, "")}
        if len(uids) == len(rule.records) and all(map(_UID.fullmatch, uids)):
            return rule
    return None


def objects_of(rule: Rule) -> frozenset[str]:
    """The SOP Instance UIDs of a rule's addresses."""
    return frozenset(uid for address in rule.records for _, _, uid, _ in _wado(address, ""))


def _of_lists(lists: Sequence[Any]) -> Iterator[str]:
    """Addresses of the objects of a list that names its service once and then UIDs (Weasis: ``wado_query``, ``wadoURL``)."""
    for fields in (item for value in lists for item in dicom_names.contexts(value)):
        service = next((str(value) for name, value in fields.items() if _SERVICE.fullmatch(name)), "")
        named = {dicom_names.keyword_of(name): str(value) for name, value in fields.items()}
        uids = [named.get(name, "") for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
        if service and all(uids):
            query = urlencode(dict(zip(("studyUID", "seriesUID", "objectUID"), uids, strict=True)))
            more = next((str(value) for name, value in fields.items() if _PARAMETERS.fullmatch(name)), "").strip("&")
            yield f"{service}{'&' if '?' in service else '?'}requestType=WADO&{query}" + (f"&{more}" if more else "")


def _wado(address: str, page_url: str) -> Iterator[tuple[str, str, str, str]]:
    """The parts of one address, and the address that asks for the object as it is stored."""
    whole = urljoin(page_url, address)
    parts = urlsplit(whole)
    page = urlsplit(page_url)
    given = parse_qsl(parts.query)
    named = {name.lower(): value for name, value in given}
    if not named.get("objectuid"):
        return
    asked = [(name, value) for name, value in given if name.lower() not in _OF_RENDERED]
    host = parts.hostname or ""
    inside = (is_private(host) or "." not in host) and not is_private(page.hostname or "")
    scheme, place = (page.scheme, page.netloc) if inside else (parts.scheme, parts.netloc)
    stored = [("transferSyntax", "*")] if is_arc(whole) else []  # the archive would convert it
    query = urlencode([*asked, ("contentType", "application/dicom"), *stored])
    url = urlunsplit((scheme, place, parts.path, query, ""))
    yield named.get("studyuid", ""), named.get("seriesuid", ""), named["objectuid"], url


async def listed_by_wado_uri(
    session: Session,
    exchanges: Sequence[Exchange],
    page_url: str,
    lists: Sequence[Any] = (),
    more: Collection[str] = (),
) -> list[Series]:
    """The series whose objects have WADO-URI addresses, if the site does give one of them as DICOM; else nothing.

    Args:
        session: the link's conversation.
        exchanges: what the viewer received.
        page_url: its address.
        lists: what came as lists.
        more: addresses that follow from them.
    """
    found = await asyncio.to_thread(wado_uris, exchanges, page_url, lists, more)
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


class AddressReplayer:
    """Asks for images by the addresses that lists name, with the viewer's headers.

    Args:
        session: the link's conversation.
        exchanges: what the viewer received.
        new_file: gives a name in the spool that nobody uses.
    """

    def __init__(self, session: Session, exchanges: Sequence[Exchange], new_file: Callable[[], Path]) -> None:
        self._session = session
        self._headers = _viewer_headers(exchanges)
        self._new_file = new_file

    async def header_of(self, asked: str) -> Header:
        """The header of the object at an address.

        Raises:
            CloudfilmError: there is none.
        """
        response = await self._session.request(Request(asked, headers=self._headers))
        if not response.ok or not response.body:
            raise response.instance_refusal
        path = self._new_file()
        try:
            await asyncio.to_thread(path.write_bytes, response.body)
            return await asyncio.to_thread(dicom.header, path)
        finally:
            path.unlink(missing_ok=True)

    def source(self, asked: str) -> Source:
        """The source of one address."""
        return WadoUri(asked, self._headers)
