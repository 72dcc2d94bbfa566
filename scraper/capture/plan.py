"""A plan: every series of a study, with a source for each instance, and by what it is known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from scraper.capture.examination import Examination
from scraper.capture.infer.models import RequestModel
from scraper.core.errors import CloudfilmError
from scraper.core.given import Given
from scraper.core.link import ShareLink
from scraper.core.model import Problem, Series
from scraper.session import Session


class By(StrEnum):
    """What completeness is judged by."""

    RECIPE = "recipe"
    DICOMWEB = "dicomweb"
    ORTHANC = "orthanc"
    WADO_URI = "wado-uri"
    MANIFEST = "manifest"
    PAGE = "page"
    VIEWING = "viewing"


SERVICES = frozenset((By.DICOMWEB, By.ORTHANC))  # whose own list is the study's


class Recipe(Protocol):
    """What is known of one product's viewer: the call by which it lists a study, and how that is read."""

    @property
    def study_list_call(self) -> str:
        """An expression found in that call's address."""

    def watch(self, link: ShareLink, session: Session) -> Given:
        """Describe the study from the viewer's own calls."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the rest of a study is had.

    Attributes:
        by: the strategy that made it.
        series: all of the study's, each instance with its source.
        model: how the requests follow from lists, where that was inferred.
    """

    by: By
    series: tuple[Series, ...]
    model: RequestModel | None = None


class Strategy(Protocol):
    """Makes a plan from what was observed; remembers what it tried in vain."""

    by: By

    async def plan(self, examination: Examination) -> Plan | None:
        """The plan; None while what came is not enough.

        Raises:
            CloudfilmError: the site does not answer as it should; there may be a plan later.
        """

    async def close(self) -> None:
        """Let go of what it holds of the page."""
        return


def not_retrieved(name: str, err: CloudfilmError) -> Problem:
    """The problem of a study, one of several, that could not be retrieved; ``name`` is what it is known by."""
    why = err.detail or err.cause
    return Problem("fetch-failed", (name,), {"why": why})


__all__ = ["SERVICES", "By", "Plan", "Recipe", "Strategy", "not_retrieved"]
