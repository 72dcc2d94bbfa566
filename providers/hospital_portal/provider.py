"""医院影像门户 (hospital-portal): a hospital's own site with account, password and a picture's characters; many makers.

facts:    fixtures/sites/hospital_portal/README.md
asks:     account, password, and captcha: a picture whose characters a person types
serves:   one zip of Part 10 files an examination
verified: emulated site only

Over 120 lines because a person is asked in the middle, pages lead astray, and a package's ticket is spent by one request.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from providers.hospital_portal import entry
from providers.hospital_portal.page import ARCHIVED, CLOSED, LAPSED, PREPARING, Examination, Offer, PortalPage
from providers.hospital_portal.routes import BrowserRoute, Direct, Way
from scraper.contract import (
    ACCOUNT,
    CAPTCHA,
    PASSWORD,
    AsyncIterator,
    DownloadNotPermitted,
    Found,
    NoSuchStudy,
    Package,
    Problem,
    Provider,
    Reason,
    Session,
    SessionLapsed,
    ShareLink,
    SiteBusy,
    SiteChanged,
    SiteUnreachable,
    Study,
)
from scraper.protocols import zip_archive

MOST_PAGES = 200
PREPARING_UP_TO_S = 900.0
PRESSES = 3  # of the button, each with a ticket of its own
# between two looks whether a package is ready; the page itself names the time
SOONEST_S, LATEST_S = (1.0, 15.0)


class HospitalPortal(Provider):
    name = "hospital-portal"
    route = r"/.*"
    asks = (ACCOUNT, PASSWORD, CAPTCHA)
    marks = (
        r"(?i)/(?:[\w.-]+/)*(?:user)?log[io]n\.(?:jsp|aspx?)(?:;[^?#]*)?(?:[?#].*)?",
        r"(?i)/(?>(?:[\w.-]++/)*?(?:pacs|film|yxcx|image|portal)/)(?:[\w.-]++/)*+(?:study|exam)?(?:detail|list)"
        r"\.(?:jsp|aspx?)(?:[?#].*)?",
    )
    example = "http://film.hospital.test:8088/pacs/login.jsp"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        way = Direct(session)
        start = await way.open(link.url)
        if start.login is not None:
            start = await entry.enter(session, start, way)
        for package in await _packages(link, session, way, start):
            yield package

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await entry.enter_window(session, link.url)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        way = BrowserRoute(session)
        for package in await _packages(link, session, way, await way.here()):
            yield package


async def _packages(link: ShareLink, session: Session, way: Way, landed: PortalPage) -> list[Package]:
    """A package for every examination that gives out DICOM; what is listed without is named beside the first."""
    start = await _start(link, way, landed)
    is_list = bool(start.examinations) and not (entry.is_deep(link) and start.url == link.url)
    is_one = not is_list and bool(start.offers or start.gives_pictures)
    listed = [Examination(start.url, key=_key(start.url))] if is_one else []
    listed = listed or await _listed(way, start)
    if not listed:
        if said := start.says(ARCHIVED):
            raise NoSuchStudy(said, host=link.host)
        raise SiteChanged(host=link.host, what=Reason.NO_EXAMINATIONS)
    found, archived, pictures = list[Package](), list[Examination](), list[Examination]()
    said_closed = ""
    for examination in listed:
        if not examination.url:
            archived.append(examination)
            continue
        sheet = start if examination.url == start.url else await way.open(examination.url)
        if sheet.login is not None or (not sheet.offers and sheet.says(LAPSED)):
            raise SessionLapsed(host=link.host)
        if sheet.offers:
            study = Study(
                "",
                examination.date,
                examination.modality,
                examination.part,
                key=f"{link.host_and_port} {examination.key or _key(examination.url)}",
            )
            found.append(Package(partial(_packed, link, session, way, examination.url), study, examination.count))
        elif sheet.gives_pictures:
            pictures.append(examination)
        elif sheet.says(ARCHIVED):
            archived.append(examination)
        else:
            said_closed = said_closed or sheet.says(CLOSED)
            pictures.append(examination)
    named = tuple(_named(Reason.ARCHIVED, archived) + _named(Reason.PICTURES_ONLY, pictures))
    if found:
        return [
            Package(package.zip, package.study, package.expected, left_out=named if at == 0 else ())
            for at, package in enumerate(found)
        ]
    if pictures:
        raise DownloadNotPermitted(said_closed, host=link.host)
    raise NoSuchStudy(archived[0].said, host=link.host)


async def _start(link: ShareLink, way: Way, landed: PortalPage) -> PortalPage:
    """The page that the link is about: where the login led, else the link's own address once more."""
    if not landed.offers and entry.is_deep(link) and landed.url.partition("#")[0] != link.url.partition("#")[0]:
        landed = await way.open(link.url)
    for _ in range(3):
        if landed.login is not None:
            raise SessionLapsed(host=link.host)
        if landed.offers or landed.examinations:
            break
        further = landed.frame or landed.way_to_list
        if not further:
            break
        landed = await way.open(further)
    return landed


