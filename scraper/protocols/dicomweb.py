"""DICOMweb (PS3.18 chapters 8 and 10): a service's addresses, and the rows of its lists; sends nothing itself.

Source: PS3.18 8.3.4 (query parameters), 10.4 (retrieve), 10.6 (search); protocol page dicomweb, November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlencode

from scraper.protocols.dicom_json import DataSet, text

STUDY_UID: Final = "0020000D"
SERIES_UID: Final = "0020000E"
SOP_UID: Final = "00080018"
INSTANCE_NUMBER: Final = "00200013"
SERIES_OF_STUDY, INSTANCES_OF_STUDY, INSTANCES_OF_SERIES = "00201206", "00201208", "00201209"  # NumberOf…Related…

JSON_ACCEPTS: Final = ("application/dicom+json", "application/json")  # the second where the first is refused
OTHER_JSON: Final = (406, 415)  # refusals after which the next of these is asked for
NO_CONTENT: Final = 204  # an empty list

_ADDRESS: Final = re.compile(r"^(?P<root>https?://[^?#]+?)/studies(?:/(?P<study>[0-9][0-9.]*)|(?=\?))")
_ARC: Final = re.compile(
    r"^(?P<root>https?://[^?#]+?/aets/[^/?#]+)/wado\?"
)  # dcm4chee-arc's WADO-URI, beside its ``/rs``
_ARC_STUDY: Final = re.compile(r"[?&]studyUID=([0-9.]+)")
_RENDERED: Final = re.compile(
    r"/studies/[0-9.]+/series/[0-9.]+/instances/[0-9.]+/(?:frames/\d+/)?(?:rendered|thumbnail)(?:\?|$)"
)
_INSTANCE: Final = re.compile(r"/studies/[0-9.]+/series/[0-9.]+/instances/[0-9.]")
_STUDY_ASKED: Final = re.compile(r"[?&](?:StudyInstanceUID|0020000D)=([0-9.]+)")


@dataclass(frozen=True, slots=True)
class Service:
    """Where a service is, and what opens it.

    Attributes:
        root: its address, up to ``/studies``.
        headers: what the page's own requests carry (Authorization …).
        query: the same in the address, where a service wants its token there.
        files: where instances are, up to ``/studies``; nothing: at ``root`` too.
    """

    root: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    files: str = ""

    def list_url(self, path: str, asked: Mapping[str, str] | None = None) -> str:
        """The address of a list or of metadata.

        Args:
            path: below the root, as ``study_path`` and its like give it.
            asked: query parameters.
        """
        return with_parameters(f"{self.root}{path}", {**(asked or {}), **self.query})

    def file_url(self, path: str) -> str:
        """The address of an instance."""
        return with_parameters(f"{self.files or self.root}{path}", self.query)


def with_parameters(url: str, parameters: Mapping[str, str]) -> str:
    """The address with query parameters at its end."""
    if not parameters:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters, quote_via=quote, safe='')}"


def study_path(study_uid: str) -> str:
    """The path of a study below a service's root."""
    return f"/studies/{quote(study_uid, safe='')}"


def series_path(study_uid: str, series_uid: str) -> str:
    """The path of a series below a service's root."""
    return f"{study_path(study_uid)}/series/{quote(series_uid, safe='')}"


def instance_path(study_uid: str, series_uid: str, sop_uid: str) -> str:
    """The path of an instance below a service's root."""
    return f"{series_path(study_uid, series_uid)}/instances/{quote(sop_uid, safe='')}"


def below(url: str, path: str) -> str:
    """The address of a resource below another; a token in the query stays in place."""
    address, question, query = url.partition("?")
    return f"{address.rstrip('/')}/{path}{question}{query}"


def root_and_study(url: str) -> tuple[str, str] | None:
    """The root of the service that an address belongs to, and the study that it names, if any; None: no such address."""
    if (arc := _ARC.match(url)) is not None:
        return f"{arc['root']}/rs", next(iter(_ARC_STUDY.findall(url)), "")
    match = _ADDRESS.match(url)
    if match is None:
        return None
    return match["root"], match["study"] or next(iter(_STUDY_ASKED.findall(url)), "")


def is_of_instance(url: str) -> bool:
    """Whether an address is that of an instance, or below one: a frame, a rendered picture."""
    return _INSTANCE.search(url) is not None


def is_known_call(url: str) -> bool:
    """Whether an address alone shows that its service is a DICOMweb one: a rendered instance, or dcm4chee-arc's WADO-URI."""
    return _RENDERED.search(url) is not None or is_arc(url)


def is_arc(url: str) -> bool:
    """Whether an address is a WADO-URI request to dcm4chee-arc, which gives objects as stored where asked for ``*``."""
    return _ARC.match(url) is not None


def names_more(headers: Mapping[str, str]) -> bool:
    """Whether a list's answer says that there are more rows (PS3.18 8.3.4.4: a Warning 299)."""
    return "299" in headers.get("warning", "")


class Rows:
    """The rows of one query over all its pages, each row once."""

    def __init__(self) -> None:
        self._found: dict[str, DataSet] = {}

    def add(self, page: Iterable[DataSet]) -> int:
        """Add a page; returns how many of its rows are new."""
        before = len(self._found)
        for row in page:
            self._found.setdefault("/".join(text(row, tag) for tag in (STUDY_UID, SERIES_UID, SOP_UID)), row)
        return len(self._found) - before

    def __len__(self) -> int:
        return len(self._found)

    @property
    def found(self) -> list[DataSet]:
        """The rows in the order in which they came."""
        return list(self._found.values())
