"""``cloudfilm learn``: watch an unknown viewer once, write a provider for it, and prove that the provider works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from scraper.authoring.deduce import forbidden_values, inferred_provider
from scraper.authoring.emit import Writer
from scraper.authoring.inferred import InferredProvider
from scraper.authoring.record import write_bundle
from scraper.authoring.source_guard import UnsafeSource, check_source
from scraper.authoring.trace import NotLearnt
from scraper.authoring.trial import trial_of
from scraper.authoring.watched import WatchedStudy, is_whole
from scraper.capture import Capture, StrategyKind
from scraper.capture.request import wado_uri
from scraper.contract import Discovered, Series, Session, ShareLink, WadoUri
from scraper.core.errors import CloudfilmError, NotOriginalDicom, UnknownViewer
from scraper.core.leftovers import RunFolder
from scraper.core.questions import QUESTIONS
from scraper.core.reasons import Reason
from scraper.pipeline.run import Run
from scraper.registry import catalogue


@dataclass(frozen=True, slots=True)
class Written:
    """A provider's source and its proof; ``served_by``: an existing provider covers the link, no file is needed."""

    source: str = ""
    name: str = ""
    host: str = ""
    proofs: int = 0  # requests of the viewer that were reproduced
    instances: int = 0  # that the written file lists, asked directly
    served_by: str = ""
    is_watched: bool = False  # its images come through its page alone


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the window showed: the description, and values that must not appear in the file."""

    learnt: InferredProvider
    forbidden: frozenset[str]
    series: tuple[int, ...]  # instances of each
    example: str = ""  # the link as the bundle has it, where one was written
    watched: WatchedStudy | None = None  # the same through the page, where it came whole


async def learn_link(run: Run, given: str, bundle: Path | None = None) -> Written:
    """Open a link, learn from its viewer, and return the text of a provider that was tried on the link itself.

    Args:
        run: its settings have ``keep_programs`` where a bundle is written.
        given: the source.
        bundle: where the traffic is recorded with every value of a person replaced, for the provider's emulated site.

    Raises:
        NotLearnt: nothing could be learnt, or the result does not work outside the browser.
        CloudfilmError: the link can't be opened, as for ``grab``.
    """
    seen = await run.watched(given, partial(_watch, bundle))
    if isinstance(seen, Written):
        return seen
    if isinstance(seen, WatchedStudy):
        return _through_the_page(seen)
    try:
        return await _directly(run, seen)
    except NotLearnt:
        if seen.watched is None:
            raise
        return _through_the_page(seen.watched)


def _through_the_page(study: WatchedStudy) -> Written:
    name, source = study.provider()
    return Written(source, name, study.link.host, instances=study.instances, is_watched=True)


async def _directly(run: Run, seen: _Seen) -> Written:
    """A provider that asks without a browser, tried on the link itself.

    Raises:
        NotLearnt: it bears a value of the link, or does not work.
    """
    link = seen.learnt.link
    source = written_source(seen.learnt, seen.example)
    if found := next((text for text in seen.forbidden if text in source), None):
        raise NotLearnt(host=link.host, what=Reason.LONG_VALUE.of(count=len(found)))
    count = await _proven(run, source, seen)
    return Written(source, seen.learnt.name, link.host, seen.learnt.rule.proofs, count)


def written_source(learnt: InferredProvider, example: str = "") -> str:
    """The provider's text, checked against the allowed syntax of such a file.

    Args:
        learnt: what it is written from.
        example: an invented link, where the facts stand beside an emulated site.

    Raises:
        NotLearnt: a value of the site can't be written safely.
    """
    try:
        source = Writer(learnt, example).text()
        check_source(source)
    except UnsafeSource as err:
        raise NotLearnt(host=learnt.link.host, what=Reason.NOT_WRITABLE_SAFELY) from err
    return source


async def _watch(bundle: Path | None, link: ShareLink, session: Session) -> _Seen | WatchedStudy | Written:
    owner = catalogue.find(link)
    if owner is not None:
        return Written(served_by=owner.provider.name, host=link.host)
    capture = Capture(link, session, (StrategyKind.DICOMWEB, StrategyKind.MANIFEST, StrategyKind.PAGE))
    try:
        listed = await capture.run()
    except (UnknownViewer, NotOriginalDicom) as err:
        raise NotLearnt(host=link.host, what=Reason.NO_DICOM_OBJECT_CAME) from err
    if capture.by is StrategyKind.DICOMWEB:
        return Written(served_by="dicomweb", host=link.host)
    watched = None
    if bundle is None and is_whole(listed):  # an emulated site can't sign as the real one does
        questions = tuple(name for name, value in session.answers.items() if value)
        watched = WatchedStudy(link, capture.by, sum(len(series.instances) for series in listed), questions)
    try:
        seen = await _inferred(bundle, link, session, capture, listed)
    except NotLearnt:
        if watched is None:
            raise
        return watched
    return replace(seen, watched=watched)


async def _inferred(
    bundle: Path | None, link: ShareLink, session: Session, capture: Capture, listed: Sequence[Series]
) -> _Seen:
    """How the viewer's requests follow from its list, as a provider can be written of it.

    Raises:
        NotLearnt: they do not, or a value's origin is unknown.
    """
    rule = capture.rule
    if rule is None or capture.by is not StrategyKind.MANIFEST:
        raise NotLearnt(host=link.host, what=Reason.NO_LIST_EXPLAINS_REQUESTS)
    if sum(len(series.instances) for series in listed) < rule.count:
        raise NotLearnt(host=link.host, what=Reason.LIST_OF_OTHER_STUDIES)
    cookies = await (await session.window()).cookies()
    answers = {name: value for name, value in session.answers.items() if value}
    learnt = inferred_provider(
        link, session.traffic.exchanges, answers, capture.observations, rule, visits=bool(cookies)
    )
    lengths = tuple(len(address) for address in rule.addresses.values())
    example = write_bundle(link, session, bundle) if bundle is not None else ""
    return _Seen(learnt, forbidden_values(learnt, capture.observations), lengths, example)


async def _proven(run: Run, source: str, seen: _Seen) -> int:
    """The number of instances that the written provider lists without the browser; its first and last must be DICOM.

    Raises:
        NotLearnt: it finds something else than the viewer.
    """
    link = seen.learnt.link

    async def check(session: Session, found: list[Discovered]) -> int:
        series = [item for item in found if isinstance(item, Series)]
        if sorted(len(item.instances) for item in series) != sorted(seen.series):
            raise NotLearnt(host=link.host, what=Reason.DIRECTLY_OTHER_IMAGES)
        for instance in (series[0].instances[0], series[-1].instances[-1]):
            if isinstance(instance.source, WadoUri) and not await wado_uri.is_dicom(session, instance.source):
                raise NotLearnt(host=link.host, what=Reason.DIRECTLY_NO_IMAGE)
        return sum(len(item.instances) for item in series)

    with RunFolder() as folder:
        path = Path(folder) / f"{seen.learnt.name}.py"
        path.write_text(source, encoding="utf-8")
        try:
            return await run.discovered(trial_of(path, seen.learnt.name, seen.learnt.route, QUESTIONS), link, check)
        except NotLearnt:
            raise
        except CloudfilmError as err:
            raise NotLearnt(host=link.host, what=Reason.DIRECTLY_REFUSED.of(code=err.code)) from err
