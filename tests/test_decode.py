"""``cloudfilm decode`` as a user meets it: pictures drawn, refusals in both languages, long and hostile files."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import segno
from PIL import Image

from fixtures.photos.scenes import scene
from scraper.cli.commands import run
from scraper.core.errors import UnreadableFile
from scraper.core.settings import Settings
from scraper.source import documents, film_codes
from scraper.source import pages as picture
from scraper.source.qr import reader as qr
from scraper.testing import first_of

FILM = "https://film.aurora.test/s/Ab12Cd34"
FOLLOW = "http://weixin.qq.com/r/AbCdEfGh"
MODELS = Path(__file__).parents[2] / "shared/models/wechat_qrcode"


def sheet(*payloads: str) -> Image.Image:
    page = Image.new("L", (700, 300 * max(1, len(payloads)) + 40), 255)
    for place, payload in enumerate(payloads):
        rows = [bytes(0 if dark else 255 for dark in row) for row in segno.make(payload).matrix_iter(border=4)]
        drawn = Image.frombytes("L", (len(rows[0]), len(rows)), b"".join(rows)).resize((260, 260), Image.Resampling.BOX)
        page.paste(drawn, (40, 20 + 300 * place))
    return page


def saved(folder: Path, *payloads: str, name: str = "photo.png") -> str:
    sheet(*payloads).save(folder / name)
    return str(folder / name)


def test_the_codes_are_drawn_where_the_user_wants_them(tmp_path):
    path, out = saved(tmp_path, FILM), tmp_path / "drawn.png"
    assert run(["decode", "--annotate", str(out), path]) == 0
    assert len(Image.open(out).convert("RGB").getcolors(1 << 20)) > 2  # lines in colour on black and white


@pytest.mark.thorough
def test_with_v_a_picture_shows_where_a_code_seemed_to_be(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    broken = sheet(FILM)
    broken.paste(255, (110, 90, 230, 210))
    broken.save("photo.png")
    words = ["decode", "-v", "--timeout", "200", "photo.png"]  # by the clock; it takes seconds where nothing else runs
    assert run(words) == 3
    assert "photo-codes.png" in capsys.readouterr().err
    assert len(Image.open("photo-codes.png").convert("RGB").getcolors(1 << 20)) > 2
    assert run(words) == 3
    assert len(list(tmp_path.glob("photo-codes*.png"))) == 2  # never over a file


@pytest.mark.parametrize(
    ("payload", "code", "message"),
    [
        (FOLLOW, 4, {"en": "copy link", "zh": "复制链接"}),
        ("https://mp.weixin.qq.com/a/~~invented", 4, {"en": "mini program", "zh": "小程序"}),
        ("CT2026 0001", 3, {"en": "flash", "zh": "闪光灯"}),
    ],
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_refusal_says_what_to_do(tmp_path, capsys, payload, code, message, language):
    assert run(["decode", "--lang", language, saved(tmp_path, payload)]) == code
    assert message[language] in capsys.readouterr().err


def test_the_code_on_one_of_many_pages(tmp_path):
    pages = [sheet() for _ in range(40)]
    pages[36] = sheet(FOLLOW, FILM)
    path = tmp_path / "report.pdf"
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=300)
    found = film_codes.decode(path, Settings(decode_timeout_s=600))
    assert found.link == FILM
    assert {code.page for code, _ in found.codes} == {37}


@pytest.mark.parametrize("models", first_of([None, MODELS]), ids=["plain", "with WeChat's models"])
@pytest.mark.thorough
def test_the_budget_holds_with_every_engine(tmp_path, models):
    if models is not None and not models.is_dir():
        pytest.skip("the model files are not here")
    path = tmp_path / "noise.png"
    Image.effect_noise((5000, 5000), 120).save(path)
    reading = qr.read(path, budget_s=0.5, certain=FILM.__eq__, models=models)
    assert reading.out_of_time


def bmp(width: int, height: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 1078, 0, 0, 1078, 40, width, height, 1, 8, 0, 0, 0, 0, 0, 0)
        + bytes(1024)
    )


def tiff(width: int, height: int) -> bytes:
    tags = ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 8))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def gif(width: int, height: int) -> bytes:
    size = struct.pack("<HH", width, height)
    return b"GIF89a" + size + b"\0\0\0" + b"," + bytes(4) + size + b"\0\x02\x01\0;"


def webp(width: int, height: int) -> bytes:
    body = (
        b"VP8X"
        + struct.pack("<I", 10)
        + bytes(4)
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(bmp(60_000, 60_000), id="BMP"),
        pytest.param(bmp(60_000, -60_000), id="BMP upside down"),
        pytest.param(gif(65_535, 65_535), id="GIF"),
        pytest.param(tiff(2**31, 2**31), id="TIFF"),
        pytest.param(webp(2**24, 2**24), id="WebP"),
    ],
)
def test_absurd_headers_cost_nothing(tmp_path, data, capsys):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(UnreadableFile):
        list(picture.pages(path))
    assert run(["decode", str(path)]) in {2, 3}
    assert "Traceback" not in capsys.readouterr().err


def test_a_page_of_absurd_size_is_drawn_small(tmp_path):
    path = tmp_path / "wide.pdf"
    sheet(FILM).save(path)
    data = path.read_bytes()
    start = data.index(b"/MediaBox")
    end = data.index(b"]", start) + 1
    wide = b"/MediaBox [0 0 9e6 9]"
    path.write_bytes(data[:start] + wide.ljust(end - start) + data[end:])
    sizes = [page.grey.size for page in picture.pages(path)]
    assert sizes
    assert max(sizes) <= 2 * documents.MAX_PDF_PAGE_PIXELS


@pytest.mark.parametrize(
    "stratum", first_of(["many codes", "turned", "close", "inverted", "odd", "screen", "bright", "small"])
)
def test_photographs_of_every_kind(tmp_path, stratum):
    item = scene(stratum, 5)
    path = tmp_path / "photo.jpg"
    path.write_bytes(item.data)
    found = film_codes.decode(path, Settings(decode_timeout_s=60))
    assert found.link == item.link
    assert found.link not in item.others


@pytest.mark.thorough
def test_a_report_without_a_square_code_has_no_link(tmp_path):
    item = scene("no code", 1)
    path = tmp_path / "photo.jpg"
    path.write_bytes(item.data)
    found = film_codes.decode(path, Settings(decode_timeout_s=60))
    assert found.link is None
    assert {code.text for code, _ in found.codes} <= set(item.others)
    assert not found.reading.out_of_time
