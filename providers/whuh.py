"""武汉大学中南医院 云影像 (whuh): a film cloud that packs a study when it is asked for.

facts:    fixtures/sites/whuh/README.md
asks:     nothing in WeChat; access_code where the page asks for a 安全码
serves:   one zip of Part 10 files an examination, packed by a job
verified: emulated site only

Over 120 lines because every call is signed and enciphered, and the zip is the end of a job of several calls.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import secrets
import time
from datetime import datetime, timedelta, timezone
from functools import partial

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.padding import PKCS7

from providers.toolkit import drive_page
from scraper.contract import (
    ACCESS_CODE,
    WECHAT_PHONE,
    AsyncIterator,
    CloudfilmError,
    CredentialsRefused,
    CredentialsRequired,
    Deployment,
    DownloadNotPermitted,
    Field,
    Found,
    LinkExpired,
    NoSuchStudy,
    NotThereYet,
    Package,
    Provider,
    Reason,
    Reply,
    Request,
    Session,
    ShareLink,
    SiteBusy,
    SiteChanged,
    Study,
    gone,
    read,
)

KEY, IV = bytes((8, 7, 6, 9, 4, 3, 2, 1)), bytes((1, 2, 3, 4, 9, 6, 7, 8))  # of the site's script; 2026-06
BEIJING = timezone(timedelta(hours=8))
CLOCK = "%Y-%m-%d %H:%M:%S"
SERVICE = "/ElectronicFilmService/"
REPORTS = "GetCloudImageReportInfoByThirdVistParm"  # spelt so
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
BY_PATIENT, AS_DICOM = 5, 0
DONE, FAILED = 4, 5
EVERY_S, UP_TO_S = 3.0, 1800.0


class Answer(Reply):
    success: bool = Field(alias="Success")
    message: str | None = Field("", alias="Message")
    result: object = Field(None, alias="Result")


class ConfigReply(Reply):
    may_download: bool | None = Field(None, alias="IsImageDownload")


class ReportReply(Reply):
    hospital: str = Field(alias="HospitalID")
    number: str | None = Field("", alias="HospitalNumber")
    id: str = Field(alias="ID")
    patient: str | None = Field("", alias="PatientID")
    examination: str | None = Field("", alias="ExaminationID")
    report: str | None = Field("", alias="ReportID")
    name: str | None = Field("", alias="PatientName")
    modality: str | None = Field("", alias="StudyTypeName")
    item: str | None = Field("", alias="StudyItemName")
    date: str | None = Field("", alias="CheckDate")


class ReportsReply(Reply):
    reports: list[ReportReply]


class FileReply(Reply):
    id: str = Field(alias="ID")
    state: int = Field(0, alias="CompressStatus")
    url: str | None = Field("", alias="DownloadUrl")


class JobReply(Reply):
    file: FileReply = Field(alias="File")


class Whuh(Provider):
    name = "whuh"
    route = r"(?=.*[?&]h=)(?=.*[?&]key=)/(?:index\.html)?(?:\?[^#]*)?(?:#/reportView.*)?"
    asks = (ACCESS_CODE,)
    deployments = (Deployment("xhbi.whuh.com", "武汉大学中南医院", "湖北"),)
    marks = (r"/(?:[\w-]+/)*index\.html.*#/reportView\?(?=.*\bh=)(?=.*\bkey=).*",)
    user_agent = WECHAT_PHONE
    mobile = True
    example = "https://xhbi.whuh.com/index.html#/reportView?h=HOSP1&e=EXAM1&p=PAT1&r=REP1&t=1&key=BASE64&dateTime=HEX"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        _check_time(link)
        told = {name: value.replace(" ", "+") for name, value in link.params.items()}
        asked = [{"Key": NAMES.get(name, name), "Value": value} for name, value in told.items() if name not in NOT_SENT]
        body = {
            "HospitalNumber": told.get("h", ""),
            "VistParms": [*asked, {"Key": "Url", "Value": link.url}],
        }
        await _check_offer(link, session)
        try:
            reports = await _call(link, session, REPORTS, body)
        except CredentialsRequired as err:  # only its page knows how to submit the code
            if session.settings.browser == "never":
                raise
            raise SiteChanged(err.said, host=link.host, what=Reason.SECURITY_CODE) from None
        for package in _packages(link, session, reports):
            yield package

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        _check_time(link)
        await session.open(link.url)
        seen = partial(_reports_seen, link, session)
        if await drive_page.comes(session, seen, code=drive_page.FIELD) != "code":
            return
        if not session.settings.headed or session.given(ACCESS_CODE):
            await drive_page.answer(session, ACCESS_CODE)
        if not await drive_page.comes(session, seen):
            raise CredentialsRefused(ACCESS_CODE.name, await drive_page.words(session), host=link.host)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        calls = session.traffic.matching(SERVICE + REPORTS)
        if not calls:
            raise gone(await drive_page.words(session), host=link.host)
        reports = _result(link, SERVICE + REPORTS, calls[-1].read())
        await _check_offer(link, session)
        for package in _packages(link, session, reports):
            yield package


def _reports_seen(link: ShareLink, session: Session) -> bool:
    """Has the page's own call been answered; what was asked before the code was there does not count."""
    for call in session.traffic.matching(SERVICE + REPORTS):
        with contextlib.suppress(CredentialsRequired):
            _result(link, SERVICE + REPORTS, call.read())
            return True
    return False


