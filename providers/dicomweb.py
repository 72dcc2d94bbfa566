"""DICOMweb behind any address that names its study: an OHIF viewer, or a service's own ``/studies/<uid>``.

facts:    DICOM PS3.18; protocol page dicomweb, 2026-11
asks:     token, where the service wants one and the link has none
serves:   Part 10 files as stored; rebuilt from metadata and frames where a service refuses instances
verified: Orthanc with OHIF, 2026-11
"""

from __future__ import annotations

import contextlib
import re
from urllib.parse import unquote

from providers.families import qido
from scraper.contract import (
    TOKEN,
    AsyncIterator,
    CloudfilmError,
    CredentialsRequired,
    Found,
    LinkExpired,
    Provider,
    Session,
    ShareLink,
    SiteChanged,
)

# of public viewers; tried where no page names one
ROOTS = ("/dicom-web", "/dicomweb", "/rs", "/wado-rs", "/dicomWeb", "/dcm4chee-arc/aets/DCM4CHEE/rs")
CONFIGURED = re.compile(r"""(?P<name>qidoRoot|wadoRoot)['"]?\s*:\s*(['"`])(?P<root>[^'"`]+)\2""")
CONFIGURATION = "app-config.js"
UID = r"[0-9.]{3,64}"
SHOWN = rf"[^#]*\?(?:.*&)?StudyInstanceUIDs?=(?P<shown>{UID})(?:(?:[,&#\\]|%2C|%5C).*)?"
ASKED = r"/studies[/?]"  # the viewer's own first query: before it, the page is megabytes of program that load and start


class DicomWeb(Provider):
    name = "dicomweb"
    route = rf"(?P<root>(?:/[^?#]*)?)/studies/(?P<study>{UID})(?:/[^?#]*)?(?:\?[^#]*)?(?:#.*)?|/(?:[^?#]*#)?{SHOWN}"
    asks = (TOKEN,)
    marks = (rf"(?:/[^?#]*)?/studies/{UID}(?:[/?#].*)?", rf"/(?:[^?#]*#)?{SHOWN.replace('UIDs?', 'UIDs')}")
    example = "https://viewer.example/viewer?StudyInstanceUIDs=1.2.3&token=eyJ"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        uids = _uids(link)
        service = await _service(link, session, uids[0])
        for uid in uids:
            async for series in qido.series(session, service, uid):
                yield series

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


async def _service(link: ShareLink, session: Session, study: str) -> qido.Service:
    """The service, and what opens it: a token in a header, the link's own in the address, or a cookie of the viewer's page.

    Raises:
        CredentialsRequired, CredentialsRefused, LinkExpired: nothing opens it. SiteChanged: no service was found; the
            browser will show what the viewer itself asks.
    """
    given, params = session.given(TOKEN), link.params
    name = next((one for one in ("token", "access_token") if params.get(one)), "")
    token = given or params.get(name, "")
    ways: list[tuple[dict[str, str], dict[str, str]]] = [
        ({"Authorization": f"Bearer {token}"} if token else {}, {})
    ]
    if name and not given:
        ways.append(({}, {name: token}))
    refusal: CloudfilmError | None = None
    for headers, query in ways:
        try:
            return await _found(link, session, study, headers, query)
        except (CredentialsRequired, LinkExpired) as err:
            refusal = refusal or err
    if "shown" in link.named and await _gives_a_cookie(link, session):
        with contextlib.suppress(CredentialsRequired, LinkExpired):
            return await _found(link, session, study, {}, {})
    raise refusal or CredentialsRequired(TOKEN.name, host=link.host)


async def _gives_a_cookie(link: ShareLink, session: Session) -> bool:
    before = session.http.cookies()
    await session.get(link.url.partition("#")[0])
    return session.http.cookies() != before


async def _found(
    link: ShareLink, session: Session, study: str, headers: dict[str, str], query: dict[str, str]
) -> qido.Service:
    """The service itself: in the link, in the viewer's configuration, or at a root that public viewers use."""
    if "root" in link.named:
        service = qido.Service(link.origin + link["root"], headers, query)
        await qido.answers(session, service, study)
        return service
    for beside in dict.fromkeys((link.join(f"/{CONFIGURATION}"), link.join(CONFIGURATION))):
        try:
            config = await session.get(beside)
        except CloudfilmError as err:
            raise SiteChanged(host=link.host, what="/app-config.js does not come") from err
        named = {one["name"]: one["root"] for one in CONFIGURED.finditer(config.text)} if config.ok else {}
        if named:
            roots = (named.get(one, "") for one in ("qidoRoot", "wadoRoot"))
            asked, files = (link.join(root).rstrip("/") if root else "" for root in roots)
            service = qido.Service(asked or files, headers, query, files)
            await qido.answers(session, service, study)
            return service
    for root in ROOTS:
        service = qido.Service(link.origin + root, headers, query)
        if await qido.answers(session, service, study):
            return service
    raise SiteChanged(host=link.host, what="no DICOMweb service was found")
