"""Row 7, for ``record``: what a site sends to fill the memory becomes noise in the bundle, and the rest is redacted as before."""

import gzip
import io
import json
import zipfile

import pydicom
import pytest
from PIL import Image

from fixtures.dicom import chest_ct
from scraper.authoring.redact import Bodies, Names, Texts
from scraper.authoring.redact.bodies import MAX_INFLATED, MAX_NODES
from scraper.testing import first_of
from tests.security.test_hostile_7_memory import MB, memory_within


def packed(size: int) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0) as file:
        for _ in range(size // MB):
            file.write(bytes(MB))
    return out.getvalue()


def zipped(size: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a", "w") as file:
        for _ in range(size // MB):
            file.write(bytes(MB))
    return out.getvalue()


def giant_jpeg() -> bytes:
    """Its frame header (ITU-T T.81 B.2.2) says 65,500 rows and columns."""
    out = io.BytesIO()
    Image.new("L", (64, 64)).save(out, "JPEG")
    data = bytearray(out.getvalue())
    at = data.find(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xdc" * 2
    return bytes(data)


def giant_lines() -> bytes:
    """A DICOM object whose lines have four billion samples."""
    data = pydicom.dcmread(io.BytesIO(chest_ct(slices=1, size=16).images[0].data))
    data.Columns = data.SamplesPerPixel = 65535
    out = io.BytesIO()
    data.save_as(out)
    return out.getvalue()


BODIES = {
    "lines of giant dimensions": giant_lines,
    "a gzip bomb": lambda: packed(500 * MB),
    "a zip bomb": lambda: zipped(500 * MB),
    "small lists": lambda: b"[" + b"[]," * (60 * MB // 3) + b"0]",
    "small objects": lambda: b"[" + b'{"a":{}},' * (MAX_NODES // 2) + b"0]",
    "a picture of giant dimensions": giant_jpeg,
    "samples": lambda: b"\1\2" * (30 * MB),
}


def redacting() -> Bodies:
    return Bodies(Texts(Names(), frozenset()))


@pytest.mark.parametrize("kind", first_of(BODIES, 2))
def test_hostile_7_a_body_that_fills_the_memory_becomes_noise(kind):
    body = BODIES[kind]()
    with memory_within(400 * MB):
        shown = redacting().body(body, "application/json" if kind.startswith("small") else "")
    assert shown
    assert shown != body
    assert len(shown) <= max(len(body), MAX_INFLATED)


def test_hostile_7_an_ordinary_list_is_redacted_as_before():
    rows = [{"PatientName": {"Alphabetic": "Zhang^San"}, "index": number} for number in range(2000)]
    shown = json.loads(redacting().body(json.dumps(rows).encode(), "application/json"))
    assert [row["index"] for row in shown] == list(range(2000))
    assert "Zhang" not in json.dumps(shown)
