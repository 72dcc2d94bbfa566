"""What a portal lists: the walk from its first page to every examination, and a package for each that gives out DICOM.

facts: fixtures/sites/hospital_portal/README.md
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

from providers.hospital_portal import entry, package
from providers.hospital_portal.page import CLOSED, LAPSED, PortalPage
from providers.hospital_portal.routes import Route
from providers.hospital_portal.rows import ARCHIVED, Examination
from scraper.contract import (
    DownloadNotPermitted,
    NoSuchStudy,
    Package,
    Problem,
    Reason,
    Session,
    SessionLapsed,
    ShareLink,
    SiteChanged,
    Study,
)

MOST_PAGES = 200


async def packages(link: ShareLink, session: Session, route: Route, landed: PortalPage) -> list[Package]:
    """A package for every examination that gives out DICOM; what is listed without is named beside the first."""
    start = await _start(link, route, landed)
    is_list = bool(start.examinations) and not (entry.is_deep(link) and start.url == link.url)
    is_one = not is_list and bool(start.offers or start.gives_pictures)
    listed = [Examination(start.url, key=_key(start.url))] if is_one else []
    listed = listed or await _listed(route, start)
    if not listed:
        if message := start.says(ARCHIVED):
            raise NoSuchStudy(message, host=link.host)
        raise SiteChanged(host=link.host, what=Reason.NO_EXAMINATIONS)
    found, archived, pictures = list[Package](), list[Examination](), list[Examination]()
    closed_message = ""
    for examination in listed:
        if not examination.url:
            archived.append(examination)
            continue
        page = start if examination.url == start.url else await route.open(examination.url)
        if page.login is not None or (not page.offers and page.says(LAPSED)):
            raise SessionLapsed(host=link.host)
        if page.offers:
            key = f"{link.host_and_port} {examination.key or _key(examination.url)}"
            study = Study("", examination.date, examination.modality, examination.part, key=key)
            fetch = partial(package.fetch, link, session, route, examination.url)
            found.append(Package(fetch, study, examination.count))
        elif page.gives_pictures:
            pictures.append(examination)
        elif page.says(ARCHIVED):
            archived.append(examination)
        else:
            closed_message = closed_message or page.says(CLOSED)
            pictures.append(examination)
    named = tuple(_named(Reason.ARCHIVED, archived) + _named(Reason.PICTURES_ONLY, pictures))
    if found:
        return [replace(item, problems=named if place == 0 else ()) for place, item in enumerate(found)]
    if pictures:
        raise DownloadNotPermitted(closed_message, host=link.host)
    raise NoSuchStudy(archived[0].remark, host=link.host)


async def _start(link: ShareLink, route: Route, landed: PortalPage) -> PortalPage:
    """The page that the link is about: where the login led, else the link's own address once more."""
    if not landed.offers and entry.is_deep(link) and landed.url.partition("#")[0] != link.url.partition("#")[0]:
        landed = await route.open(link.url)
    for _ in range(3):
        if landed.login is not None:
            raise SessionLapsed(host=link.host)
        if landed.offers or landed.examinations:
            break
        further = landed.frame or landed.way_to_list
        if not further:
            break
        landed = await route.open(further)
    return landed


async def _listed(route: Route, first: PortalPage) -> list[Examination]:
    """Every row over all pages of the list, each once."""
    seen, todo, rows = {first.url}, [*first.next_pages], first.rows
    while todo and len(seen) < MOST_PAGES:
        url = todo.pop(0)
        if url in seen:
            continue
        seen.add(url)
        page = await route.open(url)
        if not page.rows.keys() <= rows.keys():
            todo += page.next_pages
        rows |= page.rows
    return list(rows.values())


def _named(what: str, listed: list[Examination]) -> list[Problem]:
    names = tuple(replace(row, key=row.key or _key(row.url)).name for row in listed)
    return [Problem("left-out", names, {"what": what}, fatal=False)] if names else []


def _key(url: str) -> str:
    """What tells an examination by its address alone."""
    named = (value for name, value in ShareLink(url).params.items() if re.search("id|no", name.lower()))
    return next(named, "")
