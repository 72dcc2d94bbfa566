"""上海申康 医联影像 (SHDC), the image sharing of Shanghai's municipal hospitals.

facts:    fixtures/sites/shdc/README.md
asks:     nothing, as a rule; access_code where the share carries a 安全码
serves:   Part 10 files, one GET each
verified: emulated site only
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import time
from urllib.parse import quote_plus

from scraper.contract import (
    ACCESS_CODE,
    AsyncIterator,
    CredentialsRefused,
    Deployment,
    Found,
    Instance,
    LinkExpired,
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
    gone,
    mended,
    whole,
)

KEY = "5fbcVzmBJNUsw53#"  # of the site's script; last seen to work 2026-03
FOLDER = "rawdata/indata"  # in all reports
BASE62 = string.digits + string.ascii_letters
EXPIRED = "1005"
SITE = "https://ylyyx.shdc.org.cn/"
CODE_FIELD = "input:not([type=hidden]):visible"
SAID = "text=/错误|不正确|过期|失效|无权/"


class Answer(Reply):
    code: str
    msg: str | None = ""


class Verified(Answer):
    url_link: str = ""


class PatientReply(Reply):
    name: str | None = ""


class StudyReply(Reply):
    study_id: str = ""
    patient_name: str | None = ""
    description: str | None = ""
    modality_type: str | None = ""
    study_date: str | None = ""
    study_datetime: str | None = ""
    patient: PatientReply | None = None


class DetailReply(Answer):
    study: StudyReply | None = None


class SeriesReply(Reply):
    series_id: str
    series_number: str | None = None
    description: str | None = ""
    source_folder: str
    names: str | None = ""


class ListReply(Answer):
    folder_pre: str | None = FOLDER
    result: list[SeriesReply] | None = None


class Shdc(Provider):
    name = "shdc"
    route = r"/(?:\?[^#]*)?#/\w+\?.*sid=[^&]+.*|/code\.html\?.*share_id=[^&]+.*"
    asks = (ACCESS_CODE,)
    deployments = (Deployment("ylyyx.shdc.org.cn", "上海申康 医联影像", "上海"),)
    example = "https://ylyyx.shdc.org.cn/#/home?sid=10001&token=0a1b2c"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        params = await _opened(link, session)
        sid, token = params.get("sid", ""), params.get("token", "")
        detail = await session.get(_signed(link, "study/detail", token, sid=sid, mode="0"), reply=DetailReply)
        _check(detail, link)
        listed = await session.get(_signed(link, "series/list", token, sid=sid), reply=ListReply)
        _check(listed, link)
        for series in described(link, sid, token, detail, listed):
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        face = await session.which(code=CODE_FIELD, viewer="canvas", said=SAID)
        if face == "said":
            _check(await session.seen(r"/api001/", Answer, timeout_s=2), link)
        if face == "code":
            await session.page.fill(CODE_FIELD, session.answer(ACCESS_CODE))
            await session.page.press(CODE_FIELD, "Enter")
            if await session.which(viewer="canvas", said=SAID) == "said":
                raise CredentialsRefused(ACCESS_CODE.name, await session.page.inner_text(SAID), host=link.host)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        detail = await session.seen(r"/api001/study/detail\?", DetailReply)
        _check(detail, link)
        listed = await session.seen(r"/api001/series/list\?", ListReply)
        _check(listed, link)
        called = ShareLink((await session.traffic.wait_for(r"/api001/series/list\?", timeout_s=1)).url).params
        for series in described(link, called.get("sid", ""), called.get("token", ""), detail, listed):
            yield series


def described(link: ShareLink, sid: str, token: str, detail: DetailReply, listed: ListReply) -> list[Series]:
    """The series as the two replies list them; the site gives no DICOM UID, so its own ids are the keys."""
    told = detail.study or StudyReply()
    study = Study(
        date=re.sub(r"\D", "", told.study_date or told.study_datetime or "")[:8],
        modality=told.modality_type or "",
        description=mended(told.description or ""),
        patient_name=mended(told.patient_name or (told.patient.name if told.patient else "") or ""),
        key=told.study_id or sid,
    )
    found = []
    for series in listed.result or []:
        names = [name for part in (series.names or "").split(",") if (name := part.strip())]
        folder = f"/{(listed.folder_pre or FOLDER).strip('/')}/{series.source_folder.strip('/')}/"
        found.append(
            Series(
                study_instance_uid="",
                series_instance_uid="",
                key=series.series_id,
                number=whole(series.series_number),
                description=mended(series.description or ""),
                modality=told.modality_type or "",
                expected=len(names),
                study=study,
                instances=tuple(
                    Instance(
                        "",
                        WadoUri(link.join(folder + name), {"Referer": SITE}, _Signer(sid, token, name)),
                        key=name,
                    )
                    for name in names
                ),
            )
        )
    return found


async def _opened(link: ShareLink, session: Session) -> dict[str, str]:
    """``sid`` and ``token``: of the viewer's link, or what the report's share id is exchanged for."""
    if not link.path.endswith("code.html"):
        if not link.params.get("token"):
            raise UnusableLink(link=link.redacted)  # the address of somebody's own session
        return link.params
    form = {"appid": link.params.get("appid", ""), "share_id": link.params["share_id"]}
    verified = await session.post(_signed(link, "share_verify", ""), form=form, reply=Verified)
    if verified.code not in ("0", EXPIRED) and "安全码" in mended(verified.msg or ""):
        session.answer(ACCESS_CODE)  # asked for before a browser is started for it
        raise SiteChanged(mended(verified.msg or ""), host=link.host, what=Reason.SECURITY_CODE_OF_ITS_PAGE)
    _check(verified, link)
    return ShareLink(verified.url_link).params


def _check(answer: Answer, link: ShareLink) -> None:
    """The site answers HTTP 200 always; its own code tells."""
    said = mended(answer.msg or "")
    if answer.code == EXPIRED or "过期" in said:
        raise LinkExpired(said, host=link.host)
    if answer.code != "0" and "签名" in said:
        raise SiteChanged(said, host=link.host, what=Reason.SIGNING_KEY)
    if answer.code != "0":
        raise gone(said or answer.code, host=link.host)


def _signed(link: ShareLink, call: str, token: str, **params: str) -> str:
    """The address of one call; signed over its query in exactly the order sent."""
    sent = {
        **params,
        "nonce_str": "".join(secrets.choice(BASE62) for _ in range(6)),
        **({"token": token} if token else {}),
    }
    query = "&".join(f"{name}={quote_plus(value)}" for name, value in sent.items())
    sign = hashlib.md5(f"{query}&key={KEY}".encode(), usedforsecurity=False).hexdigest()
    return link.join(f"/api001/{call}?{query}&sign={sign}")


class _Signer:
    """Makes an image's Authorization when its request leaves: the signature holds the time."""

    def __init__(self, sid: str, token: str, name: str) -> None:
        self._sid, self._token, self._name = sid, token, name

    def __call__(self) -> dict[str, str]:
        stamp = str(int(time.time() * 1000))
        signed = f"{self._sid};{self._token};{stamp};{self._name};{KEY}"
        digest = hashlib.md5(signed.encode(), usedforsecurity=False).hexdigest()
        return {"Authorization": f"Basic {self._sid};{self._token};{stamp};{digest}"}
