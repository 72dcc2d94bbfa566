"""Why a connection failed, in the words that every transport shares."""

from __future__ import annotations

import socket
import ssl

from scraper.core.reasons import Reason


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
            return Reason.NO_TLS
        case _:
            return type(error).__name__
