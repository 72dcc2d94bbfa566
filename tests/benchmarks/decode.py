"""How often, and how fast, the film's link is found on a photograph: this tool beside each engine alone.

    python tests/benchmarks/decode.py [--scenes 25] [--strata hard glare] [--engines cloudfilm zxing-cpp] [--models DIR]

Draws reports and films (``fixtures/photos/scenes.py``; the same for the same seed), photographs them in graded
difficulty, and prints per stratum the rate and the median and 95th percentile of milliseconds an image. For this tool a
scene counts where the film's link is found *and chosen* (of a scene without a code: nothing is); for an engine alone where
it is among what was read. The last line counts the scenes where this tool chose another payload. Everything is timed in
one run, after start-up, one thread each, reading the file included. ``--keep DIR`` keeps the scenes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2

sys.path.insert(0, str(Path(__file__).parents[2]))

from fixtures.photos.scenes import STRATA, Scene, write
from scraper.core.settings import Settings
from scraper.source import film_codes, pages
from scraper.source.qr import reader as qr
from scraper.source.qr.engines import EngineResult, Wechat, zbar, zxing

Look = Callable[[Path], set[str]]
Table = dict[str, list[tuple[str, Scene, "Result"]]]
OURS = ("cloudfilm", "cloudfilm+wechat")


@dataclass(frozen=True)
class Result:
    """One scene: whether its link was found; whether another payload was taken for it; how long it took."""

    found: bool
    wrong: bool
    ms: float


def _engines(stack: ExitStack, models: Path | None) -> Iterator[tuple[str, Look]]:
    """Each reader's name, and what gives the texts that it reads (for this tool: the one that it chooses)."""
    settings = Settings()
    empty = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    plain = stack.enter_context(qr.Reader(empty))

    def chosen(reader: qr.Reader) -> Look:
        return lambda path: {film_codes.decode(path, settings, reader).link or ""}

    yield "cloudfilm", chosen(plain)
    wechat = Wechat(models) if models else None
    if models and wechat and wechat.is_there:
        yield "cloudfilm+wechat", chosen(stack.enter_context(qr.Reader(models)))
        yield "wechat", lambda path: _texts(path, wechat.read)
    yield "zxing-cpp", lambda path: _texts(path, zxing)
    yield "zbar", lambda path: _texts(path, zbar)
    yield "opencv", lambda path: _opencv(path, cv2.QRCodeDetector())
    yield "opencv-aruco", lambda path: _opencv(path, cv2.QRCodeDetectorAruco())


def _texts(path: Path, read: Callable[..., EngineResult]) -> set[str]:
    return {one.text for page in pages.pages(path) for one in read(page.grey).found}


def _opencv(path: Path, detector: cv2.QRCodeDetector | cv2.QRCodeDetectorAruco) -> set[str]:
    found: set[str] = set()
    for page in pages.pages(path):
        try:
            _, texts, _, _ = detector.detectAndDecodeMulti(page.grey)
        except (cv2.error, UnicodeDecodeError):
            continue
        found |= set(texts)
    return found


def _cell(rows: list[Result]) -> str:
    times = sorted(row.ms for row in rows)
    late = times[min(len(times) - 1, round(0.95 * (len(times) - 1)))]
    rate = sum(row.found for row in rows) / len(rows)
    return f"{rate:.2f} ({statistics.median(times):.0f}, {late:.0f})"


def main() -> None:
    """Draws, reads, prints the table."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--scenes", type=int, default=25, help="of each stratum")
    asked.add_argument("--first", type=int, default=0, help="the first seed")
    asked.add_argument("--strata", nargs="*", default=list(STRATA), choices=list(STRATA), metavar="NAME")
    asked.add_argument("--engines", nargs="*", metavar="NAME", help="only these")
    asked.add_argument("--models", type=Path, default=qr.default_folder(), help="the WeChat detector's files")
    asked.add_argument("--keep", type=Path, help="folder that keeps the scenes")
    asked.add_argument("--misses", action="store_true", help="name the scenes that this tool misses")
    options = asked.parse_args()
    cv2.setNumThreads(1)
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        scenes = write(folder, options.strata, options.scenes, options.first)
        table: Table = {}
        for name, look in _engines(stack, options.models):
            if not options.engines or name in options.engines:
                look(scenes[0][1])  # start-up apart
                table[name] = [(stratum, one, _timed(look, path, one)) for stratum, path, one in scenes]
        _print(options.strata, table)
        if options.misses:
            for name in table.keys() & set(OURS):
                print(f"{name} misses:", *(one.name for _, one, row in table[name] if not row.found))


def _timed(look: Look, path: Path, one: Scene) -> Result:
    start = time.perf_counter()
    read = look(path)
    ms = (time.perf_counter() - start) * 1000
    if not one.link:  # a bar code may be read; nothing else is there
        return Result(not read - {"", *one.others}, bool(read - {"", *one.others}), ms)
    return Result(one.link in read, bool(read) and not read & {"", one.link}, ms)


def _print(strata: list[str], table: Table) -> None:
    print("Rate (median ms, p95 ms)\n")
    print("| | " + " | ".join(table) + " |")
    print("|---|" + "---|" * len(table))
    for stratum in [*strata, "all"]:
        cells = [_cell([row for name, _, row in rows if stratum in (name, "all")]) for rows in table.values()]
        print(f"| {stratum} | " + " | ".join(cells) + " |")
    wrong = [str(sum(row.wrong for _, _, row in rows)) if name in OURS else "–" for name, rows in table.items()]
    print("| another payload chosen | " + " | ".join(wrong) + " |")


if __name__ == "__main__":
    main()
