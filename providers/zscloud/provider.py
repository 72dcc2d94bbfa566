"""复旦大学附属中山医院 影像云 (zscloud), United Imaging's uCloud film."""

from __future__ import annotations

from providers.zscloud.share import EnterReply, Share
from scraper.contract import (
    Call,
    Deployment,
    Provider,
    Response,
    Series,
    Session,
    SessionLapsed,
    ShareLink,
    SiteChanged,
    SiteUnreachable,
)

ENTER = Call(
    "/film/api/m/doctor/getStudyByShareCodeWithToken",
    json={"code": "{code}"},
    headers={"Origin": "{origin}", "Referer": "{origin}/film/"},
)


class Zscloud(Provider):
    name = "zscloud"
    route = r"/film/?(?:[\w.-]+)?(?:\?[^#]*)?#/?[\w/-]*\?(?:.*&)?code=[^&]+.*"
    when_asked = "nothing; the code is in the link"
    deployments = (Deployment("zscloud.zs-hospital.sh.cn", "复旦大学附属中山医院", "上海"),)
    distinctive_routes = (r"/film/(?:index\.html)?(?:\?[^#]*)?#/shared\?(?:.*&)?code=[^&]+.*",)
    behind = (
        r"[^/]+/film/web/[^#]*#/.*sharedStudy.*",
        r"[^/]+/viewer/2d/.*",
        r"[^/]+/viewer/(?:[\w.-]+/)+Viewer/Index.*",
    )
    study_list_call = ENTER.pattern
    example = "https://zscloud.zs-hospital.sh.cn/film/#/shared?code=AbC123xyz"

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        response = await ENTER.send(link, session)
        return await Share(link, session).series(response.checked(EnterReply))

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        share = Share(link, session)
        try:
            return await share.series(response.checked(EnterReply))
        except (SiteChanged, SiteUnreachable, SessionLapsed):  # then only the page itself knows how to ask
            if found := await share.series_in_page():
                return found
            raise
