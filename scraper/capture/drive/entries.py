"""The entries of a viewer's series list: their names, the image counts they state, and which were opened already."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from scraper.capture.drive import elements, stated_counts
from scraper.capture.drive.elements import PageElement
from scraper.capture.drive.wording import is_never
from scraper.capture.infer import templates
from scraper.capture.infer.counted import COUNT
from scraper.capture.observe.received import Observations, text

if TYPE_CHECKING:
    from scraper.session.browser import Window

MAX_NAMES: Final = 200
MAX_PAGED: Final = 5000  # entries of a list that comes a page at a time
MAX_LISTED: Final = 200  # entries of an array that may be a list of series
SHORTEST_ID: Final = 6
_NAME: Final = re.compile(r"(desc|name|title|label|protocol|描述|名称|序列)", re.IGNORECASE)
_ID: Final = re.compile(r"^(series|se|item)?_?(id|uid|key|code|no|num|number|index)$", re.IGNORECASE)
_NO_NAME: Final = re.compile(r"patient|hospital|doctor|user|file|host|姓名|医院", re.IGNORECASE)
_LENGTH: Final = range(2, 65)  # characters of a name


async def of_series(window: Window, observations: Observations) -> list[PageElement]:
    """The entries of the viewer's series list, whatever their tags."""
    found = await elements.find_elements(window, "series", names(observations))
    return [element for element in found if not is_never(element.text)]


def names(observations: Observations) -> list[str]:
    """What the received data calls its series: a description in a header or in tags, a text of a list of series."""
    found: dict[str, None] = {}
    for item in observations.objects.values():
        found[item.header.series_description.strip()] = None
    for tags in observations.tags.values():
        found[text(tags, "0008103E").strip()] = None
    for manifest in observations.manifests:
        for label in _of_lists(manifest.value):
            found[label.strip()] = None
    sound = [item for item in found if len(item) in _LENGTH and not item.isdecimal() and not is_never(item)]
    return sound[:MAX_NAMES]


def _of_lists(value: Any) -> Iterator[str]:
    """The names in a JSON value's arrays whose entries have a name and an id, a count or a list of their own."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            waiting += [inner for inner in item.values() if isinstance(inner, (Mapping, list))]
        elif isinstance(item, list):
            rows = [row for row in item if isinstance(row, Mapping)]
            waiting += [row for row in item if isinstance(row, (Mapping, list))]
            if 0 < len(rows) <= MAX_LISTED and all(map(_is_of_something, rows)):
                yield from (label for row in rows for label in _names_in(row))


def _is_of_something(row: Mapping[str, Any]) -> bool:
    return any(
        isinstance(inner, list)
        or (isinstance(inner, str) and len(inner) >= SHORTEST_ID and not _NAME.search(str(name)))
        or (isinstance(inner, int) and not isinstance(inner, bool) and COUNT.search(str(name)) is not None)
        or (isinstance(inner, (int, str)) and not isinstance(inner, bool) and _ID.search(str(name)) is not None)
        for name, inner in row.items()
    )


def _names_in(row: Mapping[str, Any]) -> Iterator[str]:
    for name, inner in row.items():
        if isinstance(inner, str) and _NAME.search(str(name)) and not _NO_NAME.search(str(name)):
            yield inner


def of_pages(observations: Observations) -> tuple[int, int] | None:
    """How many entries came of a list that comes a page at a time, and how many it says it has; None where all came."""
    for _, group in templates.groups(observations.manifests, templates.records):
        came, total = len(group), templates.stated_total(group)
        if 0 < came < total <= MAX_PAGED:
            return came, total
    return None


def count_of(label: str) -> int | None:
    """How many images an entry says that it has; None where it does not."""
    count = stated_counts.count_of(label)
    return count.total if count else None


def counts(marks: Sequence[PageElement], page: str) -> list[int]:
    """The counts next to the series in the viewer's own list; a total of all is not one of them.

    Args:
        marks: the list's entries.
        page: the page's text, used if there is no known list markup on this page.
    """
    texts = [mark.text for mark in marks if not mark.navigates_away and not is_never(mark.text)]
    return stated_counts.entries(texts, page)


class OpenedEntries:
    """Which entries were opened: identified by their mark or, where a page redraws its list, by wording and position."""

    def __init__(self) -> None:
        self._marks: set[tuple[int, str]] = set()
        self._places: set[tuple[str, int]] = set()

    def __len__(self) -> int:
        """How many had their turn."""
        return len(self._places)

    def unopened(self, marks: Iterable[PageElement]) -> list[tuple[PageElement, int]]:
        """Those that had none yet, each with its place among those of its wording."""
        found, alike = [], Counter[str]()
        for mark in marks:
            place = alike[mark.text]
            alike[mark.text] += 1
            if (id(mark.frame), mark.mark) not in self._marks and (mark.text, place) not in self._places:
                found.append((mark, place))
        return found

    def are_among(self, marks: Iterable[PageElement]) -> bool:
        """Whether one of them is among these."""
        texts = {text for text, _ in self._places}
        return any(mark.text in texts for mark in marks)

    def note(self, mark: PageElement, place: int) -> None:
        """It has its turn now."""
        self._marks.add((id(mark.frame), mark.mark))
        self._places.add((mark.text, place))
