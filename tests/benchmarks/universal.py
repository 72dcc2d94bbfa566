"""Which of the emulated platforms come whole with ``--provider universal``, as if nobody had a provider; prints a table.

    python tests/benchmarks/universal.py [--only NAME…] [--seconds 150] [--cases 3]

Of each platform, the first cases that its own test expects to come home are opened in the browser, until one is whole.
Left out: dicomweb, whose own test runs on a real archive; tests/test_universal.py opens OHIF and dwv before the same.
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
from types import ModuleType

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "providers"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fixtures.world import World
from providers.universal import Universal
from scraper.core.model import Via
from scraper.testing import Case, run

OPTIONS = {"whuh": {"sealed": False}}  # as its own test has it, where the page asks
NO_PAGE = {"dicomweb", "pacs", "token_api"}
PLATFORMS = Path(__file__).resolve().parents[1] / "providers"


def site_of(module):
    """The site that a test module speaks of, as new."""
    if hasattr(module, "SITE"):
        return type(module.SITE)()
    places = [module, *(value for value in vars(module).values() if isinstance(value, ModuleType))]
    made = [
        value
        for place in places
        for name, value in vars(place).items()
        if isinstance(value, type)
        and name.endswith("Site")
        and value.__module__.startswith("fixtures.sites.")
        and value.__module__ != "fixtures.sites.base"
    ]
    return made[0](**OPTIONS.get(module.__name__.removeprefix("test_"), {})) if made else None


def cases_of(module) -> list[Case]:
    """The cases that end well; those that their own test opens in the browser before others."""
    rows = [row for row in getattr(module, "CASES", ()) if row.raises is None]
    rows.sort(key=lambda row: Via.BROWSER not in row.ways)
    return rows


async def tried(module, row: Case, seconds: float) -> tuple[bool, str]:
    """Whether a case comes whole, and what came."""
    with World(site_of(module)) as world, tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                result = await run(Universal, replace(row, ways=(Via.BROWSER,)), world, Path(folder), Via.BROWSER)
        except TimeoutError:
            return False, f"not done after {seconds:.0f} s"
        saved = {one.uid: one.saved for study in result.studies for one in study.series if one.saved}
        wanted = dict(row.series)
        whole = result.exit_code == 0 and bool(saved) and (not wanted or saved == wanted)
        took = time.monotonic() - began
        codes = {one.code for study in result.studies for s in study.series for one in s.problems}
        codes_text = getattr(result.error, "code", "") or ", ".join(sorted(codes))
        total = sum(wanted.values()) or f"at most {len(world.originals)}"
        return (
            whole,
            f"exit {result.exit_code}, {sum(saved.values())} of {total}, {took:.0f} s, {codes_text} ({row.name})",
        )


async def platform(name: str, seconds: float, most: int) -> tuple[bool, str]:
    """Whether one of a platform's first cases comes whole: not each emulation has a page before its viewer."""
    module = importlib.import_module(f"test_{name}")
    if site_of(module) is None or not cases_of(module):
        return False, "no case"
    whole, codes_text = False, ""
    for row in cases_of(module)[:most]:
        whole, codes_text = await tried(module, row, seconds)
        if whole:
            break
    return whole, codes_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--cases", type=int, default=3, help="of one platform, at most")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    names = given.only or sorted({path.stem[5:] for path in PLATFORMS.glob("test_*.py")} - NO_PAGE)
    count = 0
    for name in names:
        whole, codes_text = asyncio.run(platform(name, given.seconds, given.cases))
        count += whole
        print(f"{'whole' if whole else '     '}  {name:16} {codes_text}", flush=True)
    print(f"{count} of {len(names)} come whole")


if __name__ == "__main__":
    main()
