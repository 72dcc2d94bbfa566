"""卡易 (Kayi)'s image server, under whatever name: its lists, how a series is woken, how its images come.

facts: fixtures/sites/kayicloud_share/README.md
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from dataclasses import dataclass
from functools import partial

from scraper.contract import (
    PASSWORD,
    CheckedReply,
    CloudfilmError,
    CorruptInstance,
    CredentialsRefused,
    Field,
    ImageRow,
    Instance,
    MissingInstances,
    Number,
    OnDemand,
    Reason,
    Reply,
    Request,
    Series,
    SeriesRow,
    Session,
    SessionLapsed,
    ShareLink,
    SiteBusy,
    SiteUnreachable,
    StudyRow,
    refusal_kind,
    with_query,
)

KAYI_PORT, PAGE_PORT, OTHER_PORT = 11136, 7198, 7194
PATIENCE = 3  # answers 5xx to one image, before its signature is taken for lapsed
TEXT = (b"{", b"<")  # of a refusal, whatever its length
SMALLEST = 100  # bytes; less is an error's text, not a file
FULL = {"lossless": "1", "iq": "100"}  # without these two a smaller picture comes


class KayiReply(CheckedReply):
    good = ("0",)
    code: str = "0"

    @property
    def site_message(self) -> str:
        return self.message


class Info(Reply):
    """What opens the study's list."""

    ds: str = "rest"
    vendor: str = Field("", alias="vendorCode")
    signature: str = Field("", alias="serverSignature")
    address: str = Field("", alias="serverAddr")
    expires: str = ""
    cloud: str = Field("1", alias="cloudImage")
    anonymous: bool = Field(default=False, alias="isAnony")
    dataids: str = ""

    @property
    def is_anonymous(self) -> str:
        """As the list is asked with."""
        return "true" if self.anonymous else "false"

    @property
    def sealed_address(self) -> str:
        """The same."""
        return base64_of(self.address)


class OtherInfoReply(KayiReply):
    is_entrance = True
    data: Info | None = None


class InfoReply(OtherInfoReply):
    @property
    def asks(self) -> bool:
        """Does it ask for the password, or refuse one; else its words speak of the share."""
        return not self.ok and ("密码" in self.message or refusal_kind(self.message) is None)

    def refusal(self) -> CloudfilmError:
        return CredentialsRefused(PASSWORD.name, self.message) if self.asks else super().refusal()


class ImageReply(ImageRow):
    object_key: str = Field("", alias="ObjectKey")
    signature: str = Field("", alias="Signature")
    uid: str = Field("", alias="SOPInstanceUID")
    number: Number = Field(None, alias="InstanceNumber")
    image_id: str = Field("", alias="ImageID")
    query: str = Field("", alias="WebUrl")
    frames: Number = Field(None, alias="NumberOfFrames")


class SeriesReply(SeriesRow):
    uid: str = Field(alias="SeriesInsUID")
    number: Number = Field(None, alias="SeriesNumber|Index")
    description: str = Field("", alias="SeriesDescription")
    modality: str = Field("", alias="Modality")
    count: Number = Field(None, alias="ImageCount")
    expires: str = Field("", alias="Expires")
    bucket: str = Field("", alias="BucketName")
    images: tuple[ImageReply, ...] = Field((), alias="ImageList")


class StudyReply(StudyRow):
    uid: str = Field("", alias="StuInsUID")
    patient_name: str = Field("", alias="PatientName|PatName")
    patient_id: str = Field("", alias="PatientId|PatID")
    date: str = Field("", alias="StuDate")
    description: str = Field("", alias="StuDescription")
    modality: str = Field("", alias="Modality")
    series: tuple[SeriesReply, ...] = Field((), alias="SeriesList")


class StudiesReply(KayiReply):
    data: tuple[StudyReply, ...] = ()


@dataclass(frozen=True)
class Server:
    """The image server.

    Attributes:
        root: its address, up to the calls' names.
        is_other: it goes by another name ("VRAD") and words its calls otherwise.
        vendor: ``vendorCode`` of the share; the server's signatures count only with it.
    """

    root: str
    is_other: bool
    vendor: str = ""

    @classmethod
    def of(cls, link: ShareLink) -> Server:
        """Of a share's link: on Kayi's own port, else on the page's host at the port next to the page's.

        A server under another name has links that say ``id``, and asks no password.
        """
        is_other = "id" in link.params and "ids" not in link.params
        if link.host.endswith("kayicloud.com"):
            return cls(f"https://{link.host}:{KAYI_PORT}/imageserver/", is_other)
        port = OTHER_PORT if link.parts.port in (None, PAGE_PORT) else link.port
        return cls(f"{link.scheme}://{link.host}:{port}/imageserver/", is_other)


