"""The state of one examination while it is captured: its link, its session, what was received, what its viewer shows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scraper.capture.drive.shown import ShownImages
from scraper.capture.infer import tallies
from scraper.capture.infer.frame_replies import FrameReplies
from scraper.capture.observe.received import Observations
from scraper.core.link import ShareLink
from scraper.session import Session
from scraper.session.browser.traffic import Exchange

_UID: Final = re.compile(r"(?<![\d.])[0-2](?:\.\d+){4,}(?![\d.])")


@dataclass(slots=True)
class Examination:
    """What strategies plan from and what series are put together of.

    Attributes:
        link: the share link.
        session: its conversation; the window is open.
        observations: what came.
        first_exchange: what came before it belongs to another examination.
        index: its place among those that the link's page lets one choose from; from 0.
        shown: what its viewer shows.
        is_driven: the viewer is up, and is being shown through.
        is_shown_through: the viewer was shown from end to end.
        study: the UID of the study that it is, where that is known; of a recording that holds several.
        lacks_list: a list that the page asked for never came, or one was still growing when it was waited for no more.
    """

    link: ShareLink
    session: Session
    observations: Observations
    first_exchange: int = 0
    index: int = 0
    shown: ShownImages = field(default_factory=ShownImages)
    is_driven: bool = False
    is_shown_through: bool = False
    study: str = ""
    lacks_list: bool = False
    _frame_replies: FrameReplies = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._frame_replies = FrameReplies(self.observations)

    async def take(self) -> int:
        """Take in what came since the last time; gives how much more there is now."""
        new = await self.observations.take(self.session.traffic.exchanges)
        return new + await asyncio.to_thread(self._frame_replies.resolve)

    async def take_rest(self) -> None:
        """Take in what came, where taking in may have been broken off."""
        await self.observations.ready()
        await self.take()

    @property
    def exchanges(self) -> list[Exchange]:
        """What came since this examination was turned to."""
        return self.session.traffic.exchanges[self.first_exchange :]

    @property
    def lists(self) -> list[Any]:
        """Every value that may be a list, in the order in which they came."""
        return [manifest.value for manifest in self.observations.manifests]

    def named_uids(self) -> set[str]:
        """UIDs in the link and in the viewer's address."""
        return set(_UID.findall(self.link.url)) | set(_UID.findall(self.session.page.url))

    def study_of(self, counts: Mapping[str, int]) -> str:
        """The study that the link is for, of those counted: the one that its address names, else the one shown most."""
        if self.study:
            return self.study
        named = [uid for uid in counts if uid in self.named_uids()]
        return named[0] if named else max(counts, key=lambda uid: counts[uid], default="")

    def patient_id(self) -> str:
        """The Patient ID that all objects have in common; empty if there is none."""
        found = {item.header.patient_id for item in self.observations.objects.values()}
        return found.pop() if len(found) == 1 else ""

    def tallies(self) -> list[list[int]]:
        """The counts that lists state for each of their entries."""
        return list(tallies.tallies(self.observations.manifests))
