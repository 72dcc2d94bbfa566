"""Read the last few codes: pale, steep, smeared, with a finder pattern under a thumb; and invent none."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import segno
import zxingcpp

from fixtures.photos.sheets import KINDS, shot
from scraper.core.settings import Settings
from scraper.source import candidates, film_codes
from scraper.source.pages import Page
from scraper.source.qr import cascade
from scraper.source.qr import reader as qr
from scraper.source.qr.engines import Kinds, Wechat, zxing
from scraper.source.qr.repair import symbol
from scraper.source.qr.repair.hidden_finder import covered
from scraper.source.qr.repair.perspective import looked_at_stretched
from scraper.source.qr.repair.sharpen import shape_unblurred, sharpened
from scraper.source.qr.suspects import KnownPlaces
from scraper.testing import first_of
from tests.benchmarks import bars

Read = Callable[[np.ndarray], qr.Reading]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    path = tmp_path_factory.mktemp("photos") / "photo.png"

    def look(pixels: np.ndarray) -> qr.Reading:
        cv2.imwrite(str(path), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        return reader.read(path, budget_s=60, certain=candidates.is_certain, enough=candidates.are_enough)

    with qr.Reader(Path(path.parent)) as reader:
        yield look


def texts(reading: qr.Reading) -> list[str]:
    return [code.text for code in reading.codes]


# ---- 2: a last look at the whole page


def test_codes_2_even_contrast_shows_what_the_first_look_misses():
    code = shot("plain", 3)
    rows, columns = code.pixels.shape
    pale = (code.pixels.astype(np.float32) * 0.05 + 120).astype(np.uint8)
    light = np.linspace(0, 90, columns, dtype=np.float32)[None] + np.linspace(0, 30, rows)[:, None]
    page = np.clip(pale + light, 0, 255).astype(np.uint8)
    views = cascade.Views(Page(1, page), KnownPlaces())
    assert code.link in {found.text for step in cascade._whole(views) for found in step().found}


def test_codes_2_the_whole_page_is_at_most_two_megapixels():
    large = cascade.Views(Page(1, np.zeros((4000, 3000), np.uint8)), KnownPlaces())
    assert large.for_expensive[0].size <= 2_000_000
    steps = list(cascade.steps(large.page, Wechat(Path("none")), KnownPlaces()))
    assert len(steps) > len(list(cascade._whole(large)))


def test_codes_the_bars_of_photographic_film_are_no_code():
    made = zxingcpp.create_barcode("105-6/28A", zxingcpp.BarcodeFormat.DXFilmEdge)
    drawn = np.array(made.to_image(scale=4))
    assert zxingcpp.read_barcodes(drawn)
    assert zxing(drawn, kinds=Kinds.BARS).found == ()


@pytest.mark.thorough
def test_codes_bars_of_a_screen_are_no_code(tmp_path):
    (picture,) = bars.blank(range(7078, 7079))
    path = tmp_path / "screen.jpg"
    path.write_bytes(picture.data)
    found = film_codes.decode(path, Settings(decode_timeout_s=60))
    assert {code.text for code, _ in found.codes} <= set(picture.others)


# ---- 3: no grid agrees, washed out, steep


@pytest.mark.parametrize(("kind", "seed"), first_of([("steep", 1), ("steep", 5), ("washed out", 2), ("smeared", 4)]))
def test_codes_3_what_the_first_look_misses(read, kind, seed):
    taken = shot(kind, seed)
    assert taken.link in texts(read(taken.pixels))


@pytest.mark.parametrize("width", first_of([2.6, 3.0]))
def test_codes_3_a_blur_of_more_than_half_a_module_is_undone(width):
    taken = shot("plain", 3)
    (code,) = zxing(taken.pixels).found
    xs, ys = ([corner[axis] for corner in code.polygon] for axis in (0, 1))
    patch = taken.pixels[min(ys) - 40 : max(ys) + 40, min(xs) - 40 : max(xs) + 40]
    blurred = cv2.GaussianBlur(cv2.resize(patch, (600, 600)), (0, 0), 2.4 * width)
    looks = [zxing(sharpened(blurred, sigma)).found for sigma in (2.2 * width, 2.4 * width)]
    assert zxing(blurred).found == ()
    assert taken.link in {found.text for look in looks for found in look}


def smeared(length: int, angle: float) -> np.ndarray:
    """What a point leaves when the camera moves."""
    kernel = np.zeros((length + 5, length + 5), np.float32)
    middle = (length + 4) / 2
    dx, dy = length / 2 * np.cos(np.radians(angle)), length / 2 * np.sin(np.radians(angle))
    ends = [(round(16 * (middle + sign * dx)), round(16 * (middle + sign * dy))) for sign in (-1, 1)]
    cv2.line(kernel, *ends, 1.0, 1, cv2.LINE_AA, 4)
    return kernel / kernel.sum()


def out_of_focus(radius: float) -> np.ndarray:
    """What a point leaves before a lens that is out of focus."""
    y, x = np.indices((2 * int(radius) + 5,) * 2) - (int(radius) + 2)
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return disc / disc.sum()


@pytest.mark.parametrize("blur", [smeared(20, 25), out_of_focus(8)], ids=["moved", "out of focus"])
def test_codes_3_a_blur_of_more_than_a_module_is_undone_by_its_shape(blur):
    link = "https://film.aurora.test/s/Ab12Cd34Ef56Gh78"
    rows = np.array(list(segno.make(link, micro=False, error="m").matrix_iter(border=4)), np.uint8)
    clear = np.kron(230 - rows * 200, np.ones((8, 8), np.uint8))
    noise = np.random.default_rng(3).normal(0, 2, clear.shape)
    blurred = np.clip(cv2.filter2D(clear.astype(np.float32), -1, blur) + noise, 0, 255).astype(np.uint8)
    assert zxing(blurred).found == ()
    assert link in {found.text for look in shape_unblurred(blurred) for found in zxing(look).found}


def test_codes_3_places_in_a_stretched_patch_are_places_in_the_patch():
    taken = shot("plain", 1)
    (code,) = zxing(taken.pixels).found
    xs, ys = ([corner[axis] for corner in code.polygon] for axis in (0, 1))
    margin = (max(xs) - min(xs)) // 4
    left, top = min(xs) - margin, min(ys) - margin
    patch = taken.pixels[top : max(ys) + margin, left : max(xs) + margin]
    narrow = cv2.resize(patch, None, fx=0.5, fy=1, interpolation=cv2.INTER_AREA)
    (again,) = looked_at_stretched(narrow, zxing).found
    assert again.text == taken.link
    for corner, wanted in zip(again.polygon, code.polygon, strict=True):
        assert abs(corner[0] * 2 + left - wanted[0]) < 12
        assert abs(corner[1] + top - wanted[1]) < 12


# ---- 4: a finder pattern half hidden


@pytest.mark.parametrize(
    ("kind", "seed"), first_of([("finder mild", 0), ("finder mild", 3), ("finder bad", 0), ("finder bad", 8)])
)
def test_codes_4_a_hidden_finder_pattern(read, kind, seed):
    taken = shot(kind, seed)
    assert taken.link not in {found.text for found in zxing(taken.pixels).found}
    assert texts(read(taken.pixels)) == [taken.link]


@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_codes_4_what_a_thumb_covers_is_unknown_and_little_more(hidden):
    dice = np.random.default_rng(4)
    darkness = dice.choice([-1.0, 1.0], (33, 33)).astype(np.float32)
    rows, columns = symbol.corner_region(33, hidden)
    thumb = slice(max(rows.start - 2, 0), rows.stop + 2), slice(max(columns.start - 2, 0), columns.stop + 2)
    darkness[thumb] = 1.0
    found = covered(darkness, hidden)
    assert found[thumb].all()
    assert found.sum() < 0.35 * found.size


# ---- none invented


@pytest.mark.parametrize("seed", first_of([0, 1]))
def test_codes_5_no_code_is_invented(read, seed):
    reading = read(shot("no code", seed).pixels[200:900, 300:1200])
    assert texts(reading) == []


# ---- 7: a corpus guards the readers' upgrades


def test_codes_7_a_rate_that_falls_is_named():
    sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
    try:
        import corpus
    finally:
        sys.path.pop(0)
    before = json.loads(corpus.RATES.read_text(encoding="utf-8"))
    assert set(before["rates"]) == set(KINDS)
    assert set(before["versions"]) >= {"zxing-cpp", "opencv-contrib-python-headless", "pyzbar"}
    assert corpus.lower(before["rates"], before["rates"], 0) == []
    right, count = before["rates"]["plain"]["zxing-cpp"]
    worse = {**before["rates"], "plain": {"zxing-cpp": [right - 2, count]}}
    assert len(corpus.lower(worse, before["rates"], 1)) == 1
    assert corpus.lower(worse, before["rates"], 2) == []