async def _listed(way: Way, first: PortalPage) -> list[Examination]:
    """Every row over all pages of the list, each once."""
    seen, todo, rows = (
        {first.url},
        [*first.next_pages],
        {examination.url or repr(examination): examination for examination in first.examinations},
    )
    while todo and len(seen) < MOST_PAGES:
        url = todo.pop(0)
        if url in seen:
            continue
        seen.add(url)
        sheet = await way.open(url)
        fresh = {
            examination.url or repr(examination): examination
            for examination in sheet.examinations
            if (examination.url or repr(examination)) not in rows
        }
        rows |= fresh
        if fresh:
            todo += [page for page in sheet.next_pages if page not in seen]
    return list(rows.values())


async def _packed(link: ShareLink, session: Session, way: Way, url: str) -> Path:
    """Press the button of a detail page until its package is there; every press has a ticket of its own.

    Raises:
        SessionLapsed, CaptchaRequired: the login is over, and nobody is there for another.
    """
    pending: str | None = None
    presses, wait_s = 0, SOONEST_S

    async def ask() -> Path | None:
        nonlocal pending, presses, wait_s
        if pending is not None:
            answer = await way.follow(pending)
        else:
            presses += 1
            sheet = await _detail(link, session, way, url)
            answer = await way.press(_offer(link, sheet), sheet)
        if isinstance(answer, Path):
            if not zip_archive.is_whole(answer) and not _is_part10(answer):
                answer.unlink(missing_ok=True)
                raise SiteUnreachable(host=link.host, why=Reason.ANSWER_CUT_SHORT)
            return answer
        pending = None
        if answer.login is not None or answer.says(LAPSED):
            if presses >= PRESSES:
                raise SessionLapsed(host=link.host)
            return None  # the next turn logs in anew
        if answer.says(PREPARING):
            goes = answer.goes_to
            pending = goes[1] if goes is not None else None
            wait_s = min(max(goes[0] if goes else LATEST_S, SOONEST_S), LATEST_S)
            presses = 0
            return None
        if said := answer.says(ARCHIVED):
            raise NoSuchStudy(said, host=link.host)
        if said := answer.says(CLOSED):
            raise DownloadNotPermitted(said, host=link.host)
        if presses >= PRESSES:
            raise SiteBusy(" ".join(answer.said)[:120], host=link.host, why=Reason.PAGE_IN_PLACE_OF_PACKAGE)
        return None

    first = await ask()
    if first is not None:
        return first
    return await session.poll(ask, every_s=wait_s, up_to_s=PREPARING_UP_TO_S)


async def _detail(link: ShareLink, session: Session, way: Way, url: str) -> PortalPage:
    """The detail page, with a fresh ticket; a login that is over is asked of the person once more."""
    sheet = await way.open(url)
    if sheet.login is None and (sheet.offers or not sheet.says(LAPSED)):
        return sheet
    if sheet.login is None:
        sheet = await way.open(link.url)
    if sheet.login is not None:
        await entry.enter(session, sheet, Direct(session))
    sheet = await way.open(url)
    if sheet.login is not None:
        raise SessionLapsed(host=link.host)
    return sheet


def _offer(link: ShareLink, sheet: PortalPage) -> Offer:
    if sheet.offers:
        return sheet.offers[0]
    if said := sheet.says(ARCHIVED):
        raise NoSuchStudy(said, host=link.host)
    raise DownloadNotPermitted(sheet.says(CLOSED), host=link.host)


def _named(what: str, listed: list[Examination]) -> list[Problem]:
    names = tuple(
        " ".join(
            part
            for part in (
                examination.key or _key(examination.url),
                examination.date,
                examination.modality,
                examination.part,
            )
            if part
        )
        for examination in listed
    )
    return [Problem("left-out", names, {"what": what}, fatal=False)] if names else []


def _key(url: str) -> str:
    """What tells an examination by its address alone."""
    return next(
        (value for name, value in ShareLink(url).params.items() if "id" in name.lower() or "no" in name.lower()),
        "",
    )


def _is_part10(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"
