"""上海申康 医联影像 (SHDC), the image sharing of Shanghai's municipal hospitals."""

from __future__ import annotations

import hashlib
import secrets
import string
import time
from functools import partial
from urllib.parse import quote_plus

from scraper.contract import (
    ACCESS_CODE,
    CheckedReply,
    CloudfilmError,
    CredentialsRefused,
    Deployment,
    Field,
    Instance,
    LinkExpired,
    Number,
    Provider,
    Reason,
    Reply,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    Study,
    UnusableLink,
    WadoUri,
    fix_mojibake,
    refusal_error,
    route,
)

KEY = "5fbcVzmBJNUsw53#"  # of the site's script; last seen to work 2026-03
FOLDER = "rawdata/indata"  # in all reports
BASE62 = string.digits + string.ascii_letters
EXPIRED = "1005"
SITE = "https://ylyyx.shdc.org.cn/"
CODE_FIELD = "input:not([type=hidden]):visible"
REFUSED = "text=/错误|不正确|过期|失效|无权/"
DETAIL_CALL, LIST_CALL = r"/api001/study/detail\?", r"/api001/series/list\?"


class ShdcReply(CheckedReply):  # of HTTP 200 always
    good = ("0",)

    def refusal(self) -> CloudfilmError:
        message = fix_mojibake(self.msg)
        if self.code == EXPIRED or "过期" in message:
            return LinkExpired(message)
        return refusal_error(message or self.code, is_sealed=True)


class VerifyReply(ShdcReply):
    url_link: str = ""


class DetailReply(ShdcReply):
    id: str = Field("", alias="study.study_id")
    patient_name: str = Field("", alias="study.patient_name")
    name: str = Field("", alias="study.patient.name")
    description: str = Field("", alias="study.description")
    modality: str = Field("", alias="study.modality_type")
    date: str = Field("", alias="study.study_date")
    moment: str = Field("", alias="study.study_datetime")


class SeriesReply(Reply):
    series_id: str
    series_number: Number = None
    description: str = ""
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
        message = fix_mojibake(verified.msg)
        if verified.code not in ("0", EXPIRED) and "安全码" in message:
            session.answer(ACCESS_CODE)  # asked for before a browser is started for it
            raise SiteChanged(message, what=Reason.SECURITY_CODE_OF_ITS_PAGE)
        if not verified.ok:
            raise verified.refusal()
        return await _list(link, session, ShareLink(verified.url_link).params)

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        face = await session.which(code=CODE_FIELD, viewer="canvas", refused=REFUSED)
        if face == "refused":
            await session.seen(r"/api001/", ShdcReply, timeout_s=2)
        if face == "code":
            await session.screen.fill(CODE_FIELD, session.answer(ACCESS_CODE))
            await session.screen.press("Enter", CODE_FIELD)
            if await session.which(viewer="canvas", refused=REFUSED) == "refused":
                raise CredentialsRefused(ACCESS_CODE.name, await session.screen.text(REFUSED))

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
    description, name = fix_mojibake(detail.description), fix_mojibake(detail.patient_name or detail.name)
    study = Study("", detail.date or detail.moment, detail.modality, description, name, detail.id or sid)
    found = []
    for series in listed.result:
        names = [name for part in series.names.split(",") if (name := part.strip())]
        folder = link.join(f"/{listed.folder_pre.strip('/')}/{series.source_folder.strip('/')}/")
        sources = {name: WadoUri(folder + name, {"Referer": SITE}, partial(_sign, sid, token, name)) for name in names}
        described = Series(
            study_instance_uid="",
            series_instance_uid="",
            key=series.series_id,
            number=series.series_number,
            description=fix_mojibake(series.description),
            modality=detail.modality,
            expected=len(sources),
            study=study,
            instances=tuple(Instance("", source, key=name) for name, source in sources.items()),
        )
        found.append(described)
    return found


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
