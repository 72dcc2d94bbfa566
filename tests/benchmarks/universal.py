"""Which of the emulated platforms come whole with ``--provider universal``, as if nobody had a recipe; prints a table.

    python tests/benchmarks/universal.py [--only NAME…] [--seconds 150]

Of each platform, the first case that its own test expects to come home is opened in the browser.
"""

import argparse
import asyncio
import importlib
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "providers"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fixtures.world import World
from providers.universal import Universal
from scraper.model import Via
from scraper.testing import Case, run

PLATFORMS = Path(__file__).resolve().parents[1] / "providers"


def site_of(module):
    """The site that a test module speaks of."""
    if hasattr(module, "SITE"):
        return module.SITE
    made = [
        value
        for name, value in vars(module).items()
        if isinstance(value, type) and name.endswith("Site") and value.__module__.startswith("fixtures.sites")
    ]
    return made[0]() if made else None


def case_of(module) -> Case | None:
    """The first case that ends well; one that its own test opens in the browser before others."""
    rows = [row for row in getattr(module, "CASES", ()) if row.raises is None]
    rows.sort(key=lambda row: Via.BROWSER not in row.ways)
    return rows[0] if rows else None


async def tried(name: str, seconds: float) -> tuple[bool, str]:
    """Whether a platform comes whole, and what came."""
    module = importlib.import_module(f"test_{name}")
    row, site = case_of(module), site_of(module)
    if row is None or site is None:
        return False, "no case"
    with World(site) as world, tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                result = await run(
                    Universal, replace(row, ways=(Via.BROWSER,)), world, Path(folder), Via.BROWSER
                )
        except TimeoutError:
            return False, f"not done after {seconds:.0f} s"
        saved = {one.uid: one.saved for study in result.studies for one in study.series if one.saved}
        wanted = dict(row.series)
        whole = result.exit_code == 0 and bool(saved) and (not wanted or saved == wanted)
        took = time.monotonic() - began
        codes = {one.code for study in result.studies for s in study.series for one in s.problems}
        said = getattr(result.error, "code", "") or ", ".join(sorted(codes))
        return (
            whole,
            f"exit {result.exit_code}, {sum(saved.values())} of {sum(wanted.values()) or '?'}, {took:.0f} s, {said}",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--seconds", type=float, default=150)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    names = given.only or sorted(path.stem[5:] for path in PLATFORMS.glob("test_*.py"))
    count = 0
    for name in names:
        whole, said = asyncio.run(tried(name, given.seconds))
        count += whole
        print(f"{'whole' if whole else '     '}  {name:16} {said}", flush=True)
    print(f"{count} of {len(names)} come whole")


if __name__ == "__main__":
    main()
