"""上海申康 医联影像 (SHDC), the image sharing of Shanghai's municipal hospitals."""

from __future__ import annotations

import hashlib
import secrets
import string
import time
from dataclasses import replace
from functools import partial
from urllib.parse import quote_plus

from providers.toolkit.gate import PageGate
from scraper.contract import (
    ACCESS_CODE,
    CheckedReply,
    Deployment,
    Field,
    ImageRow,
    LinkExpired,
    Number,
    Provider,
    Reason,
    Repaired,
    Series,
    SeriesRow,
    Session,
    ShareLink,
    SiteChanged,
    StudyRow,
    UnusableLink,
    WadoUri,
    route,
)

KEY = "5fbcVzmBJNUsw53#"  # of the site's script; last seen to work 2026-03
FOLDER = "rawdata/indata"  # in all reports
BASE62 = string.digits + string.ascii_letters
EXPIRED = "1005"
SITE = "https://ylyyx.shdc.org.cn/"
DETAIL_CALL, LIST_CALL = r"/api001/study/detail\?", r"/api001/series/list\?"


class ShdcReply(CheckedReply):  # of HTTP 200 always
    good = ("0",)
    means = {EXPIRED: LinkExpired}
    is_sealed = True
    msg: Repaired = ""


class VerifyReply(ShdcReply):
    url_link: str = ""


class DetailReply(ShdcReply, StudyRow):
    key: str = Field("", alias="study.study_id")
    patient_name: Repaired = Field("", alias="study.patient_name|study.patient.name")
    description: Repaired = Field("", alias="study.description")
    modality: str = Field("", alias="study.modality_type")
    date: str = Field("", alias="study.study_date|study.study_datetime")


class SeriesReply(SeriesRow):
    key: str = Field(alias="series_id")
    number: Number = Field(None, alias="series_number")
    description: Repaired = ""
    source_folder: str = ""
    names: str = ""


class ListReply(ShdcReply):
    folder_pre: str = FOLDER
    result: tuple[SeriesReply, ...] = ()


class Shdc(Provider):
    name = "shdc"
    asks = (ACCESS_CODE,)
    when_asked = "nothing, as a rule; access_code where the share carries a 安全码"
    deployments = (Deployment("ylyyx.shdc.org.cn", "上海申康 医联影像", "上海"),)
    gate = PageGate(
        viewer="canvas",
        asks=ACCESS_CODE,
        field="input:not([type=hidden]):visible",
        refused="text=/错误|不正确|过期|失效|无权/",
    )
    example = "https://ylyyx.shdc.org.cn/#/home?sid=10001&token=0a1b2c"

    @route(r"/(?:\?[^#]*)?#/\w+\?.*sid=[^&]+.*")
    async def by_viewer(self, link: ShareLink, session: Session) -> list[Series]:
        if not link.params.get("token"):
            raise UnusableLink(link=link.redacted)  # the address of somebody's own session
        return await _list(link, session, link.params)

    @route(r"/code\.html\?.*share_id=[^&]+.*")
    async def by_report(self, link: ShareLink, session: Session) -> list[Series]:
        """The report's share id is exchanged for the viewer's link."""
        form = {"appid": link.params.get("appid", ""), "share_id": link.params["share_id"]}
        verified = (await session.post(_signed(link, "share_verify", ""), form=form)).unwrap(VerifyReply)
        if verified.code != EXPIRED and verified.asks:
            session.answer(ACCESS_CODE)  # asked for before a browser is started for it
            raise SiteChanged(verified.msg, what=Reason.SECURITY_CODE_OF_ITS_PAGE)
        if not verified.ok:
            raise verified.refusal()
        return await _list(link, session, ShareLink(verified.url_link).params)

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        detail = await session.seen(DETAIL_CALL, DetailReply)
        listed = await session.seen(LIST_CALL, ListReply)
        call = await session.traffic.wait_for(LIST_CALL, timeout_s=1)
        return _described(link, ShareLink(call.url).params, detail, listed)


async def _list(link: ShareLink, session: Session, given: dict[str, str]) -> list[Series]:
    sid, token = given.get("sid", ""), given.get("token", "")
    detail = await session.get(_signed(link, "study/detail", token, sid=sid, mode="0"), reply=DetailReply)
    listed = await session.get(_signed(link, "series/list", token, sid=sid), reply=ListReply)
    return _described(link, given, detail, listed)


def _described(link: ShareLink, given: dict[str, str], detail: DetailReply, listed: ListReply) -> list[Series]:
    """The series as the two replies list them; the site gives no DICOM UID, so its own ids are the keys."""
    sid, token = given.get("sid", ""), given.get("token", "")
    study = detail.study if detail.key else replace(detail.study, key=sid)
    found = []
    for series in listed.result:
        names = [name for part in series.names.split(",") if (name := part.strip())]
        folder = link.join(f"/{listed.folder_pre.strip('/')}/{series.source_folder.strip('/')}/")
        rows = [ImageRow(key=name) for name in names]
        found.append(series.described(study, 0, images=rows, source=partial(_file, folder, sid, token)))
    return found


def _file(folder: str, sid: str, token: str, image: ImageRow) -> WadoUri:
    return WadoUri(folder + image.key, {"Referer": SITE}, partial(_sign, sid, token, image.key))


def _signed(link: ShareLink, call: str, token: str, **params: str) -> str:
    """The address of one call; signed over its query in exactly the order sent."""
    nonce = "".join(secrets.choice(BASE62) for _ in range(6))
    sent = {**params, "nonce_str": nonce, **({"token": token} if token else {})}
    query = "&".join(f"{name}={quote_plus(value)}" for name, value in sent.items())
    return link.join(f"/api001/{call}?{query}&sign={_md5(f'{query}&key={KEY}')}")


def _sign(sid: str, token: str, name: str) -> dict[str, str]:
    """An image's Authorization, made when its request leaves: the signature holds the time."""
    stamp = str(int(time.time() * 1000))
    return {"Authorization": f"Basic {sid};{token};{stamp};{_md5(f'{sid};{token};{stamp};{name};{KEY}')}"}


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
