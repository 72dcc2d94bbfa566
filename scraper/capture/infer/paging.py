"""Lists of series or images that come a page at a time, and of which pages did not come."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from scraper.capture.infer import tallies, templates
from scraper.capture.infer.templates import Record
from scraper.capture.observe.received import Manifest

MAX_LISTED: Final = 5000  # entries of a list
_PAGE: Final = re.compile(
    r"^(total_?pages?|page_?(count|total|no|num|number|index|size)|pages?|current(_?page)?|cur_?page|per_?page)$",
    re.IGNORECASE,
)
_DONE: Final = re.compile(r"(is_?|all_?)?(done|finished|completed?|loaded)", re.IGNORECASE)
_MORE: Final = re.compile(r"(has_?)?(more|next)(_?pages?)?|is_?partial|truncated", re.IGNORECASE)
_PARTS: Final = re.compile(r"series|im(a?g|age)s?\b|image|inst|slice|thumb|影像|序列", re.IGNORECASE)


def unfinished(manifests: Sequence[Manifest]) -> list[Manifest]:
    """The last answer of each call that says beside its list that there is more of it: ``hasMore``, ``done: false``."""
    last: dict[str, Manifest] = {}
    for manifest in manifests:
        last[templates.call_of(manifest.url)] = manifest
    return [manifest for manifest in last.values() if any(map(_says_more, _around_lists(manifest.value)))]


def _around_lists(value: object) -> Iterator[Mapping[str, object]]:
    """The object that a list of objects stands in, at the top of an answer or one level below."""
    inner = [value, *value.values()] if isinstance(value, Mapping) else []
    for item in inner:
        if isinstance(item, Mapping) and any(
            isinstance(rows, list) and rows and isinstance(rows[0], Mapping) for rows in item.values()
        ):
            yield item


def _says_more(around: Mapping[str, object]) -> bool:
    return any(
        (value is False and _DONE.fullmatch(str(name))) or (value is True and _MORE.fullmatch(str(name)))
        for name, value in around.items()
    )


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
