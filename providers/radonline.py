"""锐达 云影像 (radonline): a share page, and a viewer that packs each series' originals itself."""

from __future__ import annotations

from providers.products.active_image import ActiveImage
from scraper.contract import ID_LAST4, NAME, PHONE, Deployment


class Radonline(ActiveImage):
    name = "radonline"
    route = (
        r"/web/fore-end/(?:index\.html)?(?:\?[^#]*)?#/(?P<page>check-[\w-]+)\?(?P<share>.*(?:shareId|xeguId|unitId)=.+)"
        r"|/web/fore-end/(?:index\.html)?\?(?:[^#]*&)?redirect=(?P<redirect>[^#&]*(?:unitId|xeguId)[^#]*)(?:#.*)?"
        r"|/web[\w]*/(?:[\w-]+/)*activeImage\.html\?(?P<viewer>.*mergeParameters=.+)"
    )
    asks = (ID_LAST4, PHONE, NAME)
    when_asked = "nothing for shares; what the scan page's form asks"
    serves = "Part 10 files, a zip a series, packed in the page"
    deployments = (Deployment("film.radonline.cn", "锐达影像云", "全国"),)
    distinctive_routes = (
        r"/web/fore-end/(?:index\.html)?(?:\?[^#]*)?#/check-[\w-]+\?.*shareId=.+",
        r"/web\w*/activeImage\.html\?.*mergeParameters=.+",
    )
    study_list_call = r"/activeImage\.html\?"
    on_any_host = True
    behind = (r"[^/]+/(?:web/fore-end/|web\w*/activeImage\.html).*",)
    example = "https://film.radonline.cn/web/fore-end/index.html#/check-detail-share?shareId=S001&xeguId=20260101010101&unitId=U001"
