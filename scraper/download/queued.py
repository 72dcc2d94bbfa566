"""What is to be fetched of a study: each instance that its site lists, once from each place that it names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scraper.core.model import Instance, Series, Source
from scraper.verify import Checked


@dataclass(slots=True)
class QueuedInstance:
    """One instance that is to be fetched, and what came of it so far."""

    series: Series
    instance: Instance
    refetches: int = 0
    sha256: str = ""  # of what came last, where it failed inspection
    old: Checked | None = None  # a broken file of an earlier run, which a sound one may replace
    is_second_look: bool = False  # requested again because it shows nothing where its neighbours do
    copy: int = 0  # 1 where its series lists the name a second time, from elsewhere

    @property
    def place(self) -> str:
        """The name under which it is written until it is whole; no other one's."""
        return f"{self.series.name}/{self.instance.name}" + (f"#{self.copy}" if self.copy else "")


def each_once(series: Iterable[Series]) -> tuple[list[QueuedInstance], list[str]]:
    """What to fetch, and the names that a series lists again from the same source, which are not fetched again."""
    queued, again = list[QueuedInstance](), list[str]()
    for item in series:
        sources: dict[str, list[Source]] = {}
        for instance in item.instances:
            before = sources.setdefault(instance.name, [])
            if instance.source in before:
                again.append(instance.name)
            else:
                queued.append(QueuedInstance(item, instance, copy=len(before)))
                before.append(instance.source)
    return queued, again
