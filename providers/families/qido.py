"""A DICOMweb server asked for everything it has of one study: QIDO-RS for the lists, WADO-RS for the instances.

facts: DICOM PS3.18 chapters 8 and 10; protocol page dicomweb, 2026-11
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from scraper.contract import (
    TOKEN,
    CredentialsRefused,
    CredentialsRequired,
    DownloadNotPermitted,
    Instance,
    LinkExpired,
    NoSuchStudy,
    Series,
    Session,
    SiteChanged,
    SiteUnreachable,
    Study,
    WadoRs,
    whole,
)

ACCEPTS = ("application/dicom+json", "application/json")  # the second where the first is refused with 406
PAGE = 500  # asked for at a time; a server may give fewer
MOST_PAGES = 400
Attributes = Mapping[str, Any]


async def series(
    session: Session, root: str, study_uid: str, headers: Mapping[str, str]
) -> AsyncIterator[Series]:
    """Every series of a study with all its instances.

    Args:
        session: the link's.
        root: the service's address, up to ``/studies``.
        study_uid: Study Instance UID.
        headers: what the page's own requests carry (Authorization …).

    Raises:
        CredentialsRequired, CredentialsRefused, LinkExpired, DownloadNotPermitted: as the server's status says.
        NoSuchStudy: it has no such study. SiteChanged: no DICOM JSON.
    """
    at = f"{root}/studies/{quote(study_uid)}"
    studies = await _listed(session, f"{root}/studies?StudyInstanceUID={quote(study_uid)}", headers)
    told = studies[0] if studies else {}
    study = Study(
        study_uid, value(told, "00080020"), "", value(told, "00081030"), person(told, "00100010"),
    )  # fmt: skip
    found = await _listed(session, f"{at}/series", headers)
    if not found:
        raise NoSuchStudy(host=session.link.host)
    for one in found:
        uid = value(one, "0020000E")
        instances = await _listed(session, f"{at}/series/{quote(uid)}/instances", headers)
        uids = [value(instance, "00080018") for instance in instances]
        yield Series(
            study_instance_uid=study_uid,
            series_instance_uid=uid,
            number=whole(value(one, "00200011")),
            description=value(one, "0008103E"),
            modality=value(one, "00080060"),
            expected=len(uids),  # what can be had; the server's own count may hold hidden objects
            study=study,
            instances=tuple(
                Instance(sop, WadoRs(f"{at}/series/{quote(uid)}/instances/{quote(sop)}", dict(headers)))
                for sop in uids
                if sop
            ),
        )


async def answers(session: Session, root: str, study_uid: str, headers: Mapping[str, str]) -> bool:
    """Is there a QIDO-RS service at ``root`` that knows the study."""
    try:
        return bool(
            await _listed(session, f"{root}/studies?StudyInstanceUID={quote(study_uid)}&limit=1", headers)
        )
    except (SiteChanged, NoSuchStudy, SiteUnreachable):
        return False


async def _listed(session: Session, url: str, headers: Mapping[str, str]) -> list[Attributes]:
    """One QIDO-RS query, all its pages (PS3.18 8.3.4.4: ``limit``, ``offset``, and a Warning where more exist)."""
    found: list[Attributes] = []
    seen: set[str] = set()
    for _ in range(MOST_PAGES):
        params = {"limit": str(PAGE), "offset": str(len(found))} if "limit=" not in url else {}
        page = await _page(session, url, params, headers)
        fresh = [one for one in page if (key := _identity(one)) not in seen and not seen.add(key)]  # type: ignore[func-returns-value]
        found.extend(fresh)
        if not fresh or not params:
            break
    return found


async def _page(
    session: Session, url: str, params: Mapping[str, str], headers: Mapping[str, str]
) -> list[Attributes]:
    for accept in ACCEPTS:
        response = await session.get(url, params=params, headers={**headers, "Accept": accept})
        if response.status != 406:
            break
    host = session.link.host
    match response.status:
        case 200:
            listed = response.json()
        case 204:
            return []
        case 401 if not any(name.lower() == "authorization" for name in headers):
            raise CredentialsRequired(TOKEN.name, host=host)
        case 401 if session.given(TOKEN):
            raise CredentialsRefused(TOKEN.name, host=host)
        case 401 | 410:
            raise LinkExpired(host=host)
        case 403:
            raise DownloadNotPermitted(host=host)
        case 404:
            raise NoSuchStudy(host=host)
        case status if status >= 500:
            raise SiteUnreachable(host=host, why=f"HTTP {status}")
        case status:
            raise SiteChanged(host=host, what=f"QIDO-RS answers HTTP {status}")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise SiteChanged(host=host, what="QIDO-RS gives no list of data sets")
    return listed


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
