"""卡易 (Kayi)'s image server, under whatever name: what it says of a study, how a series is woken, how its images come.

facts: fixtures/sites/kayicloud_share/README.md
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from scraper.contract import (
    Asked,
    CloudfilmError,
    CorruptInstance,
    Field,
    Instance,
    MissingInstances,
    Reason,
    Reply,
    Request,
    Session,
    SessionLapsed,
    ShareLink,
    SiteBusy,
    SiteUnreachable,
    whole,
    with_query,
)

PATIENCE = 3  # answers 5xx to one image, before its signature is taken for lapsed
GOOD = "0"
TEXT = (b"{", b"<")  # of a refusal, whatever its length
SMALLEST = 100  # bytes; less is an error's text, not a file
FULL = {"lossless": "1", "iq": "100"}  # without these two a smaller picture comes


class Answer(Reply):
    code: str = GOOD
    message: str | None = ""


class Info(Reply):
    ds: str | None = "rest"
    vendor: str | None = Field("", alias="vendorCode")
    signature: str | None = Field("", alias="serverSignature")
    address: str | None = Field("", alias="serverAddr")
    expires: str | None = ""
    cloud: str | None = Field("1", alias="cloudImage")
    anonymous: bool | None = Field(default=False, alias="isAnony")
    dataids: str = ""


class InfoReply(Answer):
    data: Info | None = None


class ImageReply(Reply):
    object_key: str | None = Field("", alias="ObjectKey")
    signature: str | None = Field("", alias="Signature")
    uid: str = Field("", alias="SOPInstanceUID")
    number: str | None = Field(None, alias="InstanceNumber")
    image_id: str | None = Field(None, alias="ImageID")
    query: str | None = Field("", alias="WebUrl")
    frames: str | None = Field(None, alias="NumberOfFrames")


class SeriesReply(Reply):
    uid: str = Field(alias="SeriesInsUID")
    number: str | None = Field(None, alias="SeriesNumber")
    index: str | None = Field(None, alias="Index")
    description: str | None = Field("", alias="SeriesDescription")
    modality: str | None = Field("", alias="Modality")
    count: str | None = Field(None, alias="ImageCount")
    expires: str | None = Field("", alias="Expires")
    bucket: str | None = Field(None, alias="BucketName")
    images: list[ImageReply] = Field(default_factory=list, alias="ImageList")


class StudyReply(Reply):
    uid: str = Field("", alias="StuInsUID")
    name: str | None = Field("", alias="PatientName")
    patient_id: str | None = Field("", alias="PatientId")
    pat_name: str | None = Field("", alias="PatName")
    pat_id: str | None = Field("", alias="PatID")
    date: str | None = Field("", alias="StuDate")
    description: str | None = Field("", alias="StuDescription")
    modality: str | None = Field("", alias="Modality")
    series: list[SeriesReply] = Field(default_factory=list, alias="SeriesList")


class StudiesReply(Answer):
    data: list[StudyReply] | None = None


@dataclass(frozen=True)
class Server:
    """The image server.

    Attributes:
        root: its address, up to the calls' names.
        vendor: ``vendorCode`` of the share; the server's signatures count only with it.
        is_other: it goes by another name ("VRAD") and words its calls otherwise.
    """

    root: str
    vendor: str
    is_other: bool


class Serving:
    """One series on the image server: woken before its first image."""

    def __init__(
        self, session: Session, server: Server, study: StudyReply, series: SeriesReply, lapsed: set[str]
    ) -> None:
        self._session, self._server, self._study, self._series = session, server.root, study, series
        self._lapsed, self._is_other, self._vendor = lapsed, server.is_other, server.vendor
        self._patient = base64_of(study.patient_id or study.pat_id or "")
        self._waking = asyncio.Lock()
        self._failed = Counter[str]()
        self._is_awake = False

    def instance(self, at: int) -> Instance:
        image = self._series.images[at]
        key = f"{self._series.uid}/{image.object_key or at}"
        return Instance(image.uid, Asked(self._asking(image, at)), key, whole(image.number))

    def _asking(self, image: ImageReply, at: int) -> Callable[[], Awaitable[bytes]]:
        name = image.uid or image.object_key or str(at)

        async def ask() -> bytes:
            async with self._waking:
                if not self._is_awake:
                    await self._wake()
            response = await self._session.request(Request(self._address(image, at)))
            if response.status == 404:
                raise MissingInstances(why="HTTP 404")
            is_busy = response.status >= 500 or response.status == 429
            self._failed[name] += is_busy
            if is_busy and (self._failed[name] < PATIENCE or name in self._lapsed):
                self._is_awake = False  # asleep, perhaps: the next try wakes it
                kind = SiteBusy if response.status in (429, 503) else SiteUnreachable
                raise kind(
                    host=_host(self._server),
                    why=f"HTTP {response.status}",
                    retry_after_s=response.retry_after_s,
                )
            if response.ok and len(response.body) >= SMALLEST and response.body[:1] not in TEXT:
                return response.body
            if name in self._lapsed:
                raise CorruptInstance(what=Reason.HTTP_AND_BYTES.of(status=response.status, count=len(response.body)))
            self._lapsed.add(name)
            raise SessionLapsed(host=_host(self._server))

        return ask

    async def _wake(self) -> None:
        """Its failure alone is harmless: the image itself will say so."""
        first = self._series.images[0]
        try:
            answer = await self._session.request(Request(self._waking_address(first)))
            self._is_awake = answer.ok
        except CloudfilmError:
            self._is_awake = False

    def _waking_address(self, first: ImageReply) -> str:
        signed = {"expires": self._series.expires or "", "signature": first.signature or ""}
        address = f"{self._server}StudyData/GetDicomSeriesInfo"
        if self._is_other:
            named = {"studyuid": self._study.uid, "seriesuid": self._series.uid, "imageUid": first.uid}
            return with_query(address, _given(first) | signed | named | {"ds": "rest", "forceDownload": "true"})
        query = {
            "vendorCode": self._vendor,
            "ds": "rest",
            "imageObjKey": base64_of(first.object_key or ""),
            **signed,
            "bucketName": self._series.bucket or "null",
            "patientId": self._patient,
            "studyuid": self._study.uid,
            "seriesuid": self._series.uid,
            "imageUid": first.uid,
            "aeTitle": "undefined",
            "forceDownload": "true",
            "getFrames": "true" if len(self._series.images) == 1 else "false",
        }
        return with_query(address, query)

    def _address(self, image: ImageReply, at: int) -> str:
        named = {
            "expires": self._series.expires or "",
            "signature": image.signature or "",
            "studyuid": self._study.uid,
            "seriesuid": self._series.uid,
            "imageUid": image.uid,
            "imageid": (image.image_id if self._is_other else None) or str(at),
            **FULL,
        }
        key = base64_of(image.object_key or "")
        own = {"imageObjKey": key, "vendorCode": self._vendor, "patId": self._patient}
        query = (_given(image) if self._is_other else {}) or own
        return with_query(f"{self._server}dicomData/GetImage", query | named)


def _given(image: ImageReply) -> dict[str, str]:
    query = (image.query or "").rpartition("?")[2].lstrip("&")
    return ShareLink(f"http://x/?{query}").params


def _host(server: str) -> str:
    return ShareLink(server).host


def base64_of(text: str) -> str:
    """Standard Base64 over UTF-8, as the server wants names."""
    return base64.b64encode(text.encode()).decode()
