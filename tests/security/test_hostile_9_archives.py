"""Row 9: archives, images and deflated data sets that unpack to far more than they are: bounded before they are unpacked."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from PIL import Image

from fixtures.dicom import chest_ct
from scraper.core.errors import CloudfilmError, CorruptInstance
from scraper.core.messages import words_of
from scraper.core.settings import Language
from scraper.dicom import structure
from scraper.protocols import zip_archive
from scraper.source import pages
from scraper.testing import first_of
from tests.security.pump import processor_time

MB = 1 << 20
DICOM = b"\0" * 128 + b"DICM"


def packed(*entries: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return out.getvalue()


def refused(data: bytes, tmp_path: Path) -> str:
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with processor_time(5.0), pytest.raises(CorruptInstance) as caught:
        list(zip_archive.unpack(path, tmp_path / "out"))
    size = sum(item.stat().st_size for item in (tmp_path / "out").rglob("*") if item.is_file())
    assert size < 300 * MB
    return str(words_of(caught.value.values["what"], Language.EN))


def test_hostile_9_a_bomb_of_one_entry_is_refused_before_it_is_unpacked(tmp_path):
    assert "absurd" in refused(packed(("a.dcm", DICOM + bytes(100 * MB))), tmp_path)
    assert not list((tmp_path / "out").iterdir())


def test_hostile_9_a_bomb_of_many_small_entries_is_refused(tmp_path):
    blank = DICOM + bytes(30 * MB)
    assert "absurd" in refused(packed(*((f"{n}.dcm", blank) for n in range(10))), tmp_path)


def test_hostile_9_a_bomb_within_archives_is_refused(tmp_path):
    inner = packed(("a.dcm", DICOM + bytes(50 * MB)))
    middle = packed(*((f"{n}.zip", inner) for n in range(8)))
    assert "absurd" in refused(packed(("0.zip", middle), ("1.zip", middle)), tmp_path)


def test_hostile_9_entries_that_share_their_bytes_are_refused(tmp_path):
    data = bytearray(packed(("a.dcm", DICOM + b"a" * 1000), ("b.dcm", DICOM + b"b" * 1000)))
    first = data.find(b"PK\x01\x02")
    second = data.find(b"PK\x01\x02", first + 4)
    data[second + 42 : second + 46] = struct.pack("<I", 0)  # where the local header stands: that of the first
    assert "overlap" in refused(bytes(data), tmp_path)


def test_hostile_9_archives_within_themselves_end(tmp_path):
    data = packed(("a.dcm", DICOM))
    for _ in range(6):
        data = packed(("inner.zip", data))
    assert "too many" in refused(data, tmp_path)


def test_hostile_9_ordinary_archives_are_unpacked_as_before(tmp_path):
    study = chest_ct(slices=3, size=64)
    path = tmp_path / "a.zip"
    path.write_bytes(
        packed(
            *((f"影像/{n}", image.data) for n, image in enumerate(study.images)), ("blank.dcm", DICOM + bytes(40 * MB))
        )
    )
    members = list(zip_archive.unpack(path, tmp_path / "out"))
    assert len([member for member in members if member.path is not None]) == len(study.images) + 1


@pytest.mark.thorough
def test_hostile_9_a_deflated_data_set_is_bounded():
    packing = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(packing.compress(bytes(MB)) for _ in range(600)) + packing.flush()
    with processor_time(10.0), pytest.raises(CorruptInstance):
        structure.inflate(bomb)


@pytest.mark.parametrize("kind", first_of(["PNG", "GIF", "BMP", "TIFF"]))
def test_hostile_9_a_picture_of_giant_dimensions_is_not_decoded(kind, tmp_path):
    out = io.BytesIO()
    Image.new("L", (16, 16)).save(out, kind)
    data = bytearray(out.getvalue())
    if kind == "PNG":
        data[16:24] = struct.pack(">II", 60_000, 60_000)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif kind == "GIF":
        data[6:10] = struct.pack("<HH", 60_000, 60_000)
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", 60_000, 60_000)
    else:
        for tag in (256, 257):
            at = data.find(struct.pack("<HHI", tag, 4, 1))
            at = at if at >= 0 else data.find(struct.pack("<HHI", tag, 3, 1))
            data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, 60_000)
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(data)
    with processor_time(3.0), pytest.raises(CloudfilmError):
        list(pages.pages(path, colour=False))
