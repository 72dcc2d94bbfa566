"""A plan: every series of a study with a source for each instance, and the strategy that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from scraper.capture.examination import Examination
from scraper.capture.infer.models import RequestModel
from scraper.core.discovered import DiscoveredItems
from scraper.core.errors import CloudfilmError
from scraper.core.link import ShareLink
from scraper.core.model import Header, Problem, Series, Source
from scraper.session import Session


class StrategyKind(StrEnum):
    """The strategies; VIEWING: none had a plan, so that the study is what was shown."""

    PRODUCT = "product"
    DICOMWEB = "dicomweb"
    ORTHANC = "orthanc"
    WADO_URI = "wado-uri"
    MANIFEST = "manifest"
    PAGE = "page"
    VIEWING = "viewing"


SERVICES = frozenset((StrategyKind.DICOMWEB, StrategyKind.ORTHANC))  # whose own list is the study's


class ProductViewer(Protocol):
    """What is known of one product's viewer: the call by which it lists a study, and how that is read."""

    @property
    def study_list_call(self) -> str:
        """An expression found in that call's address."""

    def watch(self, link: ShareLink, session: Session) -> DiscoveredItems:
        """Describe the study from the viewer's own calls."""


class Replay(Protocol):
    """Asks for images by requests that were inferred or that a list names."""

    async def header_of(self, asked: str) -> Header:
        """The header of the one object that a request gives.

        Raises:
            CloudfilmError: there is none.
        """

    def source(self, asked: str) -> Source:
        """The source of what a request gives."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the rest of a study is had.

    Attributes:
        by: the strategy that made it.
        series: all of the study's, each instance with its source.
        model: how the requests follow from lists, where that was inferred.
        replay: asks for an image by one of its requests; None where nothing can be asked for.
        headers: request → header of the image that it gave when it was tried.
        others: addresses of other studies' images, by study and series, where the addresses name them.
        listed: SOP Instance UIDs that a list names, where their addresses follow from it.
    """

    by: StrategyKind
    series: tuple[Series, ...]
    model: RequestModel | None = None
    replay: Replay | None = None
    headers: Mapping[str, Header] = field(default_factory=dict)
    others: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    listed: frozenset[str] = frozenset()


class Strategy(Protocol):
    """Makes a plan from what was observed; remembers what it tried in vain."""

    by: StrategyKind

    async def plan(self, examination: Examination) -> Plan | None:
        """The plan; None while what came is not enough.

        Raises:
            CloudfilmError: the site does not answer as it should; there may be a plan later.
        """

    async def early_plan(self, examination: Examination) -> Plan | None:
        """The plan while the page still asks for more, where nothing of that could change it; else None.

        Raises:
            CloudfilmError: as for ``plan``.
        """
        del examination
        return None

    def is_learning(self) -> bool:
        """Whether it learns from every single step, and is to be asked after each."""
        return False

    async def close(self) -> None:
        """Let go of what it holds of the page."""
        return


def not_retrieved(name: str, err: CloudfilmError) -> Problem:
    """The problem of a study, one of several, that could not be retrieved; ``name`` is what it is known by."""
    why = err.detail or err.cause
    return Problem("fetch-failed", (name,), {"why": why})