async def _check_offer(link: ShareLink, session: Session) -> None:
    """Raises DownloadNotPermitted where the hospital's page does not offer it."""
    asked = {"hospitalCode": link.params.get("h", "")}
    answer = await _call(link, session, "GetCloudImageConfigInfoByHospitalCode", asked)
    config = read(json.dumps(answer or {}).encode(), ConfigReply, link.url)
    if config.may_download is False:
        raise DownloadNotPermitted(host=link.host)


def _packages(link: ShareLink, session: Session, result: object) -> list[Package]:
    """One package for each examination."""
    listed = [item for item in (result if isinstance(result, list) else [result]) if item]
    reports = read(json.dumps({"reports": listed}).encode(), ReportsReply, link.url).reports
    if not reports:
        raise NoSuchStudy(host=link.host)
    return [
        Package(
            partial(_packed, link, session, report),
            study=Study(
                date=re.sub(r"\D", "", report.date or "")[:8],
                modality=report.modality or "",
                description=report.item or "",
                patient_name=report.name or "",
                key=f"{report.hospital}/{report.examination or report.id}",
            ),
        )
        for report in reports
    ]


async def _packed(link: ShareLink, session: Session, report: ReportReply) -> Request:
    """Have the site pack one examination; gives the request for the zip.

    Raises:
        NotThereYet: its images are still being fetched from the hospital. SiteBusy: they could not be packed.
    """
    there = {"hospitalID": report.hospital, "cloudImageReportID": report.id}
    if str(await _call(link, session, "GetExistImageByCloudImageReportID", there)).lower() not in (
        "true",
        "1",
    ):
        raise NotThereYet(host=link.host)
    info = {
        "ExaminationID": report.examination,
        "ReportID": report.report,
        "PatientID": report.patient,
        "SeriesInstanceUID": "",
        "PatientName": report.name,
        "StudyTypeName": report.modality,
        "StudyDate": report.date,
        "DownloadSource": BY_PATIENT,
        "ImageDownloadExtentions": AS_DICOM,
    }  # spelt so
    asked = {
        "hospitalID": report.hospital,
        "hospitalNumber": report.number or link.params.get("h", ""),
        "info": info,
    }
    begun = _job(link, await _call(link, session, "GetDownloadCacheInfoByCloudImage", asked))

    async def state() -> FileReply | None:
        again = {"hospitalID": report.hospital, "id": begun.id}
        job = _job(link, await _call(link, session, "GetDownloadStatus", again))
        return job if job.state >= DONE else None

    done = begun if begun.state >= DONE else await session.poll(state, every_s=EVERY_S, up_to_s=UP_TO_S, what="packing")
    if done.state == FAILED or not done.url:
        raise SiteBusy(host=link.host, why=Reason.IMAGES_NOT_PACKED)
    record = {
        "UserID": "",
        "UserName": "",
        "DownloadFileID": done.id,
        "DownloadSource": BY_PATIENT,
        "HospitalID": report.hospital,
    }
    with contextlib.suppress(CloudfilmError):  # the page's own book-keeping
        await _call(link, session, "AddDownloadImageRecordInfo", record)
    return Request(link.join(done.url), headers=_page(link))


