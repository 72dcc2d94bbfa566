"""Row 9: the archive, the documents and the data sets that are small and say that they are huge: refused within bounds."""

import io
import struct
import subprocess
import sys
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from fixtures.dicom import chest_ct
from scraper.core.errors import CloudfilmError, CorruptInstance
from scraper.core.model import Origin
from scraper.isolation import process
from scraper.protocols import zip_archive
from scraper.source import pages
from scraper.testing import first_of
from scraper.verify import Inspector
from tests.security.memory import MB, MOST, peak_of_all_processes
from tests.security.pump import processor_time

DICOM = b"\0" * 128 + b"DICM"


def deflated(size: int) -> bytes:
    """A raw deflate stream of a preamble and so many zeros, without holding them."""
    packing = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = packing.compress(DICOM) + packing.flush(zlib.Z_FULL_FLUSH)  # what follows refers to nothing before it
    megabyte = packing.compress(bytes(MB)) + packing.flush(zlib.Z_FULL_FLUSH)
    return head + megabyte * (size // MB) + packing.flush()


def local(name: bytes, packed: bytes, size: int) -> bytes:
    """An entry before its bytes (APPNOTE 4.3.7); the checksum is nobody's."""
    return struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 8, 0, 0, 0, len(packed), size, len(name), 0) + name + packed


def central(name: bytes, packed: bytes, size: int, at: int) -> bytes:
    fields = (0x02014B50, 20, 20, 0, 8, 0, 0, 0, len(packed), size, len(name), 0, 0, 0, 0, 0, at)
    return struct.pack("<IHHHHHHIIIHHHHHII", *fields) + name


def archive(packed: bytes, size: int, *, entries: int, overlapping: bool) -> bytes:
    """Entries of the same bytes: one copy for each, or one copy for all."""
    out, directory = b"", b""
    for number in range(entries):
        name = b"%d.dcm" % number
        at = len(out)
        if number and overlapping:
            at = 0
        else:
            out += local(name, packed, size)
        directory += central(name, packed, size, at)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, entries, entries, len(directory), len(out), 0)
    return out + directory + end


@pytest.mark.parametrize("nested", first_of([True, False]))
@pytest.mark.parametrize("overlapping", first_of([True, False]))
def test_hostile_9_twice_400_megabytes_are_refused_unseen(tmp_path, nested, overlapping):
    size = 400 * MB + len(DICOM)
    data = archive(deflated(400 * MB), size, entries=2, overlapping=overlapping)
    if nested:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as outer:
            outer.writestr("inner.zip", data)
        data = out.getvalue()
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with peak_of_all_processes() as peak, processor_time(5.0), pytest.raises(CorruptInstance):
        list(zip_archive.unpack(path, tmp_path / "out"))
    assert sum(found.stat().st_size for found in (tmp_path / "out").rglob("*") if found.is_file()) < 10 * MB
    assert peak.size < MOST


def pdf(*objects: bytes) -> bytes:
    out, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)


def stream(data: bytes, words: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), words, data)


CATALOG, TREE = b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents 4 0 R /Resources << /XObject << /A 5 0 R >> >> >>"
FLATE = b"/Filter [/FlateDecode /FlateDecode]"
IMAGE = b"/Type /XObject /Subtype /Image /Width 60000 /Height 60000 /BitsPerComponent 8 /ColorSpace /DeviceGray "


def zeros() -> bytes:
    """300 MB of them, packed twice."""
    return zlib.compress(zlib.compress(bytes(300 * MB), 9), 9)


