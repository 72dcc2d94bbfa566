"""深圳大学总医院 云胶片 (sugh), LanWon's cloud film.

facts:    fixtures/sites/sugh/README.md
asks:     nothing, as a rule; access_code where the share carries a 提取码
serves:   Part 10 files, one GET each
verified: emulated site only

Over 120 lines for the replies of its two calls, and the 提取码 between them.
"""

from __future__ import annotations

import re

from providers.toolkit import envelope
from scraper.contract import (
    ACCESS_CODE,
    AsyncIterator,
    CredentialsRefused,
    Deployment,
    Field,
    Found,
    Instance,
    Provider,
    Reply,
    Series,
    Session,
    ShareLink,
    Study,
    StudyGone,
    WadoUri,
    gone,
    whole,
)

SHARE = "/api/cloudfilm/api/studyInfo/getClinicalByShareCode"
INDEX = "/api/cloudfilm-mgt/api/v1/study/json/index"
IMAGES = "/api/cloudfilm-mgt/api/v1/dicom/studies"
GOOD = "200"
ASKS = (
    "提取码",
    "分享码",
    "取件码",
    "访问码",
    "验证码",
    "密码",
    "口令",
    "share code",
    "sharecode",
    "access code",
    "password",
)


class Answer(Reply):
    code: str = ""
    message: str | None = ""
    msg: str | None = ""

    @property
    def said(self) -> str:
        return self.message or self.msg or ""

    @property
    def asks(self) -> bool:
        """Does it ask for a share code, or refuse one; a share that is over asks for nothing."""
        is_over = type(gone(self.said, host="")) is not StudyGone
        return self.code != GOOD and not is_over and any(word in self.said.lower() for word in ASKS)


class Params(Reply):
    org: str | None = Field("", alias="orgCode")
    patient: str | None = Field("", alias="patientName")


class Clinical(Reply):
    uid: str = Field(alias="studyUid")
    params: Params | None = None


class Shared(Answer):
    data: Clinical | None = None


class Image(Reply):
    uid: str | None = Field("", alias="imageUID")


class Listed(Reply):
    uid: str | None = Field("", alias="seriesUID")
    number: str | None = Field("", alias="seriesNumber")
    description: str | None = Field("", alias="seriesDescription")
    images: dict[str, Image] | None = Field(None, alias="imgs")


class Standard(Reply):
    uid: str = Field(alias="studyUID")
    description: str | None = Field("", alias="studyDescription")
    when: str | None = Field("", alias="studyDateTime")


class Told(Reply):
    study: Standard = Field(alias="std")
    series: dict[str, Listed] | None = Field(None, alias="sers")


class Index(Answer):
    data: list[Told] | None = None


class Sugh(Provider):
    name = "sugh"
    route = r"/[\w-]+/auth-viewer/?\?(?:[^#]*&)?clinicalShareToken=[^&#]+.*"
    asks = (ACCESS_CODE,)
    deployments = (Deployment("work.sugh.net", "深圳大学总医院", "深圳"),)
    marks = (route,)
    behind = (r"[^/]+/[\w-]+/auth-viewer.*",)
    example = "https://work.sugh.net:8002/pc/auth-viewer?clinicalShareToken=0a1b2c3d"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        shared = await _ask(link, session, link.params.get("shareCode", ""))
        for series in await _listed(link, session, shared):
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        answer = await envelope.heard(session, SHARE)
        shared = await _ask(link, session, "") if answer is None else envelope.entered(answer, Shared)
        for series in await _listed(link, session, shared):
            yield series


async def _ask(link: ShareLink, session: Session, code: str) -> Shared:
    asked = {"clinicalShareToken": link.params["clinicalShareToken"], "shareCode": code}
    answer = await session.get(link.join(SHARE), params=asked, headers={"Referer": _address(link)})
    return envelope.entered(answer, Shared)


async def _listed(link: ShareLink, session: Session, shared: Shared) -> list[Series]:
    """The series behind an opened share; where it asks for a 提取码, that is given once, at the call that checks it."""
    if shared.asks:
        shared = await _ask(link, session, session.answer(ACCESS_CODE))
        if shared.asks or (shared.code != GOOD and type(gone(shared.said, host="")) is StudyGone):
            raise CredentialsRefused(ACCESS_CODE.name, shared.said, host=link.host)
    if shared.code != GOOD or shared.data is None:
        raise gone(shared.said or shared.code, host=link.host)
    params = shared.data.params or Params.model_validate({})
    asked = {
        "systemCode": "cloudfilm",
        "studyUid": shared.data.uid,
        "orgCode": params.org or "",
        "purview": "1",
    }
    headers = {"token": link.params["clinicalShareToken"], "Referer": _address(link)}
    index = envelope.told(await session.get(link.join(INDEX), params=asked, headers=headers), Index)
    if index.code != GOOD:
        raise gone(index.said or index.code, host=link.host)
    headers |= {"orgCode": params.org or "", "systemCode": "cloudfilm"}
    return [
        described(link, told, listed.uid or key, listed, params.patient or "", headers)
        for told in index.data or []
        for key, listed in (told.series or {}).items()
    ]


def described(link: ShareLink, told: Told, uid: str, one: Listed, patient: str, headers: dict[str, str]) -> Series:
    """One series of the index."""
    root = link.join(f"{IMAGES}/{told.study.uid}/series/{uid}/instances/")
    images = [image.uid or key for key, image in (one.images or {}).items()]
    return Series(
        study_instance_uid=told.study.uid,
        series_instance_uid=uid,
        number=whole(one.number),
        description=one.description or "",
        expected=len(images),
        study=Study(
            uid=told.study.uid,
            date=re.sub(r"\D", "", told.study.when or "")[:8],
            description=told.study.description or "",
            patient_name=patient,
        ),
        instances=tuple(Instance(image, WadoUri(f"{root}{image}/", headers)) for image in images),
    )


def _address(link: ShareLink) -> str:
    return link.url.partition("#")[0]
