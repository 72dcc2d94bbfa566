"""佛山沙龙 云胶片 (fssalon).

facts:    fixtures/sites/fssalon/README.md
asks:     nothing, as a rule; access_code where the report's page asks for one
serves:   Part 10 files, one GET each
verified: emulated site only

Over 120 lines for the replies of its three calls, and a query with every spelling that the page sends.
"""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import urljoin

from providers.toolkit import envelope
from scraper.contract import (
    ACCESS_CODE,
    AsyncIterator,
    CredentialsRefused,
    Deployment,
    DownloadNotPermitted,
    Field,
    Found,
    Instance,
    Problem,
    Provider,
    Reply,
    Series,
    Session,
    ShareLink,
    Study,
    StudyGone,
    WadoUri,
    gone,
    whole,
)

DETAIL = "https://efilmapi.fs-salon.cn/api/v1.0/Report/detail"
GOOD = "200"
ASKS = ("验证码", "授权码", "提取码", "访问码", "密码", "验证身份")


class Report(Reply):
    has_film: bool | None = Field(None, alias="hasCloudFilm")
    service: str | None = Field("", alias="imServerUrl")
    uid: str | None = Field("", alias="studyUId")
    org: str | None = Field("", alias="orgCode")
    department: str | None = Field("", alias="departCode")
    patient: str | None = Field("", alias="name")
    part: str | None = Field("", alias="checkPart")
    modality: str | None = Field("", alias="device")
    checked: str | None = Field("", alias="checkDate")
    studied: str | None = Field("", alias="studyDate")


class Detail(Reply):
    code: str = Field("", alias="statusCode")
    message: str | None = ""
    report: Report | None = Field(None, alias="result")

    @property
    def asks(self) -> bool:
        """Does it ask for a code, or refuse one; a report that is over asks for nothing."""
        said = self.message or ""
        is_over = type(gone(said, host="")) is not StudyGone
        return self.code != GOOD and not is_over and any(word in said for word in ASKS)


class Answer(Reply):
    success: bool = False
    msg: str | None = ""


class Listed(Reply):
    uuid: str | None = ""
    uid: str | None = ""
    number: str | None = Field("", alias="num")
    description: str | None = Field("", alias="desp")


class StudyData(Reply):
    series: list[Listed] | None = Field(None, alias="serieses")


class StudyInfo(Answer):
    data: StudyData | None = None


class Image(Reply):
    url: str | None = ""


class SeriesData(Reply):
    images: list[Image] | None = Field(None, alias="imgs")


class SeriesMeta(Answer):
    data: SeriesData | None = None


class Fssalon(Provider):
    name = "fssalon"
    route = (
        r"(?i:/index(?:\.html)?/?\?(?=(?:[^#]*&)?barcode=[^&#])(?=(?:[^#]*&)?hospitalcode=[^&#]).*"
        r"|/cloudFilm/?\?(?=(?:[^#]*&)?reportid=[^&#])(?=(?:[^#]*&)?hospitalcode=[^&#]).*)"
    )
    asks = (ACCESS_CODE,)
    deployments = (Deployment("efilm.fs-salon.cn", "佛山沙龙 云胶片", "佛山"),)
    example = "https://efilm.fs-salon.cn/index?barcode=R0001&hospitalcode=H001"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        async for series in _listed(link, session, await _ask(link, session, "")):
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        # The images come over plain HTTP, which a browser refuses to a page that came over HTTPS: they are asked for directly.
        answer = await envelope.heard(session, r"/Report/detail\?")
        detail = await _ask(link, session, "") if answer is None else envelope.entered(answer, Detail)
        async for series in _listed(link, session, detail):
            yield series


async def _ask(link: ShareLink, session: Session, code: str) -> Detail:
    given = {name.lower(): value for name, value in link.params.items()}
    asked = {
        "hospitalCode": given["hospitalcode"],
        "reportNo": given.get("barcode") or given["reportid"],
        "authenCode": code,
        "autuType": "0",
    }
    return envelope.entered(await session.get(DETAIL, params=asked, headers=_from(link)), Detail)


async def _listed(link: ShareLink, session: Session, detail: Detail) -> AsyncIterator[Series]:
    """The series of the report's study, as its image service lists them."""
    if detail.asks:
        detail = await _ask(link, session, session.answer(ACCESS_CODE))
        if detail.asks or (detail.code != GOOD and type(gone(detail.message or "", host="")) is StudyGone):
            raise CredentialsRefused(ACCESS_CODE.name, detail.message or "", host=link.host)
    report = detail.report
    if detail.code != GOOD or report is None:
        raise gone(detail.message or "", host=link.host)
    if report.has_film is False or not report.service:
        raise DownloadNotPermitted(detail.message or "", host=link.host)
    service, query = report.service.rstrip("/"), _query(report)
    listed = envelope.told(await session.get(f"{service}/GetStudyInfo", params=query, headers=_from(link)), StudyInfo)
    if not listed.success:
        raise gone(listed.msg or "", host=link.host)
    refusal = ""
    has_images = False
    for place, item in enumerate((listed.data.series if listed.data else None) or []):
        name = item.uuid or item.uid or ""
        asked = {**query, "seriesUID": name, "uuid": name, "clientType": "0"}
        answer = await session.get(f"{service}/GetSeriesMeta", params=asked, headers=_from(link))
        meta = envelope.told(answer, SeriesMeta)
        refusal = refusal if meta.success else meta.msg or "no images"
        images = (meta.data.images if meta.data else None) or []
        urls = [urljoin(answer.url, image.url or "") if image.url else "" for image in images]
        has_images = has_images or any(urls)
        series = _described(link, report, item, place, urls)
        lost = Problem("fetch-failed", (series.name,), {"why": meta.msg or "no images"})
        yield series if meta.success else replace(series, left_out=(lost,))
    if refusal and not has_images:
        raise gone(refusal, host=link.host)


def _described(link: ShareLink, report: Report, one: Listed, place: int, urls: list[str]) -> Series:
    """One series; an image without an address is named and left out."""
    nowhere = tuple(f"{place}/{at}" for at, url in enumerate(urls) if not url)
    return Series(
        study_instance_uid=report.uid or "",
        series_instance_uid=one.uid or "",
        key=str(place),
        number=whole(one.number),
        description=one.description or "",
        modality=report.modality or "",
        expected=len(urls),
        study=Study(
            uid=report.uid or "",
            date=re.sub(r"\D", "", report.studied or report.checked or "")[:8],
            modality=report.modality or "",
            description=report.part or "",
            patient_name=report.patient or "",
        ),
        instances=tuple(
            Instance("", WadoUri(url, _from(link)), key=f"{place}/{at}") for at, url in enumerate(urls) if url
        ),
        left_out=(Problem("left-out", nowhere, {"what": "no address"}, fatal=False),) if nowhere else (),
    )


def _query(report: Report) -> dict[str, str]:
    """The service takes several spellings of one thing, and the page sends them all."""
    org, uid = report.org or "", report.uid or ""
    return {
        "hospID": org,
        "hospid": org,
        "hospId": org,
        "hospitalid": org,
        "imageType": "1",
        "isDcm": "1",
        "studyUID": uid,
        "studyuid": uid,
        "departCode": report.department or "",
        "hasDesensitize": "0",
        "isInternal": "0",
        "isKeyImage": "0",
    }


def _from(link: ShareLink) -> dict[str, str]:
    return {"Origin": link.origin, "Referer": f"{link.origin}/"}
