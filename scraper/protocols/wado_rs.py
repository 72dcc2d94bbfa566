"""WADO-RS: which representations to request, and how a response becomes one instance.

Source: PS3.18 10.4 (retrieve), 8.7.3 (media types), annex F (DICOM JSON); protocol page dicomweb, November 2026.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from scraper.core.bounded_json import parse_json
from scraper.core.errors import CorruptInstance, ListNotReadInTime, MissingInstances, NotAnImage, SiteChanged
from scraper.core.model import PixelParts, Request, WadoRs
from scraper.core.reasons import Reason
from scraper.core.sniff import BARE_DATA_SETS, HEAD, NAMES, Kind, sniff
from scraper.isolation.json_text import ReadLate
from scraper.protocols import dicom_json, multipart, zip_archive
from scraper.protocols.dicomweb import JSON_ACCEPTS, SOP_UID, below
from scraper.protocols.headers import merged

INSTANCE_ACCEPTS: Final = (
    'multipart/related; type="application/dicom"; transfer-syntax=*',  # as stored; without it servers convert
    'multipart/related; type="application/dicom"',
    "application/dicom; transfer-syntax=*",
    "application/dicom",
    "application/zip",
)
"""What to ask an instance as, best first; the next one after a status of ``OTHER_KIND``."""

OTHER_KIND: Final = (400, 406, 415)
NOT_OFFERED: Final = (405, 501)
"""No such resource at this service: no instances as files."""

MAYBE_FRAMES: Final = (403, 404)
"""Refusals of this instance, or of instances altogether: its frames tell."""

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

FRAMES_AT_ONCE: Final = 16
MAX_FRAME: Final = 512 * 2**20
MAX_FRAMES: Final = 20_000
RENDERED: Final = ("image/png", "image/gif", "image/webp", "text/", "video/")
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
DICOM: Final = (Kind.PART10, Kind.META_FIRST, *BARE_DATA_SETS)
NUMBER_OF_FRAMES: Final = "00280008"
ROWS: Final = "00280010"
CACHED_SERIES: Final = 4  # whose metadata is held at a time: so many are fetched from at once, at most
PARTIAL: Final = 206  # some of what was asked for is missing (PS3.18 10.4.3)
_FRAME_NUMBER = re.compile(r"/frames/(\d{1,9})(?:[/?#]|$)")


class Answer(Protocol):
    """The parts of a response that ``from_frames`` needs; header names are lower case."""

    @property
    def status(self) -> int: ...  # noqa: D102
    @property
    def headers(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def body(self) -> bytes: ...  # noqa: D102


Ask = Callable[[Request], Awaitable[Answer]]
"""Sends a request; raises CorruptInstance for a status such as 406, MissingInstances for 404."""


def one_instance(answer: Path, content_type: str, into: Path) -> None:
    """The single instance of a response: a part of a multipart body, a member of a zip, or the body itself.

    Raises:
        CorruptInstance: no instance, more than one, or a truncated response.
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
                raise CorruptInstance(what=Reason.MULTIPART_OBJECTS.of(count=found))
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
    """Cache of series metadata, so that it is not requested for each instance."""

    def __init__(self) -> None:
        self._found: dict[str, Mapping[str, Mapping[str, Any]]] = {}  # address → SOP Instance UID → data set
        self._turn = asyncio.Lock()

    async def of(self, url: str, source: WadoRs, ask: Ask) -> Mapping[str, Mapping[str, Any]]:
        """Every object of the series as DICOM JSON, by SOP Instance UID."""
        async with self._turn:
            if url not in self._found:
                found = await _listed(url, source, ask)
                self._found[url] = {dicom_json.text(item, SOP_UID): item for item in found}
                for oldest in list(self._found)[:-CACHED_SERIES]:
                    del self._found[oldest]
            return self._found[url]

    def held(self, url: str, uid: str) -> Mapping[str, Any] | None:
        """The cached metadata of an object."""
        return self._found.get(url, {}).get(uid)


async def from_frames(source: WadoRs, ask: Ask, series: SeriesMetadata, ask_partly: Ask | None = None) -> PixelParts:
    """Retrieve an instance that the server refuses as a whole: its metadata, and its frames untouched.

    Args:
        source: the instance.
        ask: sends a request.
        series: the cache, shared by all instances.
        ask_partly: sends a request for several frames; returns what came of a truncated response.

    Raises:
        NotAnImage: an object without pixels; such ones have no frames.
        SiteChanged: the metadata is no DICOM JSON.
        CorruptInstance: frames are refused, or come as rendered pictures. MissingInstances: the server no longer has them.
    """
    tags = source.metadata if source.metadata is not None else await _metadata(source, ask, series)
    if not dicom_json.first(tags, ROWS):
        raise NotAnImage
    count = _frame_count(tags)
    frames: dict[int, bytes] = {}
    at_once, start = FRAMES_AT_ONCE, 1
    while start <= count:
        wanted = range(start, min(start + at_once, count + 1))
        if len(wanted) > 1:
            came, is_cut = await _some_frames(source, ask_partly or ask, wanted)
            frames |= came
            if len(came) < len(wanted):  # a server that knows no lists, leaves some out, or breaks off
                at_once = max(len(came), 1) if is_cut else 1
        for number in wanted:
            if number not in frames:
                frames[number] = await _one_frame(source, ask, number)
        start = wanted.stop
    return PixelParts(tags, tuple(frames[number] for number in range(1, count + 1)))


