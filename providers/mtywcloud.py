"""明天医网 移动影像处理工作站 (mtywcloud), the ICC web client."""

from __future__ import annotations

from urllib.parse import quote

from providers.products import imagecloud
from providers.toolkit import envelope
from scraper.contract import (
    CloudfilmError,
    Deployment,
    Provider,
    Response,
    Series,
    Session,
    ShareLink,
    StudyGone,
    WadoUri,
    refusal_error,
    with_query,
)

SEALED_PARAMETER = "data"  # the name that the page sends its sealed words under


class IccReply(imagecloud.ServiceReply):
    success: bool = False

    def refusal(self) -> CloudfilmError:
        return refusal_error(self.site_message or self.code, is_sealed=True)


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
        if (error := envelope.page_refusal(page)) is not None:
            raise error
        if page.status >= 500:
            raise page.refusal
        message = envelope.visible_message(page)[: envelope.LONGEST_MESSAGE] or f"HTTP {page.status}"
        if not page.ok:
            raise refusal_error(message)
        params = _params(link)
        path = quote(params.get("dicomdirpath", ""), safe="")
        data = imagecloud.seal(f"DicomDirPath={path}&OrganizationID={params.get('organizationid', '')}")
        response = await session.post(link.join(f"{link['app']}/api/Study/Info"), params={SEALED_PARAMETER: data})
        if response.status in (401, 403):  # no session, although the page came: what it showed was no viewer
            raise StudyGone(message)
        return await self.describe(link, session, response)

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        service = imagecloud.checked(response, IccReply)

        def source(_: imagecloud.StudyReply, image: imagecloud.ImageReply) -> WadoUri:
            asked = {
                "sopInstanceUID": image.uid,
                "seriesInstanceUID": image.series_uid,
                "studyInstanceUID": image.study_uid,
                "imagePath": image.path,
                "httpPath": "null",
                "retrieveAE": "",
                "OrganizationID": _params(link).get("organizationid", ""),
            }
            return WadoUri(with_query(link.join(f"{link['app']}/api/Dicom/File"), asked))

        return imagecloud.describe(imagecloud.studies(service.data, response.url), source, "")


def _params(link: ShareLink) -> dict[str, str]:
    return {name.lower(): value for name, value in link.params.items()}
