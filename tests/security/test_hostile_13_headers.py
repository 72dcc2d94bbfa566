"""Row 13: what a DICOM file unfolds to is bounded in the program's own process; what is longer is read in a child."""

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from fixtures.dicom import chest_ct
from scraper import dicom
from scraper.core.errors import CorruptInstance
from scraper.dicom import headers, long_files, reading, structure
from scraper.isolation.child import Child
from scraper.testing import first_of
from tests.security import captured_child
from tests.security.test_hostile_7_memory import MB, memory_within

SOUND = chest_ct(slices=1, size=16).images[0].data
MANY = 400_000


def meta_and_head() -> tuple[bytes, bytes]:
    """A sound file's part before its data set, and the data set without pixels."""
    layout = structure.part10(SOUND)
    return SOUND[: layout.start], SOUND[layout.start : layout.elements[structure.PIXEL_DATA].offset - 12]


def elements(count: int) -> bytes:
    """So many empty elements of private groups, in order."""
    return b"".join(struct.pack("<HH2sH", 0x0029 + 2 * (n >> 16), n & 0xFFFF, b"LO", 0) for n in range(count))


def nested(count: int) -> bytes:
    """Per-Frame Functional Groups of so many items with nothing in them."""
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * count
    return struct.pack("<HH2sHI", 0x5200, 0x9230, b"SQ", 0, len(items)) + items


def deflated(size: int) -> bytes:
    data = pydicom.dcmread(io.BytesIO(SOUND))
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    out = io.BytesIO()
    data.save_as(out)
    whole = out.getvalue()
    start = 128 + 4 + 12 + int(struct.unpack_from("<I", whole, 140)[0])  # behind the group's length (PS3.10 7.1)
    plain = zlib.decompress(whole[start:], -15) + struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, size)
    packing = zlib.compressobj(6, zlib.DEFLATED, -15)
    pieces = [packing.compress(plain)] + [packing.compress(bytes(MB)) for _ in range(size // MB)]
    return whole[:start] + b"".join(pieces) + packing.flush()


FRONT, HEAD = meta_and_head()
LONG = {
    "one value without pixels": lambda: (
        FRONT + HEAD + struct.pack("<HH2sHI", 0x42, 0x11, b"OB", 0, 64 * MB) + bytes(64 * MB)
    ),
    "many elements": lambda: FRONT + HEAD + elements(MANY),
    "many items": lambda: FRONT + HEAD + nested(MANY),
    "deflated": lambda: deflated(120 * MB),
    "without preamble": lambda: FRONT[132:] + HEAD + elements(MANY),
    "a bare data set": lambda: HEAD + elements(MANY),
}


@pytest.mark.parametrize("kind", first_of(list(LONG), 1))
def test_hostile_13_what_unfolds_to_much_is_read_in_a_child(kind, tmp_path: Path):
    path = tmp_path / "a.dcm"
    path.write_bytes(LONG[kind]())
    with memory_within(60 * MB), suppress(CorruptInstance):
        assert dicom.normalise(path).sop_class_uid.startswith("1.2.840.10008.")
    with memory_within(60 * MB), suppress(CorruptInstance):
        dicom.ensure_part10(path)
    with memory_within(60 * MB):
        assert reading.names_itself(path)


@pytest.mark.parametrize("size", first_of([0, 40 * MB]))
def test_hostile_13_a_long_file_has_the_header_that_it_had(size, tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(deflated(size))
    assert dicom.normalise(path) == dicom.header(path) == headers.header_within(path, structure.FULL)


def test_hostile_13_a_long_file_that_is_cut_is_called_so(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes((FRONT + HEAD + nested(MANY))[:-4])
    with pytest.raises(CorruptInstance, match="dicom-cut-off"):
        dicom.ensure_part10(path)


@pytest.mark.parametrize(
    "lie", ["dies", "no message", "more bytes than may come", "a nest", "a claim with keys too few"]
)
def test_hostile_13_what_the_reader_of_long_files_claims_is_looked_at(lie, tmp_path, monkeypatch):
    child = Child(captured_child.__name__, (str(tmp_path),), 3.0)
    monkeypatch.setattr(long_files, "_child", child)
    asked = child.ask
    monkeypatch.setattr(child, "ask", lambda header, data=b"", **named: asked({"lie": lie}, b"", **named))
    path = tmp_path / "a.dcm"
    path.write_bytes(FRONT + HEAD + nested(MANY))
    with pytest.raises(CorruptInstance):
        dicom.normalise(path)
