"""A DICOMweb server asked for everything it has of one study: QIDO-RS for the lists, WADO-RS for the instances.

facts: DICOM PS3.18 chapters 8 and 10; protocol page dicomweb, 2026-11
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scraper.contract import (
    TOKEN,
    CloudfilmError,
    CredentialsRefused,
    CredentialsRequired,
    DownloadNotPermitted,
    Instance,
    LinkExpired,
    NoSuchStudy,
    Problem,
    Reason,
    Response,
    Series,
    Session,
    SiteChanged,
    SiteUnreachable,
    Study,
    WadoRs,
)
from scraper.protocols import dicom_json, dicomweb
from scraper.protocols.dicom_json import DataSet, text
from scraper.protocols.dicomweb import SERIES_UID, SOP_UID, STUDY_UID, Service

PAGE = 500  # asked for at a time; a server may give fewer
MOST_PAGES = 400
BEYOND = (400, 404, 416)  # what some servers say to a page past the last
MOST_LISTED = 200_000  # rows of one list; no study has more instances
HIDDEN = 1  # objects of a series that a service may count and not list (a rejection note), where its list is whole
_MEANT: Mapping[int, type[CloudfilmError]] = {  # here; what any other status means is the same everywhere
    401: LinkExpired,
    403: DownloadNotPermitted,
    410: LinkExpired,
}


@dataclass
class _Rows:
    """Rows of one query.

    ``is_whole``: the list came to its end; one whose pages repeat may be capped.
    """

    found: list[DataSet]
    is_whole: bool = True


async def series(session: Session, service: Service, study_uid: str) -> AsyncIterator[Series]:
    """Every series of a study with all its instances.

    Args:
        session: the link's.
        service: where it is.
        study_uid: Study Instance UID.

    Raises:
        CredentialsRequired, CredentialsRefused, LinkExpired, DownloadNotPermitted: as the server's status says.
        NoSuchStudy: it has no such study. SiteChanged: no DICOM JSON.
    """
    for found in await StudyListing(session, service, study_uid).all_series():
        yield found


class StudyListing:
    """What a service lists of one study; where its lists are shorter than its counts, or repeat, it is asked in other ways.

    Args:
        session: the link's.
        service: where it is.
        study_uid: Study Instance UID.
    """

    def __init__(self, session: Session, service: Service, study_uid: str) -> None:
        self._session = session
        self._service = service
        self._uid = study_uid
        self._at = dicomweb.study_path(study_uid)
        self._about: DataSet = {}
        self._across: _Rows | None = None  # the instances of all series, once they had to be asked for

    async def all_series(self) -> list[Series]:
        """The series in the service's order."""
        self._about = await _study(self._session, self._service, self._uid)
        rows = await self._series_rows()
        listings = [await self._listing(row) for row in rows.values()]
        counted = dicom_json.number(self._about, dicomweb.INSTANCES_OF_STUDY)
        if counted is not None and counted > sum(listing.meant for listing in listings) + len(listings) * HIDDEN:
            await self._add_from_study(listings)
        return self._described(listings, counted)

    async def _series_rows(self) -> dict[str, DataSet]:
        """Series Instance UID → its row."""
        refusal: CloudfilmError | None = None
        try:
            listed = await self._list(f"{self._at}/series")
        except (SiteChanged, NoSuchStudy, DownloadNotPermitted) as err:
            if not text(self._about, STUDY_UID):
                raise
            refusal, listed = err, _Rows([])
        rows = {text(item, SERIES_UID): item for item in listed.found if text(item, SERIES_UID)}
        counted = dicom_json.number(self._about, dicomweb.SERIES_OF_STUDY)
        if refusal or (counted or 0) > len(rows) or (not listed.is_whole and counted is None):
            more = await self._try_list("/series", {"StudyInstanceUID": self._uid})
            rows = self._of_this_study(more.found, SERIES_UID) | rows
        if not rows:
            raise refusal or NoSuchStudy(host=self._session.link.host)
        return rows

    async def _listing(self, row: DataSet) -> _ListedSeries:
        """One series' instances: listed, else from the study's list, else from the metadata."""
        made = _ListedSeries(text(row, SERIES_UID), row, dicom_json.number(row, dicomweb.INSTANCES_OF_SERIES))
        at = dicomweb.series_path(self._uid, made.uid)
        refusal: CloudfilmError | None = None
        try:
            made.add(await self._list(f"{at}/instances"))
        except (SiteChanged, NoSuchStudy, DownloadNotPermitted) as err:
            refusal = err
        ways = [self._add_from_list, self._add_from_metadata]
        for add in ways if refusal is None else reversed(ways):  # who lists none of one series lists none of a study
            if made.is_short:
                refusal = await add(made) or refusal
        if not made.objects and refusal is not None:
            raise refusal
        return made

    async def _add_from_list(self, made: _ListedSeries) -> CloudfilmError | None:
        across = await self._instances_of_study()
        own = [item for item in across.found if text(item, SERIES_UID) == made.uid]
        made.add(_Rows(own, is_whole=across.is_whole and bool(own)))
        return None

    async def _add_from_metadata(self, made: _ListedSeries) -> CloudfilmError | None:
        path = f"{dicomweb.series_path(self._uid, made.uid)}/metadata"
        try:
            made.add(_Rows(await _page(self._session, self._service, path, {})), is_metadata=True)
        except (SiteChanged, NoSuchStudy, DownloadNotPermitted, SiteUnreachable) as err:
            return err
        return None

    async def _add_from_study(self, listings: list[_ListedSeries]) -> None:
        """What the study's own list of instances holds beyond the series' lists, series that were not listed included."""
        across = await self._instances_of_study()
        known = {listing.uid: listing for listing in listings}
        for row in across.found:
            uid = text(row, SERIES_UID)
            if uid and uid not in known:
                known[uid] = await self._listing(row)
                listings.append(known[uid])
            if uid:
                known[uid].add(_Rows([row], is_whole=across.is_whole))

    async def _instances_of_study(self) -> _Rows:
        if self._across is None:
            listed = await self._try_list(f"{self._at}/instances")
            self._across = _Rows(list(self._of_this_study(listed.found, SOP_UID).values()), is_whole=listed.is_whole)
        return self._across

    def _of_this_study(self, rows: Sequence[DataSet], tag: str) -> dict[str, DataSet]:
        """UID → row, of this study alone: not every service matches by what was asked for."""
        return {text(row, tag): row for row in rows if text(row, tag) and text(row, STUDY_UID) in ("", self._uid)}

    async def _list(self, path: str, asked: Mapping[str, str] | None = None) -> _Rows:
        return await _listed(self._session, self._service, path, asked)

    async def _try_list(self, path: str, asked: Mapping[str, str] | None = None) -> _Rows:
        """A list that is a second way; one that is not to be had is empty."""
        try:
            return await self._list(path, asked)
        except (SiteChanged, NoSuchStudy, DownloadNotPermitted, SiteUnreachable):
            return _Rows([], is_whole=False)

    def _described(self, listings: list[_ListedSeries], counted: int | None) -> list[Series]:
        about = self._about
        study = Study(
            self._uid, text(about, "00080020"), "", text(about, "00081030"), dicom_json.person(about, "00100010")
        )
        if counted is not None and counted == sum(len(listing.objects) for listing in listings):
            for listing in listings:
                listing.is_whole = True
        meant = sum(listing.meant for listing in listings)
        missing = (counted or 0) - meant - sum(HIDDEN for listing in listings if listing.is_whole)
        if missing > 0 and len(listings) == 1:
            listings[0].counted = counted
            listings[0].is_whole = False
        found = [self._series(listing, study) for listing in listings]
        if missing > 0 and len(listings) > 1:  # nobody says of which series
            listed = sum(len(listing.objects) for listing in listings)
            short = Problem("missing-instances", values={"saved": listed, "expected": counted or 0})
            found[0] = replace(found[0], problems=(*found[0].problems, short))
        return found

    def _series(self, listing: _ListedSeries, study: Study) -> Series:
        service, row = self._service, listing.row
        hidden = (listing.counted or 0) - len(listing.objects)
        problems: tuple[Problem, ...] = ()
        if listing.expected is not None and hidden > 0 and listing.expected == len(listing.objects):
            values = {"counted": listing.counted or 0, "listed": len(listing.objects)}
            problems = (Problem("counted-not-listed", values=values, fatal=False),)
        return Series(
            study_instance_uid=self._uid,
            series_instance_uid=listing.uid,
            number=dicom_json.number(row, "00200011"),
            description=text(row, "0008103E"),
            modality=text(row, "00080060"),
            expected=listing.expected,
            study=study,
            problems=problems,
            instances=tuple(
                Instance(
                    sop,
                    WadoRs(
                        service.file_url(dicomweb.instance_path(self._uid, listing.uid, sop)),
                        dict(service.headers),
                        metadata,
                        listing.rows.get(sop),
                    ),
                )
                for sop, metadata in listing.objects.items()
            ),
        )


