"""The only door to the HTTP client: one request out, one answer in, redirects one hop at a time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from scraper import link
from scraper.errors import (
    BadCertificate,
    CloudfilmError,
    DiskFull,
    NotWritable,
    SiteChanged,
    SiteUnreachable,
    UnsafeRedirect,
    UnusableLink,
)
from scraper.model import Request
from scraper.protocols.headers import cookie_pairs, merged, taken, without
from scraper.session.pace import Pace
from scraper.session.response import Response
from scraper.settings import ConnectTo, Settings

if TYPE_CHECKING:
    from curl_cffi import CurlOpt
    from curl_cffi.requests import AsyncSession
    from curl_cffi.requests.exceptions import RequestException

USER_AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
MAX_HOPS = 12
MAX_IN_MEMORY = 256 * 2**20  # bytes of one answer that is not written to a file
CONNECT_TIMEOUT_S = 20.0
NO_SPACE = (27, 28, 122)  # EFBIG, ENOSPC, EDQUOT


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
    """Takes a body's pieces as they arrive: into a file, or into memory up to a limit."""

    def __init__(self, into: Path | None, limit: int, on_bytes: Callable[[int], None] | None) -> None:
        self._file = into.open("wb") if into else None
        self._pieces: list[bytes] = []
        self._limit = limit
        self._on_bytes = on_bytes
        self.size = 0

    def take(self, piece: bytes) -> int:
        self.size += len(piece)
        if self.size > self._limit:
            raise OverflowError
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


class Http:
    """One link's direct client: its cookies, its connections; the pace is the run's.

    Args:
        settings: proxy, ``--connect-to``, ``--insecure``, time-out.
        pace: shared by the links of a run.
        user_agent: the recipe's, or a desktop browser's.
    """

    def __init__(self, settings: Settings, pace: Pace, user_agent: str = "") -> None:
        # Loaded where something is asked of a site: reading a photo is not delayed.
        from curl_cffi import CurlOpt, ffi, lib
        from curl_cffi.requests import AsyncSession

        self._settings = settings
        self._pace = pace
        self._connect_to = ffi.NULL
        for row in settings.connect_to:
            self._connect_to = lib.curl_slist_append(self._connect_to, _curl_form(row).encode())
        options: dict[CurlOpt, Any] = {
            # A site that is silent this long is given up; a slow one is not.
            CurlOpt.LOW_SPEED_LIMIT: 1,
            CurlOpt.LOW_SPEED_TIME: max(1, round(settings.timeout_s)),
            CurlOpt.CONNECTTIMEOUT_MS: round(min(CONNECT_TIMEOUT_S, settings.timeout_s) * 1000),
        }
        if settings.connect_to:
            options[CurlOpt.CONNECT_TO] = self._connect_to
        self._client: AsyncSession[Any] = AsyncSession(
            max_clients=max(settings.jobs, 1) + 4,
            verify=not settings.insecure,
            proxy=settings.proxy or None,
            trust_env=not settings.proxy,
            timeout=None,  # type: ignore[arg-type]  # none over all: the low-speed limit above ends a silent one
            allow_redirects=False,
            curl_options=options,
            default_headers=False,
        )
        self._headers = {"User-Agent": user_agent or USER_AGENT, "Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}

    async def close(self) -> None:
        """Ends the connections."""
        from curl_cffi import ffi, lib

        await self._client.close()
        if self._connect_to != ffi.NULL:
            lib.curl_slist_free_all(self._connect_to)
            self._connect_to = ffi.NULL

    @property
    def user_agent(self) -> str:
        """The browser that this client says it is."""
        return self._headers["User-Agent"]

    @property
    def pace(self) -> Pace:
        """The pace that this client keeps."""
        return self._pace

    def cookies(self) -> list[Cookie]:
        """The jar's content."""
        return [
            Cookie(c.name, c.value or "", c.domain, c.path, c.secure, float(c.expires) if c.expires else -1)
            for c in self._client.cookies.jar
        ]

    def add_cookies(self, cookies: list[Cookie]) -> None:
        """Puts cookies in, over those of the same name."""
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
            hops: 0 gives a redirect back as it is.
            into: the body is streamed to this file.
            limit: bytes of the body at most; 0: no limit for a file, 256 MB for memory.
            on_bytes: told the size of each piece as it arrives.

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
                return Response(
                    response.status, response.headers, response.body, url, response.path, tuple(passed)
                )
            passed.append(url)
            target = urljoin(url, location)
            await self.check_hop(url, target)
            if urlsplit(target).hostname != urlsplit(url).hostname:
                headers = without(headers, "authorization", "cookie")
            if response.status == 303 or (response.status in (301, 302) and method == "POST"):
                method, body = "GET", None
                headers = without(headers, "content-type")
            url = target

    async def check_hop(self, url: str, target: str) -> None:
        """Refuse a hop from a public address to a private one, and to anything but http(s).

        Raises:
            UnsafeRedirect: a name or address of a private range, also where DNS says so.
            UnusableLink: not an http(s) address.
        """
        goal = link.of(target.partition("#")[0])
        if link.is_private(urlsplit(url).hostname or ""):
            return
        if link.is_private(goal.host):
            raise UnsafeRedirect(host=goal.host)
        mapped = any(_applies(row, goal.host, goal.port) for row in self._settings.connect_to)
        if (
            mapped
            or self._settings.proxy
            or link.is_address(goal.host)
            or goal.host == urlsplit(url).hostname
        ):
            return  # mapped by the user, resolved by the proxy, or seen already
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                goal.host, goal.port, type=socket.SOCK_STREAM
            )
        except OSError:
            return  # the connection itself will say so
        if any(link.is_private(str(entry[4][0]).partition("%")[0]) for entry in found):
            raise UnsafeRedirect(host=goal.host)

    async def _once(
        self, request: Request, into: Path | None, limit: int, on_bytes: Callable[[int], None] | None
    ) -> Response:
        from curl_cffi import CurlError
        from curl_cffi.requests.exceptions import RequestException

        url = request.url
        host = urlsplit(url).hostname or ""
        headers = merged(self._headers, request.headers)
        own = cookie_pairs(
            taken(headers, "Cookie") or ""
        )  # into the jar, which writes the one header of that name
        self.add_cookies([Cookie(name, value, host) for name, value in own.items()])
        async with self._pace.turn(host):
            with _disk_errors(into):
                sink = _Sink(into, limit or (2**62 if into else MAX_IN_MEMORY), on_bytes)
            try:
                with _disk_errors(into):
                    answer = await self._client.request(
                        request.method,  # type: ignore[arg-type]  # a Literal of all methods there
                        quote(url, safe="!#$%&'()*+,/:;=?@[]~"),
                        headers=headers,
                        data=request.body,
                        quote=False,
                        content_callback=sink.take,
                    )
            except RequestException as err:
                ours = _as_ours(err, host)
                if isinstance(ours, SiteUnreachable) and err.response is not None and sink.size:
                    ours.begun = Response(
                        err.response.status_code, _lowered(err.response.headers), b"", url, into
                    )
                raise ours from err
            except CurlError as err:
                raise SiteUnreachable(host=host, why=str(err.code)) from err
            except OverflowError as err:
                raise SiteChanged(host=host, what="an answer that is far too large") from err
            finally:
                with _disk_errors(into):
                    content = sink.close()
        return Response(answer.status_code, _lowered(answer.headers), content, url, into)