class SeriesSource:
    """One series on the image server: woken before its first image."""

    def __init__(
        self, session: Session, server: Server, study: StudyReply, series: SeriesReply, lapsed: set[str]
    ) -> None:
        self._session, self._server, self._study, self._series = session, server.root, study, series
        self._lapsed, self._is_other, self._vendor = lapsed, server.is_other, server.vendor
        self._patient = base64_of(study.patient_id)
        self._waking = asyncio.Lock()
        self._failed = Counter[str]()
        self._is_awake = False

    def described(self, place: int) -> Series:
        """The series, each image had by a request of its own; some servers count frames."""
        series = self._series
        frames = sum(image.frames or 1 for image in series.images)
        count = 0 if series.count == frames else series.count or 0
        instances = tuple(
            Instance(
                image.uid,
                OnDemand(partial(self._image, image, at)),
                f"{series.uid}/{image.object_key or at}",
                image.number,
            )
            for at, image in enumerate(series.images)
        )
        return Series(
            series_instance_uid=series.uid,
            instances=instances,
            expected=max(count, len(instances)),
            number=place if series.number is None else series.number,
            description=series.description,
            modality=series.modality,
            study=self._study.study,
        )

    async def _image(self, image: ImageReply, place: int) -> bytes:
        name = image.uid or image.object_key or str(place)
        host = ShareLink(self._server).host
        async with self._waking:
            if not self._is_awake:
                await self._wake()
        response = await self._session.request(Request(self._address(image, place)))
        if response.status == 404:
            raise MissingInstances(why="HTTP 404")
        is_busy = response.status >= 500 or response.status == 429
        self._failed[name] += is_busy
        if is_busy and (self._failed[name] < PATIENCE or name in self._lapsed):
            self._is_awake = False  # asleep, perhaps: the next try wakes it
            kind = SiteBusy if response.status in (429, 503) else SiteUnreachable
            raise kind(host=host, why=f"HTTP {response.status}", retry_after_s=response.retry_after_s)
        if response.ok and len(response.body) >= SMALLEST and response.body[:1] not in TEXT:
            return response.body
        if name in self._lapsed:
            raise CorruptInstance(what=Reason.HTTP_AND_BYTES.of(status=response.status, count=len(response.body)))
        self._lapsed.add(name)
        raise SessionLapsed(host=host)

    async def _wake(self) -> None:
        """Its failure alone is harmless: the image itself will say so."""
        first = self._series.images[0]
        try:
            response = await self._session.request(Request(self._waking_address(first)))
            self._is_awake = response.ok
        except CloudfilmError:
            self._is_awake = False

    def _waking_address(self, first: ImageReply) -> str:
        signed = {"expires": self._series.expires, "signature": first.signature}
        named = {"studyuid": self._study.uid, "seriesuid": self._series.uid, "imageUid": first.uid}
        address = f"{self._server}StudyData/GetDicomSeriesInfo"
        if self._is_other:
            return with_query(address, _given(first) | signed | named | {"ds": "rest", "forceDownload": "true"})
        query = {
            "vendorCode": self._vendor,
            "ds": "rest",
            "imageObjKey": base64_of(first.object_key),
            **signed,
            "bucketName": self._series.bucket or "null",
            "patientId": self._patient,
            **named,
            "aeTitle": "undefined",
            "forceDownload": "true",
            "getFrames": "true" if len(self._series.images) == 1 else "false",
        }
        return with_query(address, query)

    def _address(self, image: ImageReply, place: int) -> str:
        named = {
            "expires": self._series.expires,
            "signature": image.signature,
            "studyuid": self._study.uid,
            "seriesuid": self._series.uid,
            "imageUid": image.uid,
            "imageid": (image.image_id if self._is_other else "") or str(place),
            **FULL,
        }
        own = {"imageObjKey": base64_of(image.object_key), "vendorCode": self._vendor, "patId": self._patient}
        query = (_given(image) if self._is_other else {}) or own
        return with_query(f"{self._server}dicomData/GetImage", query | named)


def _given(image: ImageReply) -> dict[str, str]:
    return ShareLink(f"http://x/?{image.query.rpartition('?')[2].lstrip('&')}").params


def base64_of(text: str) -> str:
    """Standard Base64 over UTF-8, as the server wants names."""
    return base64.b64encode(text.encode()).decode()
