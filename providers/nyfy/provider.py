"""宁夏医科大学总医院影像云 (nyfy), a 万里云 viewer: what it shows arrives over its WebSocket, pixels lie in a store beside it."""

from __future__ import annotations

from providers.nyfy.stack import VIEWER, Stack
from providers.toolkit.gate import PageGate
from scraper.contract import PASSWORD, Deployment, Provider, Series, Session, ShareLink

DIALOG = "div.password-input-dialog"


class Nyfy(Provider):
    name = "nyfy"
    route = r"/viewImage/?(?:index\.html)?(?:\?[^#]*)?#/image\?(?:.*&)?data=[^&]+.*"
    asks = (PASSWORD,)
    when_asked = "password, where the share has one"
    serves = "rebuilt: uncompressed frames with the viewer's tags"
    deployments = (Deployment("zhyl.nyfy.com.cn", "宁夏医科大学总医院", "宁夏"),)
    distinctive_routes = (r"/viewImage/(?:\?[^#]*)?#/image\?(?:.*&)?data=[^&]+.*",)
    study_list_call = r"/api/dispRender\?"
    on_any_host = True
    behind = (r"[^/]+/viewImage/[^#]*#/.*",)
    gate = PageGate(
        viewer=VIEWER,
        asks=PASSWORD,
        field=f"{DIALOG} input.el-input__inner",
        confirm=f"{DIALOG} >> role=button[name=/验证密码/]",
        notice="role=button[name=/我知道了/]",
        late_s=4.5,
    )
    example = "http://zhyl.nyfy.com.cn:50647/viewImage/#/image?data=QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoxMjM0NTY3ODkw"

    def __init__(self) -> None:
        self._stack = Stack()

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        return await self._stack.describe(link, session)