@dataclass
class _ListedSeries:
    """One series: its row, how many instances the service counts, and those that it names.

    ``objects``: SOP Instance UID → its metadata, where that came. ``rows``: what the lists say of it.
    """

    uid: str
    row: DataSet
    counted: int | None
    objects: dict[str, DataSet | None] = field(default_factory=dict)
    is_whole: bool = False
    rows: dict[str, DataSet] = field(default_factory=dict)

    def add(self, rows: _Rows, *, is_metadata: bool = False) -> None:
        """Take over what a list names."""
        for row in rows.found:
            if uid := text(row, SOP_UID):
                self.objects[uid] = row if is_metadata else self.objects.get(uid)
                self.rows[uid] = row
        self.is_whole = self.is_whole or rows.is_whole

    @property
    def is_short(self) -> bool:
        """Whether more may be had: none is named, the service counts more, or nothing says that the list is whole."""
        if not self.objects:
            return True
        if self.counted is None:
            return not self.is_whole
        return self.counted - len(self.objects) > (HIDDEN if self.is_whole else 0)

    @property
    def expected(self) -> int | None:
        """How many there are; None where nothing says so."""
        if self.counted is None:
            return len(self.objects) if self.is_whole else None
        return max(self.counted, len(self.objects)) if self.is_short else len(self.objects)

    @property
    def meant(self) -> int:
        return max(self.expected or 0, len(self.objects))


