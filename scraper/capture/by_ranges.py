"""Take an object whole where the viewer reads only ranges of it, as for the frames of a multi-frame object."""

from __future__ import annotations

from typing import Final

from scraper.capture.examination import Examination
from scraper.capture.observe.own_headers import own_headers
from scraper.capture.plan import Plan, Strategy, StrategyKind
from scraper.core.errors import CloudfilmError
from scraper.core.model import Request
from scraper.session.browser.traffic import asked_directly

MAX_ASKED: Final = 50  # objects; by then a rule is known


class ByRanges(Strategy):
    """Asks once for the whole of each address of which the viewer reads ranges; what comes is observed, and is no plan."""

    by = StrategyKind.MANIFEST

    def __init__(self) -> None:
        self._asked: set[str] = set()

    async def plan(self, examination: Examination) -> Plan | None:
        """None: other strategies plan with what came."""
        observations, session = examination.observations, examination.session
        for sample in observations.begun():
            if sample.url in self._asked or len(self._asked) >= MAX_ASKED:
                continue
            self._asked.add(sample.url)
            request = Request(sample.url, headers=own_headers(sample))
            try:
                response = await session.request(request)
            except CloudfilmError:
                continue  # the viewer's own ranges may still cover it
            if response.status == 200:
                await observations.take_reply(asked_directly(request, response, observations.new_file()))
        return None
