"""Capture a link: its study, or all its studies if the page offers several of one person."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from scraper.capture.by_launcher import ByLauncher
from scraper.capture.by_manifest import ByManifest
from scraper.capture.by_page import ByPage
from scraper.capture.by_ranges import ByRanges
from scraper.capture.examination import Examination
from scraper.capture.infer.templates import Rule
from scraper.capture.observe.received import Observations
from scraper.capture.plan import ProductViewer, Strategy, StrategyKind, not_retrieved
from scraper.capture.strategies import ByDicomWeb, ByOrthanc, ByProduct, ByWadoUri
from scraper.capture.study import StudyCapture
from scraper.core.errors import CloudfilmError
from scraper.core.link import ShareLink
from scraper.core.model import Series
from scraper.session import Session

MAX_STUDIES: Final = 20  # behind one link


class Capture:
    """One link's universal capture.

    Args:
        link: the share link.
        session: its conversation; the window has been opened.
        ways: strategies that are used.
        phone: how a phone's browser names itself, to a page that is for phones only; empty: such a page is given up.
        products: those whose viewers are known wherever they run.
    """

    def __init__(
        self,
        link: ShareLink,
        session: Session,
        ways: Collection[StrategyKind] = tuple(StrategyKind),
        phone: str = "",
        products: Sequence[ProductViewer] = (),
    ) -> None:
        self._link = link
        self._session = session
        self._ways = ways
        self._phone = phone
        self._products = products
        self._first = self._study_capture(0)
        self._found: list[Series] = []  # of the studies that were shown to their end
        self._next: StudyCapture | None = None  # of the examination that is captured after the first

    @property
    def by(self) -> StrategyKind:
        """What completeness of the first study is judged by."""
        return self._first.by

    @property
    def observations(self) -> Observations:
        """What came of the first study."""
        return self._first.examination.observations

    @property
    def rule(self) -> Rule | None:
        """What was inferred of addresses alone; what is sent along with them can't be written as a provider."""
        model = self._first.plan.model if self._first.plan else None
        return model.rule if model is not None and model.is_plain else None

    async def run(self) -> list[Series]:
        """Every series of the link's study, or of its studies.

        Raises:
            NotOriginalDicom, UnknownViewer, LinkExpired, CredentialsRequired, CredentialsRefused: as for ``StudyCapture``.
        """
        self._session.patience.leaves(self.so_far)
        found = self._found = await self._first.run()
        is_all = self.by is StrategyKind.PRODUCT and len({series.study_instance_uid for series in found}) > 1
        count = 0 if is_all else self._first.examination_count  # a product may know the viewer that one of them led to
        patient = self._first.examination.patient_id()
        for index in range(1, min(count, MAX_STUDIES)):
            known = {series.study_instance_uid for series in found}
            capture = self._next = self._study_capture(index, known)
            capture.by_tabs = self._first.by_tabs
            await self._open_again()
            try:
                more = await capture.run()
            except CloudfilmError as err:
                more = [Series("", "", key=f"choice-{index}", problems=(not_retrieved(f"{index + 1}", err),))]
            if _is_same(patient, capture.examination.patient_id()):
                found += [series for series in more if series.study_instance_uid not in known]
        return found

    async def so_far(self) -> list[Series]:
        """What was captured until now, where the capture is ended before its own end."""
        await self._first.examination.take_rest()
        if not self._found:
            return self._first.series()
        if self._next is None:
            return self._found
        await self._next.examination.take_rest()
        more = self._next.series()
        patients = self._first.examination.patient_id(), self._next.examination.patient_id()
        known = {series.study_instance_uid for series in self._found}
        return self._found + [item for item in more if _is_same(*patients) and item.study_instance_uid not in known]

    def _study_capture(self, index: int, known: Collection[str] = ()) -> StudyCapture:
        session = self._session
        first_exchange = len(session.traffic.exchanges) if index else 0  # what came before is another examination's
        observations = Observations(session.spool / f"captured-{index}", first_exchange)
        examination = Examination(self._link, session, observations, first_exchange, index)
        strategies: tuple[Strategy, ...] = (
            ByProduct(self._products),
            ByDicomWeb(),
            ByOrthanc(),
            ByLauncher(),
            ByWadoUri(),
            ByRanges(),
            ByManifest(),
            ByPage(),
        )
        chosen = [strategy for strategy in strategies if strategy.by in self._ways]
        return StudyCapture(examination, chosen, known, self._phone)

    async def _open_again(self) -> None:
        """Open the link's page once more, in one window."""
        window = await self._session.window()
        with window.quietly():
            for page in window.pages[:-1]:
                await page.close()
        await window.leave()
        await window.open(self._link.url)


def _is_same(patient: str, other: str) -> bool:
    """Whether two studies may be one person's: nothing says that they are not."""
    return not patient or not other or patient == other
