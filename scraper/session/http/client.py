"""The only door to the HTTP client: one request out, one response in, redirects one hop at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, ItemsView, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from scraper.core import link
from scraper.core.addresses import address_of
from scraper.core.disk import Watch, disk_errors
from scraper.core.domains import host_of, is_secure, same_site
from scraper.core.errors import BadCertificate, CloudfilmError, ForeignHost, SiteChanged, SiteUnreachable, UnusableLink
from scraper.core.model import Request
from scraper.core.reasons import Reason
from scraper.core.settings import MOST_INSTANCE_BYTES, MOST_PART_BYTES, SLOWEST_BYTES_S, ConnectTo, Settings
from scraper.protocols.headers import cookie_pairs, merged, taken, without
from scraper.session.door import Door, Route
from scraper.session.door.door import canonical_url
from scraper.session.door.secrets import plain_headers
from scraper.session.http.pace import Pace
from scraper.session.http.response import Response

if TYPE_CHECKING:
    from curl_cffi import CurlOpt
    from curl_cffi.requests import AsyncSession
    from curl_cffi.requests.exceptions import RequestException

USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
MAX_HOPS = 12
CONNECT_TIMEOUT_S = 20.0
TLS_1_0 = (
    4  # CURL_SSLVERSION_TLSv1_0: the oldest; many hospitals' servers have no other, and newer libcurls stop at 1.2
)
BUFFER = 2**18  # bytes of a body that are written at once; libcurl hands over 16 KB
SCHEMES = "http,https"  # libcurl knows some twenty more (dict, telnet, file …), which no site may name


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie, as it is passed between the direct client and the browser. ``expires``: Unix seconds, -1: session."""

    name: str
    value: str = field(repr=False)
    domain: str
    path: str = "/"
    secure: bool = False
    expires: float = -1


class _Sink:
    """Store a body's pieces as they arrive: in a file, or in memory up to a limit."""

    def __init__(self, into: Path | None, limit: int, on_bytes: Callable[[int], None] | None) -> None:
        self._disk = Watch(into.parent) if into else None
        self._file = into.open("wb", BUFFER) if into else None
        self._pieces: list[bytes] = []
        self._limit = limit
        self._on_bytes = on_bytes
        self.size = 0

    def take(self, piece: bytes) -> int:
        self.size += len(piece)
        if self.size > self._limit:
            raise OverflowError
        if self._disk:
            self._disk.wrote(len(piece))
        if self._file:
            self._file.write(piece)
        else:
            self._pieces.append(piece)
        if self._on_bytes:
            self._on_bytes(len(piece))
        return len(piece)

    def close(self) -> bytes:
        if self._file:
            self._file.close()
        return b"".join(self._pieces)


class _Options(dict[Any, Any]):
    """libcurl's options of the client, and of the request that the running task sends; the client has no other place for them."""

    def __init__(self, options: Mapping[Any, Any]) -> None:
        super().__init__(options)
        self.way: ContextVar[dict[Any, Any]] = ContextVar("way")

    def items(self) -> ItemsView[Any, Any]:  # type: ignore[override]  # a view of another dict
        """Yield the options; the client reads them as each request leaves."""
        return {**self, **self.way.get({})}.items()


