"""明天医网 移动影像处理工作站 (mtywcloud), the ICC web client.

facts:    fixtures/sites/mtywcloud/README.md
asks:     nothing
serves:   Part 10 files, one GET each
verified: emulated site only
"""

from __future__ import annotations

from urllib.parse import quote

from providers.products import imagecloud
from providers.toolkit import envelope
from scraper.contract import (
    AsyncIterator,
    Deployment,
    Found,
    Provider,
    Response,
    Series,
    Session,
    ShareLink,
    StudyGone,
    WadoUri,
    gone,
    with_query,
)

INFO = r"(?i)/api/Study/Info\?"


class Mtywcloud(Provider):
    name = "mtywcloud"
    route = r"(?i:(?P<app>/[\w.-]*ICCWebClient[\w.-]*)/Image/Viewer/?\?(?=(?:[^#]*&)?DicomDirPath=[^&#]).*)"
    deployments = (Deployment("ss.mtywcloud.com", "明天医网", "全国"),)
    marks = (route,)
    behind = (r"(?i:[^/]+/[\w.-]*ICCWebClient[\w.-]*/.*)",)
    example = "https://ss.mtywcloud.com/ICCWebClient/Image/Viewer?DicomDirPath=http%3A%2F%2Fstore%2FDICOMDIR&OrganizationID=ORG1&Token=0a1b"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        page = await session.get(_address(link))
        if (closed := envelope.closed_door(page)) is not None:
            raise closed
        if page.status >= 500:
            raise page.refusal
        said = envelope.shown(page)[: envelope.LONGEST_SAID]
        if not page.ok:
            raise gone(said or f"HTTP {page.status}", host=link.host)
        params = _params(link)
        path = quote(params.get("dicomdirpath", ""), safe="")
        data = imagecloud.sealed(f"DicomDirPath={path}&OrganizationID={params.get('organizationid', '')}")
        call = with_query(link.join(f"{link['app']}/api/Study/Info"), {"data": data})
        answer = await session.post(call, headers={"Referer": _address(link)})
        if answer.status in (401, 403):  # no session, although the page came: what it showed was no viewer
            raise StudyGone(said or f"HTTP {answer.status}", host=link.host)
        for series in _described(link, answer):
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        answer = await envelope.heard(session, INFO)
        if answer is None:
            # the page waits for a person, or says why not: asked directly, the site says so too
            async for series in self.discover(link, session):
                yield series
            return
        for series in _described(link, answer):
            yield series


def _described(link: ShareLink, answer: Response) -> list[Series]:
    told = imagecloud.told(answer)
    if not told.success:
        raise gone(told.said, host=link.host)
    organization = _params(link).get("organizationid", "")

    def source(_: imagecloud.Told, image: imagecloud.Image) -> WadoUri:
        asked = {
            "sopInstanceUID": image.uid or "",
            "seriesInstanceUID": image.series_uid or "",
            "studyInstanceUID": image.study_uid or "",
            "imagePath": image.path,
            "httpPath": "null",
            "retrieveAE": "",
            "OrganizationID": organization,
        }
        call = with_query(link.join(f"{link['app']}/api/Dicom/File"), asked)
        return WadoUri(call, {"Referer": _address(link)})

    return imagecloud.described(imagecloud.studies(told.data or [], answer.url), source, "")


def _address(link: ShareLink) -> str:
    return link.url.partition("#")[0]


def _params(link: ShareLink) -> dict[str, str]:
    return {name.lower(): value for name, value in link.params.items()}
