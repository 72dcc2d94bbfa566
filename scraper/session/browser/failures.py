"""Exceptions of the browser's library turned into our own, and endings bounded in time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scraper.core.errors import BadCertificate, CloudfilmError, SiteChanged, SiteUnreachable


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
            raise SiteUnreachable(host=host, why="no answer in time") from err
        raise SiteChanged(host=host, what="the page does not show what was waited for") from err
    except Error as err:
        if not quiet:
            error = _as_ours(err, host)
            if error is not None:
                raise error from err


_NETWORK = {
    "ERR_NAME_NOT_RESOLVED": "its name is not known",
    "ERR_CONNECTION_REFUSED": "the connection was refused",
    "ERR_CONNECTION_RESET": "the connection broke",
    "ERR_CONNECTION_CLOSED": "the connection was closed without an answer",
    "ERR_EMPTY_RESPONSE": "the connection was closed without an answer",
    "ERR_CONNECTION_TIMED_OUT": "no answer in time",
    "ERR_TIMED_OUT": "no answer in time",
    "ERR_ADDRESS_UNREACHABLE": "no route to it",
    "ERR_INTERNET_DISCONNECTED": "no network",
    "ERR_PROXY_CONNECTION_FAILED": "the proxy does not answer",
    "ERR_TUNNEL_CONNECTION_FAILED": "the proxy refuses it",
    "ERR_SSL_PROTOCOL_ERROR": "no TLS connection",
    "ERR_SSL_VERSION_OR_CIPHER_MISMATCH": "no TLS connection",
    "ERR_TOO_MANY_REDIRECTS": "it redirects in a circle",
}


def _as_ours(error: Exception, host: str) -> CloudfilmError | None:
    """The library's error as ours; None for a navigation that became a download or was replaced by another."""
    text = str(error)
    if "ERR_ABORTED" in text or "Download is starting" in text or "interrupted by another navigation" in text:
        return None
    if "ERR_CERT_" in text or "ERR_SSL_OBSOLETE" in text:
        return BadCertificate(host=host, why="certificate")
    _, _, name = text.partition("net::")
    if name:
        code = name.split()[0]
        return SiteUnreachable(host=host, why=_NETWORK.get(code, f"network error {code}"))
    if "has been closed" in text or "crashed" in text:
        return SiteUnreachable(host=host, why="the browser ended")
    return SiteChanged(host=host, what="the page can't be worked with as known")


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
