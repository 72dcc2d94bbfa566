"""Why a connection failed, in the words that every transport shares."""

from __future__ import annotations

import socket
import ssl
from typing import Final

from scraper.core.reasons import Reason

# what the other side says of this computer's certificate (RFC 8446 6.2), in OpenSSL's words
_WANTS_CERTIFICATE: Final = frozenset(
    (
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "SSLV3_ALERT_NO_CERTIFICATE",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "TLSV1_ALERT_UNKNOWN_CA",
        "TLSV1_ALERT_ACCESS_DENIED",
    )
)


def reason_of(error: BaseException) -> str:
    """A few words for an error of the operating system; its name where there are none."""
    match error:
        case ConnectionRefusedError():
            return Reason.CONNECTION_REFUSED
        case ConnectionError():
            return Reason.CONNECTION_BROKEN
        case TimeoutError():
            return Reason.NO_ANSWER_IN_TIME
        case socket.gaierror() | UnicodeError():
            return Reason.NAME_UNKNOWN
        case ssl.SSLError():
            return _of_tls(error)
        case _:
            return type(error).__name__


def _of_tls(error: ssl.SSLError) -> Reason:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Reason.CERTIFICATE_NOT_TRUSTED
    return Reason.CERTIFICATE_WANTED if error.reason in _WANTS_CERTIFICATE else Reason.NO_TLS
