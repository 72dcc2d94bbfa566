"""DICOMweb behind any address that names its study: an OHIF viewer, or a service's own ``/studies/<uid>``."""

from __future__ import annotations

import re
from urllib.parse import unquote

from providers.dicomweb import server, service
from scraper.contract import (
    TOKEN,
    AsyncIterator,
    CloudfilmError,
    Discovered,
    Provider,
    Reason,
    Session,
    ShareLink,
    SiteChanged,
)

UID = r"[0-9.]{3,64}"
SHOWN = rf"[^#]*\?(?:.*&)?StudyInstanceUIDs?=(?P<shown>{UID})(?:(?:[,&#\\]|%2C|%5C).*)?"
ASKED = r"/studies[/?]"  # the viewer's own first query: before it, the page is megabytes of program that load and start


class DicomWeb(Provider):
    name = "dicomweb"
    route = (
        rf"(?P<root>(?:/[^?#]*)?)/studies/(?P<study>{UID})(?:/[^?#]*)?(?:\?[^#]*)?(?:#.*)?",
        rf"/(?:[^?#]*#)?{SHOWN}",
    )
    asks = (TOKEN,)
    when_asked = "token, where the service wants one and the link has none"
    serves = "Part 10 files as stored; rebuilt from metadata and frames where a service refuses instances"
    verified = "Orthanc with OHIF, 2026-11"
    facts = "DICOM PS3.18; protocol page dicomweb, 2026-11"
    distinctive_routes = (rf"(?:/[^?#]*)?/studies/{UID}(?:[/?#].*)?", rf"/(?:[^?#]*#)?{SHOWN.replace('UIDs?', 'UIDs')}")
    example = "https://viewer.example/viewer?StudyInstanceUIDs=1.2.3&token=eyJ"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Discovered]:
        try:
            uids = _uids(link)
            found = await service.find(link, session, uids[0])
            for uid in uids:
                async for series in server.series(session, found, uid):
                    yield series
        except service.REFUSALS:
            raise
        except CloudfilmError as err:
            if isinstance(err, SiteChanged):
                raise
            raise SiteChanged(what=Reason.SERVICE_REFUSES.of(code=err.code)) from err

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        await session.traffic.wait_for(ASKED, timeout_s=session.settings.timeout_s)


def _uids(link: ShareLink) -> list[str]:
    """The studies that the link names: one, several in one parameter, or the parameter several times."""
    if "study" in link.named:
        return [link["study"]]
    named = re.findall(r"(?<=[?&])StudyInstanceUIDs?=([^&#]+)", link.target)
    found = [uid for values in named for uid in re.split(r"[,\\]", unquote(values)) if re.fullmatch(UID, uid)]
    return list(dict.fromkeys(found))
