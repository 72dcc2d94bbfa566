"""复旦大学附属中山医院 影像云 (zscloud), United Imaging's uCloud film.

facts:    fixtures/sites/zscloud/README.md
asks:     nothing; the code is in the link
serves:   Part 10 files, one GET each
verified: emulated site only

Over 120 lines because the site seals its answers, signs its calls, and lists a study in two ways of which hospitals have
one or the other. All that changes with its releases stands at the top.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import quote

from providers.toolkit import choose_study, envelope
from scraper.contract import (
    AsyncIterator,
    CloudfilmError,
    Deployment,
    Field,
    Found,
    Instance,
    NoSuchStudy,
    Problem,
    Provider,
    Reason,
    Reply,
    Series,
    Session,
    SessionLapsed,
    ShareLink,
    SiteChanged,
    SiteUnreachable,
    Study,
    StudyGone,
    WadoUri,
    gone,
    whole,
    with_query,
)
from scraper.protocols import ciphers

# Generation 3, of the site's index script: in use 2026-03-06, last seen to work 2026-09.
TOKEN_KEY = base64.b64decode("c57b1589172b85531c2dbad73c5e9056")  # 24 bytes: AES-192-GCM
RECORD_KEY, RECORD_IV = b"68b9dbd91f5c396099d31ed93b8507ac", b"d39dfc30d548b841"  # AES-256-CBC
SALT = "23599a8ad8db0d1e51310376b92843f56d25a41193c3a7870e32df3446ad4700"

GOOD = "U000000"
ENTER = "/film/api/m/doctor/getStudyByShareCodeWithToken"
HIERARCHY = "/film/api/m/report/getHierachy"  # spelt so
STUDY = "/film/api/m/common/study"
ARCHIVE = "/vna/image/Home/ImageService"
VIEWER_TOKEN = "/viewer/2d/Dapeng/Viewer/GetCredentialsToken"  # noqa: S105  # an address
CHINA = timedelta(hours=8)


class Answer(Reply):
    code: str
    data: object = None
    msg: str | None = ""


class Entered(Reply):
    token: str
    records: str = Field(alias="encryptionStudyInfo")


class Level(Reply):
    uid: str | None = Field("", alias="studyInstanceUid")
    unique: str | None = Field("", alias="uniqueId")
    org: str | None = Field("", alias="orgCode")


class Record(Reply):
    patient: str | None = Field("", alias="patientName")
    item: str | None = Field("", alias="procedureItemName")
    when: str | None = Field(None, alias="studyDatetime")
    office: str | None = Field("", alias="procedureOfficeCode")
    org: str | None = Field("", alias="orgCode")
    accession: str | None = Field("", alias="accessionNo")
    unique: str | None = Field("", alias="accessionUniqueId")
    uid: str | None = Field("", alias="studyInstanceUid")
    listed: list[Level] | None = Field(None, alias="studyLevelList")

    @property
    def levels(self) -> list[Level]:
        """The studies whose UID is known."""
        own = Level.model_validate({"studyInstanceUid": self.uid})
        return [level for level in self.listed or () if level.uid] or [item for item in (own,) if item.uid]


class Records(Reply):
    records: list[Record] = Field(default_factory=list)


class ImageReply(Reply):
    uid: str = Field(alias="UID")


class SeriesReply(Reply):
    uid: str = Field(alias="UID")
    description: str | None = Field("", alias="SeriesDes")
    number: str | None = Field(None, alias="SeriesNum")
    modality: str | None = Field("", alias="Modality")
    images: list[ImageReply] | None = Field(None, alias="ImageList")


class StudyReply(Reply):
    uid: str = Field(alias="UID")
    series: list[SeriesReply] | None = Field(None, alias="SeriesList")


class Patient(Reply):
    studies: list[StudyReply] | None = Field(None, alias="StudyList")


class Tree(Reply):
    patient: Patient = Field(alias="PatientInfo")


class Viewer(Reply):
    result: object


class ViewerToken(Reply):
    token: str = Field(alias="access_token")


class Zscloud(Provider):
    name = "zscloud"
    route = r"/film/?(?:[\w.-]+)?(?:\?[^#]*)?#/?[\w/-]*\?(?:.*&)?code=[^&]+.*"
    deployments = (Deployment("zscloud.zs-hospital.sh.cn", "复旦大学附属中山医院", "上海"),)
    marks = (r"/film/(?:index\.html)?(?:\?[^#]*)?#/shared\?(?:.*&)?code=[^&]+.*",)
    behind = (
        r"[^/]+/film/web/[^#]*#/.*sharedStudy.*",
        r"[^/]+/viewer/2d/.*",
        r"[^/]+/viewer/(?:[\w.-]+/)+Viewer/Index.*",
    )
    example = "https://zscloud.zs-hospital.sh.cn/film/#/shared?code=AbC123xyz"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        asked = {"code": link.params["code"]}
        answer = await session.post(link.join(ENTER), json=asked, headers=_film(link))
        for series in await _listed(link, session, envelope.entered(answer, Answer)):
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        answer = await envelope.heard(session, ENTER)
        if answer is None:
            async for series in self.discover(link, session):
                yield series
            return
        try:
            found = await _listed(link, session, envelope.entered(answer, Answer))
        except (SiteChanged, SiteUnreachable, SessionLapsed):  # then only the page itself knows how to ask
            found = await _shown(link, session)
            if not found:
                raise
        for series in found:
            yield series


async def _listed(link: ShareLink, session: Session, answer: Answer) -> list[Series]:
    """Every study of the share's records."""
    entered = envelope.nested(_data(link, answer), Entered, link.url)
    token = _opened_token(entered.token, link)
    viewer = await _viewer(link, session)

    async def series_of(record: Record) -> list[Series]:
        trees = await _trees(link, session, record, token, viewer, entered.token)
        found = [series for tree in trees for series in described(link, tree, viewer, record)]
        there = {item.study_instance_uid for item in found}
        lost = [level.uid for level in record.levels if level.uid and level.uid not in there]
        return found + [Series(uid, "", left_out=(_not_listed(uid),)) for uid in lost]

    records = _opened_records(entered.records, link)
    names = [f"{item.office or ''} {item.accession or ''} {place}".strip() for place, item in enumerate(records, 1)]
    found = await choose_study.listed(
        {name: partial(series_of, record) for name, record in zip(names, records, strict=True)}
    )
    unlike: dict[str, Series] = {}
    for item in found:
        unlike.setdefault(item.series_instance_uid or item.study_instance_uid, item)  # records may lead to one study
    return list(unlike.values())


