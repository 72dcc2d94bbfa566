"""Read codes from every kind of file that people have: huge, animated, torn, locked, or no picture at all."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pydicom
import pytest
import segno
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from scraper.cli.commands import run
from scraper.core.errors import LockedFile, UnknownFormat, UnreadableFile
from scraper.core.settings import Language, Settings
from scraper.source import film_codes, resolve
from scraper.source import pages as picture
from scraper.source.pages import TooManyPixels
from scraper.source.qr import reader as qr
from scraper.testing import first_of
from scraper.ui.tables import decoded_json, decoded_words
from tests.programs import environment, ran

FILM = "https://ylyyx.shdc.org.cn/code.html?appid=demo&share_id=0b6c&ctype=5"
SETTINGS = Settings(decode_timeout_s=60)


def drawn(text: str = FILM, module: int = 5) -> Image.Image:
    rows = np.array(list(segno.make(text, micro=False, error="m").matrix_iter(border=4)), np.uint8)
    return Image.fromarray(np.kron(255 - rows * 255, np.ones((module, module), np.uint8)))


def sheet(text: str = FILM, size: tuple[int, int] = (600, 500)) -> Image.Image:
    page = Image.new("L", size, "white")
    page.paste(drawn(text), (60, 50))
    return page


@pytest.fixture(scope="module")
def film_of() -> Iterator[Callable[[Path], str | None]]:
    with qr.Reader() as reader:
        yield lambda path: film_codes.decode(path, SETTINGS, reader).link


def test_codes_6_a_jpeg_of_128_megapixels(tmp_path):
    page = Image.new("L", (16000, 8000), 230)  # more than are decoded in full
    page.paste(drawn(module=24), (8000, 6000))
    page.save(tmp_path / "photo.jpg", quality=60)
    found = film_codes.decode(tmp_path / "photo.jpg", SETTINGS)
    assert found.link == FILM
    xs, ys = zip(*found.codes[0][0].polygon, strict=True)
    assert min(xs) > 8000 < max(xs) < 10000
    assert min(ys) > 6000  # in pixels of the photo, not of what was decoded of it


def test_codes_6_a_jpeg_beyond_all_phones_is_refused(film_of, tmp_path):
    head = io.BytesIO()
    Image.new("L", (64, 64)).save(head, "JPEG")
    data = head.getvalue()
    start = data.index(b"\xff\xc0") + 5
    (tmp_path / "photo.jpg").write_bytes(data[:start] + b"\xf0\x00\xf0\x00" + data[start + 4 :])
    with pytest.raises(TooManyPixels):
        film_of(tmp_path / "photo.jpg")


@pytest.mark.parametrize(("name", "options"), first_of([("a.gif", {}), ("a.webp", {"lossless": True})]))
def test_codes_6_a_late_frame_is_read_and_named(tmp_path, name, options):
    frames = [Image.new("L", (600, 500), 150 + number) for number in range(11)] + [sheet()]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=50, **options)
    found = film_codes.decode(tmp_path / name, SETTINGS)
    assert found.link == FILM
    assert decoded_json(found)["codes"][0]["page"] == 12


def test_codes_6_what_was_not_looked_at_is_named_in_json(tmp_path):
    frames = [Image.new("L", (40, 40), number) for number in range(picture.MAX_GLANCED_FRAMES + 6)]
    frames[0].save(tmp_path / "screen.gif", save_all=True, append_images=frames[1:], duration=50)
    found = film_codes.decode(tmp_path / "screen.gif", SETTINGS)
    assert decoded_json(found)["frames_left_out"] == 6
    assert "6 later frames" in decoded_words(found, Language.EN)


def test_codes_6_jpeg_2000(film_of, tmp_path):
    sheet().save(tmp_path / "scan.jp2")
    assert film_of(tmp_path / "scan.jp2") == FILM


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("photo.jxl", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL"),
        ("photo.jpg", b"\xff\x0a" + bytes(40), "JPEG XL"),
        ("code.svg", b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    ],
)
def test_codes_6_a_kind_that_is_not_read_is_named(tmp_path, name, head, kind):
    """JPEG XL and SVG are drawn behind the fences alone, and there where the extra is installed."""
    (tmp_path / name).write_bytes(head)
    with pytest.raises(UnknownFormat) as caught:
        list(picture.pages(tmp_path / name))
    assert caught.value.values["kind"] == kind


def svg_of(text: str) -> bytes:
    out = io.BytesIO()
    segno.make(text, error="m").save(out, kind="svg", scale=4, border=4, light="white")
    return out.getvalue()


def test_codes_6_a_code_in_an_svg(film_of, tmp_path):
    pytest.importorskip("resvg_py")
    (tmp_path / "code.svg").write_bytes(svg_of(FILM))
    assert film_of(tmp_path / "code.svg") == FILM


@pytest.mark.parametrize("mode", first_of(["L", "RGB"]))
def test_codes_6_a_code_in_a_jpeg_xl(film_of, tmp_path, mode):
    codecs = pytest.importorskip("imagecodecs")
    (tmp_path / "code.jxl").write_bytes(codecs.jpegxl_encode(np.asarray(sheet().convert(mode))))
    assert film_of(tmp_path / "code.jxl") == FILM


@pytest.mark.parametrize("kind", ["svg", "jxl"])
def test_codes_6_the_codes_of_rare_pictures_are_drawn(tmp_path, kind, capsys):
    """``decode --annotate`` on files that only a child process draws."""
    if kind == "svg":
        pytest.importorskip("resvg_py")
        (tmp_path / "code.svg").write_bytes(svg_of(FILM))
    else:
        from imagecodecs import jpegxl_encode

        (tmp_path / "code.jxl").write_bytes(jpegxl_encode(np.asarray(sheet())))
    out = tmp_path / "drawn.png"
    assert run(["decode", str(tmp_path / f"code.{kind}"), "--annotate", str(out)]) == 0
    capsys.readouterr()
    with Image.open(out) as made:
        colours = np.asarray(made.convert("RGB")).reshape(-1, 3)
    assert (colours == (0, 160, 60)).all(axis=1).any()  # the green of a code that was read


HOSTILE_SVG = {
    "a giant": b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="90000000"><rect width="1" height="1"/></svg>',
    "entities": b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%s;" % (str(n - 1).encode() if n else b"") * 10) for n in range(9))
    + b']><svg xmlns="http://www.w3.org/2000/svg"><text>&a8;</text></svg>',
    "itself": b'<svg xmlns="http://www.w3.org/2000/svg"><g id="a"><use href="#a"/><use href="#a"/></g></svg>',
    "a nest": b'<svg xmlns="http://www.w3.org/2000/svg">' + b"<g>" * 100_000 + b"</g>" * 100_000 + b"</svg>",
    "cut off": b'<svg xmlns="http://www.w3.org/2000/svg"><rect',
    "nothing": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
}


@pytest.mark.parametrize("name", first_of(HOSTILE_SVG, 3))
def test_codes_6_a_hostile_svg_is_no_picture(film_of, tmp_path, name):
    pytest.importorskip("resvg_py")
    (tmp_path / "worse.svg").write_bytes(HOSTILE_SVG[name])
    try:
        assert film_of(tmp_path / "worse.svg") is None
    except UnreadableFile:
        return


def test_codes_6_a_jpeg_xl_that_breaks_off_is_no_picture(film_of, tmp_path):
    codecs = pytest.importorskip("imagecodecs")
    whole = codecs.jpegxl_encode(np.asarray(sheet()))
    (tmp_path / "code.jxl").write_bytes(whole[:60])
    with pytest.raises(UnreadableFile):
        film_of(tmp_path / "code.jxl")


def pdf(path: Path, *pages: Image.Image) -> bytes:
    pages[0].save(path, "PDF", save_all=True, append_images=pages[1:], resolution=100)
    return path.read_bytes()


def test_codes_6_a_pdf_behind_junk(film_of, tmp_path):
    path = tmp_path / "report.pdf"
    path.write_bytes(b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\n\r\n" * 12 + pdf(path, sheet()))
    assert film_of(path) == FILM


@pytest.mark.parametrize("part", first_of([0.97, 0.9]))
def test_codes_6_a_pdf_that_breaks_off(film_of, tmp_path, part):
    path = tmp_path / "report.pdf"
    whole = pdf(path, sheet(size=(900, 1800)).convert("RGB"))
    path.write_bytes(whole[: int(len(whole) * part)])
    assert film_of(path) == FILM


def written_pdf(*objects: bytes, trailer: bytes = b"") -> bytes:
    """A PDF of these objects, numbered from 1; the first is the catalogue."""
    out, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<</Root 1 0 R/Size %d%s>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, trailer, start)
    return out


PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]%s>>"
TREE = (b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>")


def test_codes_6_the_hyperlink_of_a_pdf_without_a_code(tmp_path):
    link = b"<</Type/Annot/Subtype/Link/Rect[100 700 300 720]/A<</S/URI/URI(%s)>>>>" % FILM.encode()
    (tmp_path / "report.pdf").write_bytes(written_pdf(*TREE, PAGE % b"/Annots[4 0 R]", link))
    found = film_codes.decode(tmp_path / "report.pdf", SETTINGS)
    assert found.link == FILM
    assert found.codes[0][0].symbology == "Hyperlink"


def test_codes_6_an_address_printed_in_a_pdf(film_of, tmp_path):
    words = b"BT /F1 10 Tf 60 700 Td (%s) Tj ET" % FILM.encode()
    font = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    page = PAGE % b"/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>"
    stream = b"<</Length %d>>\nstream\n%s\nendstream" % (len(words), words)
    (tmp_path / "report.pdf").write_bytes(written_pdf(*TREE, page, stream, font))
    assert film_of(tmp_path / "report.pdf") == FILM


PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def rc4(key: bytes, data: bytes) -> bytes:
    state, j, out = list(range(256)), 0, bytearray()
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def locked_pdf(password: bytes) -> bytes:
    """A PDF that prints the film's address, behind a password (ISO 32000-1, 7.6.3, revision 2)."""
    user = (password + PADDING)[:32]
    owner = rc4(md5(user)[:5], user)
    key = md5(user + owner + struct.pack("<i", -4) + b"cloudfilm")[:5]
    words = b"BT /F1 10 Tf 60 700 Td (%s) Tj ET" % FILM.encode()
    sealed = rc4(md5(key + b"\x04\0\0\0\0")[:10], words)
    page = PAGE % b"/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>"
    stream = b"<</Length %d>>\nstream\n%s\nendstream" % (len(sealed), sealed)
    font = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    values = owner.hex().encode(), rc4(key, PADDING).hex().encode()
    seal = b"<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>" % values
    name = b"cloudfilm".hex().encode()
    trailer = b"/Encrypt 6 0 R/ID[<%s><%s>]" % (name, name)
    return written_pdf(*TREE, page, stream, font, seal, trailer=trailer)


