"""富医睿影 云胶片 (efilmcloud), one host name a hospital.

facts:    fixtures/sites/efilmcloud/README.md
asks:     nothing
serves:   Part 10 files, one GET each
verified: emulated site only

Over 120 lines for the replies of its three calls; the last of them is also a share link's own beginning.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urljoin, urlsplit

from providers.toolkit import envelope
from scraper.contract import (
    AsyncIterator,
    Deployment,
    DownloadNotPermitted,
    Field,
    Found,
    Instance,
    LinkExpired,
    Problem,
    Provider,
    Reason,
    Reply,
    Response,
    Series,
    Session,
    SessionLapsed,
    ShareLink,
    SiteChanged,
    Study,
    WadoUri,
    gone,
    whole,
)

ENTRANCE = 8809  # port of the entrance API, whatever the link's
GOOD = "200"
SOURCE = 103  # the kind of address: a QR code's
VALIDATE, DOCUMENTS, STUDY = (
    "/CloudHospital/EntranceValidate",
    "/CloudHospital/Study/StudyMedicaldocuments",
    "/FrontEndData",
)


class Error(Reply):
    said: str | None = Field("", alias="errMessage")


class Answer(Reply):
    code: str = ""
    error: Error | None = None
    message: str | None = ""

    @property
    def said(self) -> str:
        return (self.error.said if self.error else "") or self.message or self.code.replace(GOOD, "")


class Base(Reply):
    hospital: str | None = Field("", alias="hospitalID")
    system: str | None = Field("", alias="ssystemID")
    patient: str | None = Field("", alias="patientID")
    accession: str | None = Field("", alias="accNum")
    key: str | None = Field("", alias="studyKey")


class Entrance(Reply):
    token: str
    base: Base = Field(alias="studyBaseInfo")


class Entered(Answer):
    data: Entrance | None = None


class Document(Reply):
    url: str | None = ""


class Dicom(Reply):
    documents: list[Document] | None = Field(None, alias="dicomMedicaldocumentInfos")


class Medical(Reply):
    dicom: Dicom | None = None


class Documents(Answer):
    data: Medical | None = None


class Image(Reply):
    number: str | None = Field("", alias="instanceNumber")
    uid: str | None = Field("", alias="objestInstanceUid")  # spelt so
    url: str | None = Field("", alias="wadoUrl")
    local: str | None = Field("", alias="localWadoUrl")


class Listed(Reply):
    number: str | None = Field("", alias="seriesId")
    description: str | None = Field("", alias="seriesDesc")
    uid: str | None = Field("", alias="seriesUid")
    images: list[Image] | None = None


class Told(Reply):
    patient: str | None = Field("", alias="patientName")
    description: str | None = Field("", alias="studyDescription")
    accession: str | None = Field("", alias="accessionNumber")
    uid: str | None = Field("", alias="studyInstanceUid")
    date: str | None = Field("", alias="studyDate")
    series: list[Listed] | None = None


class FrontEnd(Reply):
    study: Told | None = Field(None, alias="studyInfo")


class Efilmcloud(Provider):
    name = "efilmcloud"
    route = r"/(?P<short>(?!index\.)[^/?#]+)/?(?:[?#].*)?|/\?(?=(?:[^#]*&)?token=[^&#])(?=(?:[^#]*&)?webApiUrl=[^&#]).*"
    deployments = (Deployment("*.efilmcloud.com", "富医睿影 云胶片", "全国"),)
    marks = (r"/\?(?=(?:[^#]*&)?token=[^&#])(?=(?:[^#]*&)?webApiUrl=[^&#]).*",)
    behind = (r"[^/]+\.efilmcloud\.com/pages/.*",)
    example = "https://demo.efilmcloud.com:8810/AbC123xyz"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        try:
            found = await _opened(link, session)
        except SessionLapsed as err:
            if "short" not in link.named:
                raise LinkExpired(host=link.host) from err
            # a viewer's token is over: begun again from the short link, once
            found = await _opened(link, session)
        for series in found:
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        answer = await envelope.heard(session, VALIDATE if "short" in link.named else rf"{STUDY}\?")
        if answer is None:
            async for series in self.discover(link, session):
                yield series
            return
        if "short" in link.named:
            found = await _through(link, session, _checked(link, envelope.entered(answer, Entered)))
        else:
            try:
                found = _described(link, answer, answer.url)
            except SessionLapsed as err:
                raise LinkExpired(host=link.host) from err
        for series in found:
            yield series


async def _opened(link: ShareLink, session: Session) -> list[Series]:
    if "short" not in link.named:
        return await _studied(link, session, "")
    return await _through(link, session, await _enter(link, session))


async def _enter(link: ShareLink, session: Session) -> Entrance:
    asked = {"urlSource": SOURCE, "shortUrl": unquote(link["short"]), "isOldVersionUrl": False}
    answer = await session.post(_entrance(link, VALIDATE), json=asked, headers=_from(link))
    return _checked(link, envelope.entered(answer, Entered))


def _checked(link: ShareLink, entered: Entered) -> Entrance:
    if entered.code != GOOD or entered.data is None:
        raise gone(entered.said, host=link.host)
    return entered.data


async def _through(link: ShareLink, session: Session, entrance: Entrance) -> list[Series]:
    """From the entrance to the viewer that the study's documents name.

    Raises:
        DownloadNotPermitted: they name none; the hospital opens the report alone.
    """
    base = entrance.base
    asked = {
        "accNum": base.accession or "",
        "hospitalID": base.hospital or "",
        "isUrlForNote": "false",
        "patientID": base.patient or "",
        "ssystemID": base.system or "",
        "studyKey": base.key or "",
        "stamp": "3",
    }
    headers = {"apikey": entrance.token, "Content-Type": "application/json-patch+json", **_from(link)}
    answer = await session.get(_entrance(link, DOCUMENTS), params=asked, headers=headers)
    told = envelope.told(answer, Documents)
    if told.code != GOOD or told.data is None:
        raise gone(told.said, host=link.host)
    documents = told.data.dicom.documents if told.data.dicom else None
    if not documents or not documents[0].url:
        raise DownloadNotPermitted(told.said, host=link.host)
    return await _studied(ShareLink(urljoin(link.url, documents[0].url)), session, base.accession or "")


async def _studied(viewer: ShareLink, session: Session, accession: str) -> list[Series]:
    """The study behind a viewer's link; ``accession`` where the link itself has none."""
    params = viewer.params
    api = urlsplit(params.get("webApiUrl", ""))
    if not api.hostname or api.scheme not in ("http", "https"):
        raise SiteChanged(host=viewer.host, what=Reason.NO_WEB_API_URL)
    names = ("token", "hID", "source")
    asked = {name: params[name] for name in names if name in params}
    if known := params.get("accNum") or accession:
        asked["accNum"] = known
    headers = {
        "Authorization": f"Bearer {params.get('token', '')}",
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Origin": viewer.origin,
        "Referer": f"{viewer.origin}/",
    }
    answer = await session.get(f"{api.scheme}://{api.netloc}{STUDY}", params=asked, headers=headers)
    return _described(viewer, answer, answer.url)


