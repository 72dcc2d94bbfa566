"""The kit every provider test uses, ours and other people's: a case is data, ``check`` runs the whole pipeline on it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import pydicom

from scraper.contract import Provider
from scraper.core.errors import CloudfilmError
from scraper.core.model import Origin, Result, Status, Via
from scraper.core.questions import Question
from scraper.core.settings import BrowserUse, ConnectTo, Settings
from scraper.download.watcher import SilentWatcher
from scraper.testing.shared import SharedBrowser

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

    from scraper.pipeline.resources import SharedResources
    from scraper.pipeline.run import Run
    from scraper.session.answers import Ask

T = TypeVar("T")


class World(Protocol):
    """What the emulated sites are reached by, and what they serve."""

    @property
    def connect_to(self) -> Sequence[str]:
        """``HOST:PORT:ADDRESS:PORT`` rows."""

    @property
    def originals(self) -> Mapping[str, bytes]:
        """SOP Instance UID → the Part 10 file behind what a site serves, over all its sites."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row of a provider's test.

    Attributes:
        name: what it shows, in words.
        link: the share link.
        answers: FIELD → value, as ``--answer`` takes them.
        series: Series Instance UID → instances that must be on the disk; empty: whatever the site has, but not nothing.
        origin: of every series.
        raises: the error that ends it instead.
        says: words of the site that the error carries.
        left_out: objects that the site lists and that are no images.
        lacks: a problem's code, where the site does not give all that it lists: the run ends incomplete for it alone.
        ways: directly, through the browser, or both: in every run of the tests.
        thorough: further ways, that only ``make thorough`` takes: through the browser costs twenty times as much as directly.
    """

    name: str
    link: str
    answers: Mapping[str, str] = field(default_factory=dict)
    series: Mapping[str, int] = field(default_factory=dict)
    origin: Origin | str = Origin.ORIGINAL
    raises: type[CloudfilmError] | None = None
    says: str = ""
    left_out: int = 0
    lacks: str = ""
    ways: tuple[Via, ...] = (Via.DIRECT,)
    thorough: tuple[Via, ...] = ()

    def __str__(self) -> str:
        return self.name


def rows(cases: Sequence[Case]) -> list[ParameterSet]:
    """Every case with each of its ways, for ``pytest.mark.parametrize("case, via", …, ids=str)``."""
    import pytest

    usual = [pytest.param(case, via) for case in cases for via in case.ways]
    return usual + [pytest.param(case, via, marks=pytest.mark.thorough) for case in cases for via in case.thorough]


def first_of(values: Iterable[object], count: int = 1) -> list[ParameterSet]:
    """The first rows in every run, the others in ``make thorough``; a row of several arguments is a tuple."""
    import pytest

    rows = [value if isinstance(value, tuple) else (value,) for value in values]
    return [pytest.param(*row, marks=[pytest.mark.thorough] if n >= count else []) for n, row in enumerate(rows)]


class Silent(SilentWatcher):
    """A Watcher that shows nothing and records every event."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def say(self, name: str, **values: object) -> None:
        """Remembered."""
        self.messages.append(f"{name} {values}" if values else name)


def nobody(question: Question, host: str, picture: Path | None) -> str | None:
    """No person sits at the terminal."""
    del question, host, picture
    return None


def settings_in(world: World, output: Path, **options: object) -> Settings:
    """The options of ``--insecure --connect-to …`` that lead into ``world``, and others by name."""
    rows = tuple(ConnectTo.parse(row) for row in world.connect_to)
    given: dict[str, Any] = {"timeout_s": 30.0, **options}
    return Settings(output=output, insecure=True, connect_to=rows, **given)


async def run(
    provider: type[Provider], case: Case, world: World, output: Path, via: Via = Via.DIRECT, **options: object
) -> Result:
    """Run the whole pipeline on a case's link, as ``grab --insecure --connect-to …`` would."""
    settings = _settings_of(provider, case, world, output, via, **options)
    return await in_pipeline(settings, lambda pipeline: pipeline.grab(case.link))


def _settings_of(
    provider: type[Provider], case: Case, world: World, output: Path, via: Via, **options: object
) -> Settings:
    browser = BrowserUse.NEVER if via is Via.DIRECT else BrowserUse.ALWAYS
    return settings_in(world, output, answers=dict(case.answers), provider=provider.name, browser=browser, **options)


