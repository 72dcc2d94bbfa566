"""卡易 (Kayi) 无极云影像, a hospital's own viewer (HIDOS AI_PACS); shares with a password are ``kayicloud-share``.

facts:    fixtures/sites/kayicloud/README.md
asks:     nothing
serves:   Part 10 files, one GET each
verified: emulated site only

Over 120 lines because an image's address has three spellings, the replies two, and multi-frame files must be told apart.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Mapping
from dataclasses import replace

from providers.toolkit import drive_page
from scraper.contract import (
    AsyncIterator,
    Deployment,
    Field,
    Found,
    Instance,
    LinkExpired,
    Provider,
    Reply,
    Response,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    SiteUnreachable,
    Study,
    WadoUri,
    at_most,
    encode_query,
    frame_count,
    gone,
    whole,
    with_query,
)

GOOD = ("", "0", "200")
IMAGE_QUERY = r"/api/v2/imageQuery\?"


class ImageReply(Reply):
    path: str | None = Field("", alias="FilePath")
    frames: str | None = Field(None, alias="NumberOfFrames")


class SeriesReply(Reply):
    number: str | None = Field(None, alias="SeriesNumber")
    description: str | None = Field("", alias="SeriesDescription")
    modality: str | None = Field("", alias="Modality")
    count: str | None = Field(None, alias="ImageCount")
    images: list[ImageReply] | None = Field(None, alias="ImageList")


class StudyReply(Reply):
    hospital: str | None = Field("", alias="HospitalCode")
    accession: str | None = Field("", alias="AccessionNumber")
    uid: str | None = Field("", alias="StudyInstanceUID")
    token: str | None = Field("", alias="Token")
    names: str | None = Field("", alias="PatientsName")
    name: str | None = Field("", alias="PatientName")
    description: str | None = Field("", alias="StudyDescription")
    modality: str | None = Field("", alias="Modality")
    moment: str | None = Field("", alias="StudyDateTime")
    date: str | None = Field("", alias="StudyDate")
    series: list[SeriesReply] = Field(default_factory=list, alias="SeriesList")


class Answer(Reply):
    code: str | None = ""
    msg: str | None = ""
    message: str | None = ""

    @property
    def said(self) -> str:
        return self.msg or self.message or ""

    @property
    def is_refusal(self) -> bool:
        return (self.code or "") not in GOOD


class ListReply(Answer):
    data: list[StudyReply] | None = None


class Granted(Reply):
    token: str | None = ""


class TokenReply(Answer, Granted):
    data: Granted | None = None


class Kayicloud(Provider):
    name = "kayicloud"
    route = r"(?i:(?=.*[?&]serverAddr=)(?=.*[?&]Token=)/[\w./-]*(?:\?[^#]*)?(?:#.*)?)"
    deployments = (Deployment("*.kayicloud.com", "卡易 无极云影像（dicomviewer.*）", "全国"),)
    marks = (r"(?i:(?=.*[?&]serverAddr=)(?=.*[?&]HospitalCode=)(?=.*[?&]Token=).*)",)
    behind = (r"dicomviewer\.[^/]*kayicloud\.com/.*",)
    example = (
        "https://dicomviewer.demo.kayicloud.com/?HospitalCode=H1&AccessionNo=A1&serverAddr=cHVibGlj&Token=eyJ0&Anony=2"
    )

    def __init__(self) -> None:
        self._visitor = str(uuid.uuid4())

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        asked, jwt = asked_for(link), link.params.get("Token", "")
        headers = {"VisitorId": self._visitor, "Authorization": jwt}
        referer = {"Referer": link.url.partition("#")[0]}
        answer = await session.get(link.join("/api/v2/token"), params=asked, headers=headers | referer)
        headers["Authorization"] = token = _token(answer, link) or jwt
        listed = await session.get(
            link.join("/api/v2/imageQuery"),
            params={**asked, "DataID": link.params.get("dataid", "")},
            headers=headers,
        )
        for series in [
            header for study in _studies(listed, link) for header in _described(study, link, token, headers)
        ]:
            yield await _without_copies(series, session)

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        if not await drive_page.called(session, IMAGE_QUERY):
            async for found in self.discover(link, session):
                yield found
            return
        call = await session.traffic.wait_for(IMAGE_QUERY, timeout_s=session.settings.timeout_s)
        token = call.request_headers.get("authorization", "")
        headers = {"VisitorId": call.request_headers.get("visitorid", self._visitor), "Authorization": token}
        listed = Response(call.status, call.headers, call.read(), call.url)
        for series in [
            header for study in _studies(listed, link) for header in _described(study, link, token, headers)
        ]:
            yield await _without_copies(series, session)


def asked_for(link: ShareLink) -> dict[str, str]:
    """What names the study in every call: the link's parameters; those it leaves out stand in its ``serverAddr``."""
    address = link.params.get("serverAddr", "")
    try:
        packed = address.replace("-", "+").replace("_", "/").rstrip("=")
        inner = base64.b64decode(packed + "=" * (-len(packed) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        inner = ""
    behind = ShareLink("http://x/?" + inner.partition("?")[2]).params
    names = ("HospitalCode", "AccessionNo", "StudyInstanceUID")
    return {name: link.params.get(name) or behind.get(name, "") for name in names} | {"serverAddr": address}


def _token(answer: Response, link: ShareLink) -> str:
    if answer.status != 404:  # a server that exchanges no tokens: the link's own goes on
        _check_status(answer, link)
    if not answer.ok:
        return ""
    try:
        reply = answer.read(TokenReply)
    except SiteChanged:
        return ""  # an answer without a token: the link's own goes on
    if reply.is_refusal:
        raise gone(reply.said, host=link.host)
    return reply.token or (reply.data.token if reply.data else "") or ""


def _studies(answer: Response, link: ShareLink) -> list[StudyReply]:
    _check_status(answer, link)
    value = answer.json()
    if isinstance(value, list):
        value = {"data": value}
        answer = Response(answer.status, answer.headers, json.dumps(value).encode(), answer.url)
    reply = answer.read(ListReply)
    if reply.is_refusal:
        raise gone(reply.said, host=link.host)
    if not reply.data:
        raise LinkExpired(reply.said, host=link.host)
    return reply.data


def _check_status(answer: Response, link: ShareLink) -> None:
    """A token that is no longer taken means that the link itself has lapsed: it brings its own."""
    if answer.status in (401, 403, 404, 410):
        try:
            said = answer.read(Answer).said
        except SiteChanged:
            said = ""
        raise LinkExpired(said, host=link.host)
    if answer.status >= 500:
        raise SiteUnreachable(host=link.host, why=f"HTTP {answer.status}")


def _described(study: StudyReply, link: ShareLink, token: str, headers: Mapping[str, str]) -> list[Series]:
    """One study's series; multi-frame objects with one instance a frame."""
    digits = "".join(filter(str.isdigit, study.moment or study.date or ""))
    told = Study(
        study.uid or "",
        digits[:8],
        study.modality or "",
        study.description or "",
        study.names or study.name or "",
        key=f"{study.hospital or ''}/{study.accession or ''}",
    )
    found = []
    for place, series in enumerate(study.series):
        images = [image for image in series.images or () if image.path]
        instances = at_most(
            Instance(
                "",
                WadoUri(_address(study, image.path or "", frame, link, token), headers),
                key=f"{place}/{at}/{frame}",
            )
            for at, image in enumerate(images)
            for frame in range(frame_count(image.frames))
        )
        said = whole(series.count) or 0
        count = len(images) if said == len(instances) else max(said, len(images))  # some count frames
        described = Series(
            told.uid,
            "",
            instances,
            count,
            whole(series.number),
            series.description or "",
            series.modality or told.modality,
            f"{told.key}/{place}",
            told,
        )
        found.append(described)
    return found


def _address(study: StudyReply, path: str, frame: int, link: ShareLink, token: str) -> str:
    if path.lower().startswith(("http://", "https://")):
        return with_query(path, {"Index": str(frame)})
    if "ImageKey=" in path:
        return with_query(f"{link.origin}/{path.lstrip('/')}", {"Index": str(frame)})
    asked = asked_for(link)
    query = {
        "HospitalCode": study.hospital or asked["HospitalCode"],
        "AccessionNo": study.accession or asked["AccessionNo"],
        "StudyInstanceUID": study.uid or asked["StudyInstanceUID"],
        "ImageKey": base64.b64encode(path.encode()).decode(),
        "Token": study.token or token,
        "Index": str(frame),
    }
    return f"{link.origin}/api/v2/image?{encode_query(query)}"


async def _without_copies(series: Series, session: Session) -> Series:
    """Some servers give the whole multi-frame file for every frame: then its first address alone is kept."""
    of_object: dict[str, list[Instance]] = {}
    for instance in series.instances:
        of_object.setdefault(instance.key.rpartition("/")[0], []).append(instance)
    kept: list[Instance] = []
    for frames in of_object.values():
        sources = [instance.source for instance in frames[:2] if isinstance(instance.source, WadoUri)]
        if len(sources) > 1:
            first, second = [await session.get(source.url, headers=source.headers) for source in sources]
            has_one = second.status in (400, 404, 410, 416) or (second.ok and second.body == first.body)
            kept += frames[:1] if has_one else frames
        else:
            kept += frames
    expected = (series.expected or 0) + len(kept) - len(of_object)
    return replace(series, instances=tuple(kept), expected=expected)
