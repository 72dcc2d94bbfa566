"""DICOMweb behind any address that names its study: an OHIF viewer, or a service's own ``/studies/<uid>``.

facts:    DICOM PS3.18; protocol page dicomweb, 2026-11
asks:     token, where the service wants one and the link has none
serves:   Part 10 files as stored; rebuilt from metadata and frames where a service refuses instances
verified: Orthanc with OHIF, 2026-11
"""

from __future__ import annotations

import contextlib
import re
from urllib.parse import unquote, urljoin

from providers.dicomweb import server
from scraper.contract import (
    TOKEN,
    AsyncIterator,
    CloudfilmError,
    CredentialsError,
    CredentialsRequired,
    Found,
    LinkExpired,
    NotOriginalDicom,
    Page,
    Provider,
    Reason,
    Session,
    ShareLink,
    SiteChanged,
    StudyGone,
)

# of public viewers; tried where no page names one
ROOTS = ("/dicom-web", "/dicomweb", "/rs", "/wado-rs", "/dicomWeb", "/dcm4chee-arc/aets/DCM4CHEE/rs")
CONFIGURED = re.compile(r"""(?P<name>qidoRoot|wadoRoot)['"]?\s*:\s*(['"`])(?P<root>[^'"`]+)\2""")
CONFIGURATION = "app-config.js"
UID = r"[0-9.]{3,64}"
SHOWN = rf"[^#]*\?(?:.*&)?StudyInstanceUIDs?=(?P<shown>{UID})(?:(?:[,&#\\]|%2C|%5C).*)?"
REFUSALS = (
    CredentialsError,
    StudyGone,
    NotOriginalDicom,
)  # what a service says; all else the viewer may do better
ASKED = r"/studies[/?]"  # the viewer's own first query: before it, the page is megabytes of program that load and start


class DicomWeb(Provider):
    name = "dicomweb"
    route = rf"(?P<root>(?:/[^?#]*)?)/studies/(?P<study>{UID})(?:/[^?#]*)?(?:\?[^#]*)?(?:#.*)?|/(?:[^?#]*#)?{SHOWN}"
    asks = (TOKEN,)
    marks = (rf"(?:/[^?#]*)?/studies/{UID}(?:[/?#].*)?", rf"/(?:[^?#]*#)?{SHOWN.replace('UIDs?', 'UIDs')}")
    example = "https://viewer.example/viewer?StudyInstanceUIDs=1.2.3&token=eyJ"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        try:
            uids = _uids(link)
            service = await _service(link, session, uids[0])
            for uid in uids:
                async for series in server.series(session, service, uid):
                    yield series
        except REFUSALS:
            raise
        except CloudfilmError as err:
            if isinstance(err, SiteChanged):
                raise
            raise SiteChanged(host=link.host, what=Reason.SERVICE_REFUSES.of(code=err.code)) from err

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


async def _service(link: ShareLink, session: Session, study: str) -> server.Service:
    """The service, and what opens it: a token in a header, the link's own in the address, or a cookie of the viewer's page.

    Raises:
        CredentialsRequired, CredentialsRefused, LinkExpired: nothing opens it. SiteChanged: no service was found; the
            browser will show what the viewer itself asks.
    """
    given, params = session.given(TOKEN), link.params
    name = next((literal for literal in ("token", "access_token") if params.get(literal)), "")
    token = given or params.get(name, "")
    ways: list[tuple[dict[str, str], dict[str, str]]] = [({"Authorization": f"Bearer {token}"} if token else {}, {})]
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
) -> server.Service:
    """The service itself: in the link, in the viewer's configuration, or at a root that public viewers use."""
    if "root" in link.named:
        service = server.Service(link.origin + link["root"], headers, query)
        await server.answers(session, service, study)
        return service
    async for address, text in _configurations(link, session):
        named = {match["name"]: match["root"] for match in CONFIGURED.finditer(text)}
        if named:
            roots = (named.get(name, "") for name in ("qidoRoot", "wadoRoot"))
            asked, files = (urljoin(address, root).rstrip("/") if root else "" for root in roots)
            return await _configured(session, study, server.Service(asked or files, headers, query, files))
    for root in ROOTS:
        service = server.Service(link.origin + root, headers, query)
        if await server.answers(session, service, study):
            return service
    raise SiteChanged(host=link.host, what=Reason.NO_DICOMWEB_SERVICE)


async def _configurations(link: ShareLink, session: Session) -> AsyncIterator[tuple[str, str]]:
    """Each configuration, with the address that what it names is relative to: first the one that the page itself loads."""
    here = link.url.partition("#")[0]
    page = await session.get(here)
    asked = dict.fromkeys([*_loaded(page.text, page.url), link.join(CONFIGURATION), link.join(f"/{CONFIGURATION}")])
    for address in asked:
        with contextlib.suppress(CloudfilmError):
            config = await session.get(address)
            if config.ok:
                yield page.url, config.text


def _loaded(text: str, url: str) -> list[str]:
    """The addresses of a page's own configuration scripts."""
    page = Page(text, url)
    base = urljoin(url, page.attribute("base[href]", "href"))
    scripts = [script.attributes.get("src") or "" for script in page.all("script[src]")]
    return [urljoin(base, script) for script in scripts if script.partition("?")[0].rpartition("/")[2] == CONFIGURATION]


async def _configured(session: Session, study: str, service: server.Service) -> server.Service:
    """A service that a configuration names, without what opens it where it is another site's.

    Raises:
        SiteChanged: it is another site's, and refuses; the viewer in the browser may have leave to ask it.
    """
    roots = (service.root, service.files or service.root)
    if all(session.trusts(root) for root in roots):
        await server.answers(session, service, study)
        return service
    bare = server.Service(service.root, files=service.files)
    with contextlib.suppress(*REFUSALS):
        if await server.answers(session, bare, study):
            return bare
    raise SiteChanged(host=session.link.host, what=Reason.SERVICE_OF_OTHER_SITE)
