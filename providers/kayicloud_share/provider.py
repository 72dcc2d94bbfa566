"""卡易 (Kayi) 无极云影像, shares with a password; the same image server stands elsewhere under other names ("VRAD")."""

from __future__ import annotations

from dataclasses import replace

from providers.kayicloud_share import page
from providers.kayicloud_share.server import Info, InfoReply, OtherInfoReply, SeriesSource, Server, StudiesReply
from scraper.contract import (
    PASSWORD,
    Call,
    Deployment,
    NoSuchStudy,
    Provider,
    Response,
    Series,
    Session,
    ShareLink,
    SiteChanged,
)

INFO = Call("{root}StudyData/GetShareInfo", params={"shareId": "{ids|id}", "password": "{answer}"})
OTHER_INFO = Call("{root}StudyData/GetShareInfo", params={"shareId": "{ids|id}"})
STUDIES = Call(
    "{root}StudyData/GetStudies",
    params={
        "studyKeys": "",
        "seriesKeys": "",
        "getImageInfo": "false",
        "token": "",
        "dataids": "{dataids}",
        "cloudImage": "{cloud}",
        "dataSource": "{ds}",
        "signature": "{signature}",
        "vendorCode": "{vendor}",
        "isAnony": "{is_anonymous}",
        "serverAddr": "{sealed_address}",
        "expires": "{expires}",
    },
)
OTHER_STUDIES = replace(STUDIES, params={**STUDIES.params, "dataSource": "rest", "vendorCode": "link"})


class KayicloudShare(Provider):
    name = "kayicloud-share"
    route = r"(?i:/viewer/(?:s/?(?:\?[^#]*)?#!?/?view/?\?.*\bids?=[^&]+.*|index/?\?(?=.*\bsignature=)(?=.*\bserverAddr=).*))"
    asks = (PASSWORD,)
    when_asked = "password (four digits), where the share has one"
    deployments = (Deployment("www.kayicloud.com", "卡易 无极云影像", "全国"),)
    distinctive_routes = (route,)
    study_list_call = page.STUDIES
    on_any_host = True
    behind = (r"(?i:[^/]+/viewer/s/?(?:\?[^#]*)?#!?/view.*)", r"(?i:[^/]+\.kayicloud\.com/viewer/.*)")
    example = "https://www.kayicloud.com/Viewer/s#/view?ids=01234567-89ab-cdef-0123-456789abcdef"

    def __init__(self) -> None:
        self._lapsed: set[str] = set()  # images that were refused once: a second time is no matter of age

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        server = Server.of(link)
        info = await _info(link, session, server)
        calls = OTHER_STUDIES if server.is_other else STUDIES
        response = await calls.send(link, session, info, root=server.root)
        return self._described(replace(server, vendor=info.vendor), session, response)

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        if "ids" in link.params and await page.has_boxes(session):
            await page.enter_password(session)

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        share, server = None, Server.of(link)
        if "signature" not in link.params:
            await session.screen.has_called(rf"{page.STUDIES}|{page.TYPED}")
            share = page.share_reply(session, OtherInfoReply if server.is_other else InfoReply)
            if share is not None:
                _checked(share)
        response = await session.captured_reply(page.STUDIES)
        if response is None:
            return await self.discover(link, session)
        vendor = share.data.vendor if share and share.data else link.param("vendorCode")
        return self._described(replace(server, vendor=vendor), session, response)

    def _described(self, server: Server, session: Session, response: Response) -> list[Series]:
        listed = response.checked(StudiesReply)
        if not listed.data:
            raise NoSuchStudy(listed.message)
        return [
            SeriesSource(session, server, study, series, self._lapsed).described(place)
            for study in listed.data
            for place, series in enumerate(study.series)
        ]


async def _info(link: ShareLink, session: Session, server: Server) -> Info:
    """What step one gives, or an old link carries itself."""
    params = link.params
    if "signature" in params:
        return Info.model_validate({**params, "serverSignature": params["signature"], "dataids": link.param("dataid")})
    if server.is_other:
        return _checked((await OTHER_INFO.send(link, session, root=server.root)).checked(OtherInfoReply))
    given = session.given(PASSWORD)
    reply = (await INFO.send(link, session, root=server.root, answer=given)).unwrap(InfoReply)
    if reply.asks and not given:
        answer = session.answer(PASSWORD)
        reply = (await INFO.send(link, session, root=server.root, answer=answer)).unwrap(InfoReply)
    return _checked(reply)


def _checked(reply: OtherInfoReply) -> Info:
    if not reply.ok:
        raise reply.refusal()
    if reply.data is None:
        raise SiteChanged(what="GetShareInfo, data")
    return reply.data
