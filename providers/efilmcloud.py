"""富医睿影 云胶片 (efilmcloud), one host name a hospital."""

from __future__ import annotations

from urllib.parse import unquote, urljoin, urlsplit

from scraper.contract import (
    CheckedReply,
    Deployment,
    DownloadNotPermitted,
    Field,
    ImageRow,
    LinkExpired,
    Number,
    Provider,
    Reason,
    Reply,
    Response,
    Series,
    SeriesRow,
    Session,
    SessionLapsed,
    ShareLink,
    SiteChanged,
    Study,
    WadoUri,
    in_order,
    refusal_error,
)

ENTRANCE = 8809  # port of the entrance API, whatever the link's
SOURCE = 103  # the kind of address: a QR code's
VALIDATE = "/CloudHospital/EntranceValidate"
DOCUMENTS = "/CloudHospital/Study/StudyMedicaldocuments"
STUDY = "/FrontEndData"
VIEWER_SENDS = {"Accept": "application/json", "Content-Type": "application/json"}
PASSED_ON = ("token", "hID", "source", "accNum")  # of the viewer's link


class EfilmReply(CheckedReply):
    good = ("200",)
    msg: str = Field("", alias="error.errMessage")


class EntranceReply(EfilmReply):
    is_entrance = True
    token: str = Field("", alias="data.token")
    hospital: str = Field("", alias="data.studyBaseInfo.hospitalID")
    system: str = Field("", alias="data.studyBaseInfo.ssystemID")
    patient: str = Field("", alias="data.studyBaseInfo.patientID")
    accession: str = Field("", alias="data.studyBaseInfo.accNum")
    study: str = Field("", alias="data.studyBaseInfo.studyKey")

    @property
    def query(self) -> dict[str, str]:
        """What names the study in the next call."""
        own = {
            "accNum": self.accession,
            "hospitalID": self.hospital,
            "patientID": self.patient,
            "ssystemID": self.system,
        }
        return {**own, "isUrlForNote": "false", "studyKey": self.study, "stamp": "3"}


class DocumentsReply(EfilmReply):
    viewer: str = Field("", alias="data.dicom.dicomMedicaldocumentInfos.0.url")


class ImageReply(ImageRow):
    number: Number = Field(None, alias="instanceNumber")
    uid: str = Field("", alias="objestInstanceUid")  # spelt so
    url: str = Field("", alias="wadoUrl")
    local: str = Field("", alias="localWadoUrl")


class SeriesReply(SeriesRow):
    number: Number = Field(None, alias="seriesId")
    description: str = Field("", alias="seriesDesc")
    uid: str = Field("", alias="seriesUid")
    images: tuple[ImageReply, ...] = ()


class StudyReply(Reply):
    patient: str = Field("", alias="studyInfo.patientName")
    description: str = Field("", alias="studyInfo.studyDescription")
    accession: str = Field("", alias="studyInfo.accessionNumber")
    uid: str = Field("", alias="studyInfo.studyInstanceUid")
    date: str = Field("", alias="studyInfo.studyDate")
    series: tuple[SeriesReply, ...] = Field((), alias="studyInfo.series")


class Efilmcloud(Provider):
    name = "efilmcloud"
    route = (
        r"/(?P<short>(?!index\.)[^/?#]+)/?(?:[?#].*)?",
        r"/\?(?=(?:[^#]*&)?token=[^&#])(?=(?:[^#]*&)?webApiUrl=[^&#]).*",
    )
    deployments = (Deployment("*.efilmcloud.com", "富医睿影 云胶片", "全国"),)
    distinctive_routes = (route[1],)
    behind = (r"[^/]+\.efilmcloud\.com/pages/.*",)
    study_list_call = rf"{VALIDATE}|{STUDY}\?"
    example = "https://demo.efilmcloud.com:8810/AbC123xyz"

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        try:
            return await _open(link, session)
        except SessionLapsed as err:
            if "short" not in link.named:
                raise LinkExpired from err
            return await _open(link, session)  # a viewer's token is over: begun again from the short link, once

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        if VALIDATE in response.url:
            return await _enter(link, session, response.checked(EntranceReply))
        try:
            return _series(link, response)
        except SessionLapsed as err:
            raise LinkExpired from err


async def _open(link: ShareLink, session: Session) -> list[Series]:
    if "short" not in link.named:
        return await _ask_viewer(link, session, "")
    asked = {"urlSource": SOURCE, "shortUrl": unquote(link["short"]), "isOldVersionUrl": False}
    return await _enter(link, session, await session.post(_entrance(link, VALIDATE), json=asked, reply=EntranceReply))


async def _enter(link: ShareLink, session: Session, entrance: EntranceReply) -> list[Series]:
    """From the entrance to the viewer that the study's documents name; where they name none, only the report is open."""
    if not entrance.token:
        raise refusal_error(entrance.site_message)
    headers = {"apikey": entrance.token, "Content-Type": "application/json-patch+json"}
    response = await session.get(
        _entrance(link, DOCUMENTS), params=entrance.query, headers=headers, reply=DocumentsReply
    )
    if not response.viewer:
        raise DownloadNotPermitted(response.site_message)
    return await _ask_viewer(ShareLink(urljoin(link.url, response.viewer)), session, entrance.accession)


def _entrance(link: ShareLink, path: str) -> str:
    return f"https://{link.host}:{ENTRANCE}{path}"


async def _ask_viewer(viewer: ShareLink, session: Session, accession: str) -> list[Series]:
    """The study behind a viewer's link; ``accession`` where the link itself has none."""
    params = viewer.params
    api = urlsplit(params.get("webApiUrl", ""))
    if not api.hostname or api.scheme not in ("http", "https"):
        raise SiteChanged(what=Reason.NO_WEB_API_URL)
    known = {"accNum": accession, **{name: value for name, value in params.items() if value}}
    asked = {name: known[name] for name in PASSED_ON if known.get(name)}
    page = {"Origin": viewer.origin, "Referer": f"{viewer.origin}/"}
    headers = {**VIEWER_SENDS, **page, "Authorization": f"Bearer {params.get('token', '')}"}
    return _series(viewer, await session.get(f"{api.scheme}://{api.netloc}{STUDY}", params=asked, headers=headers))


def _series(viewer: ShareLink, response: Response) -> list[Series]:
    """The series of the viewer's own data, in the order of their numbers."""
    front = response.unwrap(StudyReply)
    if not (front.uid or front.series):
        raise SessionLapsed(host=viewer.host)
    bearer = {"Authorization": f"Bearer {ShareLink(response.url).params.get('token', '')}"}
    study = Study(front.uid, front.date, "", front.description, front.patient, front.accession)

    def source(image: ImageReply) -> WadoUri | None:
        address = image.url or image.local
        return WadoUri(urljoin(response.url, address), bearer) if address else None

    rows = enumerate(in_order(front.series))
    return [series.described(study, place, series.images, source) for place, series in rows]
