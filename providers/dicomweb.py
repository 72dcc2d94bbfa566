"""DICOMweb behind any address that names its study: an OHIF viewer, or a service's own ``/studies/<uid>``.

facts:    DICOM PS3.18; protocol page dicomweb, 2026-11
asks:     token, where the service wants one and the link has none
serves:   Part 10 files as stored; rebuilt from metadata and frames where a service refuses instances
verified: Orthanc with OHIF, 2026-11
"""

from __future__ import annotations

import re

from providers.families import qido
from scraper.contract import (
    TOKEN,
    AsyncIterator,
    CloudfilmError,
    Found,
    Provider,
    Session,
    ShareLink,
    SiteChanged,
)

ROOTS = (
    "/dicom-web",
    "/dicomweb",
    "/rs",
    "/wado-rs",
    "/dicomWeb",
)  # of public viewers; tried where no page names one
CONFIGURED = re.compile(r"""(?:qidoRoot|wadoRoot)['"]?\s*:\s*(['"`])(?P<root>[^'"`]+)\1""")
UID = r"[0-9.]{3,64}"
ASKED = r"/studies[/?]"  # the viewer's own first query: before it, the page is megabytes of program that load and start


class DicomWeb(Provider):
    name = "dicomweb"
    route = (
        rf"(?P<root>/.*)/studies/(?P<study>{UID})(?:/[^?#]*)?(?:\?[^#]*)?(?:#.*)?"
        rf"|/[^?#]*\?(?:.*&)?StudyInstanceUIDs?=(?P<shown>{UID})(?:[&,#].*)?"
    )
    asks = (TOKEN,)
    marks = (rf"/.*/studies/{UID}(?:[/?#].*)?", rf"/[^?#]*\?(?:.*&)?StudyInstanceUIDs=({UID})(?:[&,#].*)?")
    example = "https://viewer.example/viewer?StudyInstanceUIDs=1.2.3&token=eyJ"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        token = session.given(TOKEN) or link.params.get("token") or link.params.get("access_token")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        study = link.named.get("study") or link["shown"]
        async for series in qido.series(session, await _root(link, session, study, headers), study, headers):
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        await session.traffic.wait_for(ASKED, timeout_s=session.settings.timeout_s)


async def _root(link: ShareLink, session: Session, study: str, headers: dict[str, str]) -> str:
    """Where the service is: in the link, in the viewer's configuration, or at a root that public viewers use.

    Raises:
        SiteChanged: nowhere; the browser will show what the viewer itself asks.
    """
    if "root" in link.named:
        return link.origin + link["root"]
    try:
        config = await session.get(link.join("/app-config.js"))
    except CloudfilmError as err:
        raise SiteChanged(host=link.host, what="/app-config.js does not come") from err
    if config.ok and (match := CONFIGURED.search(config.text)):
        return link.join(match["root"]).rstrip("/")
    for root in ROOTS:
        if await qido.answers(session, link.origin + root, study, headers):
            return link.origin + root
    raise SiteChanged(host=link.host, what="no DICOMweb service was found")
