"""医院影像门户 (hospital-portal): a hospital's own site with account, password and a picture's characters; many makers."""

from __future__ import annotations

from providers.hospital_portal import entry, listing
from providers.hospital_portal.routes import BrowserRoute, HttpRoute
from scraper.contract import ACCOUNT, CAPTCHA, PASSWORD, Package, Provider, Session, ShareLink


class HospitalPortal(Provider):
    name = "hospital-portal"
    route = r"/.*"
    asks = (ACCOUNT, PASSWORD, CAPTCHA)
    when_asked = "account, password, and captcha: a picture whose characters a person types"
    serves = "one zip of Part 10 files an examination"
    distinctive_routes = (
        r"(?i)/(?:[\w.-]+/)*(?:user)?log[io]n\.(?:jsp|aspx?)(?:;[^?#]*)?(?:[?#].*)?",
        r"(?i)/(?>(?:[\w.-]++/)*?(?:pacs|film|yxcx|image|portal)/)(?:[\w.-]++/)*+(?:study|exam)?(?:detail|list)"
        r"\.(?:jsp|aspx?)(?:[?#].*)?",
    )
    example = "http://film.hospital.test:8088/pacs/login.jsp"

    async def discover(self, link: ShareLink, session: Session) -> list[Package]:
        route = HttpRoute(session)
        start = await route.open(link.url)
        if start.login is not None:
            start = await entry.enter(session, start, route)
        return await listing.packages(link, session, route, start)

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await entry.enter_window(session, link.url)

    async def watch(self, link: ShareLink, session: Session) -> list[Package]:
        route = BrowserRoute(session)
        return await listing.packages(link, session, route, await route.here())
