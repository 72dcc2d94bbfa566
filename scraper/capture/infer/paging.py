"""Lists of series or images that come a page at a time, and of which pages did not come."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from scraper.capture.infer import tallies, templates
from scraper.capture.infer.templates import Record
from scraper.capture.observe.received import Manifest

MAX_LISTED: Final = 5000  # entries of a list
_PAGE: Final = re.compile(
    r"^(total_?pages?|page_?(count|total|no|num|number|index|size)|pages?|current(_?page)?|cur_?page|per_?page)$",
    re.IGNORECASE,
)
_PARTS: Final = re.compile(r"series|im(a?g|age)s?\b|image|inst|slice|thumb|影像|序列", re.IGNORECASE)


def unlisted(manifests: Sequence[Manifest]) -> int:
    """How many entries a list of series or images says that it has beyond those that came; 0 where all came.

    Only an answer that says itself that it is one page of several counts: a total alone may be of anything.
    """
    most = 0
    for url, group in templates.groups(manifests, templates.records):
        total = templates.stated_total(group)
        if not 0 < total <= MAX_LISTED or not _is_page(group) or not _is_of_parts(url, group):
            continue
        came = len({tuple(sorted((name, record.fields[name]) for name in record.own)) for record in group})
        most = max(most, total - came)
    return most


def _is_page(group: Sequence[Record]) -> bool:
    """Whether something around the array counts pages."""
    return any(_PAGE.match(name) and name not in record.own for record in group[:1] for name in record.fields)


def _is_of_parts(url: str, group: Sequence[Record]) -> bool:
    """Whether the entries are a study's series or images, and not a person's examinations."""
    steps = [str(step) for step in group[0].shape if step != "*"]
    if any(tallies.EARLIER.search(step) for step in (url, *steps)) or tallies.is_of_studies(group):
        return False
    names = {name for record in group for name in record.own}
    is_counted = any(tallies.COUNT.search(name) for name in names)
    return is_counted or any(
        _PARTS.search(word) for word in (url.rpartition("://")[2].partition("/")[2], *steps, *names)
    )
