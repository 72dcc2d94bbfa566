"""Read tags that a viewer serves as a JSON list of ``{"tag": "0008,0018", "value": "…"}``, next to its pixels.

Source: protocol page hinacom, 2026-07: no VR, several values joined by a backslash, no sequences, empty elements not listed.
"""

from __future__ import annotations

import re
from typing import Any

from scraper.core.bounded_json import parse_json
from scraper.core.errors import CorruptInstance, NotAnImage, NotCheckedInTime
from scraper.core.model import Tags, TagValue
from scraper.core.reasons import Reason
from scraper.isolation.json_text import ReadLate

_TAG = re.compile(r"\(?\s*([0-9A-Fa-f]{4})\s*+(?:,\s*+)?([0-9A-Fa-f]{4})\s*\)?")


def tags(body: bytes) -> Tags:
    """The tags of the list, by ``GGGGEEEE``.

    Raises:
        NotAnImage: an empty list: the object is a report or PDF, for which the site has no pixels.
        CorruptInstance: not such a list. NotCheckedInTime: it could not be read in time.
    """
    try:
        listed: Any = parse_json(body.decode("utf-8-sig"))
    except ReadLate as err:
        raise NotCheckedInTime from err
    except (UnicodeDecodeError, ValueError, RecursionError) as err:
        raise CorruptInstance(what=Reason.TAGS_NO_JSON) from err
    if not isinstance(listed, list):
        raise CorruptInstance(what=Reason.TAGS_NO_LIST)
    if not listed:
        raise NotAnImage
    found: dict[str, TagValue] = {}
    for entry in listed:
        match = _TAG.fullmatch(str(entry.get("tag", ""))) if isinstance(entry, dict) else None
        if match is None:
            raise CorruptInstance(what=Reason.ENTRY_NO_TAG)
        value = entry.get("value")
        if value is None or isinstance(value, str | int | float | list):
            found[f"{match[1]}{match[2]}".upper()] = value
    return found