def test_codes_6_a_pdf_with_a_password(film_of, tmp_path, capsys):
    locked = tmp_path / "locked.pdf"
    locked.write_bytes(locked_pdf(b"secret"))
    with pytest.raises(LockedFile):
        film_of(locked)
    assert run(["decode", "--lang", "en", str(locked)]) == 2
    assert "--answer password=" in capsys.readouterr().err
    assert run(["decode", "--lang", "zh", "--answer", "password=wrong", str(locked)]) == 2
    assert "密码" in capsys.readouterr().err
    assert run(["decode", "--answer", "password=secret", str(locked)]) == 0
    assert FILM in capsys.readouterr().out
    assert resolve.read(str(locked), Settings(answers={"password": "secret"}), str).url == FILM


def secondary_capture(path: Path, pixels: np.ndarray, **values: object) -> None:
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    data_set.Rows, data_set.Columns = pixels.shape[:2]
    data_set.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    data_set.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        data_set.PlanarConfiguration = 0
    data_set.BitsAllocated = data_set.BitsStored = pixels.dtype.itemsize * 8
    data_set.HighBit, data_set.PixelRepresentation = data_set.BitsStored - 1, 0
    data_set.PixelData = pixels.tobytes()
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    pydicom.dcmwrite(path, data_set, enforce_file_format=True)


