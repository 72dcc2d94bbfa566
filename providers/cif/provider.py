"""江苏省肿瘤医院 CIF 云胶片 (cif): a page with an access code, and behind it a GE Zero Footprint viewer.

facts:    fixtures/sites/cif/README.md
asks:     access_code, always
serves:   rebuilt: raw frames over the viewer's WebSocket, with its tags
verified: emulated site only
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from providers.cif import socket
from providers.cif import viewer as dakota
from scraper.contract import (
    ACCESS_CODE,
    AsyncIterator,
    CredentialsRefused,
    Deployment,
    Found,
    NoSuchStudy,
    Provider,
    Reason,
    Reply,
    Response,
    Session,
    ShareLink,
    SiteChanged,
    gone,
    read,
)

API = "/cloudFilmDataLogicApi"


class Answer(Reply):
    status: str
    msg: str | None = ""
    data: object = None


class Report(Reply):
    zfpUrl: str | None = ""  # the site's own key


class Reported(Answer):
    data: Report | None = None


class Cif(Provider):
    name = "cif"
    route = r"/CIF/(?:[\w./-]+)\?(?:[^#]*&)?urlParam=(?P<param>[^&#]+).*"
    asks = (ACCESS_CODE,)
    deployments = (Deployment("ge.jstumor.jszlyy.com.cn", "江苏省肿瘤医院", "南京"),)
    marks = (r"/CIF/(?:user/loginAccCode|film)\?(?:[^#]*&)?urlParam=[^&#]+.*",)
    behind = (r"[^/]+/CIF/.*",)
    example = "http://ge.jstumor.jszlyy.com.cn:8080/CIF/user/loginAccCode?urlParam=AbCdEf0123456789"

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await socket.prepare(session)
        await session.open(await _viewer(link, session))

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        del link
        async for series in dakota.series(session):
            yield series


async def _viewer(link: ShareLink, session: Session) -> str:
    """The address of the viewer, by way of the code that is printed on the report."""
    opened = _good(await _call(link, session, "/filmInfo/getAESDecrypt", {"decryptContent": link.params["urlParam"]}))
    if not isinstance(opened.data, str):
        raise SiteChanged(host=link.host, what=Reason.AES_DECRYPT_DATA)
    ids = dict(parse_qsl(opened.data, keep_blank_values=True))
    exam = {name: ids.get(name, "") for name in ("patientId", "orderId", "examId")}
    code = {"accessCode": session.answer(ACCESS_CODE), "urlAccessCode": ids.get("accessCode", "")}
    entered = await _call(link, session, "/user/accCodeLogin", {**code, **exam})
    told = read(entered.body, Answer, entered.url)
    if told.status != "200":
        raise CredentialsRefused(ACCESS_CODE.name, told.msg or "", host=link.host)
    pass_on = {name: entered.headers[name] for name in ("authorization", "user") if name in entered.headers}
    if len(pass_on) < 2:
        raise SiteChanged(host=link.host, what=Reason.LOGIN_LEADS_NOWHERE)
    report = await _call(link, session, "/filmInfo/getReportInfo", {**exam, "visitorDbkey": "0"}, pass_on)
    _good(report)
    viewer = read(report.body, Reported, report.url).data
    if viewer is None or not viewer.zfpUrl:
        raise NoSuchStudy(host=link.host)
    return link.join(viewer.zfpUrl)


async def _call(
    link: ShareLink, session: Session, path: str, form: dict[str, str], headers: dict[str, str] | None = None
) -> Response:
    page = {"Origin": link.origin, "Referer": link.url.partition("#")[0]}
    return await session.post(link.join(API + path), form=form, headers={**page, **(headers or {})})


def _good(response: Response) -> Answer:
    """The answer, where the site says that it is one.

    Raises:
        StudyGone: it says why not.
    """
    answer = read(response.body, Answer, response.url)
    if answer.status != "200":
        raise gone(answer.msg or "", host=response.url.split("/")[2])
    return answer
