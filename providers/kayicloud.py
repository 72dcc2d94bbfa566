"""卡易 (Kayi) 无极云影像, a hospital's own viewer (HIDOS AI_PACS); shares with a password are ``kayicloud-share``.

Long because an image's address has three spellings, the replies two, and multi-frame files must be recognised.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from dataclasses import replace

from scraper.contract import (
    Call,
    CheckedReply,
    Deployment,
    Field,
    ImageRow,
    Instance,
    LinkExpired,
    Number,
    Provider,
    Response,
    Series,
    SeriesRow,
    Session,
    ShareLink,
    SiteUnreachable,
    StudyRow,
    WadoUri,
    at_most,
    decode_text,
    encode_query,
    frame_count,
    with_query,
)
from scraper.protocols import ciphers

IDS = ("HospitalCode", "AccessionNo", "StudyInstanceUID")
SENT = {"VisitorId": "{visitor}", "Authorization": "{jwt}"}
ASKED = {name: f"{{{name}}}" for name in (*IDS, "serverAddr")}
TOKEN = Call("/api/v2/token", ASKED, headers=SENT)
LIST = Call("/api/v2/imageQuery", ASKED | {"DataID": "{dataid}"}, headers=SENT)
NO_LONGER = (401, 403, 404, 410)


class ImageReply(ImageRow):
    path: str = Field("", alias="FilePath")
    frames: Number = Field(None, alias="NumberOfFrames")


class SeriesReply(SeriesRow):
    number: Number = Field(None, alias="SeriesNumber")
    description: str = Field("", alias="SeriesDescription")
    modality: str = Field("", alias="Modality")
    count: Number = Field(None, alias="ImageCount")
    images: tuple[ImageReply, ...] = Field((), alias="ImageList")


class StudyReply(StudyRow):
    hospital: str = Field("", alias="HospitalCode")
    accession: str = Field("", alias="AccessionNumber")
    uid: str = Field("", alias="StudyInstanceUID")
    token: str = Field("", alias="Token")
    patient_name: str = Field("", alias="PatientsName|PatientName")
    description: str = Field("", alias="StudyDescription")
    modality: str = Field("", alias="Modality")
    date: str = Field("", alias="StudyDateTime|StudyDate")
    series: tuple[SeriesReply, ...] = Field((), alias="SeriesList")


class KayiReply(CheckedReply):
    good = ("", "0", "200")


class ListReply(KayiReply):
    bare_list = "data"  # some servers answer with the list alone
    data: tuple[StudyReply, ...] = ()


class TokenReply(KayiReply):
    token: str = Field("", alias="token|data.token")


class Kayicloud(Provider):
    name = "kayicloud"
    route = r"(?i:(?=.*[?&]serverAddr=)(?=.*[?&]Token=)/[\w./-]*(?:\?[^#]*)?(?:#.*)?)"
    deployments = (Deployment("*.kayicloud.com", "卡易 无极云影像（dicomviewer.*）", "全国"),)
    distinctive_routes = (r"(?i:(?=.*[?&]serverAddr=)(?=.*[?&]HospitalCode=)(?=.*[?&]Token=).*)",)
    study_list_call = r"/api/v2/imageQuery\?"
    behind = (r"dicomviewer\.[^/]*kayicloud\.com/.*",)
    example = (
        "https://dicomviewer.demo.kayicloud.com/?HospitalCode=H1&AccessionNo=A1&serverAddr=cHVibGlj&Token=eyJ0&Anony=2"
    )

    def __init__(self) -> None:
        self._visitor = str(uuid.uuid4())

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        ids, jwt = study_ids(link), link.param("Token")
        token = _token(await TOKEN.send(link, session, ids, visitor=self._visitor, jwt=jwt)) or jwt
        return await self.describe(link, session, await LIST.send(link, session, ids, visitor=self._visitor, jwt=token))

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        _check_status(response)
        reply = response.checked(ListReply)
        if not reply.data:
            raise LinkExpired(reply.site_message)
        headers = {name: response.sent.get(name.lower(), "") for name in ("VisitorId", "Authorization")}
        found = [series for study in reply.data for series in described(study, link, headers)]
        return [await _without_copies(series, session) for series in found]


def study_ids(link: ShareLink) -> dict[str, str]:
    """What names the study in every call: the link's parameters; those it leaves out stand in its ``serverAddr``."""
    address = link.params.get("serverAddr", "")
    try:
        inner = decode_text(ciphers.from_base64(address))
    except ciphers.WrongKey:
        inner = ""
    behind = ShareLink("http://x/?" + inner.partition("?")[2]).params
    return {name: link.params.get(name) or behind.get(name, "") for name in IDS} | {"serverAddr": address}


