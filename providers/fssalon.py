"""佛山沙龙 云胶片 (fssalon)."""

from __future__ import annotations

from functools import partial
from urllib.parse import urljoin

from scraper.contract import (
    ACCESS_CODE,
    AsyncIterator,
    CheckedReply,
    CredentialsRefused,
    Deployment,
    Discovered,
    DownloadNotPermitted,
    Field,
    Instance,
    Number,
    Problem,
    Provider,
    Reply,
    Series,
    Session,
    ShareLink,
    Study,
    WadoUri,
    gone,
    is_over,
)

DETAIL = "https://efilmapi.fs-salon.cn/api/v1.0/Report/detail"
FLAGS = {"imageType": "1", "isDcm": "1", "hasDesensitize": "0", "isInternal": "0", "isKeyImage": "0"}
ASKS = ("验证码", "授权码", "提取码", "访问码", "密码", "验证身份")


class DetailReply(CheckedReply):
    good = ("200",)
    is_entrance = True
    code: str = Field("", alias="statusCode")
    report: dict[str, object] = Field(default_factory=dict, alias="result")
    has_film: bool = Field(default=True, alias="result.hasCloudFilm")
    service: str = Field("", alias="result.imServerUrl")
    uid: str = Field("", alias="result.studyUId")
    org: str = Field("", alias="result.orgCode")
    department: str = Field("", alias="result.departCode")
    patient: str = Field("", alias="result.name")
    part: str = Field("", alias="result.checkPart")
    modality: str = Field("", alias="result.device")
    checked: str = Field("", alias="result.checkDate")
    studied: str = Field("", alias="result.studyDate")

    @property
    def asks(self) -> bool:
        """Does it ask for a code, or refuse one; a report that is over asks for nothing."""
        return not (self.ok or is_over(self.message)) and any(word in self.message for word in ASKS)

    @property
    def query(self) -> dict[str, str]:
        """The service takes several spellings of one thing, and the page sends them all."""
        spellings = dict.fromkeys(("hospID", "hospid", "hospId", "hospitalid"), self.org)
        return {**spellings, **FLAGS, "studyUID": self.uid, "studyuid": self.uid, "departCode": self.department}


class SeriesReply(Reply):
    uuid: str = ""
    uid: str = ""
    number: Number = Field(None, alias="num")
    description: str = Field("", alias="desp")


class StudyReply(CheckedReply):
    success: bool = False
    series: tuple[SeriesReply, ...] = Field((), alias="data.serieses")


class ImageReply(Reply):
    url: str = ""


class ImagesReply(CheckedReply):
    success: bool = False
    images: tuple[ImageReply, ...] = Field((), alias="data.imgs")


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

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Discovered]:
        async for series in _series(link, session, await _ask(link, session, "")):
            yield series

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Discovered]:
        # The images come over plain HTTP, which a browser refuses to a page that came over HTTPS: they are asked for directly.
        response = await session.captured_reply(r"/Report/detail\?")
        detail = await _ask(link, session, "") if response is None else response.unwrap(DetailReply)
        async for series in _series(link, session, detail):
            yield series


async def _ask(link: ShareLink, session: Session, code: str) -> DetailReply:
    given = {name.lower(): value for name, value in link.params.items()}
    number = given.get("barcode") or given["reportid"]
    asked = {"hospitalCode": given["hospitalcode"], "reportNo": number, "authenCode": code, "autuType": "0"}
    return (await session.get(DETAIL, params=asked)).unwrap(DetailReply)


async def _series(link: ShareLink, session: Session, detail: DetailReply) -> AsyncIterator[Series]:
    """The series of the report's study, as its image service lists them."""
    if detail.asks:
        detail = await _ask(link, session, session.answer(ACCESS_CODE))
        if not detail.ok:
            raise gone(detail.message, or_else=partial(CredentialsRefused, ACCESS_CODE.name))
    if not detail.ok or not detail.report:
        raise gone(detail.message)
    if not (detail.has_film and detail.service):
        raise DownloadNotPermitted(detail.message)
    service, query = detail.service.rstrip("/"), detail.query
    study = Study(detail.uid, detail.studied or detail.checked, detail.modality, detail.part, detail.patient)
    listed = await session.get(f"{service}/GetStudyInfo", params=query, reply=StudyReply)
    refusal, has_images = "", False
    for place, series in enumerate(listed.series):
        name = series.uuid or series.uid
        asked = {**query, "seriesUID": name, "uuid": name, "clientType": "0"}
        response = await session.get(f"{service}/GetSeriesMeta", params=asked)
        meta = response.unwrap(ImagesReply)
        urls = {f"{place}/{at}": image.url for at, image in enumerate(meta.images)}
        has_images = has_images or any(urls.values())
        instances = tuple(Instance("", WadoUri(urljoin(response.url, url)), key) for key, url in urls.items() if url)
        found = Series(
            "", series.uid, instances, len(urls), series.number, series.description, detail.modality, str(place), study
        ).without((key for key, url in urls.items() if not url), "no address")
        if not meta.ok:
            refusal = meta.site_message or "no images"
            found = found.with_problem(Problem("fetch-failed", (found.name,), {"why": refusal}))
        yield found
    if refusal and not has_images:
        raise gone(refusal)
