"""Why a connection failed, in the words that every transport shares."""

from __future__ import annotations

import socket
import ssl


def reason_of(error: BaseException) -> str:
    """A few words for an error of the operating system; its name where there are none."""
    match error:
        case ConnectionRefusedError():
            return "the connection was refused"
        case ConnectionError():
            return "the connection broke"
        case TimeoutError():
            return "no answer in time"
        case socket.gaierror() | UnicodeError():
            return "its name is not known"
        case ssl.SSLError():
            return "no TLS connection"
        case _:
            return type(error).__name__
