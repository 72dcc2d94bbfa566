"""富医睿影 云胶片 (efilmcloud), one host name a hospital."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from scraper.contract import (
    Call,
    CheckedReply,
    CloudfilmError,
    Deployment,
    DownloadNotPermitted,
    Field,
    ImageRow,
    LinkExpired,
    Number,
    Provider,
    Reason,
    Response,
    Series,
    SeriesRow,
    Session,
    SessionLapsed,
    ShareLink,
    SiteChanged,
    StudyRow,
    refusal_error,
    route,
)

VIEWER_LINK = r"/\?(?=(?:[^#]*&)?token=[^&#])(?=(?:[^#]*&)?webApiUrl=[^&#]).*"
ENTRANCE_PORT = 8809  # whatever the link's
VALIDATE = "/CloudHospital/EntranceValidate"
STUDY = "/FrontEndData"
ENTRANCE = Call(  # 103: the kind of address, a QR code's
    f"https://{{host}}:{ENTRANCE_PORT}{VALIDATE}",
    json={"urlSource": 103, "shortUrl": "{short}", "isOldVersionUrl": False},
)
DOCUMENTS = Call(
    f"https://{{host}}:{ENTRANCE_PORT}/CloudHospital/Study/StudyMedicaldocuments",
    params={
        "accNum": "{accession}",
        "hospitalID": "{hospital}",
        "patientID": "{patient}",
        "ssystemID": "{system}",
        "isUrlForNote": "false",
        "studyKey": "{study}",
        "stamp": "3",
    },
    headers={"apikey": "{token}", "Content-Type": "application/json-patch+json"},
)
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


class DocumentsReply(EfilmReply):
    viewer: str = Field("", alias="data.dicom.dicomMedicaldocumentInfos.0.url")


class ImageReply(ImageRow):
    number: Number = Field(None, alias="instanceNumber")
    uid: str = Field("", alias="objestInstanceUid")  # spelt so
    url: str = Field("", alias="wadoUrl|localWadoUrl")


class SeriesReply(SeriesRow):
    number: Number = Field(None, alias="seriesId")
    description: str = Field("", alias="seriesDesc")
    uid: str = Field("", alias="seriesUid")
    images: tuple[ImageReply, ...] = ()


class StudyReply(StudyRow):
    is_sorted = True
    patient_name: str = Field("", alias="studyInfo.patientName")
    description: str = Field("", alias="studyInfo.studyDescription")
    key: str = Field("", alias="studyInfo.accessionNumber")
    uid: str = Field("", alias="studyInfo.studyInstanceUid")
    date: str = Field("", alias="studyInfo.studyDate")
    series: tuple[SeriesReply, ...] = Field((), alias="studyInfo.series")


class Efilmcloud(Provider):
    name = "efilmcloud"
    deployments = (Deployment("*.efilmcloud.com", "富医睿影 云胶片", "全国"),)
    distinctive_routes = (VIEWER_LINK,)
    behind = (r"[^/]+\.efilmcloud\.com/pages/.*",)
    study_list_call = rf"{VALIDATE}|{STUDY}\?"
    example = "https://demo.efilmcloud.com:8810/AbC123xyz"

    @route(r"/(?P<short>(?!index\.)[^/?#]+)/?(?:[?#].*)?")
    async def by_short_link(self, link: ShareLink, session: Session) -> list[Series]:
        try:
            return await _enter(link, session, await ENTRANCE.send(link, session))
        except SessionLapsed:  # a viewer's token is over: begun again from the short link, once
            return await _enter(link, session, await ENTRANCE.send(link, session))

    @route(VIEWER_LINK)
    async def by_viewer(self, link: ShareLink, session: Session) -> list[Series]:
        return _series(await _ask_viewer(link, session, ""), LinkExpired)

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        return await _enter(link, session, response) if VALIDATE in response.url else _series(response, LinkExpired)


async def _enter(link: ShareLink, session: Session, response: Response) -> list[Series]:
    """From the entrance to the viewer that the study's documents name; where they name none, only the report is open."""
    entrance = response.checked(EntranceReply)
    if not entrance.token:
        raise refusal_error(entrance.site_message)
    documents = (await DOCUMENTS.send(link, session, entrance)).checked(DocumentsReply)
    if not documents.viewer:
        raise DownloadNotPermitted(documents.site_message)
    viewer = ShareLink(urljoin(link.url, documents.viewer))
    return _series(await _ask_viewer(viewer, session, entrance.accession), SessionLapsed)


async def _ask_viewer(viewer: ShareLink, session: Session, accession: str) -> Response:
    """The study behind a viewer's link; ``accession`` where the link itself has none."""
    params = viewer.params
    api = urlsplit(params.get("webApiUrl", ""))
    if not api.hostname or api.scheme not in ("http", "https"):
        raise SiteChanged(what=Reason.NO_WEB_API_URL)
    known = {"accNum": accession, **{name: value for name, value in params.items() if value}}
    asked = {name: known[name] for name in PASSED_ON if known.get(name)}
    page = {"Origin": viewer.origin, "Referer": f"{viewer.origin}/"}
    headers = {**VIEWER_SENDS, **page, "Authorization": f"Bearer {params.get('token', '')}"}
    return await session.get(f"{api.scheme}://{api.netloc}{STUDY}", params=asked, headers=headers)


def _series(response: Response, lapsed: type[CloudfilmError]) -> list[Series]:
    """The series of the viewer's own data; without any, its token has ``lapsed``."""
    try:
        front = response.unwrap(StudyReply)
    except SessionLapsed as err:
        raise lapsed from err
    if not (front.uid or front.series):
        raise lapsed
    return front.described(response.url, {"Authorization": f"Bearer {ShareLink(response.url).params.get('token', '')}"})