DOCUMENTS = {
    "giant page": lambda: pdf(CATALOG, TREE, PAGE % (2_000_000, 2_000_000), stream(b"q Q"), stream(b"")),
    "giant image": lambda: pdf(
        CATALOG, TREE, PAGE % (600, 800), stream(b"600 0 0 800 0 0 cm /A Do"), stream(zeros(), IMAGE + FLATE)
    ),
    "packed contents": lambda: pdf(CATALOG, TREE, PAGE % (600, 800), stream(zeros(), FLATE), stream(b"")),
    "a form of itself": lambda: pdf(
        CATALOG,
        TREE,
        PAGE % (600, 800),
        stream(b"/A Do"),
        stream(
            b"/A Do /A Do", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /A 5 0 R >> >>"
        ),
    ),
    "pages of themselves": lambda: pdf(CATALOG, b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 1000000000 >>"),
    "deep arrays": lambda: pdf(CATALOG, TREE, b"[" * 100_000 + b"]" * 100_000),
}


def read_document(path: str) -> str:
    """What becomes of a document, as the reader of codes sees it; called in a worker."""
    try:
        return f"{sum(page.grey.size for page in pages.pages(Path(path), colour=False))}"
    except (CloudfilmError, MemoryError) as err:
        return type(err).__name__


READER = """import sys
from scraper.isolation import process
from scraper.source.qr.worker_process import MEMORY
from tests.security.test_hostile_9_files import read_document
process.confine(memory=MEMORY)
print(read_document(sys.argv[1]))
"""


def read_apart(path: Path) -> str:
    """What becomes of a document behind the fences of the reader of codes; nothing where the process ended over it."""
    asked = [sys.executable, "-c", READER, str(path)]
    with suppress(subprocess.TimeoutExpired):
        return subprocess.run(
            asked, capture_output=True, text=True, check=False, timeout=120, env=process.bare_environment()
        ).stdout.strip()
    return ""


def test_hostile_9_a_sound_document_is_read_behind_the_fences(tmp_path):
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(CATALOG, TREE, PAGE % (600, 800), stream(b"q Q"), stream(b"")))
    assert int(read_apart(path)) > 600 * 800


@pytest.mark.parametrize("kind", [*(pytest.param(name, marks=pytest.mark.thorough) for name in DOCUMENTS)])
def test_hostile_9_a_hostile_document_ends_in_its_process(kind, tmp_path):
    path = tmp_path / "a.pdf"
    path.write_bytes(DOCUMENTS[kind]())
    with peak_of_all_processes() as peak:
        result = read_apart(path)
    assert not result.isdigit() or int(result) <= 2 * pages.MAX_PIXELS  # two looks at a page
    assert peak.size < MOST


def written(data: pydicom.Dataset) -> bytes:
    out = io.BytesIO()
    data.save_as(out)
    return out.getvalue()


def giant(rows: int, frames: int, *, packed: bool) -> bytes:
    data = pydicom.dcmread(io.BytesIO(chest_ct(slices=1, size=64).images[0].data))
    if packed:
        data.compress(RLELossless)
    data.Rows = data.Columns = rows
    data.NumberOfFrames = frames
    return written(data)


def deflated_data_set() -> bytes:
    """A data set whose deflated part is 600 MB of zeros (PS3.5 A.5)."""
    data = pydicom.dcmread(io.BytesIO(chest_ct(slices=1, size=64).images[0].data))
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    whole = written(data)
    begin = 128 + 4 + 12 + int(struct.unpack_from("<I", whole, 140)[0])  # behind the group's length (PS3.10 7.1)
    plain = zlib.decompress(whole[begin:], -15)
    packing = zlib.compressobj(9, zlib.DEFLATED, -15)
    pieces = [packing.compress(plain)] + [packing.compress(bytes(MB)) for _ in range(600)]
    return whole[:begin] + b"".join(pieces) + packing.flush()


OBJECTS = {
    "giant": lambda: giant(65535, 1, packed=False),
    "giant, packed": lambda: giant(65535, 1, packed=True),
    "a billion frames": lambda: giant(64, 1_000_000_000, packed=True),
    "deflated": deflated_data_set,
}


@pytest.mark.parametrize("kind", first_of(OBJECTS))
async def test_hostile_9_an_object_that_says_it_is_giant_is_a_problem_of_its_own(kind, tmp_path):
    path, sound = tmp_path / "a.dcm", tmp_path / "b.dcm"
    path.write_bytes(OBJECTS[kind]())
    sound.write_bytes(chest_ct(slices=1, size=64).images[0].data)
    with peak_of_all_processes() as peak:
        async with Inspector(1, timeout_s=60) as inspector:
            assert (await inspector.inspect(path, Origin.ORIGINAL)).problems
            assert (await inspector.inspect(sound, Origin.ORIGINAL)).problems == ()
    assert peak.size < MOST
