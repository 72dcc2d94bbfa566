"""WADO-RS: which answers to ask for, and how an answer becomes one instance.

Source: PS3.18 10.4 (retrieve), 8.7.3 (media types), annex F (DICOM JSON); protocol page dicomweb, November 2026.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from scraper.errors import CorruptInstance, MissingInstances, NotAnImage, SiteChanged
from scraper.model import PixelParts, Request, WadoRs
from scraper.protocols import multipart, zip_archive
from scraper.protocols.headers import merged
from scraper.protocols.sniff import BARE_DATA_SETS, HEAD, NAMES, Kind, sniff

INSTANCE_ACCEPTS: Final = (
    'multipart/related; type="application/dicom"; transfer-syntax=*',  # as stored; without it servers convert
    'multipart/related; type="application/dicom"',
    "application/dicom; transfer-syntax=*",
    "application/dicom",
    "application/zip",
)
"""What to ask an instance as, best first; the next one after 400, 406 or 415."""

FRAME_ACCEPTS: Final = (
    'multipart/related; type="application/octet-stream"; transfer-syntax=*',
    ", ".join(
        f'multipart/related; type="image/{kind}"; transfer-syntax=*'
        for kind in ("jls", "jp2", "jpx", "jpeg", "dicom-rle")
    ),
    'multipart/related; type="application/octet-stream"',
    "application/octet-stream",
)
"""The same for frames. ``*/*`` is left out: it may give a rendered picture."""

JSON_ACCEPT: Final = "application/dicom+json"
FRAMES_AT_ONCE: Final = 16
MAX_FRAME: Final = 512 * 2**20
MAX_FRAMES: Final = 20_000
RENDERED: Final = ("image/png", "image/gif", "image/webp", "text/", "video/")
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
DICOM: Final = (Kind.PART10, Kind.META_FIRST, *BARE_DATA_SETS)
NUMBER_OF_FRAMES: Final = "00280008"
ROWS: Final = "00280010"
SOP_INSTANCE_UID: Final = "00080018"


class Answer(Protocol):
    """What ``from_frames`` needs of a response; header names are lower case."""

    @property
    def headers(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def body(self) -> bytes: ...  # noqa: D102


Ask = Callable[[Request], Awaitable[Answer]]
"""Sends a request; raises CorruptInstance for a status such as 406, MissingInstances for 404."""


def one_instance(answer: Path, content_type: str, into: Path) -> None:
    """The one instance of an answer: a part of a multipart body, a member of a zip, or the body itself.

    Raises:
        CorruptInstance: none in it, more than one, or an answer that is cut off.
    """
    with answer.open("rb") as stream:
        head = stream.read(HEAD)
        boundary = multipart.boundary_of(content_type, head)
        if boundary is not None:
            stream.seek(0)
            found = 0
            for part in multipart.parts(stream, boundary):
                found += _keep_if_dicom(part, into, is_first=not found)
            if found != 1:
                raise CorruptInstance(what=f"a multipart answer with {found} DICOM objects")
            return
    kind = sniff(head)
    if kind is Kind.ZIP:
        zip_archive.only_object(answer, into)
    elif kind in DICOM:
        answer.replace(into)
    else:
        raise CorruptInstance(what=NAMES[kind])


def _keep_if_dicom(part: multipart.Part, into: Path, *, is_first: bool) -> int:
    head = b""
    for piece in part.pieces:
        head += piece
        if len(head) >= HEAD:
            break
    if sniff(head[:HEAD]) not in DICOM:
        return 0
    if is_first:
        with into.open("wb") as out:
            out.write(head)
            for piece in part.pieces:
                out.write(piece)
    return 1


class SeriesMetadata:
    """The metadata of the series asked for last: a service that gives no instance's own is not asked for it once an instance."""

    def __init__(self) -> None:
        self._url = ""
        self._found: list[Mapping[str, Any]] = []
        self._turn = asyncio.Lock()

    async def of(self, url: str, source: WadoRs, ask: Ask) -> list[Mapping[str, Any]]:
        """Every object of the series, as DICOM JSON."""
        async with self._turn:
            if url != self._url:
                self._found = await _listed(url, source, ask)
                self._url = url
            return self._found


async def from_frames(source: WadoRs, ask: Ask, series: SeriesMetadata) -> PixelParts:
    """An instance that the server refuses as a whole: its metadata, and its frames untouched.

    Args:
        source: the instance.
        ask: sends a request.
        series: what is kept from one instance to the next.

    Raises:
        NotAnImage: an object without pixels; such ones have no frames.
        SiteChanged: the metadata is no DICOM JSON.
        CorruptInstance: frames are refused, or come as rendered pictures. MissingInstances: the server has them no more.
    """
    tags = source.metadata if source.metadata is not None else await _metadata(source, ask, series)
    if not _first(tags, ROWS):
        raise NotAnImage
    count = int(_first(tags, NUMBER_OF_FRAMES) or 1)
    if not 0 < count <= MAX_FRAMES:
        raise CorruptInstance(what="an absurd number of frames")
    frames: list[bytes] = []
    at_once = FRAMES_AT_ONCE
    while len(frames) < count:
        wanted = range(len(frames) + 1, min(len(frames) + at_once, count) + 1)
        try:
            fresh = await _frames(source, ask, wanted)
        except (CorruptInstance, MissingInstances):
            if len(wanted) == 1:
                raise
            fresh = []
        if len(fresh) != len(wanted):
            if len(wanted) == 1:
                raise CorruptInstance(what=f"an answer with {len(fresh)} frames instead of one")
            at_once = 1  # a server that knows no lists of frames
            continue
        frames += fresh
    return PixelParts(tags, tuple(frames))


async def _metadata(source: WadoRs, ask: Ask, kept: SeriesMetadata) -> Mapping[str, Any]:
    """The instance's own metadata; its part of the series' where a service gives those alone."""
    try:
        found = await _listed(_below(source.url, "metadata"), source, ask)
    except (CorruptInstance, MissingInstances) as err:
        address, question, query = source.url.partition("?")
        series, _, uid = address.rstrip("/").rpartition("/")
        whole = f"{series.removesuffix('/instances')}/metadata{question}{query}"
        found = [one for one in await kept.of(whole, source, ask) if _first(one, SOP_INSTANCE_UID) == uid]
        if not found:
            raise err from None
    if len(found) == 1:
        return found[0]
    path = urlsplit(source.url).path
    raise SiteChanged(host=urlsplit(source.url).hostname, what=f"{path}/metadata is no list of one object")


async def _listed(url: str, source: WadoRs, ask: Ask) -> list[Mapping[str, Any]]:
    answer = await ask(Request(url, headers=merged(source.headers, {"Accept": JSON_ACCEPT})))
    try:
        found = json.loads(answer.body)
    except ValueError as err:
        raise SiteChanged(host=urlsplit(url).hostname, what=f"{urlsplit(url).path} gives no JSON") from err
    if isinstance(found, list) and all(isinstance(one, dict) for one in found):
        return found
    raise SiteChanged(host=urlsplit(url).hostname, what=f"{urlsplit(url).path} is no list of objects")


async def _frames(source: WadoRs, ask: Ask, wanted: range) -> list[bytes]:
    """The frames of these numbers, by the first Accept that the server takes."""
    url = _below(source.url, f"frames/{','.join(map(str, wanted))}")
    refused: CorruptInstance | None = None
    for accept in FRAME_ACCEPTS:
        try:
            answer = await ask(Request(url, headers=merged(source.headers, {"Accept": accept})))
        except CorruptInstance as err:
            refused = err
            continue
        return frames_in(answer.body, answer.headers.get("content-type", ""))
    raise refused or CorruptInstance(what="no frames")


def frames_in(body: bytes, content_type: str) -> list[bytes]:
    """The frames of one answer, each raw or one codestream; a single one may come without multipart framing.

    Raises:
        CorruptInstance: rendered pictures, samples of the wrong byte order, or an answer that is cut off.
    """
    boundary = multipart.boundary_of(content_type, body[:HEAD])
    if boundary is None:
        return [_frame(body, content_type)]
    return [
        _frame(part.read(MAX_FRAME), part.headers.get("content-type", ""))
        for part in multipart.parts(BytesIO(body), boundary)
    ]


def _frame(data: bytes, content_type: str) -> bytes:
    said = content_type.lower()
    if said.startswith(RENDERED) or sniff(data[:HEAD]) in (Kind.HTML, Kind.PNG, Kind.EMPTY):
        raise CorruptInstance(what=f"{NAMES[sniff(data[:HEAD])]} instead of a frame")
    if f"transfer-syntax={BIG_ENDIAN}" in said.replace(" ", ""):
        raise CorruptInstance(what="samples in big endian order")
    return data


def _below(url: str, path: str) -> str:
    """A resource below another; a token in the query stays where it is."""
    address, question, query = url.partition("?")
    return f"{address.rstrip('/')}/{path}{question}{query}"


def _first(tags: Mapping[str, Any], tag: str) -> Any:
    """An attribute's first value in DICOM JSON."""
    values = tags.get(tag, {})
    found = values.get("Value") if isinstance(values, Mapping) else None
    return found[0] if isinstance(found, list) and found else None