def _token(response: Response) -> str:
    """The token that the link's own is exchanged for; empty where the server exchanges none, and the link's own goes on."""
    if response.status != 404:
        _check_status(response)
    reply = response.read_or_empty(TokenReply) if response.ok else TokenReply.empty()
    if not reply.ok:
        raise reply.refusal()
    return reply.token


def _check_status(response: Response) -> None:
    """A token that is no longer taken means that the link itself has lapsed: it brings its own."""
    if response.status in NO_LONGER:
        raise LinkExpired(response.read_or_empty(KayiReply).site_message)
    if response.status >= 500:
        raise SiteUnreachable(why=f"HTTP {response.status}")


def described(study: StudyReply, link: ShareLink, headers: Mapping[str, str]) -> list[Series]:
    """One study's series; multi-frame objects with one instance a frame."""
    found = []
    about = replace(study.study, key=f"{study.hospital}/{study.accession}")
    for place, series in enumerate(study.series):
        images = [image for image in series.images if image.path]
        instances = at_most(
            Instance("", WadoUri(_address(study, image.path, frame, link, headers), headers), f"{place}/{at}/{frame}")
            for at, image in enumerate(images)
            for frame in range(frame_count(image.frames))
        )
        announced = series.count or 0
        count = len(images) if announced == len(instances) else max(announced, len(images))  # some count frames
        row = series.described(about, place, link.url, images=())
        found.append(replace(row, instances=instances, expected=count, key=f"{about.key}/{place}"))
    return found


def _address(study: StudyReply, path: str, frame: int, link: ShareLink, headers: Mapping[str, str]) -> str:
    if path.lower().startswith(("http://", "https://")):
        return with_query(path, {"Index": str(frame)})
    if "ImageKey=" in path:
        return with_query(f"{link.origin}/{path.lstrip('/')}", {"Index": str(frame)})
    own = dict(zip(IDS, (study.hospital, study.accession, study.uid), strict=True))
    query = {name: own[name] or given for name, given in study_ids(link).items() if name in IDS}
    key, token = base64.b64encode(path.encode()).decode(), study.token or headers["Authorization"]
    return f"{link.origin}/api/v2/image?{encode_query({**query, 'ImageKey': key, 'Token': token, 'Index': str(frame)})}"


async def _without_copies(series: Series, session: Session) -> Series:
    """Some servers give the whole multi-frame file for every frame: then only its first address is used."""
    of_object: dict[str, list[Instance]] = {}
    for instance in series.instances:
        of_object.setdefault(instance.key.rpartition("/")[0], []).append(instance)
    chosen: list[Instance] = []
    for frames in of_object.values():
        sources = [instance.source for instance in frames[:2] if isinstance(instance.source, WadoUri)]
        is_one = False
        if len(sources) > 1:
            first, second = [await session.get(source.url, headers=source.headers) for source in sources]
            is_one = second.status in (400, 404, 410, 416) or (second.ok and second.body == first.body)
        chosen += frames[:1] if is_one else frames
    expected = (series.expected or 0) + len(chosen) - len(of_object)
    return replace(series, instances=tuple(chosen), expected=expected)
