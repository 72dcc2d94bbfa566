"""Exceptions of the browser's library turned into our own, and endings bounded in time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scraper.core.errors import BadCertificate, CloudfilmError, SiteChanged, SiteUnreachable
from scraper.core.reasons import Reason


@contextmanager
def ours(host: str, *, loading: bool = False, quiet: bool = False) -> Iterator[None]:
    """Turn the library's exceptions into ours. ``loading``: a time-out means silence; ``quiet``: ignore failures."""
    from playwright.async_api import Error
    from playwright.async_api import TimeoutError as TookTooLong

    try:
        yield
    except TookTooLong as err:
        if quiet:
            return
        if loading:
            raise SiteUnreachable(host=host, why=Reason.NO_ANSWER_IN_TIME) from err
        raise SiteChanged(host=host, what=Reason.PAGE_LACKS_EXPECTED) from err
    except Error as err:
        if not quiet:
            error = _as_ours(err, host)
            if error is not None:
                raise error from err


_NETWORK = {
    "ERR_NAME_NOT_RESOLVED": Reason.NAME_UNKNOWN,
    "ERR_CONNECTION_REFUSED": Reason.CONNECTION_REFUSED,
    "ERR_CONNECTION_RESET": Reason.CONNECTION_BROKEN,
    "ERR_CONNECTION_CLOSED": Reason.CONNECTION_CLOSED_UNANSWERED,
    "ERR_EMPTY_RESPONSE": Reason.CONNECTION_CLOSED_UNANSWERED,
    "ERR_CONNECTION_TIMED_OUT": Reason.NO_ANSWER_IN_TIME,
    "ERR_TIMED_OUT": Reason.NO_ANSWER_IN_TIME,
    "ERR_ADDRESS_UNREACHABLE": Reason.NO_ROUTE,
    "ERR_INTERNET_DISCONNECTED": Reason.NO_NETWORK,
    "ERR_PROXY_CONNECTION_FAILED": Reason.PROXY_SILENT,
    "ERR_TUNNEL_CONNECTION_FAILED": Reason.PROXY_REFUSES,
    "ERR_SSL_PROTOCOL_ERROR": Reason.NO_TLS,
    "ERR_SSL_VERSION_OR_CIPHER_MISMATCH": Reason.NO_TLS,
    "ERR_SOCKS_CONNECTION_FAILED": Reason.RELAY_REFUSES,
    "ERR_SOCKS_CONNECTION_HOST_UNREACHABLE": Reason.RELAY_REFUSES,
    "ERR_HTTP_RESPONSE_CODE_FAILURE": Reason.STATUS_WITHOUT_BODY,
    "ERR_TOO_MANY_REDIRECTS": Reason.ENDLESS_REDIRECTS,
}


def _as_ours(error: Exception, host: str) -> CloudfilmError | None:
    """The library's error as ours; None for a navigation that became a download or was replaced by another."""
    text = str(error)
    if "ERR_ABORTED" in text or "Download is starting" in text or "interrupted by another navigation" in text:
        return None
    if "ERR_CERT_" in text or "ERR_SSL_OBSOLETE" in text:
        return BadCertificate(host=host, why=Reason.CERTIFICATE)
    _, _, name = text.partition("net::")
    if name:
        code = name.split()[0]
        return SiteUnreachable(host=host, why=_NETWORK.get(code, Reason.NETWORK_ERROR.of(number=code)))
    if "has been closed" in text or "crashed" in text or "Connection closed" in text:  # the last: to the driver
        return SiteUnreachable(host=host, why=Reason.BROWSER_ENDED)
    return SiteChanged(host=host, what=Reason.PAGE_UNKNOWN)


def first_line(error: Exception) -> str:
    """The first line of the library's message, shortened to one line."""
    return str(error).strip().partition("\n")[0][:200]


async def within(seconds: float, work: Any) -> bool:
    """Run ``work`` and return whether it ended in time, successfully or not."""
    from playwright.async_api import Error

    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return False
    except Error:
        return True
    return True
