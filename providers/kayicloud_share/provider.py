"""卡易 (Kayi) 无极云影像, shares with a password; the same image server stands elsewhere under other names ("VRAD")."""

from __future__ import annotations

from providers.kayicloud_share import page
from providers.kayicloud_share.server import Info, InfoReply, SeriesSource, Server, StudiesReply, base64_of
from scraper.contract import (
    PASSWORD,
    CredentialsRefused,
    Deployment,
    NoSuchStudy,
    Provider,
    Response,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    refusal_error,
    refusal_kind,
)

KAYI_PORT, PAGE_PORT, OTHER_PORT = 11136, 7198, 7194
ALWAYS = {"studyKeys": "", "seriesKeys": "", "getImageInfo": "false", "token": ""}  # of step two


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
        info = await _info(link, session)
        response = await session.get(f"{_server(link)}StudyData/GetStudies", params=_query(info, link))
        return self._described(link, session, response, info.vendor)

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        if "ids" in link.params and await page.has_boxes(session):
            await page.enter_password(session)

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        share = None
        if "signature" not in link.params:
            await session.screen.has_called(rf"{page.STUDIES}|{page.TYPED}")
            share = page.share_reply(session)
            if share is not None:
                _checked(share, link)
        response = await session.captured_reply(page.STUDIES)
        if response is None:
            return await self.discover(link, session)
        vendor = share.data.vendor if share and share.data else link.params.get("vendorCode", "")
        return self._described(link, session, response, vendor)

    def _described(self, link: ShareLink, session: Session, response: Response, vendor: str) -> list[Series]:
        listed = response.checked(StudiesReply)
        if not listed.data:
            raise NoSuchStudy(listed.message)
        server = Server(_server(link), vendor, _is_other(link))
        found = []
        for study in listed.data:
            for place, series in enumerate(study.series):
                frames = sum(image.frames or 1 for image in series.images)
                count = 0 if series.count == frames else series.count or 0
                number = series.number if series.number is not None else series.index or place
                found.append(
                    Series(
                        study_instance_uid=study.uid,
                        series_instance_uid=series.uid,
                        instances=SeriesSource(session, server, study, series, self._lapsed).instances(),
                        expected=max(count, len(series.images)),
                        number=number,
                        description=series.description,
                        modality=series.modality,
                        study=study.study,
                    )
                )
        return found


async def _info(link: ShareLink, session: Session) -> Info:
    """What step one gives, or an old link carries itself."""
    params = link.params
    if "signature" in params:
        renamed = {"serverSignature": params["signature"], "dataids": params.get("dataid", "")}
        return Info.model_validate({**params, **renamed})
    asked = {"shareId": params.get("ids") or params["id"]}
    address = f"{_server(link)}StudyData/GetShareInfo"
    if not _is_other(link):
        asked["password"] = session.given(PASSWORD)
    response = (await session.get(address, params=asked)).unwrap(InfoReply)
    if not response.ok and asked.get("password") == "" and not _is_gone(response):
        asked["password"] = session.answer(PASSWORD)
        response = (await session.get(address, params=asked)).unwrap(InfoReply)
    return _checked(response, link)


def _checked(response: InfoReply, link: ShareLink) -> Info:
    if not response.ok:
        if _is_other(link) or _is_gone(response):
            raise refusal_error(response.message)
        raise CredentialsRefused(PASSWORD.name, response.message)
    if response.data is None:
        raise SiteChanged(what="GetShareInfo, data")
    return response.data


def _is_gone(response: InfoReply) -> bool:
    """Does the message speak of the share (expired, cancelled), and not of its password."""
    return "密码" not in response.message and refusal_kind(response.message) is not None


def _query(info: Info, link: ShareLink) -> dict[str, str]:
    """Step two."""
    return {
        **ALWAYS,
        "dataids": info.dataids,
        "cloudImage": info.cloud,
        "dataSource": "rest" if _is_other(link) else info.ds,
        "signature": info.signature,
        "vendorCode": "link" if _is_other(link) else info.vendor,
        "isAnony": "true" if info.anonymous else "false",
        "serverAddr": base64_of(info.address),
        "expires": info.expires,
    }


def _is_other(link: ShareLink) -> bool:
    """Is it a server under another name ("VRAD"): its links say ``id``, no password is asked, and it words calls otherwise."""
    return "id" in link.params and "ids" not in link.params


def _server(link: ShareLink) -> str:
    """The image server: on Kayi's own port, else on the page's host at the port next to the page's."""
    if link.host.endswith("kayicloud.com"):
        return f"https://{link.host}:{KAYI_PORT}/imageserver/"
    port = OTHER_PORT if link.parts.port in (None, PAGE_PORT) else link.port
    return f"{link.scheme}://{link.host}:{port}/imageserver/"
