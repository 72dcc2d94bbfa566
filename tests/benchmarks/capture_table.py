"""What the universal capture makes of every emulated viewer: a table that no change may lower.

    python tests/benchmarks/capture_table.py                    hold every row against the recorded table
    python tests/benchmarks/capture_table.py --record           write the table (rows that were not run stay as they are)
    python tests/benchmarks/capture_table.py viewer: platform:  only rows whose name contains one of these words

A row: instances saved of those that the study has, evidence, requests that reached the site, exit code. A row is lower than
before where its exit code gets worse or fewer instances are saved; more requests are shown and are no failure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "providers"), str(ROOT / "tests" / "benchmarks")]

import test_count_viewer  # noqa: E402  # found through the path that was just extended
import test_reach  # noqa: E402
import test_universal  # noqa: E402
import test_universal_pages  # noqa: E402
import universal  # noqa: E402

from fixtures import dwv, ohif, orthanc  # noqa: E402
from fixtures.dicom import chest_ct  # noqa: E402
from fixtures.sites import Site  # noqa: E402
from fixtures.world import World  # noqa: E402
from providers.universal import Universal  # noqa: E402
from scraper.core.model import Via  # noqa: E402
from scraper.testing import Case, run  # noqa: E402

TABLE = Path(__file__).with_suffix(".json")
COUNTED = ("rows-li", "rows-button", "rows-div", "listed", "dead", "stuck", "scroll", "swipe", "named", "previews")
GOOD = (0, 7, 8)  # exit codes, the best first; any other is worse than these
SECONDS = 200.0


@dataclass(frozen=True)
class Row:
    """What came of one viewer."""

    saved: int
    served: int
    evidence: list[str]
    requests: int
    exit_code: int


@dataclass(frozen=True)
class Trial:
    """One viewer: its sites, the case, and how many instances its study has."""

    name: str
    sites: Callable[[ExitStack], tuple[Site, ...]]
    case: Case | Callable[[tuple[Site, ...]], Case]
    served: int


def trials() -> Iterator[Trial]:
    """Every viewer of the table."""
    for case in test_universal.CASES:
        suffix = f"-{case.raises.__name__}" if case.raises else ""
        served = sum(case.series.values())
        yield Trial(f"viewer:{case.name}{suffix}", lambda _: (test_universal.GenericViewer(),), case, served)
    for case in test_universal_pages.CASES:
        yield Trial(f"page:{case.name}", _page_sites, case, sum(case.series.values()))
    for kind in ("badcrc", "short"):
        case = Case(kind, test_universal_pages.FILM + kind)
        yield Trial(f"page:package {kind}", _page_sites, case, len(test_universal_pages.PACKAGES.originals))
    for kind in (*COUNTED, "pictures", "raw", "blank"):
        case = Case(kind, f"https://{test_count_viewer.HOST}/v/{kind}")
        yield Trial(f"count:{kind}", lambda _: (test_count_viewer.CountViewer(640),), case, 21)
    for words in (*test_reach.WHOLE, *test_reach.SHUT):
        case = test_reach.case(words)
        yield Trial(f"variant:{words}", lambda _: (test_reach.GenericVariants(),), case, sum(test_reach.ALL.values()))
    yield from _platforms()
    yield from _real()


def _page_sites(_: ExitStack) -> tuple[Site, ...]:
    pages = test_universal_pages
    given = pages.packages.GenericPackage(), pages.sockets.GenericSocket(), pages.wado.GenericWado()
    return *given, pages.arc.GenericArc(), pages.wire.GenericWire()


def _platforms() -> Iterator[Trial]:
    import importlib

    for name in sorted({path.stem[5:] for path in universal.PLATFORMS.glob("test_*.py")} - universal.NO_PAGE):
        module = importlib.import_module(f"test_{name}")
        if universal.site_of(module) is None:
            continue
        for case in universal.cases_of(module)[:1]:
            yield Trial(
                f"platform:{name}:{case.name}",
                lambda _, module=module: (universal.site_of(module),),
                case,
                sum(case.series.values()),
            )


def _real() -> Iterator[Trial]:
    """Viewers that nobody here wrote, on an archive that nobody here wrote."""
    if orthanc.MISSING:
        return
    study = chest_ct(slices=20, size=128, seed=43)
    short = chest_ct(slices=12, thin=7, size=96, dose_report=False, seed=44)
    if not ohif.MISSING:
        link = f"{ohif.ADDRESS.origin}/viewer?StudyInstanceUIDs={study.study_instance_uid}&token=t0k3n"
        wanted = {series.uid: len(series.instances) for series in study.series}
        yield Trial(
            "real:ohif",
            lambda stack: (ohif.OhifSite(stack.enter_context(orthanc.Orthanc()), study, token="t0k3n"),),
            Case("ohif", link, series=wanted),
            len(study.by_uid),
        )
    for protocol in () if dwv.MISSING else ("wadors", "wadouri"):
        link = f"{dwv.ADDRESS.origin}/{protocol}?study={short.study_instance_uid}"
        yield Trial(
            f"real:dwv-{protocol}",
            lambda stack: (dwv.DwvSite(stack.enter_context(orthanc.Orthanc(options=dwv.WADO)), short),),
            Case(protocol, link, series={series.uid: len(series.instances) for series in short.series}),
            len(short.by_uid),
        )


async def result_of(trial: Trial) -> Row:
    """Run one viewer through the whole pipeline."""
    with ExitStack() as stack:
        sites = trial.sites(stack)
        world = stack.enter_context(World(*sites))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        case = trial.case if isinstance(trial.case, Case) else trial.case(sites)
        try:
            async with asyncio.timeout(SECONDS):
                result = await run(Universal, replace(case, ways=(Via.BROWSER,)), world, Path(folder), Via.BROWSER)
        except TimeoutError:
            return Row(0, trial.served, [], len(world.seen), -1)
        series = [series for study in result.studies for series in study.series]
        codes = {problem.code for item in series for problem in item.problems}
        evidence = sorted(code for code in codes if code.startswith("judged-by-"))
        served = trial.served or len(world.originals)
        return Row(sum(item.saved for item in series), served, evidence, len(world.seen), result.exit_code)


def is_lower(before: Mapping[str, Any], row: Row) -> bool:
    """Whether a row became worse than it was."""
    rank = {code: place for place, code in enumerate(GOOD)}
    places = rank.get(before["exit_code"], len(GOOD)), rank.get(row.exit_code, len(GOOD))
    is_worse = places[1] > places[0] or row.saved < before["saved"]
    return is_worse and (before["exit_code"], before["saved"]) != (row.exit_code, row.saved)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="only rows whose name contains one of these")
    parser.add_argument("--record", action="store_true", help="write the rows into the table")
    parser.add_argument("--missing", action="store_true", help="only rows that the table does not have")
    parser.add_argument("--table", type=Path, default=TABLE)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    table: dict[str, Any] = json.loads(given.table.read_text()) if given.table.exists() else {}
    lower = 0
    for trial in trials():
        if given.words and not any(word in trial.name for word in given.words):
            continue
        before = table.get(trial.name)
        if given.missing and before is not None:
            continue
        began = time.monotonic()
        row = asyncio.run(result_of(trial))
        took = time.monotonic() - began
        is_worse = before is not None and is_lower(before, row)
        lower += is_worse
        mark = "LOWER " if is_worse else "new   " if before is None else "same  " if before == asdict(row) else "other "
        change = f"  was {before['saved']}/{before['served']}, exit {before['exit_code']}" if is_worse else ""
        print(
            f"{mark}{trial.name:44} {row.saved}/{row.served} exit {row.exit_code} {','.join(row.evidence)} "
            f"{row.requests} requests {took:.0f} s{change}",
            flush=True,
        )
        if given.record:
            table[trial.name] = asdict(row)
            rows = [f"{json.dumps(name)}: {json.dumps(table[name])}" for name in sorted(table)]
            given.table.write_text("{\n" + ",\n".join(rows) + "\n}\n")
    return 1 if lower else 0


if __name__ == "__main__":
    sys.exit(main())
