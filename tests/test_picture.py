"""Every kind of file, made here for real: upright pages come out; hostile ones are refused cheaply."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import pillow_heif
import pytest
import segno
from PIL import Image

from scraper.core.errors import NoSuchFile, UnreadableFile
from scraper.source import pages
from scraper.source.picture_kind import Kind, kind_of
from scraper.source.qr import reader as qr
from scraper.testing import first_of

LINK = "https://film.aurora.test/s/Ab12Cd34"


def sheet(text: str = LINK) -> Image.Image:
    """A page of 600 × 400 with the code in its upper left corner."""
    file = io.BytesIO()
    segno.make(text, micro=False).save(file, kind="png", scale=6, border=6)
    page = Image.new("RGB", (600, 400), "white")
    page.paste(Image.open(file).convert("RGB"), (0, 0))
    return page


def png(width: int, height: int, rows: bytes) -> bytes:
    """A grey PNG whose header says what it likes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.png", "a.webp", "a.bmp", "a.tif", "a.heic", "a.gif", "a.pdf"])
def test_a_code_in_every_kind_of_file(tmp_path: Path, name: str) -> None:
    pillow_heif.register_heif_opener()
    path = tmp_path / f"胶片 й {name}"
    sheet().save(path)
    found = qr.read(path, certain=LINK.__eq__).codes
    assert [(code.text, code.page) for code in found] == [(LINK, 1)]


@pytest.mark.parametrize("name", first_of(["a.tif", "a.pdf", "a.gif", "a.webp"], 2))
def test_the_code_on_the_second_page(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    blank = Image.new("RGB", (600, 400), "white")
    blank.save(path, save_all=True, append_images=[sheet()])
    found = qr.read(path, certain=LINK.__eq__).codes
    assert [(code.text, code.page) for code in found] == [(LINK, 2)]


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_only_the_first_frames_of_an_animation(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    frames = [Image.new("L", (40, 40), 20 * shade) for shade in range(9)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert [page.number for page in pages.pages(path)] == [1, 2, 3, 4]


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # held on its side: to be turned clockwise
    sheet().save(path, exif=exif)
    (page,) = pages.pages(path)
    assert page.grey.shape == (600, 400)
    (found,) = qr.read(path, certain=LINK.__eq__).codes
    assert min(x for x, _ in found.polygon) > 150  # upper left has become upper right


def test_the_name_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    sheet().save(path, format="PNG")
    assert kind_of(path) is Kind.PNG


def test_a_photo_of_48_megapixels_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.new("L", (8000, 6000), 200).save(path)
    tracemalloc.start()
    try:
        assert [page.grey.shape for page in pages.pages(path)] == [(6000, 8000)]
        assert tracemalloc.get_traced_memory()[1] < 200 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("edge", [11_000, 40_000, 2**31 - 1])
def test_too_many_pixels_are_refused_by_the_header(tmp_path: Path, edge: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(edge, edge, zlib.compress(bytes(1000))))
    with pytest.raises(pages.TooManyPixels) as caught:
        qr.read(path, certain=LINK.__eq__)
    assert caught.value.code == "too-many-pixels"
    assert caught.value.values["limit"] == 120


@pytest.mark.parametrize("name", first_of(["a.gif", "a.webp", "a.bmp", "a.tif", "a.heic", "a.pdf"], 2))
def test_a_file_that_breaks_off_is_unreadable(tmp_path: Path, name: str) -> None:
    pillow_heif.register_heif_opener()
    path = tmp_path / name
    sheet().save(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UnreadableFile):
        qr.read(path, certain=LINK.__eq__)


def test_of_a_photo_that_breaks_off_what_arrived_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    sheet().save(path, quality=95)
    path.write_bytes(path.read_bytes()[:-40])
    assert [code.text for code in qr.read(path, certain=LINK.__eq__).codes] == [LINK]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture at all",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"BM",
        b"II*\0\xff\xff\xff\xff",
        b"%PDF-1.7\n",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"\0\0\0\x18ftypheic\0\0\0\0",
        png(0, 0, b""),
    ],
)
def test_what_is_no_picture_is_unreadable(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(UnreadableFile):
        qr.read(path, certain=LINK.__eq__)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NoSuchFile):
        qr.read(tmp_path / "none.jpg", certain=LINK.__eq__)
