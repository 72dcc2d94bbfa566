"""Row 10: whatever stands in a site's JSON, XML and HTML, the end is one of the codes for sites, never a bug of ours."""

import asyncio
import importlib.util
import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from fixtures.world import World
from scraper.core.errors import ExitCode
from scraper.core.model import Via
from scraper.core.settings import BrowserUse
from scraper.core.timings import Timings
from scraper.pipeline.run import Run
from scraper.session.browser import find_browser
from scraper.testing import Case, Silent, nobody, settings_in
from tests.security.mutations import Mutated

FOLDER = Path(__file__).parents[1] / "providers"
ALLOWED = {
    ExitCode.COMPLETE,
    ExitCode.UNUSABLE_LINK,
    ExitCode.CREDENTIALS,
    ExitCode.GONE,
    ExitCode.INCOMPLETE,
    ExitCode.NOT_ORIGINAL,
    ExitCode.SITE,
}
PATIENCE_S = 120.0  # nothing of this may last; the emulations answer at once


def is_site(item: object) -> bool:
    """Whether something is an emulated site."""
    return hasattr(item, "addresses") and hasattr(item, "app") and not isinstance(item, type)


def made_by(values: list[object]) -> Iterator[object]:
    """The sites of a test that makes new ones for each case: of the classes it names, or of the module of its site."""
    modules = [item for item in values if isinstance(item, ModuleType) and item.__name__.startswith("fixtures.sites.")]
    for item in [*values, *(value for module in modules for value in vars(module).values())]:
        home = getattr(item, "__module__", "")
        if isinstance(item, type) and home.startswith("fixtures.sites.") and home.endswith(".site"):
            with suppress(TypeError):  # not a site, or one that needs arguments
                if is_site(made := item()):
                    yield made


def platforms(way: Via) -> dict[str, tuple[list, list[Case]]]:
    """Each platform's emulated sites, and the cases that succeed that way."""
    found = {}
    for path in sorted(FOLDER.glob("test_*.py")):
        name = path.stem.removeprefix("test_")
        spec = importlib.util.spec_from_file_location(f"fuzzed_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        values = list(vars(module).values())
        sites = [item for item in values if is_site(item)] or list(made_by(values))
        cases = [
            case
            for value in values
            if isinstance(value, (tuple, list))
            for case in value
            if isinstance(case, Case) and case.raises is None and way in (*case.ways, *case.thorough)
        ]
        if sites and cases:
            found[name] = (sites, cases)
    return found


NO_PAUSE = Timings(first_pause_s=0.0, asked_pause_s=0.0, site_scale=0.01)
PLATFORMS = platforms(Via.DIRECT)
WATCHED = platforms(Via.BROWSER)
IN_A_HURRY = {"timeout_s": 10.0, "give_up_s": 20.0, "vain_s": 10.0, "still_s": 8.0}
BROWSER_PATIENCE_S = 600.0  # a capture of a viewer that was broken has bounds of its own


def test_hostile_10_every_platform_that_is_asked_directly_is_here():
    assert len(PLATFORMS) >= 20, sorted(PLATFORMS)


async def fuzz(name: str, folder: Path, seeds: range, *, fetching: bool = False) -> None:
    sites, cases = PLATFORMS[name]
    mutated = [Mutated(site) for site in sites]
    with World(*mutated) as world:
        for seed in seeds:
            case = cases[seed % len(cases)]
            rng = random.Random(f"{name}/{seed}")
            for site in mutated:
                site.rng, site.share = rng, rng.choice((0.15, 0.35, 1.0))
            settings = settings_in(
                world, folder / str(seed), answers=dict(case.answers), browser=BrowserUse.NEVER, timings=NO_PAUSE
            )
            async with Run(settings, Silent(), nobody) as run:
                work = run.grab(case.link) if fetching and seed % 3 == 0 else run.survey(case.link)
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        result = await work
                except TimeoutError:
                    raise
                except Exception as err:
                    raise AssertionError(f"{name}, seed {seed}: {type(err).__name__}: {err}") from err
            assert result.exit_code in ALLOWED, (name, seed, result.exit_code, result.error)


@pytest.mark.parametrize("name", PLATFORMS)
async def test_hostile_10_no_answer_is_a_bug_of_ours(name, tmp_path):
    await fuzz(name, tmp_path, range(6))


async def fuzz_in_browser(name: str, folder: Path, seeds: range) -> None:
    """The same through the browser: the viewer's page, its lists and its images, all from ``grab`` to the disk."""
    sites, cases = WATCHED[name]
    mutated = [Mutated(site) for site in sites]
    with World(*mutated) as world:
        for seed in seeds:
            case = cases[seed % len(cases)]
            rng = random.Random(f"{name}/browser/{seed}")
            for site in mutated:
                site.rng, site.share = rng, rng.choice((0.1, 0.3))
            settings = replace(
                settings_in(
                    world, folder / str(seed), answers=dict(case.answers), browser=BrowserUse.ALWAYS, timings=NO_PAUSE
                ),
                **IN_A_HURRY,
            )
            async with Run(settings, Silent(), nobody) as run:
                try:
                    async with asyncio.timeout(BROWSER_PATIENCE_S):
                        result = await run.grab(case.link)
                except TimeoutError:
                    raise
                except Exception as err:
                    raise AssertionError(f"{name}, seed {seed}: {type(err).__name__}: {err}") from err
            assert result.exit_code in ALLOWED, (name, seed, result.exit_code, result.error)


@pytest.mark.soak
@pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")
@pytest.mark.parametrize("name", WATCHED)
async def test_hostile_10_no_answer_in_the_browser_is_a_bug_of_ours(name, tmp_path):
    await fuzz_in_browser(name, tmp_path, range(4))


@pytest.mark.soak
@pytest.mark.parametrize("name", PLATFORMS)
async def test_hostile_10_no_answer_of_many_is_a_bug_of_ours(name, tmp_path):
    await fuzz(name, tmp_path, range(6, 30), fetching=True)