def _frame_count(tags: Mapping[str, Any]) -> int:
    """Number of frames to request; 1 by default.

    Raises:
        CorruptInstance: no number, or an impossible one.
    """
    if dicom_json.first(tags, NUMBER_OF_FRAMES) is None:
        return 1
    count = dicom_json.number(tags, NUMBER_OF_FRAMES)
    if count is None:
        raise CorruptInstance(what=Reason.FRAME_COUNT_UNREADABLE)
    if not 0 < count <= MAX_FRAMES:
        raise CorruptInstance(what=Reason.TOO_MANY_FRAMES)
    return count


async def _metadata(source: WadoRs, ask: Ask, cache: SeriesMetadata) -> Mapping[str, Any]:
    """The instance's metadata, from that of the series where cached, or where a service has only that."""
    address, question, query = source.url.partition("?")
    series, _, uid = address.rstrip("/").rpartition("/")
    whole = f"{series.removesuffix('/instances')}/metadata{question}{query}"
    if (known := cache.held(whole, uid)) is not None:
        return known
    try:
        found = await _listed(below(source.url, "metadata"), source, ask)
    except (CorruptInstance, MissingInstances) as err:
        of_series = await cache.of(whole, source, ask)
        if uid not in of_series:
            raise err from None
        return of_series[uid]
    if len(found) == 1:
        return found[0]
    raise SiteChanged(host=urlsplit(source.url).hostname, what=Reason.METADATA_NOT_ONE_OBJECT)


async def _listed(url: str, source: WadoRs, ask: Ask) -> list[Mapping[str, Any]]:
    answer = await ask(Request(url, headers=merged(source.headers, {"Accept": JSON_ACCEPTS[0]})))
    host = urlsplit(url).hostname
    try:
        found = dicom_json.data_sets(parse_json(answer.body))
    except ReadLate as err:
        raise ListNotReadInTime(host=host, what=urlsplit(url).path) from err
    except (ValueError, RecursionError) as err:
        raise SiteChanged(host=host, what=Reason.METADATA_NO_JSON) from err
    if found is None:
        raise SiteChanged(host=host, what=Reason.METADATA_NO_LIST)
    return found


async def _some_frames(source: WadoRs, ask: Ask, wanted: range) -> tuple[dict[int, bytes], bool]:
    """The frames of one response for several, by number, and whether it was truncated; a faulty response counts as empty."""
    try:
        answer = await _frames_answer(source, ask, wanted)
    except (CorruptInstance, MissingInstances):
        return {}, False
    parts: list[tuple[str, bytes]] = []
    is_cut = False
    try:
        for part in _parts(answer.body, answer.headers.get("content-type", "")):
            parts.append(part)
    except CorruptInstance:
        is_cut = True
    named = [_FRAME_NUMBER.search(urlsplit(location).path) for location, _ in parts]
    if parts and all(named):
        numbers = [int(match[1]) for match in named if match]
    elif len(parts) == len(wanted) or (is_cut and answer.status != PARTIAL):  # in the order asked for
        numbers = list(wanted)
    else:
        numbers = []
    found = {number: data for number, (_, data) in zip(numbers, parts, strict=False) if number in wanted}
    return found, is_cut


async def _one_frame(source: WadoRs, ask: Ask, number: int) -> bytes:
    answer = await _frames_answer(source, ask, [number])
    found = frames_in(answer.body, answer.headers.get("content-type", ""))
    if len(found) != 1:
        raise CorruptInstance(what=Reason.SEVERAL_FRAMES.of(count=len(found)))
    return found[0]


async def _frames_answer(source: WadoRs, ask: Ask, wanted: Sequence[int]) -> Answer:
    """The response with these frames, for the first Accept that the server supports."""
    url = below(source.url, f"frames/{','.join(map(str, wanted))}")
    refused: CorruptInstance | None = None
    for accept in FRAME_ACCEPTS:
        try:
            return await ask(Request(url, headers=merged(source.headers, {"Accept": accept})))
        except CorruptInstance as err:
            refused = err
    raise refused or CorruptInstance(what=Reason.NO_FRAMES)


def frames_in(body: bytes, content_type: str) -> list[bytes]:
    """The frames of one response, each raw or one codestream; a single one may come without multipart framing.

    Raises:
        CorruptInstance: rendered pictures, samples of the wrong byte order, or a truncated response.
    """
    return [data for _, data in _parts(body, content_type)]


def _parts(body: bytes, content_type: str) -> Iterator[tuple[str, bytes]]:
    """Each frame of a response with its Content-Location; anything else raises CorruptInstance."""
    boundary = multipart.boundary_of(content_type, body[:HEAD])
    if boundary is None:
        yield "", _frame(body, content_type)
        return
    for part in multipart.parts(BytesIO(body), boundary):
        data = part.read(MAX_FRAME)
        yield part.headers.get("content-location", ""), _frame(data, part.headers.get("content-type", ""))


def _frame(data: bytes, content_type: str) -> bytes:
    media_type = content_type.lower()
    if media_type.startswith(RENDERED) or sniff(data[:HEAD]) in (Kind.HTML, Kind.PNG, Kind.EMPTY):
        raise CorruptInstance(what=Reason.NO_FRAME.of(kind=NAMES[sniff(data[:HEAD])]))
    if f"transfer-syntax={BIG_ENDIAN}" in media_type.replace(" ", ""):
        raise CorruptInstance(what=Reason.BIG_ENDIAN_SAMPLES)
    return data
