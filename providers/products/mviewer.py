"""东软 (Neusoft) M-Viewer: what its two generations share, the short links and the route inside the page.

facts: fixtures/sites/ydyy/README.md, fixtures/sites/neusoft/README.md
"""

from __future__ import annotations

from urllib.parse import unquote

from scraper.contract import LinkExpired, Reason, Request, Session, ShareLink, SiteChanged

MOST_HOPS = 5
FIREWALL = 412  # a script page in place of the answer


async def lengthen(link: ShareLink, session: Session, short: str) -> ShareLink:
    """Where a short link leads, one checked hop at a time; any other link as it is.

    Args:
        link: the share link.
        session: its conversation.
        short: what the path of a short link holds.

    Raises:
        SiteChanged: a firewall stands before it. LinkExpired: it leads nowhere. UnsafeRedirect: it leads into a private network.
    """
    here = link
    for _ in range(MOST_HOPS):
        if short not in here.path:
            return here
        asked = Request(here.without_fragment, headers={"Referer": link.without_fragment})
        response = await session.request(asked, hops=0)
        if response.status == FIREWALL:
            raise SiteChanged(host=here.host, what=Reason.FIREWALL)
        location = response.headers.get("location", "")
        if not (300 <= response.status < 400 and location):
            break
        target = here.join(location)
        await session.http.check_hop(here.url, target)
        here = ShareLink(target)
    raise LinkExpired(host=link.host)


def page_route(link: ShareLink) -> tuple[str, str]:
    """The two segments of ``#/<page>/<number>?…``; empty where the link has none."""
    page, _, number = link.parts.fragment.strip("/").partition("?")[0].partition("/")
    return page, unquote(number.strip("/"))