@pytest.mark.parametrize("form", first_of(["8 bits", "12 bits", "negative", "colour"]))
def test_codes_6_a_dicom_secondary_capture(film_of, tmp_path, form):
    grey = np.array(sheet())
    path = tmp_path / "IM0001"
    if form == "8 bits":
        secondary_capture(path, grey)
    elif form == "12 bits":
        secondary_capture(path, grey.astype(np.uint16) * 16, BitsStored=12, HighBit=11)
    elif form == "negative":
        secondary_capture(path, 255 - grey, PhotometricInterpretation="MONOCHROME1")
    else:
        secondary_capture(path, np.stack([grey] * 3, -1))
    assert film_of(path) == FILM


def test_codes_6_a_dicom_file_without_a_picture(film_of, tmp_path):
    secondary_capture(tmp_path / "SR", np.zeros((0, 0), np.uint8), Rows=0, Columns=0)
    with pytest.raises(UnreadableFile):
        film_of(tmp_path / "SR")


def docx(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        for name, content in members.items():
            archive.writestr(name, content)


def test_codes_6_the_pictures_of_a_docx(film_of, tmp_path):
    png = io.BytesIO()
    sheet().save(png, "PNG")
    docx(tmp_path / "a.docx", {"word/media/image1.jpeg": b"torn", "word/media/image2.png": png.getvalue()})
    assert film_of(tmp_path / "a.docx") == FILM


def test_codes_6_the_links_of_a_docx(film_of, tmp_path):
    target = FILM.replace("&", "&amp;")
    relation = f'<Relationships><Relationship Id="r1" TargetMode="External" Target="{target}"/></Relationships>'
    docx(tmp_path / "a.docx", {"word/_rels/document.xml.rels": relation.encode()})
    assert film_of(tmp_path / "a.docx") == FILM
    words = f'<w:document xmlns:w="w"><w:t>影像 </w:t><w:t>{target}</w:t><w:t> 张三</w:t></w:document>'
    docx(tmp_path / "b.docx", {"word/document.xml": words.encode()})
    assert film_of(tmp_path / "b.docx") == FILM
    docx(tmp_path / "empty.docx", {"word/document.xml": b"<w/>"})
    with pytest.raises(UnreadableFile):
        film_of(tmp_path / "empty.docx")


@pytest.mark.parametrize("mode", first_of(["RGBA", "LA", "P"]))
def test_codes_6_white_on_transparent(film_of, tmp_path, mode):
    ink = Image.eval(sheet(), lambda value: 255 - value)  # the code's dark modules, drawn in white
    layer = Image.merge("LA", (Image.new("L", ink.size, 255), ink))
    layer.convert("RGBA").convert(mode).save(tmp_path / "code.png")
    assert film_of(tmp_path / "code.png") == FILM


def test_codes_6_dark_on_transparent_stays_as_it_was(film_of, tmp_path):
    ink = Image.eval(sheet(), lambda value: 255 - value)
    Image.merge("LA", (Image.new("L", ink.size, 0), ink)).save(tmp_path / "code.png")
    assert film_of(tmp_path / "code.png") == FILM


def test_codes_6_bytes_on_standard_input():
    png = io.BytesIO()
    sheet().save(png, "PNG")
    done = ran("decode", "--json", "-", given=png.getvalue(), environment=environment())
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert (row["file"], row["link"]) == ("-", FILM)


@pytest.mark.parametrize("kind", first_of(["PNG", "PDF", "text"]))
def test_codes_6_what_grab_and_list_get_on_standard_input(kind):
    """A picture's bytes, a document's, or a text: the link is found, and its host then asked, where nobody answers."""
    given = io.BytesIO()
    if kind == "text":
        given.write(f"BM 影像 {FILM}".encode())  # begins like a picture
    else:
        sheet().convert("L").save(given, kind)
    host = urlsplit(FILM).hostname
    words = ("list", "--json", "--browser", "never", "--connect-to", f"{host}::127.0.0.1:9", "-")
    done = ran(*words, given=given.getvalue(), environment=environment())
    row = json.loads(done.stdout)
    assert [problem["code"] for problem in row["problems"]] == ["site-unreachable"]
    assert host in row["link"]
