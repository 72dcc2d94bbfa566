"""Rules of the door: which addresses one link's requests may reach, and which hosts may get a person's answers."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]  # no stub

from scraper.core.addresses import WITHIN_REACH, Zone, address_of, canonical_host, zone_of, zone_of_name
from scraper.core.domains import is_secure, same_site, site_of
from scraper.core.errors import CloudfilmError, SiteUnreachable, UnsafeRedirect, UnusableLink
from scraper.core.reasons import Reason
from scraper.core.settings import ConnectTo, Settings
from scraper.session.door import network as net
from scraper.session.door.secrets import plain_headers

PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
"""The only schemes that are ever opened, and their ports; ``pacs`` has a client of its own."""
REMEMBERED_S = 60.0  # a name is resolved again after that, and judged again


@dataclass(frozen=True, slots=True)
class Route:
    """How one host is reached.

    Attributes:
        host: as it is asked for, in ASCII.
        port: as the address has it.
        addresses: judged; the connection goes to one of them and to no other. None where a proxy resolves the name.
        to_port: another port, where ``--connect-to`` says so.
        proxy: the user's, or nothing.
    """

    host: str
    port: int
    addresses: tuple[str, ...] = ()
    to_port: int | None = None
    proxy: str = ""
    is_mapped: bool = False


class Door:
    """One link's access to the network.

    Over 20 methods because every rule about where data may go is in this one place.

    Args:
        settings: ``--connect-to`` and ``--proxy`` are the user's own words, and trusted.
        network: resolves and connects.

    Attributes:
        refused: hosts that were blocked, in order.
        failure: why the last requested connection failed.
        gave_answers: whether an answer of a person was handed out already.
        on_inside: called once with the link's host where the link itself points into a private network.
    """

    def __init__(self, settings: Settings, network: net.Network | None = None) -> None:
        self._settings = settings
        self._network = network or net.SystemNetwork()
        self._home = ""
        self._zone: Zone | None = None
        self._sites: set[str] = set()
        self._landed: set[str] = set()
        self._called: dict[str, set[str]] = {}
        self._resolved: dict[str, tuple[float, tuple[str, ...]]] = {}
        self.refused: dict[str, None] = {}
        self.failure: CloudfilmError | None = None
        self.on_inside: Callable[[str], None] = lambda _: None
        self.gave_answers: Callable[[], bool] = lambda: False

    @property
    def insecure(self) -> bool:
        """Whether the user accepts certificates that can't be trusted."""
        return self._settings.insecure

    # ---- whose door it is

    def belongs_to(self, url: str, hosts: Iterable[str] = ()) -> None:
        """Bind the door to a link.

        Args:
            url: the link.
            hosts: others that its provider names; ``*.example.cn`` stands for any below it.
        """
        if url != self._home:
            self._home, self._zone = url, None
        self._sites = {host.removeprefix("*.").partition(":")[0].lower() for host in hosts}

    @property
    def has_home(self) -> bool:
        """Whether the door is bound to a link."""
        return bool(self._home)

    def note_call(self, url: str, names: Iterable[str]) -> None:
        """Note that the browser's page itself called an address, with headers of these names."""
        self._called.setdefault(urlsplit(url).hostname or "", set()).update(name.lower() for name in names)

    def trusts(self, url: str) -> bool:
        """Whether a person's answers may go to an address: the link's site, or a host that its provider names.

        Over TLS where the link is.
        """
        if not self._home:
            return True
        if is_secure(self._home) and not is_secure(url):
            return False
        return self.is_of_site(urlsplit(url).hostname or "")

    def is_of_site(self, host: str) -> bool:
        """Whether a host is of the link's site, or one that its provider names."""
        home = urlsplit(self._home).hostname or ""
        is_named = any(host == site or host.endswith("." + site) for site in self._sites)
        return not self._home or same_site(host, home) or is_named or site_of(host) in self._landed

    def lands(self, url: str, target: str) -> None:
        """Accept the site that the link's own redirects led to, before anything was sent: it is the link's site, too."""
        if url.partition("#")[0] != self._home.partition("#")[0] or self.gave_answers():
            return
        if is_secure(target) or not is_secure(self._home):
            self._landed.add(site_of(urlsplit(target).hostname or ""))

    def keeps_cookies(self, url: str) -> bool:
        """Whether the link's site gets its cookies at an address: only over TLS, where the link uses it."""
        is_downgrade = is_secure(self._home) and not is_secure(url)
        return not (is_downgrade and same_site(urlsplit(url).hostname or "", urlsplit(self._home).hostname or ""))

    def was_called(self, url: str) -> bool:
        """Whether the browser's page itself called that host before."""
        return (urlsplit(url).hostname or "") in self._called

    def cleared(self, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers that may go to an address: all for a trusted one, else those without anything of a person.

        A header that the browser's page itself sent to that host may be sent there again.
        """
        if self.trusts(url):
            return dict(headers)
        called = self._called.get(urlsplit(url).hostname or "", set())
        plain = plain_headers(headers)
        return {
            name: plain.get(name, value) for name, value in headers.items() if name in plain or name.lower() in called
        }

    # ---- where a connection goes

    async def route(self, url: str) -> Route:
        """Decide how to reach an address.

        Raises:
            UnusableLink: another scheme, or no sound host. UnsafeRedirect: inside, where the link is not.
            SiteUnreachable: the name does not resolve.
        """
        parts = _split(url)
        scheme = parts.scheme.lower()
        host, port = canonical_host(parts.hostname or ""), parts.port or PORTS[scheme]
        return await self.route_to(host, port, scheme)

    async def route_to(self, host: str, port: int, scheme: str = "https") -> Route:
        """Decide how to reach a host (in ASCII) and a port."""
        if not self._home:
            self.belongs_to(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/")
        try:
            return await self._route(host, port, scheme)
        except UnsafeRedirect as err:
            self.refused[host] = None
            self.failure = err
            raise
        except SiteUnreachable as err:
            self.failure = err
            raise

    async def _route(self, host: str, port: int, scheme: str) -> Route:
        row = self._row(host, port)
        if row is not None and row.address:
            address = address_of(row.address)
            placed = (str(address),) if address else await self._looked_up(canonical_host(row.address), port)
            return Route(host, port, placed, row.to_port or port, is_mapped=True)
        to_port = row.to_port if row is not None else None
        proxy = "" if row is not None else self.proxy_for(scheme, host)
        reach = WITHIN_REACH[await self._home_zone()]
        if proxy:
            address = address_of(host)
            if (zone_of(address) if address else zone_of_name(host)) not in reach and not self._is_home(host):
                raise UnsafeRedirect(host=host)
            is_asked_by_address = proxy.startswith("socks4:")  # which takes no names
            return Route(
                host, port, await self._allowed_addresses(host, port) if is_asked_by_address else (), None, proxy
            )
        allowed = await self._allowed_addresses(host, port)
        return Route(host, port, tuple(self._network.place(text) for text in allowed), to_port)

    async def _allowed_addresses(self, host: str, port: int) -> tuple[str, ...]:
        """A host's addresses that may be reached.

        Raises:
            UnsafeRedirect: none may. SiteUnreachable: the name does not resolve.
        """
        found = await self._addresses(host, port)  # which may tell that the link's own host moved
        reach = WITHIN_REACH[await self._home_zone()]
        allowed = tuple(text for text in found if _zone(text) in reach)
        if not allowed and self._is_home(host) and _zone(found[0]) is self._zone:
            allowed = found
        if not allowed:
            raise UnsafeRedirect(host=host)
        return allowed

    async def connection(self, route: Route) -> socket.socket:
        """Open a socket along a route, without a proxy.

        Raises:
            SiteUnreachable: nobody answers there.
        """
        try:
            return await net.connect(route.addresses, route.to_port or route.port)
        except OSError as err:
            self.failure = SiteUnreachable(host=route.host, why=_why(err))
            raise self.failure from err

    def proxy_for(self, scheme: str, host: str) -> str:
        """The user's proxy for a host: ``--proxy``, else the environment's with its exceptions."""
        if self._settings.proxy:
            return _written_out(self._settings.proxy)
        proxies = getproxies_environment()
        if not proxies or proxy_bypass_environment(host, proxies) or zone_of_name(host) is Zone.LOOPBACK:
            return ""
        address = address_of(host)
        if address is not None and zone_of(address) is Zone.LOOPBACK:
            return ""
        secure = scheme in ("https", "wss")
        proxy = proxies.get("https" if secure else "http") or proxies.get("all") or ""
        return _written_out(proxy) if proxy else ""

    async def _home_zone(self) -> Zone:
        """The zone of the link itself, decided once from what its host resolves to."""
        if self._zone is None:
            try:
                self._zone = await self._zone_of_home()
            except SiteUnreachable:  # nothing says that it lies inside
                return Zone.PUBLIC
            if self._zone not in (Zone.PUBLIC, Zone.FAKE):
                self.on_inside(urlsplit(self._home).hostname or "")
        return self._zone

    async def _zone_of_home(self) -> Zone:
        parts = urlsplit(self._home)
        host = canonical_host(parts.hostname or "")
        port = parts.port or PORTS.get(parts.scheme, 443)
        row = self._row(host, port)
        if (row is not None and row.address) or self.proxy_for(parts.scheme, host):
            address = address_of(host)
            return zone_of(address) if address else zone_of_name(host)
        zones = [_zone(text) for text in await self._addresses(host, port)]
        return Zone.PUBLIC if Zone.PUBLIC in zones else zones[0]

    def _is_home(self, host: str) -> bool:
        return host == canonical_host(urlsplit(self._home).hostname or "")

    def _row(self, host: str, port: int) -> ConnectTo | None:
        """The row of ``--connect-to`` for a host; a row for any host does not cover private addresses or names."""
        is_inside = address_of(host) is not None or zone_of_name(host) is not Zone.PUBLIC
        is_inside = is_inside and not self._is_home(host)
        for row in self._settings.connect_to:
            if _applies(row, host, port) and (row.host or not is_inside):
                return row
        return None

    async def _addresses(self, host: str, port: int) -> tuple[str, ...]:
        """A name's addresses; approved ones are cached for a while, however often the name is asked for."""
        if address_of(host) is not None:
            return (host,)
        known = self._resolved.get(host)
        if known is None or known[0] < time.monotonic():
            known = self._resolved[host] = (time.monotonic() + REMEMBERED_S, await self._looked_up(host, port))
            self._note_address_of_home(host, known[1])
        return known[1]

    def _note_address_of_home(self, host: str, addresses: Iterable[str]) -> None:
        """A link that lay inside, and now lies outside: whoever owns its name moved it, and reaches nothing inside any more."""
        lies_inside = self._zone in (Zone.LAN, Zone.LOOPBACK, Zone.LINK_LOCAL)
        if lies_inside and self._is_home(host) and any(_zone(text) is Zone.PUBLIC for text in addresses):
            self._zone = Zone.PUBLIC

    async def _looked_up(self, host: str, port: int) -> tuple[str, ...]:
        try:
            found = await self._network.resolve(host, port)
        except (OSError, UnicodeError) as err:
            raise SiteUnreachable(host=host, why=Reason.NAME_UNKNOWN) from err
        if not found:
            raise SiteUnreachable(host=host, why=Reason.NAME_UNKNOWN)
        return tuple(found)


def _written_out(proxy: str) -> str:
    """A proxy's address with its scheme; SOCKS 5 proxies get host names, so that no client resolves them itself."""
    scheme, mark, rest = proxy.partition("://")
    if not mark:
        return f"http://{proxy}"
    scheme = scheme.lower()
    return f"{'socks5h' if scheme in ('socks5', 'socks') else scheme}://{rest}"


def _split(url: str) -> SplitResult:
    """Split an address into its parts.

    Raises:
        UnusableLink: a scheme that is never opened, a user's name in it, or no sound address.
    """
    try:
        parts = urlsplit(url)
        is_sound = parts.scheme.lower() in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_sound = False
    if not is_sound or parts.username is not None or "\\" in parts.netloc:
        raise UnusableLink(link=url.partition(":")[0][:20] + ":…")
    return parts


def canonical_url(url: str) -> str:
    """An address with its host as the door reads it, so that a client can't read another one in it.

    Raises:
        UnusableLink: a scheme that is never opened, a user's name in it, or no sound address.
    """
    parts = _split(url)
    host = canonical_host(parts.hostname or "")
    netloc = f"[{host}]" if ":" in host else host
    if parts.port is not None:
        netloc += f":{parts.port}"
    scheme = parts.scheme.lower()
    head = url.partition("://")[2]
    rest = head[len(parts.netloc) :]  # as it stands: ``urlunsplit`` drops an empty query
    return f"{scheme}://{netloc}{rest}"


def connected_to(host: str, port: int, settings: Settings) -> tuple[str, int]:
    """Where a connection to a host that the user named goes: there, or where ``--connect-to`` says."""
    row = next((row for row in settings.connect_to if _applies(row, canonical_host(host), port)), None)
    return (row.address or host, row.to_port or port) if row else (host, port)


def _applies(row: ConnectTo, host: str, port: int) -> bool:
    """Whether a row of ``--connect-to`` is for a host, or for any, and for a port."""
    try:
        return row.port in (None, port) and (not row.host or canonical_host(row.host) == host)
    except UnusableLink:
        return False


def _zone(address: str) -> Zone:
    parsed = address_of(address)
    return zone_of(parsed) if parsed is not None else Zone.NEVER


def _why(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return Reason.CONNECTION_REFUSED
    if isinstance(error, TimeoutError):
        return Reason.NO_ANSWER_IN_TIME
    return "no route to it"
