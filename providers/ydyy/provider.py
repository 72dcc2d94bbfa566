"""东软 M-Viewer on a phone (NeuVNA): an XML list of WADO addresses, behind a check of the ID card or a firewall."""

from __future__ import annotations

import json

from providers.products import mviewer
from providers.ydyy import listing
from scraper.contract import (
    ID_LAST4,
    WECHAT_PHONE,
    CheckedReply,
    CredentialsRefused,
    Deployment,
    LinkExpired,
    Provider,
    Request,
    Response,
    Series,
    Session,
    ShareLink,
    SiteBusy,
    SiteChanged,
    SiteUnreachable,
    UnusableLink,
    refusal_kind,
    with_query,
)

SHORT = "/M-Viewer/shortserver/"
CHECK = "/M-Viewer/mobilebackend/qrcode/checkIdNum"
LIST = "/M-Viewer/m/NeuVnaimage/getxmltowebpacs.action"
FIREWALL_UP_TO_S = 45.0
REFUSALS = 5  # answers 400 of the page behind the firewall, before it is taken at its word
JSON = "application/json;charset=UTF-8"


class CheckReply(CheckedReply):
    data: object = None

    @property
    def ok(self) -> bool:
        return str(self.data).lower() == "true"

    def refusal(self) -> LinkExpired | CredentialsRefused:
        message = self.message or self.msg
        if refusal_kind(message) is LinkExpired:
            return LinkExpired(message)
        return CredentialsRefused(ID_LAST4.name, message)


class Ydyy(Provider):
    name = "ydyy"
    route = (
        r"/M-Viewer/shortserver/[\w-]+/?(?:\?[^#]*)?",
        r"/M-Viewer/?(?:(?<=/)index\.html)?(?:\?[^#]*)?#/(?:phone-visible|redirect|info)/[^/?#]+/?(?:\?.*)?",
        r"/M-Viewer/m/2D/?\?(?=.*\bcheckserialnum=[^&#]+).*",
    )
    asks = (ID_LAST4,)
    when_asked = "id_last4 (links phone-visible, and short links that lead there); nothing elsewhere"
    deployments = (
        Deployment("pacs.ydyy.cn", "东软 M-Viewer（ydyy）"),
        Deployment("wis.sj-hospital.cn", "盛京医院", "沈阳"),
    )
    distinctive_routes = route
    example = "https://pacs.ydyy.cn:8860/M-Viewer/#/phone-visible/BUSS1?shortUrl=abc123&idType=3&sign=eyJ0"
    user_agent = WECHAT_PHONE

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        referer = {"Referer": link.url}
        page = await mviewer.lengthen(link, session, SHORT)
        if asked := _check(page, session):
            await session.post(page.join(CHECK), json=asked, headers=referer, reply=CheckReply)
        return listing.read(await session.get(_list_address(page), headers=referer), page, referer)

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)

        async def arrived() -> bool | None:
            if SHORT not in session.screen.url:
                return True
            statuses = [exchange.status for exchange in session.traffic.matching(SHORT)]
            if mviewer.FIREWALL not in statuses[-1:] and await session.screen.is_idle():
                raise LinkExpired(await session.screen.message())
            return None  # the firewall's script comes before the redirect

        if SHORT in link.path:
            await session.poll(arrived, every_s=0.5, up_to_s=FIREWALL_UP_TO_S)

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        page = ShareLink(session.screen.url)
        if asked := _check(page, session):
            body = json.dumps(asked, ensure_ascii=False).encode()
            checked = await _in_page(session, Request(page.join(CHECK), "POST", {"Content-Type": JSON}, body))
            checked.checked(CheckReply)
        listed = await _in_page(session, Request(_list_address(page)))
        agent = str(await session.screen.evaluate("() => navigator.userAgent"))
        return listing.read(listed, page, {"Referer": link.url, "User-Agent": agent})


async def _in_page(session: Session, request: Request) -> Response:
    """Have the page send ``request``; patient while its firewall still sets the cookies that it wants to see.

    Raises:
        UnusableLink: the firewall takes this browser for none.
    """
    window, refused = await session.window(), 0

    async def ask() -> Response | None:
        nonlocal refused
        try:
            response = await window.fetch(request)
        except (SiteChanged, SiteUnreachable):
            return None  # the firewall's script reloads the page meanwhile
        refused += response.status == 400
        return (
            None if response.status == mviewer.FIREWALL or (response.status == 400 and refused < REFUSALS) else response
        )

    try:
        response = await session.poll(ask, every_s=1.0, up_to_s=FIREWALL_UP_TO_S)
    except SiteBusy:
        response = None
    if response is None or response.status == 400:
        raise UnusableLink("只能在手机浏览器中打开 (opens in a phone's browser only)", link=session.link.redacted)
    return response


def _check(page: ShareLink, session: Session) -> dict[str, str] | None:
    """What the check's page sends, or None where the link leads past it."""
    shown, number = mviewer.page_route(page)
    params = page.params
    if "phone-visible" not in (shown, params.get("forward", "") if shown == "redirect" else ""):
        return None
    if not (params.get("shortUrl") and params.get("idType") and params.get("sign")):
        raise UnusableLink("链接不完整，请重新复制 (the link is incomplete)", link=page.redacted)
    return {
        "idNum": session.answer(ID_LAST4).upper(),  # its last character may be an X
        "bussId": number,
        "hideQrcode": params.get("hideQrcode") or "1",
        "forward": params.get("forward") or "phone-visible",
        "shortUrl": params["shortUrl"],
        "idType": params["idType"],
        "sign": params["sign"],
    }


def _list_address(page: ShareLink) -> str:
    number = page.params.get("checkserialnum") or mviewer.page_route(page)[1]
    return with_query(page.join(LIST), {"checkserialnum": number, "mo": "true"})
