"""Several objects under one UID, and what came that is no DICOM."""

import base64
import io
import struct
import zlib

import pytest
from PIL import Image

from scraper.capture.observe.copies import Copies
from scraper.capture.observe.pictures import Pictures, side
from scraper.capture.observe.received import Observations
from scraper.capture.observe.recognise import DicomObject
from scraper.core.model import Captured, Header, Instance, Series
from scraper.session.browser.traffic import Exchange

SERIES = "1.2.3.4.5"
LOSSLESS, LOSSY = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"


def copy(folder, name, uid="1.2.3.4.5.1", side=64, syntax=LOSSLESS, size=100) -> DicomObject:
    path = folder / name
    path.write_bytes(name.encode().ljust(size, b"\0"))
    return DicomObject(path, Header(uid, "1.2", SERIES, "1.2.3.4", syntax, rows=side, columns=side))


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        ({"side": 64}, {"side": 512}, "b"),
        ({"side": 512}, {"side": 64}, "a"),
        ({"side": 512, "syntax": LOSSY, "size": 900}, {"side": 512}, "b"),
        ({"side": 512, "syntax": LOSSY}, {"side": 64}, "a"),
        ({"side": 512, "size": 100}, {"side": 512, "size": 101}, "b"),
        ({"side": 512}, {"side": 512}, "a"),
    ],
    ids=["larger", "smaller", "lossless", "a larger lossy one", "longer", "equal"],
)
def test_verdicts_1_the_larger_then_the_lossless_then_the_longer_copy_wins(first, second, winner, tmp_path):
    copies = Copies()
    found = copies.better(copy(tmp_path, "a", **first), copy(tmp_path, "b", **second))
    assert found.path.name == winner
    assert [item.name for item in tmp_path.iterdir()] == [winner]
    series = copies.named(Series("1.2.3.4", SERIES, (Instance("1.2.3.4.5.1", Captured(found.path)),)), {})
    assert [(problem.code, problem.fatal) for problem in series.problems] == [("lesser-copies", False)]


def test_verdicts_1_the_same_bytes_twice_are_no_pair(tmp_path):
    copies, known = Copies(), copy(tmp_path, "a")
    other = tmp_path / "b"
    other.write_bytes(known.path.read_bytes())
    copies.better(known, DicomObject(other, known.header))
    assert not copies.lesser


def test_verdicts_1_a_rule_that_gives_previews_is_dropped(tmp_path):
    copies = Copies()
    preview, full = copy(tmp_path, "a"), copy(tmp_path, "b", side=512)
    copies.given = {"preview/1": (64 * 64, True, 100), "full/1": (512 * 512, True, 100)}
    objects = {"1.2.3.4.5.1": copies.better(preview, full)}
    assert copies.gives_less({"preview/1": "1.2.3.4.5.1"}, objects)
    assert not copies.gives_less({"full/1": "1.2.3.4.5.1"}, objects)


def test_verdicts_1_previews_beside_full_images_of_one_series_are_no_originals(tmp_path):
    copies = Copies()
    full = copies.better(copy(tmp_path, "a"), copy(tmp_path, "b", side=512))
    rest = {f"1.2.3.4.5.{n}": copy(tmp_path, f"c{n}", f"1.2.3.4.5.{n}") for n in (2, 3)}
    objects = {"1.2.3.4.5.1": full} | rest
    instances = tuple(Instance(uid, Captured(item.path)) for uid, item in objects.items())
    series = copies.named(Series("1.2.3.4", SERIES, instances), objects)
    assert [(problem.code, problem.instances, problem.fatal) for problem in series.problems] == [
        ("lesser-copies", ("1.2.3.4.5.1",), False),
        ("reduced-only", ("1.2.3.4.5.2", "1.2.3.4.5.3"), True),
    ]
    copies.given = {"preview/2": (64 * 64, True, 100)}
    assert copies.gives_less({"preview/2": "1.2.3.4.5.2"}, objects)  # another image of the series came larger


def drawn(kind: str, shorter: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (shorter + 9, shorter), 90).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_verdicts_1_the_size_of_a_picture(kind):
    assert side(drawn(kind, 300)) == 300


def test_verdicts_1_the_size_of_a_lossless_webp():
    out = io.BytesIO()
    Image.new("L", (40, 300), 90).save(out, "WEBP", lossless=True)
    assert side(out.getvalue()) == 40


@pytest.mark.parametrize(
    ("body", "kind", "counts"),
    [
        (drawn("JPEG", 512), "image", (1, 1, 0)),
        (drawn("PNG", 96), "xhr", (0, 1, 0)),
        (drawn("PNG", 16), "image", (0, 0, 0)),
        (bytes(range(1, 256)) * 100, "fetch", (0, 0, 1)),
        (b"\0asm" + bytes(range(1, 256)) * 100, "fetch", (0, 0, 0)),
        (bytes(range(1, 256)) * 100, "font", (0, 0, 0)),
    ],
    ids=["picture", "small", "icon", "unknown", "program", "font"],
)
def test_verdicts_1_what_came_instead_of_dicom(body, kind, counts):
    found = Pictures()
    found.note(Exchange("https://film.test/1", kind, body=body, size=len(body)))
    assert (found.real, found.small, found.opaque) == counts


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
async def test_verdicts_1_pictures_in_json_are_pictures(prefix, tmp_path):
    rows = b"".join(b"\0" + bytes((row * 7 + at) % 251 for at in range(300)) for row in range(300))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 300, 300, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 1)),
        (b"IEND", b""),
    ]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    text = f'{{"data": {{"image": "{prefix}{base64.b64encode(png).decode()}"}}}}'.encode()
    found = Observations(tmp_path)
    await found.take([Exchange("https://film.test/1", "xhr", body=text, size=len(text))])
    assert found.pictures.real == 1
