"""Row 10: whatever stands in a site's JSON, XML and HTML, the end is one of the codes for sites, never a bug of ours."""

import asyncio
import importlib.util
import random
import sys
from pathlib import Path

import pytest

from fixtures.world import World
from scraper.core.errors import ExitCode
from scraper.core.model import Via
from scraper.core.settings import BrowserUse
from scraper.core.timings import Timings
from scraper.pipeline.run import Run
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


def platforms() -> dict[str, tuple[list, list[Case]]]:
    """Each platform's emulated sites, and the cases that succeed directly."""
    found = {}
    for path in sorted(FOLDER.glob("test_*.py")):
        name = path.stem.removeprefix("test_")
        spec = importlib.util.spec_from_file_location(f"fuzzed_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        values = list(vars(module).values())
        sites = [
            item
            for item in values
            if hasattr(item, "addresses") and hasattr(item, "app") and not isinstance(item, type)
        ]
        cases = [
            case
            for value in values
            if isinstance(value, (tuple, list))
            for case in value
            if isinstance(case, Case) and case.raises is None and Via.DIRECT in case.ways
        ]
        if sites and cases:
            found[name] = (sites, cases)
    return found


NO_PAUSE = Timings(first_pause_s=0.0, asked_pause_s=0.0, site_scale=0.01)
PLATFORMS = platforms()


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
                    result = await asyncio.wait_for(work, PATIENCE_S)
                except TimeoutError:
                    raise
                except Exception as err:
                    raise AssertionError(f"{name}, seed {seed}: {type(err).__name__}: {err}") from err
            assert result.exit_code in ALLOWED, (name, seed, result.exit_code, result.error)


@pytest.mark.parametrize("name", PLATFORMS)
async def test_hostile_10_no_answer_is_a_bug_of_ours(name, tmp_path):
    await fuzz(name, tmp_path, range(6))


@pytest.mark.soak
@pytest.mark.parametrize("name", PLATFORMS)
async def test_hostile_10_no_answer_of_many_is_a_bug_of_ours(name, tmp_path):
    await fuzz(name, tmp_path, range(6, 30), fetching=True)
