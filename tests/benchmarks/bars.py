"""The bars of reading and choosing codes, each by one command, a line for each picture: stop it whenever enough was seen.

    python tests/benchmarks/bars.py choosing [--count 60]   the film's code beside one or two others: which is taken
    python tests/benchmarks/bars.py blank [--count 200]     pages without a code: nothing invented, 3 s of CPU each at most
    python tests/benchmarks/bars.py finders [--count 30]    a finder pattern half hidden, mild and bad in turn
    python tests/benchmarks/bars.py hard [--count 40]       photographs that are hard in every way
    python tests/benchmarks/bars.py mixed [--count 60]      one photograph of each kind after another

All pictures are drawn from seeds (``--first``) on which nothing was tuned; the same seed gives the same picture. The last line
of each has the counts, and the CPU seconds (this process and the reader's) of the slowest and the median picture.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from fixtures.photos.camera import photograph
from fixtures.photos.conditions import STRATA
from fixtures.photos.pages import code_picture, draw_page
from fixtures.photos.scenes import scene
from fixtures.photos.sheets import shot
from scraper.core.settings import Settings
from scraper.source import film_codes
from scraper.source.qr import reader as qr
from tests.test_codes import STRANGERS

FIRST_SEED = 7000  # nothing was tuned on it
MOST_CPU_S = 3.0
PLACES = ((1250, 150), (1250, 1900), (120, 1900), (700, 1850), (1200, 1050), (120, 1000))  # on a page of 1654 x 2339
CHOOSING = ("easy", "middling", "chat", "perspective", "defocus", "motion", "low light", "curl", "crumple", "seal")
BLANK = ("clean", "easy", "middling", "chat", "moire", "crumple", "bright", "low light", "black film", "screen")
MIXED = tuple(name for name in STRATA if name not in ("hard", "harder"))


@dataclass(frozen=True)
class Picture:
    """A photograph's bytes, the film's link on it (empty: there is none), and what else may be read there."""

    name: str
    data: bytes
    link: str
    others: tuple[str, ...] = ()


def choosing(seeds: range) -> Iterator[Picture]:
    """A report with the film's code and one or two printed https codes of other kinds, each at a place of its own."""
    for seed in seeds:
        dice = random.Random(f"choosing/{seed}")
        stratum = CHOOSING[seed % len(CHOOSING)]
        camera = replace(STRATA[stratum], crowd=0, letters=(8, 44))
        drawn = draw_page(dice, camera)
        page, taken, others = drawn.page.copy(), [_box(drawn.centre, drawn.edge)], []
        for name, text in dice.sample(sorted(STRANGERS.items()), dice.choice((1, 2))):
            edge = round(drawn.edge * dice.uniform(0.8, 1.5))
            box = next((box for place in dice.sample(PLACES, len(PLACES)) if (box := _free(place, edge, taken))), None)
            if box is not None:
                code = cv2.resize(code_picture(text, 12), (edge, edge), interpolation=cv2.INTER_AREA)
                page[box[1] : box[3], box[0] : box[2]] = code
                taken.append(box)
                others.append(name)
        photo = photograph(replace(drawn, page=page), camera, seed)
        yield Picture(f"{stratum}-{seed} ({', '.join(others)})", _jpeg(np.array(photo), 80), drawn.link)


def _box(centre: tuple[float, float], edge: float) -> tuple[int, int, int, int]:
    half = edge * 0.75  # with its quiet zone
    return tuple(map(round, (centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half)))


def _free(
    place: tuple[int, int], edge: int, taken: list[tuple[int, int, int, int]]
) -> tuple[int, int, int, int] | None:
    left, top = min(place[0], 1654 - edge - 20), min(place[1], 2339 - edge - 20)
    box = (left, top, left + edge, top + edge)
    is_free = all(box[2] < old[0] or old[2] < box[0] or box[3] < old[1] or old[3] < box[1] for old in taken)
    return box if is_free else None


