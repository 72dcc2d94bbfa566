"""What a viewer shows of its study: the counts on its page, and the stacks that were scrolled to both ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from scraper.capture.observe.received import Observations, text
from scraper.core.schema import parse_int


@dataclass(slots=True)
class ShownImages:
    """Notes of the driver; everybody else reads them.

    Attributes:
        entries: how many images the entries of the page's series list say that there are.
        rows: entries of its series list.
        stated: the largest number of images that the page states in so many words.
        of_all: the numbers of images that its lines state of all of them together.
        totals: Series Instance UID → the viewer's own "1/60".
        scrolled: Series Instance UIDs of stacks that were scrolled to both ends.
        has_moved: some gesture was seen to go on to another image.
    """

    entries: list[int] = field(default_factory=list)
    rows: int = 0
    stated: int = 0
    of_all: list[int] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)
    scrolled: set[str] = field(default_factory=set)
    has_moved: bool = False

    @property
    def count(self) -> int:
        """The most images that the page says there are."""
        return max(sum(self.entries), self.stated, *self.totals.values(), 0)

    def add_total(self, series_instance_uid: str, total: int) -> None:
        """Note the viewer's own count of a series; the largest that it has shown."""
        self.totals[series_instance_uid] = max(total, self.totals.get(series_instance_uid, 0))


def places(observations: Observations) -> dict[str, tuple[str, int | None]]:
    """SOP Instance UID → Series Instance UID and Instance Number of what was caught; of objects the latest last."""
    heads = {uid: item.header for uid, item in observations.objects.items()}
    tags = {
        uid: observations.tags[uid] for uid, found in observations.frames.items() if found and uid in observations.tags
    }
    named = {uid: (text(row, "0020000E"), parse_int(text(row, "00200013"))) for uid, row in tags.items()}
    return named | {uid: (head.series_instance_uid, head.instance_number) for uid, head in heads.items()}
