"""An instance is no larger than its tags or its list allow, where these are known before it is fetched."""

import asyncio

import pytest

from scraper.core.errors import SiteChanged
from scraper.core.model import Instance, Request, TagsAndPixels, WadoRs, WadoUri
from scraper.dicom import largest as sizes
from scraper.dicom.largest import largest
from scraper.download.fetch import Fetcher
from scraper.session.http import client
from tests.security.test_hostile_addresses import server
from tests.security.test_hostile_bounds import talking

CT, ENHANCED = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"
NAMED = {"Rows": 512, "Columns": "512", "BitsAllocated": 16, "SamplesPerPixel": 1, "SOPClassUID": CT}
IN_JSON = {
    "00280010": {"vr": "US", "Value": [512]},
    "00280011": {"vr": "US", "Value": [512]},
    "00280100": {"vr": "US", "Value": [16]},
    "00280002": {"vr": "US", "Value": [1]},
    "00080016": {"vr": "UI", "Value": [CT]},
}
FRAME = 512 * 512 * 2


@pytest.mark.parametrize(
    ("tags", "frames", "pixels"),
    [
        (NAMED, 0, FRAME),
        (IN_JSON, 0, FRAME),
        (NAMED | {"NumberOfFrames": "100", "SOPClassUID": ENHANCED}, 0, 100 * FRAME),
        (NAMED | {"NumberOfFrames": "2"}, 30, 30 * FRAME),
        (NAMED | {"SOPClassUID": ENHANCED}, 30, 30 * FRAME),
        ({"Rows": 10, "Columns": 10}, 1, 10 * 10 * 3 * 8),
        ({"00280010": 512, "00280011": 512, "00280100": 1, "00280002": 1}, 1, 512 * 512),
    ],
)
def test_hostile_8_the_largest_size_is_what_the_tags_allow(tags, frames, pixels):
    assert largest(tags, frames) == pixels * sizes.TIMES + sizes.BESIDE


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"Rows": 512},
        NAMED | {"SOPClassUID": ENHANCED},
        {**NAMED, "Rows": "many"},
        {**NAMED, "Rows": -5},
        {**IN_JSON, "00280010": {"vr": "US", "Value": []}},
        {**IN_JSON, "00080016": {"vr": "UI"}},
    ],
)
def test_hostile_8_where_the_tags_say_too_little_nothing_is_bound_by_them(tags):
    assert largest(tags) == 0


@pytest.mark.parametrize(
    ("source", "most"),
    [
        (WadoRs("http://film.test/studies/1/series/2/instances/3", listed=IN_JSON), 2**20),
        (WadoRs("http://film.test/studies/1/series/2/instances/3", metadata=IN_JSON), 2**20),
        (TagsAndPixels(NAMED, (Request("http://film.test/frame"),)), 2**20),
        (WadoRs("http://film.test/studies/1/series/2/instances/3"), 2**25),
        (WadoUri("http://film.test/wado"), 2**25),
    ],
)
async def test_hostile_8_no_more_is_taken_than_the_tags_allow(tmp_path, monkeypatch, source, most):
    """By the tags' own bound where there are any, else by that of all instances."""
    monkeypatch.setattr(sizes, "BESIDE", 0)  # 2 MB for a slice of 512 x 512
    monkeypatch.setattr(client, "MOST_INSTANCE_BYTES", 2**25)
    sent = 0

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom\r\nTransfer-Encoding: chunked\r\n\r\n")
        while sent < 2**27:
            writer.write(b"10000\r\n" + bytes(2**16) + b"\r\n")
            sent += 2**16
            await writer.drain()

    async with server(handler) as port, talking(tmp_path, port, give_up_s=20.0) as session:
        with pytest.raises(SiteChanged):
            await Fetcher(session).instance(Instance("1.2.3", source), tmp_path / "file")
    assert most <= sent < most + 2**24  # what lies in the sockets' buffers on top
    assert not (tmp_path / "file").exists() or (tmp_path / "file").stat().st_size <= most * 2
