"""明天医网 移动影像处理工作站 (mtywcloud), the ICC web client."""

from __future__ import annotations

from urllib.parse import quote

from providers.products import imagecloud
from providers.toolkit import envelope
from scraper.contract import Deployment, Provider, Response, Series, Session, ShareLink, StudyGone

FILE = {
    "sopInstanceUID": "{image.uid}",
    "seriesInstanceUID": "{image.series_uid}",
    "studyInstanceUID": "{image.study_uid}",
    "imagePath": "{image.path}",
    "httpPath": "null",
    "retrieveAE": "",
    "OrganizationID": "{organization}",
}
SEALED_PARAMETER = "data"  # the name that the page sends its sealed words under


class IccReply(imagecloud.ServiceReply):
    success: bool = False

    is_sealed = True


class Mtywcloud(Provider):
    name = "mtywcloud"
    route = r"(?i:(?P<app>/[\w.-]*ICCWebClient[\w.-]*)/Image/Viewer/?\?(?=(?:[^#]*&)?DicomDirPath=[^&#]).*)"
    deployments = (Deployment("ss.mtywcloud.com", "明天医网", "全国"),)
    distinctive_routes = (route,)
    behind = (r"(?i:[^/]+/[\w.-]*ICCWebClient[\w.-]*/.*)",)
    study_list_call = r"(?i)/api/Study/Info\?"
    example = "https://ss.mtywcloud.com/ICCWebClient/Image/Viewer?DicomDirPath=http%3A%2F%2Fstore%2FDICOMDIR&OrganizationID=ORG1&Token=0a1b"

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        page = await session.get(link.without_fragment)
        message = envelope.visible_message(page)[: envelope.LONGEST_MESSAGE] or f"HTTP {page.status}"
        if error := envelope.page_error(page):
            raise error
        path = quote(link.param("DicomDirPath"), safe="")
        data = imagecloud.seal(f"DicomDirPath={path}&OrganizationID={link.param('OrganizationID')}")
        response = await session.post(link.join(f"{link['app']}/api/Study/Info"), params={SEALED_PARAMETER: data})
        if response.status in (401, 403):  # no session, although the page came: what it showed was no viewer
            raise StudyGone(message)
        return await self.describe(link, session, response)

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        listed = imagecloud.studies(imagecloud.checked(response, IccReply).data, response.url)
        address = link.join(f"{link['app']}/api/Dicom/File")
        return imagecloud.describe(listed, address, FILE, organization=link.param("OrganizationID"))
