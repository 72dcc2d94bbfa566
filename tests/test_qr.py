"""Reading codes: several on one photo, the budget, what is found on what kind of photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import segno
from PIL import Image

from scraper import qr
from scraper.qr.engines import Wechat

LINK = "https://film.aurora.test/s/Ab12Cd34"
MODELS = Path(__file__).parents[2] / "shared/models/wechat_qrcode"
FOLLOW = "https://weixin.qq.com/r/invented"


def is_link(text: str) -> bool:
    return text.startswith("https://film.")


def code(text: str | bytes, scale: int = 6, **more: object) -> Image.Image:
    drawn = segno.make(text, micro=False)
    picture = Image.new("L", drawn.symbol_size(scale, border=6), 255)
    for y, row in enumerate(drawn.matrix_iter(scale=scale, border=6)):
        for x, dark in enumerate(row):
            if dark:
                picture.putpixel((x, y), 0)
    return picture


def side_by_side(*pictures: Image.Image) -> Image.Image:
    sheet = Image.new("L", (sum(p.width for p in pictures), max(p.height for p in pictures)), 255)
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width
    return sheet


def test_stops_at_the_certain_code(tmp_path: Path) -> None:
    path = tmp_path / "胶片 片.png"
    code(LINK).save(path)
    reading = qr.read(path, certain=is_link)
    assert [(one.text, one.symbology, one.page) for one in reading.codes] == [(LINK, "QRCode", 1)]
    assert reading.codes[0].polygon == ((36, 36), (210, 36), (210, 210), (36, 210))


def test_a_follow_code_does_not_hide_the_link(tmp_path: Path) -> None:
    path = tmp_path / "two.png"
    side_by_side(code(FOLLOW), code(LINK)).save(path)
    reading = qr.read(path, certain=is_link)
    assert {one.text for one in reading.codes} == {FOLLOW, LINK}


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_text_in_any_script(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "text.png"
    code("检查号：2026-0042".encode(encoding)).save(path)
    assert [one.text for one in qr.read(path, certain=is_link).codes] == ["检查号：2026-0042"]


def test_the_budget_ends_a_step(tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    Image.effect_noise((5000, 5000), 120).save(path)
    reading = qr.read(path, budget_s=0.5, certain=is_link)
    assert reading.out_of_time
    assert reading.codes == ()


def test_one_helper_serves_many_files(tmp_path: Path) -> None:
    blank, coded = tmp_path / "blank.png", tmp_path / "coded.png"
    Image.new("L", (300, 300), 255).save(blank)
    code(LINK).save(coded)
    with qr.Reader() as reader:
        for _ in range(2):
            assert reader.read(blank, certain=is_link).codes == ()
            assert reader.read(coded, certain=is_link).codes[0].text == LINK


def test_the_wechat_detector_reads_with_its_models(tmp_path: Path) -> None:
    if not MODELS.is_dir():
        pytest.skip("the model files are not here")
    if {engine.name: engine.lacking for engine in qr.engines(MODELS)}["wechat"] == "contrib":
        pytest.skip("this OpenCV has no WeChat detector")
    found = Wechat(MODELS).read(np.asarray(code(LINK))).found
    assert [one.text for one in found] == [LINK]


def test_models_of_another_sum_are_not_loaded(tmp_path: Path) -> None:
    for name in ("detect.prototxt", "detect.caffemodel", "sr.prototxt", "sr.caffemodel"):
        (tmp_path / name).write_bytes(b"strange")
    assert not Wechat(tmp_path).is_there


def test_a_code_that_gives_nothing_is_a_suspect(tmp_path: Path) -> None:
    path, drawn = tmp_path / "broken.png", code(LINK)
    drawn.paste(255, (96, 96, 204, 204))
    drawn.save(path)
    reading = qr.read(path, certain=is_link)
    assert reading.codes == ()
    assert len(reading.suspects) == 1


def test_annotate_draws_where_the_code_is(tmp_path: Path) -> None:
    path, out = tmp_path / "code.png", tmp_path / "out.png"
    code(LINK).save(path)
    qr.annotate(path, qr.read(path, certain=is_link), out)
    red, green, blue = Image.open(out).convert("RGB").resize((246, 246)).getpixel((36, 120))  # type: ignore[misc]
    assert green > red
    assert green > blue
