"""Strategies for known protocols: a product's own calls, DICOMweb, Orthanc's REST service, WADO-URI."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from scraper.capture.by_manifest import shows_more
from scraper.capture.drive import elements, entries
from scraper.capture.examination import Examination
from scraper.capture.patients import MAX_ASKED, are_same_patient, left_out, why_not
from scraper.capture.plan import Plan, ProductViewer, Strategy, StrategyKind, not_retrieved
from scraper.capture.request import dicomweb, orthanc, wado_uri
from scraper.core.discovered import iterate
from scraper.core.errors import CloudfilmError
from scraper.core.model import Series, WadoUri
from scraper.core.reasons import Reason
from scraper.protocols.dicomweb import is_of_instance

PRODUCT_S: Final = 120.0  # for a product's provider to read, or scroll through, a study
MAX_TRIES: Final = 2  # of one product, whose calls may be seen before its viewer is up; of a service that gives no list


class ByProduct(Strategy):
    """Asks the products whose calls were seen to describe the study.

    Args:
        products: whose viewers are known wherever they run.
    """

    by = StrategyKind.PRODUCT

    def __init__(self, products: Sequence[ProductViewer]) -> None:
        self._products = products
        self._tries: Counter[str] = Counter()  # the calls of a product → how often it was followed

    async def plan(self, examination: Examination) -> Plan | None:
        """The study as the first product describes it whose calls were seen."""
        session = examination.session
        for product in self._products if not examination.index else ():
            is_seen = any(exchange.ok for exchange in session.traffic.matching(product.study_list_call))
            if not is_seen or self._tries[product.study_list_call] >= MAX_TRIES:
                continue
            self._tries[product.study_list_call] += 1
            try:
                async with asyncio.timeout(PRODUCT_S):
                    described = product.watch(examination.link, session)
                    found = [series async for series in iterate(described) if isinstance(series, Series)]
            except CloudfilmError:
                continue  # its calls look alike
            except TimeoutError:
                self._tries[product.study_list_call] = MAX_TRIES
                continue
            if any(series.instances for series in found):
                return Plan(self.by, tuple(found))
        return None


class ByDicomWeb(Strategy):
    """Asks the DICOMweb service that the viewer speaks to."""

    by = StrategyKind.DICOMWEB

    def __init__(self) -> None:
        self._refusals: Counter[str] = Counter()  # a service → how often it gave no list
        self._asked_early: set[str] = set()  # services

    async def early_plan(self, examination: Examination) -> Plan | None:
        """The plan as soon as the page asks for images of a study that its address names: what else it asks for is in no list."""
        session, hints = examination.session, examination.named_uids()
        root = dicomweb.root(examination.exchanges) if hints else None
        if root is None or root.service.root in self._asked_early or hints.isdisjoint(root.studies):
            return None
        if not any(is_of_instance(exchange.url) for exchange in session.traffic.exchanges):
            return None
        self._asked_early.add(root.service.root)
        before = self._refusals.copy()
        plan = await self.plan(examination)
        self._refusals = before
        return plan

    async def plan(self, examination: Examination) -> Plan | None:
        """The studies that the link names, else the one that the viewer asks for, as the service lists them."""
        session, hints = examination.session, examination.named_uids()
        root = dicomweb.root(examination.exchanges)
        if root is None or not (root.studies or hints) or self._refusals[root.service.root] >= MAX_TRIES:
            return None
        named = (
            tuple(dicomweb.named_studies(examination.link.url))
            or tuple(uid for uid in root.studies if uid in hints)[:1]
        )
        others = () if named else root.studies[1:]
        named = named or root.studies[:1]
        client = dicomweb.DicomWeb(session, root.service, session.spool)
        found, lost = list[Series](), Counter[Reason]()
        for number, uid in enumerate(others, 1):
            why = await _why_not(client, named[0], uid) if number <= MAX_ASKED else Reason.TOO_MANY_STUDIES
            if why is None:
                named = (*named, uid)
            else:
                lost[why] += 1
        for uid in named:
            try:
                found += await client.series(uid)
            except dicomweb.REFUSALS as err:
                found.append(Series(uid, "", problems=(not_retrieved(uid, err),)))
        if not any(series.instances for series in found):
            self._refusals[root.service.root] += 1
            return None
        found[0] = replace(found[0], problems=(*found[0].problems, *left_out(lost)))
        return Plan(self.by, tuple(found))


async def _why_not(client: dicomweb.DicomWeb, shown: str, other: str) -> Reason | None:
    """Why a further study that the viewer asked for is left out; None where it is the shown one's patient's."""
    headers = [await client.patient(study) for study in (shown, other)]
    return None if are_same_patient(*headers) else why_not(headers[1])


class ByOrthanc(Strategy):
    """Asks the Orthanc whose own REST service the viewer uses."""

    by = StrategyKind.ORTHANC

    async def plan(self, examination: Examination) -> Plan | None:
        """The study of the resource that the viewer asked for last, where the service gives files."""
        service = orthanc.service_of(examination.exchanges)
        if service is None:
            return None
        series = await orthanc.Orthanc(examination.session, service).series()
        return Plan(self.by, tuple(series)) if series else None


class ByWadoUri(Strategy):
    """Asks by the WADO-URI addresses that lists, texts and the viewer name."""

    by = StrategyKind.WADO_URI

    def __init__(self) -> None:
        self._refusals = 0  # the site gave no object under a listed address

    async def plan(self, examination: Examination) -> Plan | None:
        """The series of the link's study that have such addresses."""
        exchanges, lists = examination.exchanges, examination.lists
        if self._refusals >= MAX_TRIES and not examination.is_shown_through:
            return None
        rule = None
        if not wado_uri.names_objects(exchanges, lists):
            observations = examination.observations
            rule = await asyncio.to_thread(wado_uri.rule_of, observations.manifests, exchanges, observations.origins)
            if rule is not None and not examination.is_shown_through and await shows_more(rule, examination):
                rule = None
            if rule is None and not examination.is_shown_through:
                return None  # what was asked for so far is no list
        named = wado_uri.wado_uris(exchanges, "", lists) if rule is None and not examination.is_shown_through else {}
        if named and await _shows_more_than(sum(map(len, named.values())), examination):
            return None  # each list stands behind an entry of the page, and some were not opened yet
        page, more = examination.session.page.url, tuple(rule.records) if rule else ()
        found = await wado_uri.listed_by_wado_uri(examination.session, exchanges, page, lists, more)
        self._refusals += not found
        found = [_placed(series, examination) for series in found]
        study = examination.study_of({series.study_instance_uid: len(series.instances) for series in found})
        series = tuple(item for item in found if item.study_instance_uid == study)
        replay = wado_uri.AddressReplayer(examination.session, exchanges, examination.observations.new_file)
        others = {
            (item.study_instance_uid, item.series_instance_uid): tuple(
                source.url for instance in item.instances if isinstance(source := instance.source, WadoUri)
            )
            for item in found
            if item.study_instance_uid != study
        }
        listed = wado_uri.objects_of(rule) if rule else frozenset[str]()
        return Plan(self.by, series, replay=replay, others=others, listed=listed) if series else None


async def _shows_more_than(count: int, examination: Examination) -> bool:
    """Whether the page says that its series have more images, all together."""
    window = await examination.session.window()
    shown = await entries.of_series(window, examination.observations)
    return sum(entries.counts(shown, await elements.page_text(window))) > count


def _placed(series: Series, examination: Examination) -> Series:
    """A series whose addresses name no study: that of its images that came, where it is one."""
    objects = examination.observations.objects
    uids = (item.sop_instance_uid for item in series.instances)
    studies = {objects[uid].header.study_instance_uid for uid in uids if uid in objects}
    is_known = not series.study_instance_uid and len(studies) == 1
    return replace(series, study_instance_uid=studies.pop()) if is_known else series
