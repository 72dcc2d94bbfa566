"""A provider of a few lines for a platform whose images come through its page alone: what its links look like, and what it asks.

It has no way of its own: the house opens its viewer, and the universal capture takes what comes.
"""

from __future__ import annotations

import builtins
import keyword
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scraper.authoring.deduce import SHORTEST_SECRET, name_of
from scraper.authoring.python_text import fitted, import_order
from scraper.authoring.source_guard import (
    CONTRACT_NAMES,
    UnsafeSource,
    check_source,
    class_name,
    host_words,
    literal,
    raw_literal,
)
from scraper.authoring.trace import NotLearnt, groups_of, host_of
from scraper.capture import StrategyKind
from scraper.core.evidence import Evidence
from scraper.core.link import ShareLink
from scraper.core.model import Series
from scraper.core.questions import QUESTIONS
from scraper.core.reasons import Reason

WAYS: Final = {  # how a study came of which nothing can be asked for without its page
    StrategyKind.MANIFEST: "asked for as its viewer asks",
    StrategyKind.PAGE: "asked for by the page's own functions",
    StrategyKind.VIEWING: "shown by its viewer one after another",
}


@dataclass(frozen=True, slots=True)
class WatchedStudy:
    """A study that came whole through its page.

    Attributes:
        link: from which it came.
        by: the way.
        instances: how many.
        questions: what the page asked.
    """

    link: ShareLink
    by: StrategyKind
    instances: int
    questions: tuple[str, ...]

    def provider(self) -> tuple[str, str]:
        """The platform's name, and the text of its provider.

        Raises:
            NotLearnt: it would bear a value of the link.
        """
        route, groups = groups_of(self.link)
        name = name_of(self.link)
        try:
            source = watched_source(self.link, name, route, self.questions, WAYS[self.by])
            check_source(source)
        except UnsafeSource as err:
            raise NotLearnt(host=self.link.host, what=Reason.NOT_WRITABLE_SAFELY) from err
        if found := [value for value in groups.values() if len(value) >= SHORTEST_SECRET and value in source]:
            raise NotLearnt(host=self.link.host, what=Reason.LONG_VALUE.of(count=len(found[0])))
        return name, source


def is_whole(found: Sequence[Series]) -> bool:
    """Whether every series came with all that something better than sight says it has."""
    return bool(found) and all(
        series.instances
        and not series.problems
        and series.evidence is not Evidence.SIGHT
        and (series.expected is None or len(series.instances) >= series.expected)
        for series in found
    )


def watched_source(link: ShareLink, name: str, route: str, questions: Sequence[str], way: str) -> str:
    """A provider of a few lines, whose viewer is watched: what its links look like, what it asks, and how its images come.

    Args:
        link: from which it was learnt.
        name: of the platform.
        route: the shape of its links.
        questions: what the page asked.
        way: in words, how its images came.
    """
    asks = [question.name.upper() for question in QUESTIONS if question.name in questions]
    names = sorted({"Deployment", "Provider", *asks}, key=import_order)
    kind = class_name(name)
    is_taken = keyword.iskeyword(kind) or hasattr(builtins, kind) or kind in CONTRACT_NAMES
    listed = ", ".join(asks) + ("," if len(asks) == 1 else "")
    month = time.strftime("%Y-%m")
    lines = [
        f'"""{host_words(link.host)}: a viewer that was watched once, not yet looked at by a person.',
        "",
        f"Its images are {way}: each time, the viewer is opened in a browser.",
        "",
        'assumed: the route\'s shape, from one link\n"""\n',
        "from __future__ import annotations\n",
        fitted("from scraper.contract import ", "(", names, ")", 0) + "\n",
        f"\nclass {kind}{'Site' if is_taken else ''}(Provider):",
        f"    name = {literal(name)}",
        "    # assumed: from one link; its values are the named groups",
        f"    route = {raw_literal(route)}",
        *([f"    asks = ({listed})"] if asks else []),
        f"    facts = {literal(f'cloudfilm learn, {month}: its images are {way}')}",
        f"    verified = {literal(f'the link that it was learnt from, {month}')}",
        f"    deployments = (Deployment({literal(host_of(link))}, {literal(link.host)}),)  # its name goes here",
    ]
    return "\n".join(lines) + "\n"


__all__ = ["WAYS", "WatchedStudy", "is_whole", "watched_source"]
