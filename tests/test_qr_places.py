"""Where on a page a closer look is taken, and where not any more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import segno
from PIL import Image

from scraper.source import pages
from scraper.source.qr import cascade
from scraper.source.qr import reader as qr
from scraper.source.qr.engines import Wechat
from scraper.source.qr.suspects import MOST, KnownPlaces, places

LINK = "https://film.aurora.test/s/Ab12Cd34"
FOLLOW = "http://weixin.qq.com/r/AbCdEfGh"


def drawn(text: str, edge: int) -> Image.Image:
    rows = [bytes(0 if dark else 255 for dark in row) for row in segno.make(text).matrix_iter(border=0)]
    return Image.frombytes("L", (len(rows[0]), len(rows)), b"".join(rows)).resize((edge, edge))


def page(*codes: tuple[str, int, int, int], size: tuple[int, int] = (2400, 1800)) -> np.ndarray:
    """A white page with codes: text, left, top, edge."""
    sheet = Image.new("L", size, 255)
    for text, left, top, edge in codes:
        sheet.paste(drawn(text, edge), (left, top))
    return np.asarray(sheet)


def square(left: int, top: int, edge: int) -> tuple[tuple[int, int], ...]:
    return (left, top), (left + edge, top), (left + edge, top + edge), (left, top + edge)


def holds(box: tuple[int, int, int, int], left: int, top: int, edge: int) -> bool:
    return box[0] <= left and box[1] <= top and box[2] >= left + edge and box[3] >= top + edge


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_suspect_comes_first_and_a_code_that_was_read_not_at_all(scale):
    grey = page((FOLLOW, 200, 200, 300), (LINK, 1500, 1100, 300))
    known = KnownPlaces(
        read=(square(round(200 / scale), round(200 / scale), round(300 / scale)),),
        suspects=(square(round(1500 / scale), round(1100 / scale), round(300 / scale)),),
    )
    boxes, suspected = places(grey, known, scale)
    assert suspected == 1
    assert holds(boxes[0], 1500, 1100, 300)
    assert not any(holds(box, 200, 200, 300) for box in boxes)


def test_without_a_hint_every_lively_place_is_one():
    boxes, suspected = places(page((FOLLOW, 200, 200, 300), (LINK, 1500, 1100, 300)), KnownPlaces(), 1.0)
    assert suspected == 0
    assert any(holds(box, 200, 200, 300) for box in boxes)
    assert any(holds(box, 1500, 1100, 300) for box in boxes)


def test_a_suspect_that_is_seen_steeply_is_a_place():
    steep = ((412, 1035), (423, 984), (561, 1009), (550, 1060))
    boxes, suspected = places(page(), KnownPlaces(suspects=(steep,)), 1.0)
    assert suspected == 1
    assert holds(boxes[0], 412, 984, 149 // 2)


def test_a_suspect_that_is_no_place_is_left_out():
    known = KnownPlaces(suspects=((), square(-50, -50, 8), square(5000, 5000, 100), *(square(9, 9, 200),) * 9))
    boxes, suspected = places(page(), known, 1.0)
    assert suspected <= 1
    assert len(boxes) <= MOST


def test_a_patch_whose_code_was_read_is_not_searched_again(tmp_path):
    Image.fromarray(page((FOLLOW, 200, 200, 300), size=(1300, 1000))).save(tmp_path / "one.png")
    (item,) = pages.pages(tmp_path / "one.png")
    steps = list(cascade.steps(item, Wechat(tmp_path), KnownPlaces()))
    seen = [step() for step in steps]
    assert seen[0].found
    assert [found.text for look in seen for found in look.found].count(FOLLOW) <= len(steps) / 2


def test_what_stands_beside_the_codes_is_read_too(tmp_path):
    zxingcpp = pytest.importorskip("zxingcpp")
    bars = zxingcpp.create_barcode("CT20260108001", zxingcpp.BarcodeFormat.Code128)
    matrix = zxingcpp.create_barcode("sample 17", zxingcpp.BarcodeFormat.DataMatrix)
    sheet = Image.new("L", (900, 600), 255)
    for made, scale, at in ((bars, 3, (60, 60)), (matrix, 6, (600, 300))):
        sheet.paste(Image.fromarray(np.array(made.to_image(scale=scale))), at)
    sheet.save(tmp_path / "labels.png")
    found = qr.read(Path(tmp_path / "labels.png"), certain=lambda text: False).codes
    assert {(code.text, code.symbology) for code in found} == {
        ("CT20260108001", "Code128"),
        ("sample 17", "DataMatrix"),
    }
