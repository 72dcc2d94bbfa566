"""One share of zscloud, opened: its sealed records, its signed calls, and the two ways to the series of each record.

Long because hospitals have one or the other way, and each is tried where the other fails.

facts: fixtures/sites/zscloud/README.md
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import quote

from providers.products import uih_archive
from providers.products.uih_archive import TreeReply
from providers.toolkit import choose_study, envelope
from scraper.contract import (
    CheckedReply,
    CloudfilmError,
    Field,
    NoSuchStudy,
    Number,
    Problem,
    Reason,
    Reply,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    Study,
    refusal_error,
)
from scraper.protocols import ciphers

# Generation 3, of the site's index script: in use 2026-03-06, last seen to work 2026-09.
TOKEN_KEY = base64.b64decode("c57b1589172b85531c2dbad73c5e9056")  # 24 bytes: AES-192-GCM
RECORD_KEY, RECORD_IV = b"68b9dbd91f5c396099d31ed93b8507ac", b"d39dfc30d548b841"  # AES-256-CBC
SALT = "23599a8ad8db0d1e51310376b92843f56d25a41193c3a7870e32df3446ad4700"

HIERARCHY = "/film/api/m/report/getHierachy"  # spelt so
STUDY = "/film/api/m/common/study"
ARCHIVE = "/vna/image/Home/ImageService"
VIEWER_TOKEN = "/viewer/2d/Dapeng/Viewer/GetCredentialsToken"  # noqa: S105  # an address
LISTING = {"CommandType": "GetHierachy", "UserId": "UIH", "appendTags": "PI-film-include", "includeDeleted": "false"}
CHINA = timedelta(hours=8)


class FilmReply(CheckedReply):
    good = ("U000000",)
    data: object = None

    @property
    def site_message(self) -> str:
        return (self.data if isinstance(self.data, str) else "") or self.msg

    def refusal(self) -> CloudfilmError:
        return refusal_error(self.site_message or self.code, is_sealed=True)


class EnterReply(FilmReply):
    is_entrance = True


class EnteredReply(Reply):
    token: str
    records: str = Field(alias="encryptionStudyInfo")


class LevelReply(Reply):
    uid: str = Field("", alias="studyInstanceUid")
    unique: str = Field("", alias="uniqueId")
    org: str = Field("", alias="orgCode")


class RecordReply(Reply):
    patient: str = Field("", alias="patientName")
    item: str = Field("", alias="procedureItemName")
    when_ms: Number = Field(None, alias="studyDatetime")
    office: str = Field("", alias="procedureOfficeCode")
    org: str = Field("", alias="orgCode")
    accession: str = Field("", alias="accessionNo")
    unique: str = Field("", alias="accessionUniqueId")
    uid: str = Field("", alias="studyInstanceUid")
    listed: tuple[LevelReply, ...] = Field((), alias="studyLevelList")

    @property
    def levels(self) -> list[LevelReply]:
        """The studies whose UID is known."""
        own = LevelReply.model_validate({"studyInstanceUid": self.uid})
        return [level for level in self.listed if level.uid] or [level for level in (own,) if level.uid]

    def study(self, uid: str) -> Study:
        when = datetime.fromtimestamp(self.when_ms / 1000, UTC) + CHINA if self.when_ms else None
        return Study(uid, f"{when:%Y%m%d}" if when else "", "", self.item, self.patient)


class RecordsReply(Reply):
    records: tuple[RecordReply, ...] = ()


class ViewerReply(Reply):
    result: object


class ViewerToken(Reply):
    token: str = Field(alias="access_token")


class Share:
    """One share, opened: its records, and the two ways to the series of each."""

    def __init__(self, link: ShareLink, session: Session) -> None:
        self._link, self._session = link, session
        self._sealed = self._token = ""
        self._bearer: dict[str, str] = {}

    async def series(self, response: FilmReply) -> list[Series]:
        """Every study of the share's records."""
        entered = envelope.nested(response.data, EnteredReply, self._link.url)
        self._sealed, self._token = entered.token, _open_token(entered.token)
        await self._log_in_to_viewer()
        records = self._open_records(entered.records)
        names = [f"{item.office} {item.accession} {place}".strip() for place, item in enumerate(records, 1)]
        listings = {name: partial(self._of_record, record) for name, record in zip(names, records, strict=True)}
        unlike: dict[str, Series] = {}
        for item in await choose_study.list_all(listings):  # records may lead to one study
            unlike.setdefault(item.series_instance_uid or item.study_instance_uid, item)
        return list(unlike.values())

    async def series_in_page(self) -> list[Series]:
        """What the page itself received of the study, where its keys are no longer known here; empty if it got no more."""
        pattern = rf"{HIERARCHY}\?|CommandType=GetHierachy"
        called = partial(self._session.traffic.matching, pattern)
        face = await self._session.screen.wait_for_face(called, examination=uih_archive.TO_IMAGES)
        if face == "examination" and await uih_archive.open_examination(self._session, pattern) is None:
            return []
        response = await self._session.captured_reply(pattern)
        if response is None:
            return []
        await self._log_in_to_viewer()
        if HIERARCHY not in response.url:
            return self._described(response.read(TreeReply), RecordReply.empty())
        tree = envelope.nested(response.checked(FilmReply).data, TreeReply, self._link.url)
        return self._described(tree, RecordReply.empty())

    async def _log_in_to_viewer(self) -> None:
        """The viewer's token holds for an hour."""
        response = await self._session.get(
            self._link.join(VIEWER_TOKEN), headers=film_headers(self._link), reply=ViewerReply
        )
        token = envelope.nested(response.result, ViewerToken, self._link.url).token
        self._bearer = {**film_headers(self._link), "Authorization": f"Bearer {token}"}

    async def _of_record(self, record: RecordReply) -> list[Series]:
        trees = await self._trees(record)
        found = [series for tree in trees for series in self._described(tree, record)]
        there = {series.study_instance_uid for series in found}
        lost = [level.uid for level in record.levels if level.uid not in there]
        problems = {uid: Problem("fetch-failed", (uid,), {"why": Reason.LISTED_NOWHERE}) for uid in lost}
        return found + [Series(uid, "", problems=(problem,)) for uid, problem in problems.items()]

    async def _trees(self, record: RecordReply) -> list[TreeReply]:
        """By the study's UID where the record has it, else by its accession number; each where the other fails."""
        refusal: CloudfilmError = NoSuchStudy()
        trees: list[TreeReply] = []
        try:
            trees = await self._by_uid(record, record.levels)
            if trees and len(trees) == len(record.levels):
                return trees
        except CloudfilmError as err:  # the archive does not list here; it may yet do so by accession number
            refusal = err
        asked = {"imageType": record.office or "RAD", "locationCode": record.org, "accessionNo": record.accession}
        for way in ({"source": "CloudFilm"}, {"appendTags": "PI-film-include"}):
            response = await self._signed(HIERARCHY, {**asked, **way}, self._token)
            if response.ok and response.data:
                tree = envelope.nested(response.data, TreeReply, self._link.url)
                if tree.studies:
                    return [*trees, tree]
            elif not response.ok:
                refusal = response.refusal()
        if not record.levels:
            asked = {"accessionNo": record.accession, "locationCode": record.org, "orgCode": record.org}
            response = await self._signed(STUDY, asked, self._sealed)
            sealed = response.data.get("encryptPatientStudy") if isinstance(response.data, dict) else ""
            known = self._open_records(str(sealed)) if sealed else ()
            trees = await self._by_uid(record, [level for item in known for level in item.levels])
        if not trees:
            raise refusal
        return trees

    async def _by_uid(self, record: RecordReply, levels: list[LevelReply]) -> list[TreeReply]:
        trees = []
        for level in levels:
            unique, org = level.unique or record.unique, level.org or record.org
            asked = {
                **LISTING,
                "StudyUID": level.uid,
                "UniqueID": unique,
                "LocationCode": org,
                "randnum": uih_archive.number_once(),
            }
            url = self._link.join(ARCHIVE)
            trees.append(await self._session.get(url, params=asked, headers=self._bearer, reply=TreeReply))
        return [tree for tree in trees if tree.studies]

    async def _signed(self, path: str, params: dict[str, str], authorization: str) -> FilmReply:
        """One call of the film's API; signed over its parameters as they are sent."""
        sent = {name: value for name, value in params.items() if value}
        stamp = str(random.randrange(10**8))  # noqa: S311  # a number used once, no secret
        compact = json.dumps(sent, ensure_ascii=False, separators=(",", ":"))
        signed = self._token + SALT + quote(compact, safe="-_.!~*'()") + stamp
        headers = {
            **film_headers(self._link),
            "X-List": ",".join(sent),
            "X-Request": stamp,
            "Authorization": authorization,
            "X-Source": hashlib.sha256(signed.encode()).hexdigest(),
        }
        return (await self._session.get(self._link.join(path), params=sent, headers=headers)).unwrap(FilmReply)

    def _described(self, tree: TreeReply, record: RecordReply) -> list[Series]:
        return uih_archive.described(tree, self._link.join(ARCHIVE), self._bearer, record.study)

    def _open_records(self, sealed: str) -> tuple[RecordReply, ...]:
        try:
            text = ciphers.cbc_opened(ciphers.from_base64(sealed), RECORD_KEY, RECORD_IV)
        except ciphers.WrongKey as err:
            raise SiteChanged(what=Reason.KEYS_CHANGED_2026_03) from err
        return envelope.nested(text, RecordsReply, self._link.url).records


def _open_token(sealed: str) -> str:
    try:
        return ciphers.gcm_opened(ciphers.from_base64(sealed), TOKEN_KEY)
    except ciphers.WrongKey as err:
        raise SiteChanged(what=Reason.KEYS_CHANGED_2026_03) from err


def film_headers(link: ShareLink) -> dict[str, str]:
    """The headers of the film page's own calls."""
    return {"Origin": link.origin, "Referer": f"{link.origin}/film/"}