def _not_listed(uid: str) -> Problem:
    """A study that the record names and the archive does not list."""
    return Problem("fetch-failed", (uid,), {"why": Reason.LISTED_NOWHERE})


async def _trees(
    link: ShareLink, session: Session, record: Record, token: str, viewer: str, sealed_token: str
) -> list[Tree]:
    """By the study's UID where the record has it, else by its accession number; each where the other fails."""
    refusal: CloudfilmError = NoSuchStudy(host=link.host)
    trees: list[Tree] = []
    try:
        trees = await _by_uid(link, session, record, record.levels, viewer)
        if trees and len(trees) == len(record.levels):
            return trees
    except CloudfilmError as err:  # the archive does not list here; it may yet do so by accession number
        refusal = err
    asked = {
        "imageType": record.office or "RAD",
        "locationCode": record.org or "",
        "accessionNo": record.accession or "",
    }
    for way in ({"source": "CloudFilm"}, {"appendTags": "PI-film-include"}):
        answer = await _signed(link, session, HIERARCHY, {**asked, **way}, token)
        if answer.code == GOOD and answer.data:
            tree = envelope.nested(answer.data, Tree, link.url)
            if tree.patient.studies:
                return [*trees, tree]
        elif answer.code != GOOD:
            refusal = _refusal(link, answer)
    if not record.levels:
        asked = {
            "accessionNo": asked["accessionNo"],
            "locationCode": asked["locationCode"],
            "orgCode": record.org or "",
        }
        answer = await _signed(link, session, STUDY, asked, token, sealed_token)
        sealed = answer.data.get("encryptPatientStudy") if isinstance(answer.data, dict) else ""
        known = _opened_records(str(sealed), link) if sealed else []
        levels = [level for item in known for level in item.levels]
        trees = await _by_uid(link, session, record, levels, viewer)
    if not trees:
        raise refusal
    return trees


async def _by_uid(link: ShareLink, session: Session, record: Record, levels: list[Level], viewer: str) -> list[Tree]:
    trees = []
    for level in levels:
        asked = {
            "CommandType": "GetHierachy",
            "StudyUID": level.uid or "",
            "UniqueID": level.unique or record.unique or "",
            "LocationCode": level.org or record.org or "",
            "UserId": "UIH",
            "appendTags": "PI-film-include",
            "includeDeleted": "false",
            "randnum": _chance(),
        }
        trees.append(await session.get(link.join(ARCHIVE), params=asked, headers=_archive(link, viewer), reply=Tree))
    return [tree for tree in trees if tree.patient.studies]


