"""Guess whether a body is an image of a study, or a list of them: if so, its host stays decrypted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from scraper.core.sniff import BARE_DATA_SETS, HEAD, Kind, sniff

_IMAGES: Final = frozenset((*BARE_DATA_SETS, Kind.PART10, Kind.META_FIRST, Kind.JPEG_LS, Kind.JP2, Kind.J2K))
_LISTS: Final = re.compile(
    rb"(?i)\"?(?:study|series|sop)_?(?:instance)?_?u?id\"?\s{0,9}[:=]|0020000[de]|00080018|(?<![\d.])1\.[23](?:\.\d{1,30}){6}"
)
_DICOM_TYPE: Final = re.compile(r"(?i)application/(?:dicom|dcm)|multipart/related")


def brings(body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether its first bytes or its type say so.

    Args:
        body: as much of it as there is; 4096 bytes are looked at.
        headers: of the response, by lower-case name.
    """
    head = body[:HEAD]
    is_named = _DICOM_TYPE.search(headers.get("content-type", "")) is not None
    return is_named or sniff(head) in _IMAGES or _LISTS.search(head) is not None
