"""万里云 (wlycloud): a report page that names a viewer, whose own script knows every image."""

from __future__ import annotations

from providers.wlycloud import study
from scraper.contract import (
    Call,
    CheckedReply,
    Deployment,
    Field,
    LinkExpired,
    NoSuchStudy,
    Provider,
    Series,
    Session,
    ShareLink,
    SiteUnreachable,
)

PAGE = "https://cinv.wlycloud.com"
REPORT = Call(
    f"{PAGE}/cfilm/getReportDetail", form={"uid": "{share}"}, headers={"Origin": PAGE, "Referer": "{link_url}"}
)


class ReportReply(CheckedReply):
    good = ("0",)
    msg: str = Field("", alias="errMsg")
    path: str = Field("", alias="val.imgPath")


class Wlycloud(Provider):
    name = "wlycloud"
    route = (
        r"/[^#]*#.*[?&]uid=(?P<share>[^&#]+).*",
        r"/\?(?:[^#]*&)?uid=(?P<share>[^&#]+).*",
        r"/api/preDispRender\?.+",
    )
    serves = "rebuilt: uncompressed frames with the viewer's tags"
    deployments = (Deployment("cinv.wlycloud.com", "万里云"), Deployment("rend.wlycloud.com", "万里云"))
    distinctive_routes = (route[2],)
    study_list_call = r"/api/preDispRender\?"
    on_any_host = True
    example = "https://cinv.wlycloud.com/#/?uid=SHARE1&facId=1001&time=1700000000000"

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        viewer = link.url
        if "share" in link.named:
            report = (await REPORT.send(link, session, link_url=link.url)).checked(ReportReply)
            if not report.path:
                raise NoSuchStudy(report.site_message)
            viewer = (
                f"http:{report.path}" if report.path.startswith("//") else ShareLink(study.VIEWER).join(report.path)
            )
        try:
            await session.open(viewer)
        except SiteUnreachable:  # a refusal may come without a page
            self._check(session)
            raise

    def _check(self, session: Session) -> None:
        calls = session.traffic.matching(self.study_list_call)
        if any(exchange.status in (401, 403, 404, 410) for exchange in calls):
            raise LinkExpired  # the viewer's signature is over

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        self._check(session)
        return await study.describe(session)
