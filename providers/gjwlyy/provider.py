"""浙大二院 联众云胶片 (gjwlyy): a report page, and an eUnity viewer that gives out no file; what it decodes is taken.

facts:    fixtures/sites/gjwlyy/README.md
asks:     nothing
serves:   rebuilt: the full-resolution pixels that the viewer decodes, with the tags that it names
verified: emulated site only
"""

from __future__ import annotations

import re
from typing import Any

from providers.gjwlyy import images, viewer
from providers.gjwlyy import tags as eunity_tags
from providers.gjwlyy.viewer import Screen
from providers.toolkit import drive_page
from scraper.contract import (
    AsyncIterator,
    Deployment,
    Field,
    Found,
    LinkExpired,
    NoSuchStudy,
    Provider,
    Reply,
    Session,
    SessionLapsed,
    ShareLink,
    SiteChanged,
    SiteUnreachable,
    gone,
    read,
    with_query,
)

CONTROL = "text=影像浏览"
REPORT = r"/queryShareReport\.htm"
VIEWER = r"^(?>.*?/e/viewer\?).*\bformat=1upSeriesBox\b"
SEVERAL_UP = re.compile(r"^[^?#]*/e/viewer\?(?!.*\bformat=1upSeriesBox\b)")


class ReportData(Reply):
    name: str | None = Field("", alias="hPatientName")
    patient: str | None = Field("", alias="hPatientId")
    sex: str | None = Field("", alias="hPatientSex")
    born: str | None = Field("", alias="hPatientDob")
    accession: str | None = Field("", alias="hAccessionNumber")
    studies: str | None = Field("", alias="hStudiesInstUId")
    item: str | None = Field("", alias="hServiceExaminealias")
    modalities: str | None = Field("", alias="serviceModalities")


class Report(Reply):
    data: ReportData | None = None


class Gjwlyy(Provider):
    name = "gjwlyy"
    route = (
        r"/cloudfilmserver/cloudFilm/showShareReport\.htm\?(?:[^#]*&)?key=(?P<key>[^&#]+).*"
        r"|/e/viewer\?(?P<viewer>[^#]+).*"
    )
    deployments = (
        Deployment("zjyx.gjwlyy.com", "浙江大学医学院附属第二医院", "杭州"),
        Deployment("zjyxview.gjwlyy.com", "浙江大学医学院附属第二医院", "杭州"),
    )
    marks = (
        r"/cloudfilmserver/cloudFilm/showShareReport\.htm\?.*key=.+",
        r"/e/viewer\?(?:.*&)?CLOAccessKeyID=.+",
    )
    example = "http://zjyx.gjwlyy.com/cloudfilmserver/cloudFilm/showShareReport.htm?key=0123456789abcdef"

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.window()
        await session.page.context.add_init_script(viewer.HOOK)
        await session.page.context.route(SEVERAL_UP, _one_up)
        try:
            await session.open(link.url)
        except SiteUnreachable:  # a refusal may come without a page
            if not _is_spent(session):
                raise
        if "viewer" in link.named:
            return
        try:
            await session.which(control=CONTROL)
        except SiteChanged:
            raise gone(await drive_page.words(session), host=link.host) from None
        await session.page.locator(CONTROL).locator("visible=true").first.click()

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        await session.traffic.wait_for(VIEWER, timeout_s=session.settings.timeout_s)
        if _is_spent(session):
            raise LinkExpired(host=link.host) if "viewer" in link.named else SessionLapsed(host=link.host)
        screen = Screen(session)
        state = await screen.ready()
        shown = await images.every(screen, state, session)
        if not shown:
            raise NoSuchStudy(host=link.host)
        told = next((exchange for exchange in session.traffic.matching(REPORT) if exchange.ok), None)
        report = read(told.read(), Report, told.url).data if told else None
        wrappers = eunity_tags.wrappers(session)
        for series in eunity_tags.described(state, _known(report), shown, wrappers):
            yield series


async def _one_up(route: Any) -> None:
    """Lead the viewer's address to the same with one image on the screen, however the page opens it; its ticket is not spent."""
    head, _, query = str(route.request.url).partition("?")
    kept = "&".join(pair for pair in query.split("&") if not pair.startswith("format="))
    address = with_query(f"{head}?{kept}" if kept else head, {"format": "1upSeriesBox"})
    await route.fulfill(status=302, headers={"location": address}, body="")


def _is_spent(session: Session) -> bool:
    return any(exchange.status in (401, 403) for exchange in session.traffic.matching(VIEWER))


def _known(report: ReportData | None) -> dict[str, str]:
    """What the report's page says, by DICOM's keywords."""
    if report is None:
        return {}
    tags = {
        "PatientName": report.name,
        "PatientID": report.patient,
        "PatientSex": report.sex,
        "PatientBirthDate": re.sub(r"\D", "", report.born or "")[:8],
        "AccessionNumber": report.accession,
        "StudyInstanceUID": report.studies,
        "StudyDescription": report.item,
        "Modality": (report.modalities or "").split(",")[0].strip(),
    }
    return {name: value for name, value in tags.items() if value}
