"""What the page loaded so far, and which row of its list each series is.

facts: fixtures/sites/tjmucih/README.md
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field

from scraper.contract import Instance, Problem, Series, Session

IMAGE = r"/api/yunyingxiang/get_dcm_jpg"
QUIET_S = 1.0  # nothing new for this long: the page has what it asked for
# A pause is counted in turns of the page's own clock: a page that stands still does nothing in it.
TURN_MS = 15
PAUSE = """async ([turns, ends]) => {
  performance.setResourceTimingBufferSize(1e6);
  const loaded = () => performance.getEntriesByType("resource").length, before = loaded();
  do await new Promise(done => setTimeout(done, TURN)); while (--turns > 0 && !(ends && loaded() > before));
}""".replace("TURN", str(TURN_MS))


async def pause(session: Session, seconds: float, *, ends: bool = False) -> None:
    """Let the page go on for that long at the site's pace; ``ends``: no longer than until it has loaded something."""
    await session.screen.evaluate(PAUSE, [session.site_s(seconds) * 1000 / TURN_MS, ends])


@dataclass
class ReceivedImages:
    """What came, by Series Instance UID and SOP Instance UID.

    ``owners``: row of the page's list → Series Instance UID, where that is known.
    """

    series: dict[str, dict[str, Instance]] = field(default_factory=dict)
    study_instance_uid: str = ""
    seen: int = 0  # exchanges
    owners: dict[int, str] = field(default_factory=dict)

    def take(self, session: Session) -> Counter[str]:
        """Look through what is new; returns how many images it added to each series."""
        fresh, grown = session.traffic.exchanges[self.seen :], Counter[str]()
        self.seen += len(fresh)
        for exchange in fresh:
            if not re.search(IMAGE, exchange.url) or not exchange.ok or exchange.read(132)[128:] != b"DICM":
                continue
            captured, header = session.captured(exchange)
            if header is None:
                continue  # cut short: the page asks for it again when it is shown again
            self.study_instance_uid = self.study_instance_uid or header.study_instance_uid
            images = self.series.setdefault(header.series_instance_uid, {})
            grown[header.series_instance_uid] += header.sop_instance_uid not in images
            images.setdefault(header.sop_instance_uid, Instance(header.sop_instance_uid, captured))
        return grown

    async def settle(self, session: Session) -> Counter[str]:
        """Wait until the page has every image that it asked for, and has asked for no more since; returns what came."""
        give_up = time.monotonic() + session.settings.timeout_s
        while time.monotonic() < give_up:
            before = len(session.traffic.exchanges)
            await pause(session, QUIET_S)
            if len(session.traffic.exchanges) == before and not session.screen.pending(IMAGE):
                break
        return self.take(session)

    def own(self, place: int, grown: Counter[str]) -> None:
        """Learn which series a row is: the one that grew most of those without a row."""
        free = set(self.series) - set(self.owners.values())
        mine = [uid for uid, _ in grown.most_common() if uid in free and grown[uid]]
        if place not in self.owners and mine:
            self.owners[place] = mine[0]

    def count(self, place: int) -> int:
        """How many images of the row's series came, as far as it is known which it is."""
        return len(self.series.get(self.owners.get(place, ""), ()))

    def is_short(self, place: int, counts: list[int | None]) -> bool:
        """May the row's series lack images: some row's does, and it is not known that it is not this row's."""
        wanted, by_size = self.matched(counts)
        sizes = [len(self.series[uid]) for uid in by_size]
        if len(sizes) >= len(wanted) and all(size >= count for size, count in zip(sizes, wanted, strict=False)):
            return False
        return place not in self.owners or len(self.series[self.owners[place]]) < (counts[place] or 0)

    def matched(self, counts: list[int | None]) -> tuple[list[int], list[str]]:
        """The counts that the rows show and the series that came, each largest first.

        The page's rows bear no UID, so rows are matched with series by size: which row is whose changes nothing in what is
        there and what is missing, and no series can stand for two rows.
        """
        uncounted = {uid for place, uid in self.owners.items() if counts[place] is None}
        by_size = sorted(set(self.series) - uncounted, key=lambda uid: len(self.series[uid]), reverse=True)
        return sorted((count for count in counts if count is not None), reverse=True), by_size

    def described(self, counts: list[int | None]) -> list[Series]:
        """Series by the UID that their files bear; what the page counts and did not give is missing from them."""
        wanted, by_size = self.matched(counts)
        expected: dict[str, int | None] = dict(zip(by_size, wanted, strict=False))
        found = [
            Series(self.study_instance_uid, "", expected=count, key=f"not there {place}")
            for place, count in enumerate(wanted[len(by_size) :])
        ]
        for uid, images in self.series.items():
            count = expected.get(uid, len(images) if None not in counts else None)
            count = None if count is None else max(count, len(images))
            series = Series(self.study_instance_uid, uid, tuple(images.values()), count)
            found.append(series if count is not None else series.with_problem(Problem("count-unknown", fatal=False)))
        return found