async def _signed(
    link: ShareLink, session: Session, path: str, params: dict[str, str], token: str, authorization: str = ""
) -> Answer:
    """One call of the film's API; signed over its parameters as they are sent."""
    sent = {name: value for name, value in params.items() if value}
    stamp = str(random.randrange(10**8))  # noqa: S311  # a number used once, no secret
    compact = json.dumps(sent, ensure_ascii=False, separators=(",", ":"))
    signed = token + SALT + quote(compact, safe="-_.!~*'()") + stamp
    headers = {
        **_film(link),
        "X-List": ",".join(sent),
        "X-Request": stamp,
        "Authorization": authorization or token,
        "X-Source": hashlib.sha256(signed.encode()).hexdigest(),
    }
    return envelope.told(await session.get(link.join(path), params=sent, headers=headers), Answer)


async def _shown(link: ShareLink, session: Session) -> list[Series]:
    """What the page itself was told of the study, where its keys are no longer known here; nothing if it knows no more."""
    answer = await envelope.heard(session, rf"{HIERARCHY}\?|CommandType=GetHierachy")
    if answer is None:
        return []
    is_films = HIERARCHY in answer.url
    tree = envelope.nested(_data(link, answer.read(Answer)), Tree, link.url) if is_films else answer.read(Tree)
    return described(link, tree, await _viewer(link, session), Record.model_validate({}))


async def _viewer(link: ShareLink, session: Session) -> str:
    """The viewer's token; it holds for an hour."""
    answer = await session.get(link.join(VIEWER_TOKEN), headers=_film(link), reply=Viewer)
    return envelope.nested(answer.result, ViewerToken, link.url).token


def described(link: ShareLink, tree: Tree, viewer: str, record: Record) -> list[Series]:
    """The series of a tree."""
    moment = whole(record.when)
    when = datetime.fromtimestamp(moment / 1000, UTC) + CHINA if moment else None
    found = []
    for told in tree.patient.studies or []:
        study = Study(
            uid=told.uid,
            date=f"{when:%Y%m%d}" if when else "",
            description=record.item or "",
            patient_name=record.patient or "",
        )
        for item in told.series or []:
            images = item.images or []
            series = Series(
                study_instance_uid=told.uid,
                series_instance_uid=item.uid,
                number=whole(item.number),
                description=item.description or "",
                modality=item.modality or "",
                expected=len(images),
                study=study,
                instances=tuple(_instance(link, viewer, told.uid, item.uid, image.uid) for image in images),
            )
            found.append(series)
    return found


def _instance(link: ShareLink, viewer: str, study: str, series: str, uid: str) -> Instance:
    asked = {
        "CommandType": "GetImage",
        "ContentType": "application/dicom",
        "ObjectUID": uid,
        "StudyUID": study,
        "SeriesUID": series,
        "includeDeleted": "false",
        "randnum": _chance(),
    }
    return Instance(uid, WadoUri(with_query(link.join(ARCHIVE), asked), _archive(link, viewer)))


def _film(link: ShareLink) -> dict[str, str]:
    return {"Origin": link.origin, "Referer": f"{link.origin}/film/"}


def _archive(link: ShareLink, viewer: str) -> dict[str, str]:
    return {**_film(link), "Authorization": f"Bearer {viewer}"}


def _chance() -> str:
    return f"{random.random():.16f}"  # noqa: S311  # only keeps caches away


def _data(link: ShareLink, answer: Answer) -> object:
    if answer.code != GOOD:
        raise _refusal(link, answer)
    return answer.data


def _refusal(link: ShareLink, answer: Answer) -> StudyGone:
    return gone((answer.data if isinstance(answer.data, str) else "") or answer.msg or answer.code, host=link.host)


def _opened_token(sealed: str, link: ShareLink) -> str:
    try:
        return ciphers.gcm_opened(ciphers.from_base64(sealed), TOKEN_KEY)
    except ciphers.WrongKey as err:
        raise SiteChanged(host=link.host, what=Reason.KEYS_CHANGED_2026_03) from err


def _opened_records(sealed: str, link: ShareLink) -> list[Record]:
    try:
        text = ciphers.cbc_opened(ciphers.from_base64(sealed), RECORD_KEY, RECORD_IV)
    except ciphers.WrongKey as err:
        raise SiteChanged(host=link.host, what=Reason.KEYS_CHANGED_2026_03) from err
    return envelope.nested(text, Records, link.url).records
