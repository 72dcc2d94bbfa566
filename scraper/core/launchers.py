"""Addresses that start a viewer program on the computer: extract the http address of the study's list or package.

Source: Weasis, "Command line and arguments" (``weasis://`` with ``$dicom:get -w URL``, ``$dicom:rs --url URL``); OsiriX, Horos,
MIELE-LXIV, "URL scheme" (``methodName=downloadURL&URL=…``); RadiAnt, "Command line" (``radiant://?n=…&v=…``). Public
documentation, November 2026.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, unquote

SCHEMES: Final = ("weasis", "radiant", "osirix", "horos", "miele")
MAX_LENGTH: Final = 8192  # characters
_LAUNCH: Final = re.compile(rf"\s*(?P<scheme>{'|'.join(SCHEMES)})://(?P<rest>\S.*)", re.IGNORECASE | re.DOTALL)
_COMMAND: Final = re.compile(r"\$dicom:(?P<name>get|rs)\b(?P<arguments>[^$]*)", re.IGNORECASE)
_OPTION: Final = re.compile(
    r"(?:^|\s)(?P<name>-{1,2}[a-z]+)[\s=]+(?P<quote>[\"']?)(?P<value>[^\"'\s]+)(?P=quote)", re.IGNORECASE
)
_LISTS: Final = ("-w", "--wado", "-r", "--remote", "-z", "--zip")
_STUDY: Final = re.compile(r"studyUID=([\d.]+)", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE)


def is_launcher(text: str) -> bool:
    """Whether a text begins as such an address."""
    return len(text) <= MAX_LENGTH and _LAUNCH.match(text) is not None


def address_in(text: str) -> str | None:
    """The http address that a launcher opens: a manifest, a package, or a DICOMweb study; None where it holds none.

    ``$dicom:get -w URL`` alone, as viewers' documents write it, is read too.
    """
    if len(text) > MAX_LENGTH:
        return None
    launch = _LAUNCH.match(text)
    plain = unquote(launch["rest"]) if launch else text
    if launch and " " not in plain:  # written as a form writes it
        plain = unquote(launch["rest"].replace("+", " "))
    if command := _COMMAND.search(plain):
        return _of_command(command["name"].lower(), command["arguments"])
    if launch is None:
        return None
    if launch["scheme"].lower() != "weasis":
        query = launch["rest"].partition("?")[2]
        for _, value in parse_qsl(query):
            if found := _ADDRESS.match(value.strip("'\" ")):
                return found[0]
    found = _ADDRESS.search(plain)
    return found[0] if found else None


def _of_command(name: str, arguments: str) -> str | None:
    options = [(option["name"].lower(), option["value"]) for option in _OPTION.finditer(arguments)]
    if name == "get":
        return next((value for option, value in options if option in _LISTS and _ADDRESS.match(value)), None)
    root = next((value for option, value in options if option in ("-u", "--url") and _ADDRESS.match(value)), None)
    study = _STUDY.search(arguments)
    return f"{root.rstrip('/')}/studies/{study[1]}" if root and study else root
