"""What an HTTP status other than 2xx means: the one place that decides it."""

from __future__ import annotations

from typing import Final

from scraper.core.errors import (
    AsksToWait,
    CloudfilmError,
    CorruptInstance,
    MissingInstances,
    NoSuchStudy,
    SessionLapsed,
    SiteBusy,
    SiteChanged,
    SiteUnreachable,
)
from scraper.core.reasons import Reason
from scraper.core.settings import LONGEST_RETRY_AFTER_S

LAPSED: Final = frozenset((401, 403))
GONE: Final = frozenset((404, 410))
OVERLOADED: Final = frozenset((429, 503))
BUSY: Final = frozenset((408, 425, *OVERLOADED))  # RFC 9110 15.5.9 and 15.6.4, RFC 8470 5.2, RFC 6585 4
NO_CONTENT: Final = 204
PAGE_MAY_PASS: Final = LAPSED | OVERLOADED | {412, 418}  # a firewall refuses what is no browser: the page may ask


def call_error(status: int, host: str | None, path: str, retry_after_s: float | None = None) -> CloudfilmError:
    """The error of a call of a site's interface, where the provider knows no other."""
    if status in GONE:
        return NoSuchStudy(host=host)
    return common_error(status, host, retry_after_s) or SiteChanged(
        host=host, what=Reason.ANSWERS_HTTP.of(path=path, status=status)
    )


def instance_error(status: int, host: str | None, retry_after_s: float | None = None) -> CloudfilmError:
    """The error of a request for an instance, or a part of one; 204 is none either."""
    if status in GONE or status == NO_CONTENT:
        return MissingInstances(why=f"HTTP {status}")
    return common_error(status, host, retry_after_s) or CorruptInstance(what=f"HTTP {status}")


def handshake_error(status: int, host: str | None) -> CloudfilmError:
    """The error of a WebSocket's opening handshake."""
    return common_error(status, host, None) or SiteUnreachable(host=host, why=f"HTTP {status}")


def common_error(status: int, host: str | None, retry_after_s: float | None) -> CloudfilmError | None:
    """The error of a status that means the same wherever it comes; None for any other."""
    why = f"HTTP {status}"
    if status in LAPSED:
        return SessionLapsed(host=host)
    if status in BUSY:
        if retry_after_s is not None and retry_after_s > LONGEST_RETRY_AFTER_S:
            return AsksToWait(host=host, why=why, retry_after_s=round(retry_after_s))
        return SiteBusy(host=host, why=why, retry_after_s=retry_after_s)
    if status >= 500:
        return SiteUnreachable(host=host, why=why, retry_after_s=retry_after_s)
    return None
