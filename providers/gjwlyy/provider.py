"""浙大二院 联众云胶片 (gjwlyy): a report page, and an eUnity viewer that gives out no file; what it decodes is taken."""

from __future__ import annotations

from providers.gjwlyy import images, tags, viewer
from providers.toolkit.gate import PageGate
from scraper.contract import (
    Deployment,
    LinkExpired,
    NoSuchStudy,
    Provider,
    Series,
    Session,
    SessionLapsed,
    ShareLink,
    SiteUnreachable,
    with_query,
)

CONTROL = PageGate(control="text=影像浏览")
REPORT = r"/queryShareReport\.htm"
VIEWER = r"^(?>.*?/e/viewer\?).*\bformat=1upSeriesBox\b"
SEVERAL_UP = r"^[^?#]*/e/viewer\?(?!.*\bformat=1upSeriesBox\b)"


class Gjwlyy(Provider):
    name = "gjwlyy"
    route = (
        r"/cloudfilmserver/cloudFilm/showShareReport\.htm\?(?:[^#]*&)?key=(?P<key>[^&#]+).*",
        r"/e/viewer\?(?P<viewer>[^#]+).*",
    )
    serves = "rebuilt: the full-resolution pixels that the viewer decodes, with the tags that it names"
    deployments = (
        Deployment("zjyx.gjwlyy.com", "浙江大学医学院附属第二医院", "杭州"),
        Deployment("zjyxview.gjwlyy.com", "浙江大学医学院附属第二医院", "杭州"),
    )
    distinctive_routes = (
        r"/cloudfilmserver/cloudFilm/showShareReport\.htm\?.*key=.+",
        r"/e/viewer\?(?:.*&)?CLOAccessKeyID=.+",
    )
    example = "http://zjyx.gjwlyy.com/cloudfilmserver/cloudFilm/showShareReport.htm?key=0123456789abcdef"

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.screen.before_load(viewer.HOOK)
        await session.screen.redirect(SEVERAL_UP, _one_up)
        try:
            await session.open(link.url)
        except SiteUnreachable:  # a refusal may come without a page
            if not _is_spent(session):
                raise
        if "viewer" not in link.named:
            await CONTROL.enter(session)

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        await session.traffic.wait_for(VIEWER, timeout_s=session.settings.timeout_s)
        if _is_spent(session):
            raise LinkExpired if "viewer" in link.named else SessionLapsed
        screen = viewer.EunityScreen(session)
        state = await screen.ready()
        shown = await images.collect(screen, state, session)
        if not shown:
            raise NoSuchStudy
        call = next((exchange for exchange in session.traffic.matching(REPORT) if exchange.ok), None)
        report = call.response().read(tags.ReportReply) if call else tags.ReportReply.empty()
        return tags.describe(state, report.tags, shown, tags.read_wrappers(session))


def _one_up(url: str) -> str:
    """The viewer's address with one image on the screen, however the page opens it; its ticket is not spent."""
    head, _, query = url.partition("?")
    others = "&".join(pair for pair in query.split("&") if not pair.startswith("format="))
    return with_query(f"{head}?{others}" if others else head, {"format": "1upSeriesBox"})


def _is_spent(session: Session) -> bool:
    return any(exchange.status in (401, 403) for exchange in session.traffic.matching(VIEWER))
