"""江苏省肿瘤医院 CIF 云胶片 (cif): a page with an access code, and behind it a GE Zero Footprint viewer."""

from __future__ import annotations

from urllib.parse import parse_qsl

from providers.cif import socket, viewer
from scraper.contract import (
    ACCESS_CODE,
    Call,
    CheckedReply,
    Deployment,
    Field,
    NoSuchStudy,
    Provider,
    Reason,
    Series,
    Session,
    ShareLink,
    SiteChanged,
)

API = "/cloudFilmDataLogicApi"
OPEN = Call(f"{API}/filmInfo/getAESDecrypt", form={"decryptContent": "{urlParam}"})
EXAM = {"patientId": "{patientId}", "orderId": "{orderId}", "examId": "{examId}"}
LOGIN = Call(f"{API}/user/accCodeLogin", form={"accessCode": "{answer}", "urlAccessCode": "{accessCode}", **EXAM})
REPORT = Call(
    f"{API}/filmInfo/getReportInfo",
    form={**EXAM, "visitorDbkey": "0"},
    headers={"authorization": "{authorization}", "user": "{user}"},
)


class CifReply(CheckedReply):
    good = ("200",)
    code: str = Field(alias="status")


class OpenedReply(CifReply):
    ids: str = Field("", alias="data")


class LoginReply(CifReply):
    checks = ACCESS_CODE


class ReportReply(CifReply):
    viewer: str = Field("", alias="data.zfpUrl")


class Cif(Provider):
    name = "cif"
    route = r"/CIF/(?:[\w./-]+)\?(?:[^#]*&)?urlParam=(?P<param>[^&#]+).*"
    asks = (ACCESS_CODE,)
    when_asked = "access_code, always"
    serves = "rebuilt: raw frames over the viewer's WebSocket, with its tags"
    deployments = (Deployment("ge.jstumor.jszlyy.com.cn", "江苏省肿瘤医院", "南京"),)
    distinctive_routes = (r"/CIF/(?:user/loginAccCode|film)\?(?:[^#]*&)?urlParam=[^&#]+.*",)
    behind = (r"[^/]+/CIF/.*",)
    example = "http://ge.jstumor.jszlyy.com.cn:8080/CIF/user/loginAccCode?urlParam=AbCdEf0123456789"

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await socket.prepare(session)
        await session.open(await _viewer(link, session))

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        return await viewer.describe(session)


async def _viewer(link: ShareLink, session: Session) -> str:
    """The address of the viewer, by way of the code that is printed on the report."""
    opened = await OPEN.send(link, session)
    ids = dict(parse_qsl(opened.checked(OpenedReply).ids, keep_blank_values=True))
    if not ids:
        raise SiteChanged(what=Reason.AES_DECRYPT_DATA)
    entered = await LOGIN.send(link, session, ids, answer=session.answer(ACCESS_CODE))
    entered.checked(LoginReply)
    pass_on = {name: entered.headers[name] for name in ("authorization", "user") if name in entered.headers}
    if len(pass_on) < 2:
        raise SiteChanged(what=Reason.LOGIN_LEADS_NOWHERE)
    report = (await REPORT.send(link, session, ids, pass_on)).checked(ReportReply)
    if not report.viewer:
        raise NoSuchStudy
    return link.join(report.viewer)