def _lowered(headers: Mapping[str, str | None]) -> dict[str, str]:
    return {name.lower(): value or "" for name, value in headers.items()}


def _curl_form(row: ConnectTo) -> str:
    host, address = (f"[{name}]" if ":" in name else name for name in (row.host, row.address))
    return f"{host}:{row.port or ''}:{address}:{row.to_port or ''}"


def _applies(row: ConnectTo, host: str, port: int) -> bool:
    return row.host in ("", host) and row.port in (None, port)


@asynccontextmanager
async def opened(settings: Settings, pace: Pace, user_agent: str = "") -> AsyncIterator[Http]:
    """A client that is closed at the end."""
    client = Http(settings, pace, user_agent)
    try:
        yield client
    finally:
        await client.close()


class _disk_errors:  # reads as a function: ``with _disk_errors(path):``
    """Turns an OSError of writing the body into our own."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from curl_cffi.requests.exceptions import RequestException

        # curl_cffi's own errors are OSErrors too; those are not the disk's.
        if isinstance(error, OSError) and not isinstance(error, RequestException) and self._path is not None:
            raise (DiskFull if error.errno in NO_SPACE else NotWritable)(
                path=str(self._path.parent)
            ) from error


_WHY = {
    5: "the proxy's name is not known",
    6: "its name is not known",
    7: "the connection was refused",
    18: "the answer was cut short",
    28: "no answer in time",
    52: "the connection was closed without an answer",
    55: "the connection broke",
    56: "the connection broke",
    61: "the answer's encoding is broken",
    92: "the connection broke",
    97: "the proxy does not answer",
}
BROKEN = tuple(_WHY[code] for code in (18, 52, 55, 56, 92))  # whys of a line that may hold the next time
_TLS = (60, 77, 91)


def _as_ours(error: RequestException, host: str) -> CloudfilmError:
    code = int(error.code or 0)
    text = str(error).lower()
    if code in _TLS or (code == 35 and "certificate" in text):
        return BadCertificate(host=host, why="certificate")
    if code == 3:
        return UnusableLink(link=host)
    if code == 35:
        return SiteUnreachable(host=host, why="no TLS connection")
    return SiteUnreachable(host=host, why=_WHY.get(code, f"network error {code}"))
