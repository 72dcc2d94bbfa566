"""上海瑞金医院 (rjh): a share page, and a viewer that gives its originals one by one over its own socket."""

from __future__ import annotations

from providers.products.active_image import ActiveImage
from scraper.contract import Deployment


class Rjh(ActiveImage):
    name = "rjh"
    route = (
        r"/web/fore-end/(?:index\.html)?(?:\?[^#]*)?#/check-[\w-]+\?(?P<share>.*(?:shareId|xeguId|unitId)=.+)"
        r"|/.*activeImage\.html(?P<viewer>.*)"
    )
    serves = "Part 10 files, one call of the page's own function each"
    deployments = (Deployment("lk-pacsview.rjh.com.cn", "上海交通大学医学院附属瑞金医院", "上海"),)
    example = "https://lk-pacsview.rjh.com.cn/web/fore-end/index.html#/check-detail-share?shareId=S001&xeguId=X001&unitId=rjzy"
