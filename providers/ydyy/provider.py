"""东软 M-Viewer on a phone (NeuVNA): an XML list of WADO addresses, behind a check of the ID card or a firewall."""

from __future__ import annotations

from providers.products import mviewer
from providers.ydyy import listing
from scraper.contract import (
    ID_LAST4,
    WECHAT_PHONE,
    Call,
    CheckedReply,
    CredentialsRefused,
    Deployment,
    LinkExpired,
    Provider,
    Request,
    Series,
    Session,
    ShareLink,
    UnusableLink,
    refusal_kind,
)

SHORT = "/M-Viewer/shortserver/"
PAGE = r"/M-Viewer/?(?:(?<=/)index\.html)?(?:\?[^#]*)?#/(?:phone-visible|redirect|info)/(?P<number>[^/?#]+)/?(?:\?.*)?"
CHECK = Call(
    "/M-Viewer/mobilebackend/qrcode/checkIdNum",
    json={
        "idNum": "{answer}",
        "bussId": "{number}",
        "hideQrcode": "{hideQrcode|=1}",
        "forward": "{forward|=phone-visible}",
        "shortUrl": "{shortUrl}",
        "idType": "{idType}",
        "sign": "{sign}",
    },
)
LIST = Call(
    "/M-Viewer/m/NeuVnaimage/getxmltowebpacs.action", params={"checkserialnum": "{checkserialnum|number}", "mo": "true"}
)


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
    route = (r"/M-Viewer/shortserver/[\w-]+/?(?:\?[^#]*)?", PAGE, r"/M-Viewer/m/2D/?\?(?=.*\bcheckserialnum=[^&#]+).*")
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
        referer, page = {"Referer": link.url}, await mviewer.lengthen(link, session, SHORT)
        page = page.matched(PAGE) or page
        if asked := _check(page, session):
            (await session.send(asked)).checked(CheckReply)
        return listing.read(await LIST.send(page, session), page, referer)

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
            await session.poll(arrived, every_s=0.5, up_to_s=mviewer.FIREWALL_UP_TO_S)

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        page = ShareLink(session.screen.url)
        page = page.matched(PAGE) or page
        if asked := _check(page, session):
            (await mviewer.in_page(session, asked)).checked(CheckReply)
        listed = await mviewer.in_page(session, LIST.request(page))
        agent = str(await session.screen.evaluate("() => navigator.userAgent"))
        return listing.read(listed, page, {"Referer": link.url, "User-Agent": agent})


def _check(page: ShareLink, session: Session) -> Request | None:
    """What the check's page sends, or None where the link leads past it."""
    shown, _ = mviewer.page_route(page)
    if "phone-visible" not in (shown, page.param("forward") if shown == "redirect" else ""):
        return None
    if not (page.param("shortUrl") and page.param("idType") and page.param("sign")):
        raise UnusableLink("链接不完整，请重新复制 (the link is incomplete)", link=page.redacted)
    return CHECK.request(page, answer=session.answer(ID_LAST4).upper())  # its last character may be an X
