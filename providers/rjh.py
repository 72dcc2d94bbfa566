"""上海瑞金医院 (rjh): a share page, and a viewer that gives its originals one by one over its own socket."""

from __future__ import annotations

from providers.products import active_image, active_image_entry
from scraper.contract import Deployment, Provider, Series, Session, ShareLink


class Rjh(Provider):
    name = "rjh"
    route = (
        r"/web/fore-end/(?:index\.html)?(?:\?[^#]*)?#/check-[\w-]+\?(?P<share>.*(?:shareId|xeguId|unitId)=.+)"
        r"|/.*activeImage\.html(?P<viewer>.*)"
    )
    serves = "Part 10 files, one call of the page's own function each"
    deployments = (Deployment("lk-pacsview.rjh.com.cn", "上海交通大学医学院附属瑞金医院", "上海"),)
    example = "https://lk-pacsview.rjh.com.cn/web/fore-end/index.html#/check-detail-share?shareId=S001&xeguId=X001&unitId=rjzy"

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await active_image_entry.enter(link, session)

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        return await active_image.describe(link, session)
