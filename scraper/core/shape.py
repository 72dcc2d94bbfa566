"""What a platform's links look like: the hosts known, the address below them, and what is recognised on other hosts."""

from __future__ import annotations

from dataclasses import dataclass

from scraper.core.link import ShareLink


@dataclass(frozen=True, slots=True)
class Shape:
    """A provider's links, without the provider itself; the attributes are ``contract.Provider``'s own."""

    name: str
    schemes: tuple[str, ...]
    routes: tuple[str, ...]
    distinctive_routes: tuple[str, ...]
    hosts: tuple[str, ...]
    behind: tuple[str, ...] = ()
    saved_page: str = ""
    saved_from: str = ""
    on_any_host: bool = False
    module: str = ""  # that holds the provider

    def owns(self, link: ShareLink) -> ShareLink | None:
        """The link with the route's named groups, where host and route are this platform's; else None."""
        return self.reads(link) if any(_same_host(row, link) for row in self.hosts) else None

    def recognises(self, link: ShareLink) -> ShareLink | None:
        """The same on a host that no row lists, recognised by a distinctive route."""
        return self.reads(link) if any(link.matched(route) is not None for route in self.distinctive_routes) else None

    def reads(self, link: ShareLink) -> ShareLink | None:
        """The same on any host, whether or not the address betrays the platform."""
        found = (link.matched(route) for route in self.routes if link.scheme in self.schemes)
        return next((matched for matched in found if matched is not None), None)


def _same_host(row: str, link: ShareLink) -> bool:
    if row.startswith("*."):
        return link.host.endswith(row[1:])
    return row in (link.host, link.host_and_port)
