"""武汉大学中南医院 云影像 (whuh): a film cloud that packs a study when it is asked for."""

from __future__ import annotations

import contextlib
from functools import partial

from providers.toolkit import envelope
from providers.toolkit.gate import PageGate
from providers.whuh.packing import ReportReply, pack
from providers.whuh.service import SERVICE, call, check_time, read_result
from scraper.contract import (
    ACCESS_CODE,
    WECHAT_PHONE,
    CredentialsRequired,
    Deployment,
    DownloadNotPermitted,
    Field,
    NoSuchStudy,
    Package,
    Provider,
    Reason,
    Reply,
    Session,
    ShareLink,
    refusal_error,
)

REPORTS, CONFIG = "GetCloudImageReportInfoByThirdVistParm", "GetCloudImageConfigInfoByHospitalCode"  # spelt so
NAMES = {
    "e": "ExaminationID",
    "p": "PatientID",
    "r": "ReportID",
    "t": "VistType",
    "s": "TelePhone",
    "c": "CertificateCode",
    "m": "OutpatientNO",
    "z": "HospitalizationNO",
}
NOT_SENT = {"h", "isEncryption", "dateTime", "isShare", "id"}


class ConfigReply(Reply):
    may_download: bool = Field(default=True, alias="IsImageDownload")


class ReportsReply(Reply):
    reports: list[ReportReply]


def _is_report_seen(session: Session) -> bool:
    """Has the page's own call been answered; what was asked before the code was there does not count."""
    for exchange in session.traffic.matching(SERVICE + REPORTS):
        with contextlib.suppress(CredentialsRequired):
            read_result(session.link, exchange.read())
            return True
    return False


class Whuh(Provider):
    name = "whuh"
    route = r"(?=.*[?&]h=)(?=.*[?&]key=)/(?:index\.html)?(?:\?[^#]*)?(?:#/reportView.*)?"
    asks = (ACCESS_CODE,)
    when_asked = "nothing in WeChat; access_code where the page asks for a 安全码"
    serves = "one zip of Part 10 files an examination, packed by a job"
    deployments = (Deployment("xhbi.whuh.com", "武汉大学中南医院", "湖北"),)
    distinctive_routes = (r"/(?:[\w-]+/)*index\.html.*#/reportView\?(?=.*\bh=)(?=.*\bkey=).*",)
    user_agent = WECHAT_PHONE
    gate = PageGate(called=_is_report_seen, asks=ACCESS_CODE)
    example = "https://xhbi.whuh.com/index.html#/reportView?h=HOSP1&e=EXAM1&p=PAT1&r=REP1&t=1&key=BASE64&dateTime=HEX"

    async def discover(self, link: ShareLink, session: Session) -> list[Package]:
        check_time(link)
        given = {name: value.replace(" ", "+") for name, value in link.params.items()}
        asked = {NAMES.get(name, name): value for name, value in given.items() if name not in NOT_SENT}
        pairs = [{"Key": name, "Value": value} for name, value in {**asked, "Url": link.url}.items()]
        await _check_offer(link, session)
        try:
            reports = await call(link, session, REPORTS, {"HospitalNumber": given.get("h", ""), "VistParms": pairs})
        except CredentialsRequired as err:  # only its page knows how to submit the code
            raise session.only_in_page(Reason.SECURITY_CODE, err) from None
        return _packages(link, session, reports)

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        check_time(link)
        await super().open_viewer(link, session)

    async def watch(self, link: ShareLink, session: Session) -> list[Package]:
        calls = session.traffic.matching(SERVICE + REPORTS)
        if not calls:
            raise refusal_error(await session.screen.message())
        reports = read_result(link, calls[-1].read())
        await _check_offer(link, session)
        return _packages(link, session, reports)


async def _check_offer(link: ShareLink, session: Session) -> None:
    """Raises DownloadNotPermitted where the hospital's page does not offer it."""
    asked = {"hospitalCode": link.params.get("h", "")}
    config = await call(link, session, CONFIG, asked)
    if not envelope.nested(config or {}, ConfigReply, link.url).may_download:
        raise DownloadNotPermitted


def _packages(link: ShareLink, session: Session, result: object) -> list[Package]:
    """One package for each examination."""
    listed = [item for item in (result if isinstance(result, list) else [result]) if item]
    reports = envelope.nested({"reports": listed}, ReportsReply, link.url).reports
    if not reports:
        raise NoSuchStudy
    return [Package(partial(pack, link, session, report), study=report.study) for report in reports]
