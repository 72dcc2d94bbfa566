"""浙大一院 患者云 (zy91), patients' shared reports; 微影 radinfo.

Long because the page's own check must be passed in it, and a saved page is a second way in.
"""

from __future__ import annotations

import re
import time
from functools import partial
from urllib.parse import urljoin

from providers.products import radinfo
from providers.toolkit import drive_page
from scraper.contract import (
    CAPTCHA,
    ID_LAST6,
    Call,
    CaptchaRequired,
    CredentialsRefused,
    Deployment,
    LinkExpired,
    NoSuchStudy,
    Provider,
    Reason,
    Response,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    Study,
    parse_int,
    refusal_error,
)

API = "https://yyx.zy91.com:5443"  # where the images lie; 2026-06
ASKED = {
    ID_LAST6: r"身份证|证件|后六位|后\s*6\s*位|id_?(?:card|no|num)",
    CAPTCHA: r"验证码|图形|校验码|captcha|verif|code",
}
REFUSED = "text=/错误|不正确|有误|不匹配|不一致/"
REPORT = Call(
    API + radinfo.REPORT,
    params={
        "accessionNumber": "{sid}",
        "phoneNum": "{tel}",
        "patientsId": "{pid}",
        "Expires": "{expires}",
        "Signature": "{signature}",
    },
)
CHECKED = r"验证码|校验码|身份证|证件|后六位"
OVERLAY_S = 1.5  # for a check to be laid over a report that has come already


class Zy91(Provider):
    name = "zy91"
    route = (r"(?=.*[?&]sid=)/PC/?(?:index\.html)?(?:\?[^#]*)?(?:#.*)?", r"/PC/#/saved")
    asks = (ID_LAST6, CAPTCHA)
    when_asked = (
        "id_last6 and captcha, in its own page (--headed, or --browser always); "
        "nothing where the viewer's page is given saved"
    )
    deployments = (Deployment("yyx.zy91.com", "浙江大学医学院附属第一医院", "浙江"),)
    distinctive_routes = (r"/PC/.*share_report\?(?=.*\bsid=)(?=.*\b[Ss]ignature=).*",)
    saved_page = radinfo.VIEWER
    saved_from = "https://yyx.zy91.com:6443/PC/#/saved"
    study_list_call = radinfo.REPORTED
    on_any_host = True
    behind = (r"yyx\.zy91\.com/PC\b.*",)
    example = "https://yyx.zy91.com:6443/PC/#/share_report?tel=&pid=P1&sid=A1&Expires=1900000000&Signature=abc%3D"

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        """A saved page is read; a link's page has a check that nobody knows how to submit but the page itself."""
        if link.saved:
            return radinfo.list_series(link.saved, API, radinfo.site(link), Study())
        _check_time(link)
        nobody = CaptchaRequired(CAPTCHA.name)
        can_ask = session.settings.interactive or session.given(ID_LAST6) or session.given(CAPTCHA)
        raise session.only_in_page(Reason.CHECK_OF_ITS_PAGE, nobody) if can_ask else nobody

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        _check_time(link)
        await session.open(link.url)
        screen = session.screen
        if session.settings.headed:
            await screen.wait_for_face(partial(_good, session))  # the person passes what there is
            return
        if await screen.wait_for_face(partial(_reports, session), check=drive_page.FIELD) != "check":
            try:
                await session.which(check=drive_page.FIELD, timeout_s=OVERLAY_S)
            except SiteChanged:
                return  # there is nothing to pass
        before = len(_good(session))
        faces = {} if await screen.count(REFUSED) else {"refused": REFUSED}
        await drive_page.fill_fields(session, ASKED)
        await drive_page.submit(session, last=True)
        match await screen.wait_for_face(lambda: _good(session)[before:], **faces):
            case "called":
                return
            case "refused":
                raise CredentialsRefused(CAPTCHA.name, await screen.text(REFUSED))
        messages = [_answer(response).message for response in _reports(session)]
        refusal = next((message for message in messages[::-1] if re.search(CHECKED, message)), "")
        if refusal or await screen.count(drive_page.FIELD):
            raise CredentialsRefused(CAPTCHA.name, refusal or await screen.message())

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        given, headers = radinfo.params(link), radinfo.site(link)
        answers = _good(session) or _reports(session)
        if not answers and CAPTCHA.name in session.answers:  # passed, and shown in another way: go on from that session
            answers = [await REPORT.send(link, session, given)]
        if not answers:
            raise refusal_error(await session.screen.message())
        report, here = radinfo.report(answers[-1]), answers[-1].url
        if not report.viewer:
            raise NoSuchStudy
        viewer = await session.get(urljoin(here, report.viewer), headers=headers)
        if not viewer.ok:
            raise viewer.refusal
        return radinfo.list_series(viewer.text, urljoin(here, "/")[:-1], headers, report.study(given.get("sid", "")))


def _check_time(link: ShareLink) -> None:
    expires = parse_int(radinfo.params(link).get("expires"))
    if expires is not None and expires < time.time():
        raise LinkExpired


def _reports(session: Session) -> list[Response]:
    """The answers that the page's own calls for the report had."""
    calls = session.traffic.matching(radinfo.REPORTED)
    return [exchange.response() for exchange in calls if exchange.method != "OPTIONS"]


def _answer(response: Response) -> radinfo.ReportedReply:
    try:
        return response.read(radinfo.ReportedReply)
    except SiteChanged:  # refused without words of its own
        return radinfo.ReportedReply(success=False)


def _good(session: Session) -> list[Response]:
    """Those that are no refusal."""
    return [response for response in _reports(session) if _answer(response).ok]
