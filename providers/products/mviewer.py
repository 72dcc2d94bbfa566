"""东软 (Neusoft) M-Viewer: what its two generations share, the short links and the route inside the page.

facts: fixtures/sites/ydyy/README.md, fixtures/sites/neusoft/README.md
"""

from __future__ import annotations

from urllib.parse import unquote

from scraper.contract import (
    LinkExpired,
    Reason,
    Request,
    Response,
    Session,
    ShareLink,
    SiteBusy,
    SiteChanged,
    SiteUnreachable,
    UnusableLink,
)

MOST_HOPS = 5
FIREWALL = 412  # a script page in place of the answer
FIREWALL_UP_TO_S = 45.0
REFUSALS = 5  # answers 400 of the page behind the firewall, before it is taken at its word


async def lengthen(link: ShareLink, session: Session, short: str) -> ShareLink:
    """Where a short link leads, one checked hop at a time; any other link as it is.

    Args:
        link: the share link.
        session: its conversation.
        short: what the path of a short link holds.

    Raises:
        SiteChanged: a firewall stands before it. LinkExpired: it leads nowhere. UnsafeRedirect: it leads into a private network.
    """
    if short not in link.path:
        return link
    headers = {"Referer": link.without_fragment}
    async for response, target in session.hops(link.url, most=MOST_HOPS, headers=headers):
        if response.status == FIREWALL:
            raise SiteChanged(host=ShareLink(response.url).host, what=Reason.FIREWALL)
        if target and short not in ShareLink(target).path:
            return ShareLink(target)
    raise LinkExpired(host=link.host)


async def in_page(session: Session, request: Request) -> Response:
    """Have the page send ``request``; patient while its firewall still sets the cookies that it wants to see.

    Raises:
        UnusableLink: the firewall takes this browser for none.
    """
    window, refused = await session.window(), 0

    async def ask() -> Response | None:
        nonlocal refused
        try:
            response = await window.fetch(request)
        except (SiteChanged, SiteUnreachable):
            return None  # the firewall's script reloads the page meanwhile
        refused += response.status == 400
        is_again = response.status == FIREWALL or (response.status == 400 and refused < REFUSALS)
        return None if is_again else response

    try:
        response = await session.poll(ask, every_s=1.0, up_to_s=FIREWALL_UP_TO_S)
    except SiteBusy:
        response = None
    if response is None or response.status == 400:
        raise UnusableLink("只能在手机浏览器中打开 (opens in a phone's browser only)", link=session.link.redacted)
    return response


def page_route(link: ShareLink) -> tuple[str, str]:
    """The two segments of ``#/<page>/<number>?…``; empty where the link has none."""
    page, _, number = link.parts.fragment.strip("/").partition("?")[0].partition("/")
    return page, unquote(number.strip("/"))
