"""龙江医学影像云 (ljjk), the image sharing of Heilongjiang; NeuView mobile."""

from __future__ import annotations

from providers.products import neuview
from scraper.contract import Deployment


class Ljjk(neuview.NeuView):
    name = "ljjk"
    route = r"/NeuView/mobile/?(?:index\.html)?(?:\?[^#]*)?#(?P<token>[^&=#?][^&#?]*)(?:&[^#]*)?"
    serves = "Part 10 files, one zip each, from an object store with signed addresses"
    deployments = (Deployment("mic.ljjk.org.cn", "龙江医学影像云", "黑龙江"),)
    distinctive_routes = (rf"/NeuView/mobile/[^#]*{neuview.IN_FRAGMENT}",)
    behind = (r"[^/]+/NeuView/.*",)
    example = "https://mic.ljjk.org.cn/NeuView/mobile/?r=1700000000000#A1_SIGN_0a1b2c_OPEN_undefined&bType=2d&title=CT"