def _job(link: ShareLink, result: object) -> FileReply:
    return read(json.dumps(result).encode(), JobReply, link.url).file


async def _call(link: ShareLink, session: Session, name: str, body: object) -> object:
    """One signed call; gives its ``Result``."""
    path = SERVICE + name
    nonce, stamp = f"{secrets.randbelow(900_000) + 100_000}", str(int(time.time() * 1000))
    signed = hashlib.md5(f"{nonce}{stamp}{path}{nonce}".encode(), usedforsecurity=False).hexdigest().upper()
    now = datetime.now(BEIJING).strftime(CLOCK)
    token = base64.b64encode(_cipher(TripleDES(KEY * 3), IV, now.encode(), seal=True)).decode()
    headers = {**_page(link), "TimeStamp": stamp, "Nonce": nonce, "Signature": signed, "vToken": token}
    answer = await session.post(link.join(path), json=body, headers=headers)
    try:
        return _result(link, path, answer.body)
    except SiteChanged as err:
        raise err if answer.ok else answer.refusal from None


def _result(link: ShareLink, path: str, body: bytes) -> object:
    """The ``Result`` of an answer: JSON in clear, or Base64 of its cipher, in quotes or not, padded or not.

    Raises:
        CredentialsRequired: the security code is asked for. StudyGone: refused, in the site's own words.
    """
    text = body.removeprefix(b"\xef\xbb\xbf").strip()
    if not text.startswith(b"{"):
        packed = re.sub(rb"[^A-Za-z0-9+/]", b"", text)
        try:
            text = _cipher(TripleDES(KEY * 3), IV, base64.b64decode(packed + b"=" * (-len(packed) % 4)), seal=False)
        except ValueError:
            raise SiteChanged(host=link.host, what=Reason.NO_JSON.of(path=path)) from None
    answer = read(text, Answer, link.join(path))
    if answer.success:
        return answer.result
    said = answer.message or ""
    if "安全码" in said:
        raise CredentialsRequired(ACCESS_CODE.name, said, host=link.host)
    raise gone(said, host=link.host)


def _check_time(link: ShareLink) -> None:
    """The QR code bears its own expiry; one that can't be read is the site's to judge."""
    try:
        sealed = bytes.fromhex(link.params.get("dateTime", ""))
        text = _cipher(AES(KEY * 2), IV * 2, sealed, seal=False).decode()
        expires = datetime.strptime(text, CLOCK).replace(tzinfo=BEIJING)
    except ValueError:
        return
    if expires < datetime.now(BEIJING):
        raise LinkExpired(host=link.host)


def _cipher(algorithm: BlockCipherAlgorithm, iv: bytes, data: bytes, *, seal: bool) -> bytes:
    """CBC with PKCS#7 padding; raises ValueError over what is no such cipher."""
    cipher, padding = Cipher(algorithm, modes.CBC(iv)), PKCS7(algorithm.block_size)
    if seal:
        padder, sealing = padding.padder(), cipher.encryptor()
        return sealing.update(padder.update(data) + padder.finalize()) + sealing.finalize()
    opening, unpadder = cipher.decryptor(), padding.unpadder()
    return unpadder.update(opening.update(data) + opening.finalize()) + unpadder.finalize()


def _page(link: ShareLink) -> dict[str, str]:
    return {"Origin": link.origin, "Referer": f"{link.origin}/index.html"}