async def in_pipeline(settings: Settings, work: Callable[[Run], Awaitable[T]], ask: Ask = nobody) -> T:
    """Do ``work`` with a pipeline; inside ``shared_browser`` its windows are opened in the shared process.

    Args:
        settings: the run's options.
        work: what is done with the pipeline.
        ask: answers for a person at the terminal.
    """
    from scraper.pipeline.run import Run

    async def done(resources: SharedResources | None = None) -> T:
        async with Run(settings, Silent(), ask, resources=resources) as pipeline:
            return await work(pipeline)

    shared = SharedBrowser.current
    if settings.browser is BrowserUse.NEVER or shared is None:
        return await done()
    return await shared.call(lambda: shared.with_resources(settings, done))


async def check(
    provider: type[Provider], case: Case, world: World, output: Path, via: Via = Via.DIRECT, **options: object
) -> Result:
    """Run a case and hold what came against what the site has; ``options`` are more of the ``Settings``.

    Raises:
        AssertionError: it differs; the message says in what.
    """
    result = await run(provider, case, world, output, via, **options)
    if case.raises is not None:
        assert isinstance(result.error, case.raises), f"{result.error!r} instead of {case.raises.__name__}"
        assert case.says in result.error.detail, f"the site's words are missing: {result.error.detail!r}"
        assert not list(output.rglob("*.dcm")), "files although the case fails"
        return result
    problems = [problem for study in result.studies for problem in study.problems]
    problems += [problem for study in result.studies for series in study.series for problem in series.problems]
    assert result.error is None, f"{result.error!r}"
    assert result.status is (Status.INCOMPLETE if case.lacks else Status.COMPLETE), f"{result.status}: {problems}"
    assert {item.code for item in problems if item.fatal} == ({case.lacks} if case.lacks else set())
    assert result.via is via, f"came {result.via}"
    saved = {series.uid: series.saved for study in result.studies for series in study.series if series.saved}
    assert saved, "nothing was saved"
    if case.series:
        assert saved == dict(case.series), f"saved {saved}"
    origins = {series.origin for study in result.studies for series in study.series if series.saved}
    assert origins == {Origin(case.origin)}, f"origins {origins}"
    left_out = sum(len(problem.instances) for problem in problems if problem.code == "left-out")
    assert left_out == case.left_out, f"left out: {left_out}"
    compare(output, world.originals, Origin(case.origin))
    return result


async def check_listing(
    provider: type[Provider], case: Case, world: World, output: Path, via: Via = Via.DIRECT, **options: object
) -> Result:
    """Hold what a case's link is said to lead to against what the site has; no image is downloaded, unlike in ``check``.

    For what is about the description alone: the same answers written by another hand, another order, another paging.

    Raises:
        AssertionError: it differs; the message says in what.
    """
    settings = _settings_of(provider, case, world, output, via, **options)
    result = await in_pipeline(settings, lambda pipeline: pipeline.survey(case.link))
    if case.raises is not None:
        assert isinstance(result.error, case.raises), f"{result.error!r} instead of {case.raises.__name__}"
        assert case.says in result.error.detail, f"the site's words are missing: {result.error.detail!r}"
        return result
    assert result.error is None, f"{result.error!r}"
    listed = [series for study in result.studies for series in study.series]
    counts = sorted(series.expected or 0 for series in listed)
    wanted = sorted(case.series.values())
    surplus = sum(counts[-len(wanted) :]) - sum(wanted) if wanted else 0
    assert len(counts) >= max(len(wanted), 1), f"listed {len(counts)} series"
    assert sum(counts) > 0, "nothing was listed"
    assert 0 <= surplus <= case.left_out, f"listed {counts} instead of {wanted}"
    return result


def compare(output: Path, originals: Mapping[str, bytes], origin: Origin) -> None:
    """Hold every saved file against what the site has: byte for byte, or pixel for pixel where it was rebuilt.

    Raises:
        AssertionError: a file differs from the site's, or the site never served it.
    """
    files = sorted(output.rglob("*.dcm"))
    assert files, "no file on the disk"
    for path in files:
        uid = str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        assert uid in originals, f"{path.name}: {uid} is no instance of the site's"
        if origin is Origin.ORIGINAL:
            assert _sha256(path.read_bytes()) == _sha256(originals[uid]), f"{path.name} is not what the site served"
        else:
            rebuilt, original = pydicom.dcmread(path), pydicom.dcmread(io.BytesIO(originals[uid]))
            same = np.array_equal(rebuilt.pixel_array, original.pixel_array)
            assert same, f"{path.name}: other pixels than the site's"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
