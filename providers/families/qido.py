"""A DICOMweb server asked for everything it has of one study: QIDO-RS for the lists, WADO-RS for the instances.

facts: DICOM PS3.18 chapters 8 and 10; protocol page dicomweb, 2026-11
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from scraper.contract import (
    TOKEN,
    CloudfilmError,
    CredentialsRefused,
    CredentialsRequired,
    DownloadNotPermitted,
    Instance,
    LinkExpired,
    NoSuchStudy,
    Series,
    Session,
    SiteBusy,
    SiteChanged,
    SiteUnreachable,
    Study,
    WadoRs,
    whole,
    with_query,
)

ACCEPTS = ("application/dicom+json", "application/json")  # the second where the first is refused with 406
PAGE = 500  # asked for at a time; a server may give fewer
MOST_PAGES = 400
BEYOND = (400, 404, 416)  # what some servers say to a page past the last
Attributes = Mapping[str, Any]
_MEANT: Mapping[int, type[CloudfilmError]] = {
    401: LinkExpired, 403: DownloadNotPermitted, 404: NoSuchStudy, 410: LinkExpired,
}  # fmt: skip


@dataclass(frozen=True)
class Service:
    """Where a service is, and what opens it.

    Attributes:
        root: its address, up to ``/studies``.
        headers: what the page's own requests carry (Authorization …).
        query: the same in the address, where a service wants its token there.
        files: where instances are, up to ``/studies``; nothing: at ``root`` too.
    """

    root: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    files: str = ""


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
    at = f"/studies/{quote(study_uid)}"
    told = await _study(session, service, study_uid)
    study = Study(
        study_uid, value(told, "00080020"), "", value(told, "00081030"), person(told, "00100010"),
    )  # fmt: skip
    found = [one for one in await _listed(session, service, f"{at}/series") if value(one, "0020000E")]
    if not found:
        raise NoSuchStudy(host=session.link.host)
    for one in found:
        uid = value(one, "0020000E")
        inside = f"{at}/series/{quote(uid)}"
        uids = await _instances(session, service, inside)
        files = f"{service.files or service.root}{inside}/instances/"
        yield Series(
            study_instance_uid=study_uid,
            series_instance_uid=uid,
            number=whole(value(one, "00200011")),
            description=value(one, "0008103E"),
            modality=value(one, "00080060"),
            expected=len(uids),  # what can be had; the server's own count may hold hidden objects
            study=study,
            instances=tuple(
                Instance(
                    sop, WadoRs(with_query(f"{files}{quote(sop)}", service.query), dict(service.headers))
                )
                for sop in uids
            ),
        )


async def _study(session: Session, service: Service, study_uid: str) -> Attributes:
    """What the service says of the study; nothing where it can't be searched, or gives others than were asked for."""
    try:
        found = await _listed(session, service, "/studies", {"StudyInstanceUID": study_uid})
    except (SiteChanged, NoSuchStudy, DownloadNotPermitted):
        return {}
    return next((one for one in found if value(one, "0020000D") in ("", study_uid)), {})


async def _instances(session: Session, service: Service, at: str) -> list[str]:
    """The SOP Instance UIDs of a series; from its metadata where the service lists no instances."""
    try:
        found = await _listed(session, service, f"{at}/instances")
    except (SiteChanged, NoSuchStudy):
        found = []
    if not found:
        found = await _page(session, service, f"{at}/metadata", {})
    return list(dict.fromkeys(uid for one in found if (uid := value(one, "00080018"))))


async def answers(session: Session, service: Service, study_uid: str) -> bool:
    """Is there a QIDO-RS service that knows the study."""
    try:
        found = await _page(session, service, "/studies", {"StudyInstanceUID": study_uid, "limit": "1"})
    except (SiteChanged, NoSuchStudy, SiteUnreachable, DownloadNotPermitted):
        return False
    return bool(found)


async def _listed(
    session: Session, service: Service, path: str, asked: Mapping[str, str] | None = None
) -> list[Attributes]:
    """One QIDO-RS query, all its pages (PS3.18 8.3.4.4: ``limit``, ``offset``, and a Warning where more exist)."""
    found: list[Attributes] = []
    seen: set[str] = set()
    for _ in range(MOST_PAGES):
        paged = {**(asked or {}), "limit": str(PAGE), "offset": str(len(found))}
        try:
            page = await _page(session, service, path, paged, beyond=BEYOND if found else ())
        except SiteChanged:
            if found:
                raise
            page = await _page(session, service, path, asked or {})  # a server that knows no pages
        fresh = [one for one in page if (key := _identity(one)) not in seen and not seen.add(key)]  # type: ignore[func-returns-value]
        found.extend(fresh)
        if not fresh:
            break
    return found


async def _page(
    session: Session, service: Service, path: str, asked: Mapping[str, str], beyond: tuple[int, ...] = ()
) -> list[Attributes]:
    for accept in ACCEPTS:
        sent = {**service.headers, "Accept": accept}
        response = await session.get(f"{service.root}{path}", params={**asked, **service.query}, headers=sent)
        if response.status not in (406, 415):
            break
    if response.status == 204 or response.status in beyond:
        return []
    if not response.ok:
        has_token = bool(service.query) or any(name.lower() == "authorization" for name in service.headers)
        raise _refusal(session, response.status, has_token=has_token)
    listed = response.json() if response.body.strip() else []
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise SiteChanged(host=session.link.host, what="QIDO-RS gives no list of data sets")
    return [{tag.upper(): held for tag, held in one.items()} for one in listed]


def _refusal(session: Session, status: int, *, has_token: bool) -> CloudfilmError:
    """What a status other than 2xx means."""
    host = session.link.host
    if status == 401 and not has_token:
        return CredentialsRequired(TOKEN.name, host=host)
    if status == 401 and session.given(TOKEN):
        return CredentialsRefused(TOKEN.name, host=host)
    if status in _MEANT:
        return _MEANT[status](host=host)
    if status >= 500 or status == 429:
        return (SiteBusy if status in (429, 503) else SiteUnreachable)(host=host, why=f"HTTP {status}")
    return SiteChanged(host=host, what=f"QIDO-RS answers HTTP {status}")


def _identity(attributes: Attributes) -> str:
    return "/".join(value(attributes, tag) for tag in ("0020000D", "0020000E", "00080018"))


def value(attributes: Attributes, tag: str) -> str:
    """The first value of an attribute in DICOM JSON (PS3.18 annex F), or nothing."""
    values = (attributes.get(tag) or {}).get("Value") or [""]
    first = values[0]
    return "" if first is None or isinstance(first, dict) else str(first)


def person(attributes: Attributes, tag: str) -> str:
    """A PN attribute as text, the ideographic group first."""
    values = (attributes.get(tag) or {}).get("Value") or [{}]
    groups = values[0] if isinstance(values[0], dict) else {"Alphabetic": str(values[0])}
    return str(groups.get("Ideographic") or groups.get("Alphabetic") or "").replace("^", " ").strip()
