"""Names under which a list says how many images something has: ``imageCount``, ``numberOfSlices``, ``total``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from scraper.core.schema import parse_int

# Whole names, so that "countryCode" and "totalSize" are none; frames are left out: they are those of one image.
IMAGE_COUNT: Final = re.compile(
    r"(?:total_?)?(?:image|img|inst(?:ance)?|slice|pic(?:ture)?|object|sop|dcm|dicom)s?"
    r"_?(?:count|cnt|num|total|amount|quantity|sum)s?"
    r"|(?:count|cnt|total|amount|quantity)(?:_?of)?_?(?:image|img|inst(?:ance)?|slice|pic(?:ture)?|object|sop)?s?"
    r"|(?:number|num|no)_?of_?(?:series_?related_?)?(?:image|img|inst(?:ance)?|slice|pic(?:ture)?|object)s?",
    re.IGNORECASE,
)

IMAGES_OF_ALL: Final = re.compile(  # of a study; its instances may be no images, which no viewer lists
    r"(?:total_?)?(?:image|img|slice|pic(?:ture)?)s?_?(?:count|cnt|num|total|amount|quantity|sum)s?"
    r"|(?:count|cnt|total|amount|quantity)(?:_?of)?_?(?:image|img|slice|pic(?:ture)?)s?"
    r"|(?:number|num|no)_?of_?(?:study_?related_?)?(?:image|img|slice|pic(?:ture)?)s?",
    re.IGNORECASE,
)


def stated_images(record: Mapping[str, Any], names: re.Pattern[str] = IMAGE_COUNT) -> int | None:
    """How many images a list's entry says that it has; the largest number, where several fields say so; None: nothing says."""
    counts = (parse_int(value) for name, value in record.items() if names.fullmatch(str(name)))
    return max((count for count in counts if count is not None), default=None)
