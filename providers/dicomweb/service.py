"""Which DICOMweb service is behind a viewer's address, and what opens it.

facts: protocol page dicomweb, 2026-11
"""

from __future__ import annotations

import contextlib
import re
from urllib.parse import urljoin

from providers.dicomweb import server
from scraper.contract import (
    TOKEN,
    AsyncIterator,
    CloudfilmError,
    CredentialsError,
    CredentialsRequired,
    LinkExpired,
    NotOriginalDicom,
    Page,
    Reason,
    Session,
    ShareLink,
    SiteChanged,
    StudyGone,
)
from scraper.protocols.dicomweb import Service

# of public viewers; tried where no page names one
ROOTS = ("/dicom-web", "/dicomweb", "/rs", "/wado-rs", "/dicomWeb", "/dcm4chee-arc/aets/DCM4CHEE/rs")
CONFIGURED = re.compile(r"""(?P<name>qidoRoot|wadoRoot)['"]?\s*:\s*(['"`])(?P<root>[^'"`]+)\2""")
CONFIGURATION = "app-config.js"
REFUSALS = (CredentialsError, StudyGone, NotOriginalDicom)  # what a service says; all else the viewer may do better


async def find(link: ShareLink, session: Session, study: str) -> Service:
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
    raise refusal or CredentialsRequired(TOKEN.name)


async def _gives_a_cookie(link: ShareLink, session: Session) -> bool:
    before = session.http.cookies()
    await session.get(link.without_fragment)
    return session.http.cookies() != before


async def _found(
    link: ShareLink, session: Session, study: str, headers: dict[str, str], query: dict[str, str]
) -> Service:
    """The service itself: in the link, in the viewer's configuration, or at a root that public viewers use."""
    if "root" in link.named:
        service = Service(link.origin + link["root"], headers, query)
        await server.answers(session, service, study)
        return service
    async for address, text in _configurations(link, session):
        named = {match["name"]: match["root"] for match in CONFIGURED.finditer(text)}
        if named:
            roots = (named.get(name, "") for name in ("qidoRoot", "wadoRoot"))
            asked, files = (urljoin(address, root).rstrip("/") if root else "" for root in roots)
            return await _configured(session, study, Service(asked or files, headers, query, files))
    for root in ROOTS:
        service = Service(link.origin + root, headers, query)
        if await server.answers(session, service, study):
            return service
    raise SiteChanged(what=Reason.NO_DICOMWEB_SERVICE)


async def _configurations(link: ShareLink, session: Session) -> AsyncIterator[tuple[str, str]]:
    """Each configuration, with the address that what it names is relative to: first the one that the page itself loads."""
    here = link.without_fragment
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


async def _configured(session: Session, study: str, service: Service) -> Service:
    """A service that a configuration names, without what opens it where it is another site's.

    Raises:
        SiteChanged: it is another site's, and refuses; the viewer in the browser may have leave to ask it.
    """
    roots = (service.root, service.files or service.root)
    if all(session.trusts(root) for root in roots):
        await server.answers(session, service, study)
        return service
    bare = Service(service.root, files=service.files)
    with contextlib.suppress(*REFUSALS):
        if await server.answers(session, bare, study):
            return bare
    raise SiteChanged(what=Reason.SERVICE_OF_OTHER_SITE)
