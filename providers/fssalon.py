"""佛山沙龙 云胶片 (fssalon)."""

from __future__ import annotations

from scraper.contract import (
    ACCESS_CODE,
    Call,
    CheckedReply,
    Deployment,
    DownloadNotPermitted,
    Field,
    ImageRow,
    Number,
    Problem,
    Provider,
    Response,
    Series,
    SeriesRow,
    Session,
    ShareLink,
    StudyRow,
    refusal_error,
    stated_images,
)

FLAGS = {"imageType": "1", "isDcm": "1", "hasDesensitize": "0", "isInternal": "0", "isKeyImage": "0"}
REFUSED = "fetch-failed"  # a series that the service does not list


class DetailReply(CheckedReply, StudyRow):
    good = ("200",)
    is_entrance = True
    code: str = Field("", alias="statusCode")
    report: dict[str, object] = Field(default_factory=dict, alias="result")
    has_film: bool = Field(default=True, alias="result.hasCloudFilm")
    service: str = Field("", alias="result.imServerUrl")
    uid: str = Field("", alias="result.studyUId")
    org: str = Field("", alias="result.orgCode")
    department: str = Field("", alias="result.departCode")
    patient_name: str = Field("", alias="result.name")
    description: str = Field("", alias="result.checkPart")
    modality: str = Field("", alias="result.device")
    date: str = Field("", alias="result.studyDate|result.checkDate")

    @property
    def query(self) -> dict[str, str]:
        """The service takes several spellings of one thing, and the page sends them all."""
        spellings = dict.fromkeys(("hospID", "hospid", "hospId", "hospitalid"), self.org)
        return {**spellings, **FLAGS, "studyUID": self.uid, "studyuid": self.uid, "departCode": self.department}


class SeriesReply(SeriesRow):
    uuid: str = ""
    number: Number = Field(None, alias="num")
    description: str = Field("", alias="desp")


class StudyReply(CheckedReply):
    success: bool = False
    series: tuple[SeriesReply, ...] = Field((), alias="data.serieses")


class ImagesReply(CheckedReply):
    success: bool = False
    images: tuple[ImageRow, ...] = Field((), alias="data.imgs")
    beside: dict[str, object] = Field(default_factory=dict, alias="data")


class Fssalon(Provider):
    name = "fssalon"
    route = (
        r"(?i:/index(?:\.html)?/?\?(?=(?:[^#]*&)?barcode=[^&#])(?=(?:[^#]*&)?hospitalcode=[^&#]).*)",
        r"(?i:/cloudFilm/?\?(?=(?:[^#]*&)?reportid=[^&#])(?=(?:[^#]*&)?hospitalcode=[^&#]).*)",
    )
    asks = (ACCESS_CODE,)
    when_asked = "nothing, as a rule; access_code where the report's page asks for one"
    deployments = (Deployment("efilm.fs-salon.cn", "佛山沙龙 云胶片", "佛山"),)
    example = "https://efilm.fs-salon.cn/index?barcode=R0001&hospitalcode=H001"
    # The images come over plain HTTP, which a browser refuses to a page that came over HTTPS: they are asked for directly.
    entry = Call(
        "https://efilmapi.fs-salon.cn/api/v1.0/Report/detail",
        params={
            "hospitalCode": "{hospitalcode}",
            "reportNo": "{barcode|reportid}",
            "authenCode": "{answer}",
            "autuType": "0",
        },
        question=ACCESS_CODE,
    )

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        detail = await self.entered(link, session, response, DetailReply)
        if not detail.report:
            raise refusal_error(detail.message)
        if not (detail.has_film and detail.service):
            raise DownloadNotPermitted(detail.message)
        service = detail.service.rstrip("/")
        listed = await session.get(f"{service}/GetStudyInfo", params=detail.query, reply=StudyReply)
        found = [await _series(session, service, detail, place, series) for place, series in enumerate(listed.series)]
        refusals = [problem.values["why"] for series in found for problem in series.problems if problem.code == REFUSED]
        if refusals and not any(series.instances for series in found):
            raise refusal_error(str(refusals[-1]))
        return found


async def _series(session: Session, service: str, detail: DetailReply, place: int, series: SeriesReply) -> Series:
    name = series.uuid or series.uid
    asked = {**detail.query, "seriesUID": name, "uuid": name, "clientType": "0"}
    response = await session.get(f"{service}/GetSeriesMeta", params=asked)
    meta = response.unwrap(ImagesReply)
    count = max(series.count or 0, stated_images(meta.beside) or 0)
    series = series.model_copy(update={"count": count})
    found = series.described(detail.study, place, response.url, images=meta.images)
    why = {"why": meta.site_message or "no images"}
    return found if meta.ok else found.with_problem(Problem(REFUSED, (found.name,), why))