def _described(viewer: ShareLink, answer: Response, asked: str) -> list[Series]:
    """The series of the viewer's own data, in the order of their numbers; ``asked`` is the address it came from."""
    told = envelope.told(answer, FrontEnd).study
    token = ShareLink(asked).params.get("token", "")
    if told is None or not (told.uid or told.series):
        raise SessionLapsed(host=viewer.host)
    study = Study(
        uid=told.uid or "",
        date=re.sub(r"\D", "", told.date or "")[:8],
        description=told.description or "",
        patient_name=told.patient or "",
        key=told.accession or "",
    )
    found = []
    for place, listed in enumerate(sorted(told.series or [], key=lambda item: _rank(item.number))):
        images = sorted(listed.images or [], key=lambda image: _rank(image.number))
        instances, unserved = [], []
        for at, image in enumerate(images):
            url, key = image.url or image.local, f"{place}/{at}"
            if not url:
                unserved.append(image.uid or key)
                continue
            source = WadoUri(urljoin(asked, url), {"Authorization": f"Bearer {token}"})
            instances.append(Instance(image.uid or "", source, key, whole(image.number)))
        left_out = Problem("left-out", tuple(unserved), {"what": "no address"}, fatal=False)
        series = Series(
            study_instance_uid=told.uid or "",
            series_instance_uid=listed.uid or "",
            instances=tuple(instances),
            expected=len(images),
            number=whole(listed.number),
            description=listed.description or "",
            key=str(place),
            study=study,
            left_out=(left_out,) if unserved else (),
        )
        found.append(series)
    return found


def _rank(number: str | None) -> int:
    known = whole(number)
    return 2**31 if known is None else known


def _entrance(link: ShareLink, path: str) -> str:
    return f"https://{link.host}:{ENTRANCE}{path}"


def _from(link: ShareLink) -> dict[str, str]:
    return {"Origin": link.origin, "Referer": f"{link.origin}/"}
