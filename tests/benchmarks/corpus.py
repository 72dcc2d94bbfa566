"""Guard the readers: run before a bound of zxing-cpp, OpenCV or zbar is raised; their rates have fallen between releases.

    python tests/benchmarks/corpus.py [--photos DIR] [--shots 12] [--models DIR] [--record]

Two corpora. Drawn: ``fixtures/photos/sheets.py``, the same for the same seed. Photographed: ``--photos DIR``, pictures with
their text beside them (``a.jpg``, ``a.txt``), of any origin; none are kept here. Every engine alone and the whole search are
run on the same pixels. The rates are compared with those in ``corpus.json``, written by ``--record`` with the versions that
they were measured with: a rate that is lower by more than ``--slack`` shots ends with exit code 1 and is named.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from fixtures.photos.sheets import KINDS, Shot, shot
from scraper.source import candidates, pages
from scraper.source.qr import reader as qr
from scraper.source.qr.engines import EngineResult, Wechat, zbar, zxing

RATES = Path(__file__).with_name("corpus.json")
PACKAGES = ("zxing-cpp", "opencv-contrib-python-headless", "pyzbar", "pillow", "numpy")
FIRST_SEED = 500  # nothing was tuned on it
Rates = dict[str, dict[str, list[int]]]


def shots(count: int, photos: Path | None) -> Iterator[tuple[str, Shot]]:
    """Each picture with the name of its kind."""
    for kind in KINDS:
        for seed in range(FIRST_SEED, FIRST_SEED + count):
            yield kind, shot(kind, seed)
    for path in sorted(photos.iterdir()) if photos else ():
        text = path.with_suffix(".txt")
        if path.suffix != ".txt" and text.is_file():
            page = next(pages.pages(path))
            yield "photographs", Shot(path.stem, page.grey, text.read_text(encoding="utf-8").strip())


def engines(stack: ExitStack, models: Path | None) -> dict[str, Callable[[np.ndarray], set[str]]]:
    """Each reader by name: pixels in, texts out."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    reader = stack.enter_context(qr.Reader(models or folder))

    def whole(pixels: np.ndarray) -> set[str]:
        path = folder / "shot.png"
        cv2.imwrite(str(path), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        found = reader.read(path, budget_s=60, certain=candidates.is_certain, enough=candidates.are_enough)
        return {code.text for code in found.codes}

    alone = {"cloudfilm": whole, "zxing-cpp": _texts(zxing), "zbar": _texts(zbar)}
    wechat = Wechat(models) if models else None
    return {**alone, "wechat": _texts(wechat.read)} if wechat and wechat.is_there else alone


def _texts(read: Callable[..., EngineResult]) -> Callable[[np.ndarray], set[str]]:
    return lambda pixels: {found.text for found in read(pixels).found}


def measured(count: int, photos: Path | None, models: Path | None) -> Rates:
    """By kind and engine: how many were right, of how many; of a page without a code, reading nothing is right."""
    rates: Rates = defaultdict(dict)
    with ExitStack() as stack:
        readers = engines(stack, models)
        for kind, one in shots(count, photos):
            for name, read in readers.items():
                found = read(one.pixels)
                row = rates[kind].setdefault(name, [0, 0])
                row[0] += one.link in found if one.link else not found
                row[1] += 1
    return rates


def lower(rates: Rates, before: Rates, slack: int) -> list[str]:
    """What fell below the recorded rates."""
    out = []
    for kind, row in before.items():
        for name, (right, count) in row.items():
            now = rates.get(kind, {}).get(name)
            if now and now[0] / now[1] < (right - slack) / count:
                out.append(f"{kind}, {name}: {now[0]} of {now[1]}, before {right} of {count}")
    return out


def table(rates: Rates) -> str:
    """The rates as a Markdown table."""
    names = list(dict.fromkeys(name for row in rates.values() for name in row))
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for kind, row in rates.items():
        cells = (f"{row[name][0]}/{row[name][1]}" if name in row else "–" for name in names)
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Measures, prints, compares."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--shots", type=int, default=12, help="of each drawn kind")
    asked.add_argument("--photos", type=Path, help="folder of pictures, each with its text beside it")
    asked.add_argument("--models", type=Path, help="the WeChat detector's files")
    asked.add_argument("--slack", type=int, default=1, help="shots by which a rate may fall")
    asked.add_argument("--record", action="store_true", help="keep these rates as the ones to compare with")
    options = asked.parse_args(words)
    cv2.setNumThreads(1)
    rates = measured(options.shots, options.photos, options.models)
    versions = {name: version(name) for name in PACKAGES}
    print(", ".join(f"{name} {number}" for name, number in versions.items()), "", table(rates), sep="\n")
    if options.record:
        content = {"versions": versions, "rates": rates}
        RATES.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return 0
    before = json.loads(RATES.read_text(encoding="utf-8"))
    fallen = lower(rates, before["rates"], options.slack)
    for line in fallen:
        print(f"LOWER: {line} ({before['versions']})")
    return 1 if fallen else 0


if __name__ == "__main__":
    sys.exit(main())
