"""Each kind of frame behind each kind of header: paired with its tags, byte for byte."""

import gzip
import json
import struct
import zlib

import imagecodecs
import numpy as np
import pytest

from scraper.capture.infer.frame_replies import FrameReplies
from scraper.capture.observe.received import Observations
from scraper.session.browser.traffic import Exchange

SIDE = 64
UID = "1.2.826.0.1.3680043.8.498.4711"
TAGS = {
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.4",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.47",
    "SOPInstanceUID": UID,
    "Rows": SIDE,
    "Columns": SIDE,
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
}
DISC = np.hypot(*np.mgrid[-32:32, -32:32])
IMAGE = (1000 + 40 * DISC + np.random.default_rng(3).integers(0, 30, (SIDE, SIDE))).clip(0, 4095).astype("<u2")


def rle(image: np.ndarray) -> bytes:
    """PS3.5 annex G: a segment for each byte of a sample, high bytes first; here of literal runs alone."""
    segments = []
    for place in (1, 0):
        plane = image.tobytes()[place::2]
        runs = (plane[at : at + 128] for at in range(0, len(plane), 128))
        segments.append(b"".join(bytes([len(run) - 1]) + run for run in runs))
    offsets = (64, 64 + len(segments[0]), *[0] * 13)
    return struct.pack("<16I", len(segments), *offsets) + b"".join(segments)


FRAMES = {
    "raw": IMAGE.tobytes(),
    "zlib": zlib.compress(IMAGE.tobytes()),
    "zlib best": zlib.compress(IMAGE.tobytes(), 9),
    "gzip": gzip.compress(IMAGE.tobytes()),
    "rle": rle(IMAGE),
    "jpeg lossless": bytes(imagecodecs.ljpeg_encode(IMAGE, bitspersample=12)),
    "jpeg-ls": bytes(imagecodecs.jpegls_encode(IMAGE)),
    "jpeg 2000": bytes(imagecodecs.jpeg2k_encode(IMAGE, codecformat="j2k", reversible=True, level=0, bitspersample=12)),
    "jp2": bytes(imagecodecs.jpeg2k_encode(IMAGE, codecformat="jp2", reversible=True, level=0, bitspersample=12)),
    "htj2k": bytes(imagecodecs.htj2k_encode(IMAGE, reversible=True)),
}
SHORT = json.dumps({"sop": UID, "z": "é"}).encode()
LONG = json.dumps({**TAGS, "comment": "{" * 200}).encode()
HEADERS = {
    "none": b"",
    "length": struct.pack("<I", 8192),
    "size": struct.pack("<4I", 1, SIDE, SIDE, 16),
    "id": struct.pack("<IHH", 7, 1, 64) + UID.encode() + b"\0\0",
    "json": SHORT,
    "length and json": struct.pack(">I", len(SHORT)) + SHORT,
    "long json": struct.pack("<I", len(LONG)) + LONG,
}


@pytest.mark.parametrize(
    "header", [pytest.param(name, marks=() if name == "size" else pytest.mark.thorough) for name in HEADERS]
)
@pytest.mark.parametrize("kind", FRAMES)
async def test_a_frame_behind_a_header_is_paired(kind, header, tmp_path):
    listed = json.dumps({"images": [TAGS]}).encode()
    body = HEADERS[header] + FRAMES[kind]
    exchanges = [
        Exchange("https://a.test/list", "fetch", body=listed, size=len(listed)),
        Exchange(f"https://a.test/frame?id={UID}", "fetch", body=body, size=len(body)),
    ]
    observations = Observations(tmp_path)
    await observations.take(exchanges)
    FrameReplies(observations).resolve()
    [frame] = observations.frames[UID].values()
    assert frame.read_bytes() == FRAMES[kind]