class Http:
    """One link's direct client: its cookies, its connections; the pace is the run's.

    Args:
        settings: proxy, ``--connect-to``, ``--insecure``, time-out.
        pace: shared by the links of a run.
        user_agent: the provider's, or a desktop browser's.
        door: decides where requests may go; by default one whose link is the first address asked for.
    """

    def __init__(self, settings: Settings, pace: Pace, user_agent: str = "", door: Door | None = None) -> None:
        # Loaded where something is asked of a site: reading a photo is not delayed.
        from curl_cffi import CurlOpt, ffi, lib
        from curl_cffi.requests import AsyncSession

        self._pace = pace
        self.door = door or Door(settings)
        self._connect_to = ffi.NULL
        for row in settings.connect_to:
            self._connect_to = lib.curl_slist_append(self._connect_to, _curl_form(row).encode())
        options: dict[CurlOpt, Any] = {
            # A site that is silent this long is given up; a slow one is not.
            CurlOpt.LOW_SPEED_LIMIT: SLOWEST_BYTES_S,
            CurlOpt.LOW_SPEED_TIME: max(1, round(settings.timeout_s)),
            CurlOpt.CONNECTTIMEOUT_MS: round(min(CONNECT_TIMEOUT_S, settings.timeout_s) * 1000),
            CurlOpt.SSLVERSION: TLS_1_0,
            CurlOpt.PROTOCOLS_STR: SCHEMES,
            CurlOpt.REDIR_PROTOCOLS_STR: SCHEMES,
        }
        if settings.connect_to:
            options[CurlOpt.CONNECT_TO] = self._connect_to
        if settings.insecure:
            options |= {CurlOpt.PROXY_SSL_VERIFYPEER: 0, CurlOpt.PROXY_SSL_VERIFYHOST: 0}
        if settings.tls_certificate is not None:
            options[CurlOpt.SSLCERT] = str(settings.tls_certificate)
        if settings.tls_key is not None:
            options[CurlOpt.SSLKEY] = str(settings.tls_key)
        self._options = _Options(options)
        self._client: AsyncSession[Any] = AsyncSession(
            max_clients=max(settings.jobs, 1) + 4,
            verify=_verified_by(settings),  # type: ignore[arg-type]  # a file of certificates is taken, too
            trust_env=False,  # the door reads the environment's proxies
            timeout=None,  # type: ignore[arg-type]  # none over all: the low-speed limit above ends a silent one
            allow_redirects=False,
            curl_options=self._options,
            default_headers=False,
        )
        self._headers = {"User-Agent": user_agent or USER_AGENT, "Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}

    async def close(self) -> None:
        """Close the connections."""
        from curl_cffi import ffi, lib

        await self._client.close()
        if self._connect_to != ffi.NULL:
            lib.curl_slist_free_all(self._connect_to)
            self._connect_to = ffi.NULL

    @property
    def user_agent(self) -> str:
        """The user agent of this client."""
        return self._headers["User-Agent"]

    @property
    def pace(self) -> Pace:
        """The pace of this client."""
        return self._pace

    def cookies(self) -> list[Cookie]:
        """The cookies of the jar."""
        return [
            Cookie(c.name, c.value or "", c.domain, c.path, c.secure, float(c.expires) if c.expires else -1)
            for c in self._client.cookies.jar
        ]

    def add_cookies(self, cookies: list[Cookie]) -> None:
        """Add cookies, replacing those of the same name."""
        for cookie in cookies:
            self._client.cookies.set(
                cookie.name, cookie.value, domain=cookie.domain, path=cookie.path, secure=cookie.secure
            )

    async def send(
        self,
        request: Request,
        *,
        hops: int = MAX_HOPS,
        into: Path | None = None,
        limit: int = 0,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Response:
        """Send one request and follow up to ``hops`` redirects, each checked.

        Args:
            request: what to send; its signer is called when it leaves, at every hop.
            hops: 0 returns a redirect unfollowed.
            into: the body is streamed to this file.
            limit: bytes of the body at most; 0: of one instance for a file, of one part for memory.
            on_bytes: called with the size of each piece as it arrives.

        Raises:
            SiteUnreachable: no connection, silence, or a body cut short (its ``why`` says which).
            BadCertificate: the certificate can't be trusted.
            UnsafeRedirect: a public address leads to a private one.
            DiskFull: no space left for ``into``.
            NotWritable: ``into`` can't be written.
        """
        url, method, body, headers = request.url, request.method, request.body, dict(request.headers)
        passed: list[str] = []
        while True:
            if request.sign:
                headers = merged(headers, request.sign())
            sent = Request(url, method, headers, body)
            response = await self._once(sent, into, limit, on_bytes)
            location = response.headers.get("location", "")
            if response.status not in (301, 302, 303, 307, 308) or not location or len(passed) >= hops:
                return Response(response.status, response.headers, response.body, url, response.path, tuple(passed))
            passed.append(url)
            target = urljoin(url, location)
            await self.check_hop(url, target)
            if response.status == 303 or (response.status in (301, 302) and method == "POST"):
                method, body = "GET", None
                headers = without(headers, "content-type")
            headers = self._taken_along(url, target, headers, body)
            url = target

    def _taken_along(self, url: str, target: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, str]:
        """The headers that a redirect keeps: across sites, or out of TLS, those that identify nobody.

        Raises:
            ForeignHost: a body would go to another site.
        """
        old, new = host_of(url), host_of(target)
        if not same_site(old, new) or (is_secure(url) and not is_secure(target)):
            if body and not self.door.trusts(target):
                raise ForeignHost(host=new, what=Reason.REDIRECT_TO_OTHER_SITE)
            return plain_headers(headers)
        if old == new:
            return dict(headers)
        return without(headers, "authorization", "cookie")

    async def check_hop(self, url: str, target: str) -> None:
        """Refuse a hop from a public address to a private one, and to anything but http(s).

        Raises:
            UnsafeRedirect: a name or address of a private range, also where DNS says so.
            UnusableLink: not an http(s) address.
        """
        if not self.door.has_home:
            self.door.belongs_to(url)
        goal = link.parse_url(target.partition("#")[0])
        with suppress(SiteUnreachable):  # the connection itself will say so
            await self.door.route(goal.url)

    async def _once(
        self, request: Request, into: Path | None, limit: int, on_bytes: Callable[[int], None] | None
    ) -> Response:
        from curl_cffi import CurlError
        from curl_cffi.requests.exceptions import RequestException

        url = request.url
        host = urlsplit(url).hostname or ""
        asked = quote(canonical_url(url), safe="!#$%&'()*+,/:;=?@[]~")
        route = await self.door.route(url)
        headers = merged(self._headers, self.door.cleared(url, request.headers))
        own = cookie_pairs(taken(headers, "Cookie") or "")  # into the jar, which writes the one header of that name
        self.add_cookies([Cookie(name, value, host) for name, value in own.items()])
        async with self._pace.turn(host):
            with _disk_errors(into):
                sink = _Sink(into, limit or (MOST_INSTANCE_BYTES if into else MOST_PART_BYTES), on_bytes)
            self._options.way.set(_way(route, with_cookies=self.door.keeps_cookies(url)))
            try:
                with _disk_errors(into):
                    answer = await self._client.request(
                        request.method,  # type: ignore[arg-type]  # a Literal of all methods there
                        asked,
                        headers=headers,
                        data=request.body,
                        quote=False,
                        content_callback=sink.take,
                        proxy=route.proxy or None,
                    )
            except RequestException as err:
                ours = _as_ours(err, host)
                if isinstance(ours, SiteUnreachable) and err.response is not None and sink.size:
                    ours.partial_response = Response(
                        err.response.status_code, _lowered(err.response.headers), b"", url, into
                    )
                raise ours from err
            except CurlError as err:
                raise SiteUnreachable(host=host, why=str(err.code)) from err
            except OverflowError as err:
                raise SiteChanged(host=host, what=Reason.ANSWER_TOO_LARGE) from err
            finally:
                with _disk_errors(into):
                    content = sink.close()
        return Response(answer.status_code, _lowered(answer.headers), content, url, into)


def _verified_by(settings: Settings) -> bool | str:
    """Which certificates are trusted: none is asked for, a file's, or the usual ones."""
    if settings.insecure:
        return False
    return str(settings.tls_authority) if settings.tls_authority is not None else True


def _lowered(headers: Mapping[str, str | None]) -> dict[str, str]:
    return {name.lower(): value or "" for name, value in headers.items()}


def _way(route: Route, *, with_cookies: bool) -> dict[CurlOpt, Any]:
    """The route as libcurl's options: it knows the approved addresses only."""
    from curl_cffi import CurlOpt

    way: dict[CurlOpt, Any] = {CurlOpt.NOPROXY: "" if route.proxy else "*"}
    if not with_cookies:
        way[CurlOpt.COOKIELIST] = "ALL"  # forgets what the client had put in for this request
    if route.addresses and not route.is_mapped and address_of(route.host) is None:
        placed = ",".join(f"[{address}]" if ":" in address else address for address in route.addresses)
        way[CurlOpt.RESOLVE] = [f"{route.host}:{route.to_port or route.port}:{placed}"]
    return way


def _curl_form(row: ConnectTo) -> str:
    host, address = (f"[{name}]" if ":" in name else name for name in (row.host, row.address))
    return f"{host}:{row.port or ''}:{address}:{row.to_port or ''}"


@asynccontextmanager
async def opened(settings: Settings, pace: Pace, user_agent: str = "") -> AsyncIterator[Http]:
    """A client that is closed at the end."""
    client = Http(settings, pace, user_agent)
    try:
        yield client
    finally:
        await client.close()


def _disk_errors(into: Path | None) -> AbstractContextManager[None]:
    """The disk's refusals to take a body as our errors; curl_cffi's own errors are OSErrors too, and pass."""
    from curl_cffi.requests.exceptions import RequestException

    return nullcontext() if into is None else disk_errors(into.parent, unless=(RequestException,))


_WHY = {
    5: Reason.PROXY_NAME_UNKNOWN,
    6: Reason.NAME_UNKNOWN,
    7: Reason.CONNECTION_REFUSED,
    18: Reason.ANSWER_CUT_SHORT,
    28: Reason.NO_ANSWER_IN_TIME,
    52: Reason.CONNECTION_CLOSED_UNANSWERED,
    55: Reason.CONNECTION_BROKEN,
    56: Reason.CONNECTION_BROKEN,
    61: Reason.ENCODING_BROKEN,
    92: Reason.CONNECTION_BROKEN,
    97: Reason.PROXY_SILENT,
}
BROKEN = tuple(_WHY[code] for code in (18, 52, 55, 56, 92))  # whys of a line that may hold the next time
_TLS = (60, 77, 91)


def _as_ours(error: RequestException, host: str) -> CloudfilmError:
    code = int(error.code or 0)
    text = str(error).lower()
    if code in _TLS or (code == 35 and "certificate" in text):
        return BadCertificate(host=host, why=Reason.CERTIFICATE)
    if code == 3:
        return UnusableLink(link=host)
    if code == 35:
        return SiteUnreachable(host=host, why=Reason.NO_TLS)
    return SiteUnreachable(host=host, why=_WHY.get(code, Reason.NETWORK_ERROR.of(number=code)))
