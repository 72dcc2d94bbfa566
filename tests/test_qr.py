"""Reading codes: several on one photo, the budget, what is found on what kind of photo."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
import segno
from PIL import Image

from scraper.source.qr import reader as qr
from scraper.source.qr.cascade import evened
from scraper.source.qr.engines import Wechat, zxing
from scraper.source.qr.repair import reed_solomon, symbol
from scraper.source.qr.repair.recover import PATCH, WHOLE, recover_codes
from scraper.source.qr.worker import Worker
from scraper.testing import first_of

LINK = "https://film.aurora.test/s/Ab12Cd34"
MODELS = Path(__file__).parents[2] / "shared/models/wechat_qrcode"
FOLLOW = "https://weixin.qq.com/r/invented"


def is_link(text: str) -> bool:
    return text.startswith("https://film.")


def code(text: str | bytes, scale: int = 6) -> Image.Image:
    rows = np.array(list(segno.make(text, micro=False).matrix_iter(border=6)), np.uint8)
    return Image.fromarray(np.kron(255 - rows * 255, np.ones((scale, scale), np.uint8)))


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
    assert [(item.text, item.symbology, item.page) for item in reading.codes] == [(LINK, "QRCode", 1)]
    assert reading.codes[0].polygon == ((36, 36), (210, 36), (210, 210), (36, 210))


def test_a_follow_code_does_not_hide_the_link(tmp_path: Path) -> None:
    path = tmp_path / "two.png"
    side_by_side(code(FOLLOW), code(LINK)).save(path)
    reading = qr.read(path, certain=is_link)
    assert {item.text for item in reading.codes} == {FOLLOW, LINK}


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_text_in_any_script(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "text.png"
    code("检查号：2026-0042".encode(encoding)).save(path)
    assert [item.text for item in qr.read(path, certain=is_link).codes] == ["检查号：2026-0042"]


def test_the_budget_ends_a_step(tmp_path: Path) -> None:
    path = tmp_path / "noise.bmp"
    noise = np.asarray(Image.effect_noise((500, 500), 120))
    Image.fromarray(np.tile(noise, (10, 10))).save(path)
    reading = qr.read(path, budget_s=0.5, certain=is_link)
    assert reading.out_of_time
    assert reading.codes == ()


def test_one_helper_serves_many_files(tmp_path: Path) -> None:
    blank, coded = tmp_path / "blank.png", tmp_path / "coded.png"
    Image.new("L", (60, 60), 255).save(blank)
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
    assert [item.text for item in found] == [LINK]


def test_models_of_another_sum_are_not_loaded(tmp_path: Path) -> None:
    for name in ("detect.prototxt", "detect.caffemodel", "sr.prototxt", "sr.caffemodel"):
        (tmp_path / name).write_bytes(b"strange")
    assert not Wechat(tmp_path).is_there


def test_models_are_fetched_once_and_only_as_they_were_pinned(tmp_path: Path) -> None:
    if not MODELS.is_dir():
        pytest.skip("the model files are not here")
    asked: list[str] = []

    def download(url: str) -> bytes:
        asked.append(url)
        return (MODELS / url.rpartition("/")[2]).read_bytes()

    assert len(qr.fetch_models(download, tmp_path)) == 4
    assert all(url.startswith("https://") for url in asked)
    assert [engine.lacking for engine in qr.engines(tmp_path) if engine.name == "wechat"] != ["models"]
    (tmp_path / "sr.prototxt").write_bytes(b"broken")
    assert qr.fetch_models(download, tmp_path) == [tmp_path / "sr.prototxt"]
    assert qr.fetch_models(download, tmp_path) == []
    assert len(asked) == 5


def test_a_model_of_another_sum_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(qr.WrongSum):
        qr.fetch_models(lambda url: b"a page that says hello", tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def broken_code() -> Image.Image:
    drawn = code(LINK)
    drawn.paste(255, (96, 96, 204, 204))
    return drawn


def test_a_code_that_gives_nothing_is_a_suspect() -> None:
    search = qr._Search(is_link)
    search.take(1, zxing(np.asarray(broken_code())))
    assert search.codes == {}
    assert len(search.open_suspects) == 1


@pytest.mark.thorough
def test_a_code_that_gives_nothing_is_a_suspect_after_the_whole_search(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    broken_code().save(path)
    reading = qr.read(path, certain=is_link)
    assert reading.codes == ()
    assert len(reading.suspects) == 1


def test_annotate_draws_where_the_code_is(tmp_path: Path) -> None:
    path, out = tmp_path / "code.png", tmp_path / "out.png"
    code(LINK).save(path)
    with qr.Reader() as reader:
        reader.annotate(path, reader.read(path, certain=is_link), out)
    red, green, blue = Image.open(out).convert("RGB").resize((246, 246)).getpixel((36, 120))  # type: ignore[misc]
    assert green > red
    assert green > blue


# ---- bent, blurred and damaged codes

LONG = f"{LINK}?name=demo&k=" + "x" * 60
Pixels = np.ndarray


def modules_of(text: str, error: str = "m", version: int | None = None) -> Pixels:
    made = segno.make(text, micro=False, error=error, version=version, boost_error=False)
    return np.array(list(made.matrix)) > 0


def on_paper(modules: Pixels, module: int = 6, border: int = 6) -> Pixels:
    paper = np.pad(~modules, border, constant_values=True).astype(np.uint8) * 210 + 20
    return np.kron(paper, np.ones((module, module), np.uint8))


def around_a_bottle(flat: Pixels, radius: float) -> tuple[Pixels, Pixels]:
    y, x = np.indices((len(flat) + 200, len(flat) + 200), np.float32) - 100
    middle, reach = len(flat) / 2, radius * len(flat)
    turned = np.arcsin(np.clip((x - middle) / reach, -0.999, 0.999))
    fall = 1 - np.cos(turned)
    return turned * reach + middle, (y - middle) * (1 + 0.25 * fall) + middle + 40 * fall


def in_waves(flat: Pixels, height: float) -> tuple[Pixels, Pixels]:
    y, x = np.indices((len(flat) + 200, len(flat) + 200), np.float32) - 100
    size = len(flat)
    return x + height * np.sin(5 * y / size), y + height * np.sin(6 * x / size)


def crumpled(flat: Pixels, height: float) -> tuple[Pixels, Pixels]:
    dice = np.random.default_rng(1)
    y, x = np.indices((len(flat) + 200, len(flat) + 200), np.float32) - 100
    size = len(flat)
    seen_x, seen_y = x.copy(), y.copy()
    for _ in range(8):
        angle, (left, top) = dice.uniform(0, np.pi), dice.uniform(0.2 * size, 0.8 * size, 2)
        across = (x - left) * np.cos(angle) + (y - top) * np.sin(angle)
        fold = height * np.exp(-np.abs(across) * 6 / size) * dice.choice([-1, 1])
        seen_x += fold * np.cos(angle + 1)
        seen_y += fold * np.sin(angle + 1)
    return seen_x, seen_y


@pytest.mark.parametrize(
    ("bend", "amount"), [(around_a_bottle, 0.6), (in_waves, 8.0), (in_waves, 14.0), (crumpled, 4.0)]
)
def test_what_is_bent_is_straightened(bend, amount):
    flat = on_paper(modules_of(LONG))
    x, y = bend(flat, amount)
    photo = cv2.remap(flat, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderValue=230)
    photo = cv2.GaussianBlur(photo, (0, 0), 1.2)
    larger = cv2.resize(photo, None, fx=2, fy=2)
    for plain in (photo, evened(photo), larger):
        assert zxing(plain).found == ()
    assert [item.text for item in recover_codes(photo, WHOLE).found] == [LONG]


def test_the_whole_search_straightens(tmp_path: Path) -> None:
    flat, path = on_paper(modules_of(LONG)), tmp_path / "bottle.png"
    x, y = around_a_bottle(flat, 0.6)
    photo = cv2.remap(flat, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderValue=230)
    cv2.imwrite(str(path), photo)
    (code,) = qr.read(path, certain=is_link).codes
    assert code.text == LONG
    near, far = np.array(code.polygon).min(0), np.array(code.polygon).max(0)
    assert (near > 90).all()
    assert (far < len(flat) + 110).all()


def test_what_is_blurred_is_read_through_its_neighbours() -> None:
    photo = cv2.GaussianBlur(on_paper(modules_of(LONG)), (0, 0), 3.4)
    assert zxing(photo).found == ()
    assert [item.text for item in recover_codes(photo, WHOLE).found] == [LONG]


@pytest.mark.parametrize(("name", "which"), first_of([("upper left", (0, 0)), ("right", (0, 1)), ("left", (1, 0))]))
def test_a_finder_pattern_under_a_pen_is_told_by_the_others(name, which):
    del name
    modules = modules_of(LONG, "q")
    photo = cv2.copyMakeBorder(on_paper(modules, 8), 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=230)
    across, edge = len(modules) - 7, 8
    x, y = (60 + (6 + which[k] * across) * edge for k in (1, 0))
    cv2.line(photo, (x - 6, y + 20), (x + 62, y + 40), 230, 7)
    cv2.line(photo, (x + 20, y - 6), (x + 34, y + 62), 20, 6)
    photo = cv2.GaussianBlur(photo, (0, 0), 1.0)
    assert zxing(photo).found == ()
    assert [item.text for item in recover_codes(photo, PATCH).found] == [LONG]


@pytest.mark.parametrize("angle", first_of([35, 0, 80, 125]))
def test_what_is_smeared_one_way_is_read_through_its_neighbours(angle):
    length = 13
    kernel = np.zeros((length + 4, length + 4), np.float32)
    middle, reach = (length + 4) / 2 - 0.5, length / 2
    dx, dy = reach * np.cos(np.radians(angle)), reach * np.sin(np.radians(angle))
    ends = ((middle - dx, middle - dy), (middle + dx, middle + dy))
    cv2.line(kernel, *(tuple(round(16 * v) for v in end) for end in ends), 1.0, 1, cv2.LINE_AA, 4)
    photo = cv2.filter2D(on_paper(modules_of(LONG, "q"), 8), -1, kernel / kernel.sum())
    assert [item.text for item in recover_codes(photo, PATCH).found] == [LONG]


def test_light_that_hides_a_part_costs_half_of_what_is_misread() -> None:
    modules = modules_of(LONG)
    darkness = np.where(modules, 1.0, -1.0).astype(np.float32)
    darkness[16:34, 12:30] = np.random.default_rng(2).normal(0, 0.03, (18, 18))
    corrected = symbol.corrected(darkness)
    assert corrected is not None
    assert (corrected == modules).all()
    misread = np.where(darkness > 0, np.float32(1), np.float32(-1))
    assert symbol.corrected(misread) is None


LAYOUTS = [
    (1, "l"),
    (2, "m"),
    (6, "q"),
    (7, "h"),
    (14, "l"),
    (22, "m"),
    (40, "q"),
]  # small, with version, with many blocks


@pytest.mark.parametrize(
    ("version", "error"),
    first_of(dict.fromkeys([*LAYOUTS, *product((1, 2, 6, 7, 14, 22, 32, 36, 40), "lmqh")]), len(LAYOUTS)),
)
def test_every_size_and_level_is_laid_out_as_another_writer_does(version, error):
    modules = modules_of("0123", error, version)
    fixed = symbol.fixed(version)
    assert (modules[fixed >= 0] == fixed[fixed >= 0]).all()
    darkness = np.where(modules, 1.0, -1.0).astype(np.float32)
    darkness[-1, -1] *= -1
    darkness[9:11, 9:11] *= -1
    corrected = symbol.corrected(darkness)
    assert corrected is not None
    assert (corrected == modules).all()


def test_noise_is_not_mended_into_words() -> None:
    dice = np.random.default_rng(3)
    for size in (21, 25, 29, 41, 57) * 8:
        darkness = dice.normal(0, 1, (size, size)).astype(np.float32)
        assert symbol.corrected(darkness) is None


def test_too_many_errors_are_told_from_few() -> None:
    block = [32, 91, 11, 120, 209, 114, 220, 77, 67, 64, 236, 17, 236, 17, 236, 17]
    # the check symbols of ISO/IEC 18004's own example, 1-M
    block += [196, 35, 39, 119, 235, 215, 231, 226, 93, 23]
    broken = list(block)
    for place in range(5):
        broken[3 * place] ^= 0x5A
    assert reed_solomon.repaired(broken, 10, []) == block
    broken[20] ^= 1
    assert reed_solomon.repaired(broken, 10, []) is None
    assert reed_solomon.repaired(broken, 10, [0, 3]) == block


# ---- the helper process

CHILD = """
import json, sys, time
for line in iter(sys.stdin.readline, ""):
    order = json.loads(line)
    if order.get("ask") != "search":
        continue
    for step in range(order["skip"], 4):
        if step in (1, 2):
            {0}
        print(json.dumps({{"page": 1, "found": [[str(step), "QRCode", []]], "suspects": []}}), flush=True)
        if not json.loads(sys.stdin.readline())["go"]:
            break
    print(json.dumps({{"end": True}}), flush=True)
"""


@pytest.mark.parametrize("trouble", ["sys.stdin.read()", "sys.exit(3)"], ids=["hangs", "dies"])
def test_a_step_that_hangs_or_dies_is_left_out(tmp_path, trouble):
    program = (sys.executable, "-I", "-S", "-c", CHILD.format(trouble))
    with Worker(tmp_path, program=program, step_s=0.3, first_s=4) as worker:
        looks = list(worker.search(tmp_path / "a.png", glanced=True, remaining_s=60))
    assert [found.text for _, seen in looks for found in seen.found] == ["0", "3"]


def test_a_child_that_dies_time_and_again_is_given_up(tmp_path):
    with Worker(tmp_path, program=(sys.executable, "-c", "")) as worker, pytest.raises(ChildProcessError):
        list(worker.search(tmp_path / "a.png", glanced=True, remaining_s=60))