def blank(seeds: range) -> Iterator[Picture]:
    """Reports and films without a square code, flat and photographed, and ruled sheets; a bar code may be read."""
    for seed in seeds:
        if seed % 2:
            sheet = shot("no code", seed)
            yield Picture(sheet.name, _jpeg(sheet.pixels, 85), "")
            continue
        stratum = BLANK[seed // 2 % len(BLANK)]
        camera = replace(STRATA[stratum], no_code=True, crowd=0)
        dice = random.Random(f"blank/{seed}")
        drawn = draw_page(dice, camera)
        photo = photograph(drawn, camera, seed)
        yield Picture(f"{stratum}-{seed}", _jpeg(np.array(photo), 80), "", drawn.others)


def finders(seeds: range) -> Iterator[Picture]:
    """Sheets whose code has one finder pattern under a thumb, a sticker or a staple."""
    for seed in seeds:
        sheet = shot(("finder mild", "finder bad")[seed % 2], seed)
        yield Picture(sheet.name, _jpeg(sheet.pixels, 90), sheet.link)


def hard(seeds: range) -> Iterator[Picture]:
    """Turned, bent, blurred, dark and noisy at once."""
    for seed in seeds:
        made = scene("hard", seed)
        yield Picture(made.name, made.data, made.link, made.others)


def mixed(seeds: range) -> Iterator[Picture]:
    """Every kind of photograph but the hard ones, in turn."""
    for seed in seeds:
        made = scene(MIXED[seed % len(MIXED)], seed)
        yield Picture(made.name, made.data, made.link, made.others)


def _jpeg(pixels: np.ndarray, quality: int) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


BARS = {
    "choosing": (choosing, 60, "60 of 60 right, none wrong"),
    "blank": (blank, 200, "none invented, 3 s of CPU each at most"),
    "finders": (finders, 30, "22 of 30"),
    "hard": (hard, 40, "26 of 40"),
    "mixed": (mixed, 60, "60 of 60"),
}


def judged(picture: Picture, found: film_codes.Decoded) -> str:
    """``right``, ``none``, or ``WRONG`` where something was taken, or read, that is not on the page."""
    if picture.link:
        return "right" if found.link == picture.link else "WRONG" if found.link else "none"
    invented = [code.text for code, _ in found.codes if code.text not in picture.others]
    return "WRONG" if invented else "right"


def main() -> None:
    """Measure one bar."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("bar", choices=list(BARS))
    asked.add_argument("--count", type=int, default=0, help="pictures; by default as many as the bar has")
    asked.add_argument("--first", type=int, default=FIRST_SEED, help="the first seed")
    asked.add_argument("--models", type=Path, help="the WeChat detector's files")
    options = asked.parse_args()
    draw, count, bar = BARS[options.bar]
    count = options.count or count
    cv2.setNumThreads(1)
    ends, costs = {"right": 0, "none": 0, "WRONG": 0}, list[float]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.jpg"
        with qr.Reader(options.models or Path(folder)) as reader:
            for number, picture in enumerate(draw(range(options.first, options.first + count)), 1):
                path.write_bytes(picture.data)
                start_s, before_s = process_time(), reader.cpu_s
                found = film_codes.decode(path, Settings(decode_timeout_s=60), reader)
                was_long = reader.cpu_s != before_s  # else it still says what the last long search took
                costs.append(process_time() - start_s + (reader.cpu_s if was_long else 0.0))
                end = judged(picture, found)
                ends[end] += 1
                print(f"{options.bar} {number}/{count} {picture.name}: {end}, {costs[-1]:.2f} s CPU", flush=True)
    over = sum(cost > MOST_CPU_S for cost in costs)
    counts = ", ".join(f"{name} {number}" for name, number in ends.items())
    print(f"{options.bar}: {counts} of {sum(ends.values())} (bar: {bar})")
    print(f"CPU s: median {statistics.median(costs):.2f}, most {max(costs):.2f}, above {MOST_CPU_S:g}: {over}")


if __name__ == "__main__":
    main()