async def _study(session: Session, service: Service, study_uid: str) -> DataSet:
    """What the service says of the study; nothing where it can't be searched, or gives others than were asked for."""
    try:
        listed = await _listed(session, service, "/studies", {"StudyInstanceUID": study_uid})
    except (SiteChanged, NoSuchStudy, DownloadNotPermitted):
        return {}
    return next((item for item in listed.found if text(item, STUDY_UID) in ("", study_uid)), {})


async def answers(session: Session, service: Service, study_uid: str) -> bool:
    """Is there a QIDO-RS service that knows the study."""
    try:
        found = await _page(session, service, "/studies", {"StudyInstanceUID": study_uid, "limit": "1"})
    except (SiteChanged, NoSuchStudy, SiteUnreachable, DownloadNotPermitted):
        return False
    return bool(found)


async def _listed(session: Session, service: Service, path: str, asked: Mapping[str, str] | None = None) -> _Rows:
    """One QIDO-RS query, all its pages (PS3.18 8.3.4.4: ``limit``, ``offset``, and a Warning where more exist).

    A page that repeats what was there comes from a server that knows no pages; whether it gave all, its counts tell.
    """
    rows = dicomweb.Rows()
    for _ in range(MOST_PAGES):
        paged = {**(asked or {}), "limit": str(PAGE), "offset": str(len(rows))}
        try:
            page = await _page(session, service, path, paged, beyond=BEYOND if rows else ())
        except SiteChanged:
            if rows:
                raise
            return _Rows(await _page(session, service, path, asked or {}))  # a server that knows no pages
        if not rows.add(page):
            return _Rows(rows.found, is_whole=not page)
        if len(rows) > MOST_LISTED:
            break
    return _Rows(rows.found, is_whole=False)


async def _page(
    session: Session, service: Service, path: str, asked: Mapping[str, str], beyond: tuple[int, ...] = ()
) -> list[DataSet]:
    for accept in dicomweb.JSON_ACCEPTS:
        response = await session.get(service.list_url(path, asked), headers={**service.headers, "Accept": accept})
        if response.status not in dicomweb.OTHER_JSON:
            break
    if response.status == dicomweb.NO_CONTENT or response.status in beyond:
        return []
    if not response.ok:
        has_token = bool(service.query) or any(name.lower() == "authorization" for name in service.headers)
        raise _refusal(session, response, has_token=has_token)
    listed = dicom_json.data_sets(response.json() if response.body.strip() else [])
    if listed is None:
        raise SiteChanged(host=session.link.host, what=Reason.QIDO_NO_LIST)
    return listed


def _refusal(session: Session, response: Response, *, has_token: bool) -> CloudfilmError:
    """What a status other than 2xx means."""
    host = session.link.host
    if response.status == 401 and not has_token:
        return CredentialsRequired(TOKEN.name, host=host)
    if response.status == 401 and session.given(TOKEN):
        return CredentialsRefused(TOKEN.name, host=host)
    if response.status in _MEANT:
        return _MEANT[response.status](host=host)
    return response.refusal
