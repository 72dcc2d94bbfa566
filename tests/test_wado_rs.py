"""WADO-RS as services answer it: files, or metadata and frames, put together to instances."""

import asyncio
import io
import json

import pytest

from fixtures.dicom import chest_ct
from scraper.core.errors import CorruptInstance, MissingInstances, NotAnImage, SiteChanged
from scraper.core.model import Request, WadoRs
from scraper.protocols import multipart, wado_rs
from scraper.session.http.response import Response

INSTANCE = "http://pacs.test/rs/studies/1.2/series/1.2.3/instances/1.2.3.4"
SLICE = chest_ct(size=32, slices=2).images[-1].data


def framed(*bodies: bytes, boundary: bytes = b"b1", head: bytes = b"", tail: bytes = b"", kind: str = "") -> bytes:
    lines = f"Content-Type: {kind}\r\n".encode() if kind else b""
    whole = b"".join(b"\r\n--" + boundary + b"\r\n" + lines + b"\r\n" + body for body in bodies)
    return head + whole[0 if head else 2 :] + b"\r\n--" + boundary + b"--" + tail


@pytest.mark.parametrize(
    "content_type, head, boundary",
    [
        ('multipart/related; type="application/dicom"; boundary=b1', b"", b"b1"),
        ('multipart/related; boundary="a b=c"; type="x"', b"", b"a b=c"),
        ("Multipart/Related; BOUNDARY = b1;x=y", b"", b"b1"),
        ("multipart/related", b"--found\r\n\r\nx", b"found"),
        ("application/octet-stream", b"\r\n--found \r\n\r\nx", b"found"),
        ("application/dicom; boundary=b1", b"DICM", None),
    ],
)
def test_boundaries(content_type, head, boundary):
    assert multipart.boundary_of(content_type, head) == boundary


@pytest.mark.parametrize(
    "body, wanted",
    [
        (framed(b"one", b"two"), [b"one", b"two"]),
        (framed(b"one", head=b"a preamble", tail=b"\r\nan epilogue"), [b"one"]),
        (framed(b"looks\r\n--b1x alike\r\n--b", b""), [b"looks\r\n--b1x alike\r\n--b", b""]),
        (framed(b"\r\n\r\n--\r\n"), [b"\r\n\r\n--\r\n"]),
        (framed(b"x" * 3_000_000, b"y"), [b"x" * 3_000_000, b"y"]),
        (framed(b"one").replace(b"--b1\r\n", b"--b1 \t\r\n"), [b"one"]),
    ],
)
def test_parts(body, wanted):
    assert [part.read(10**7) for part in multipart.parts(io.BytesIO(body), b"b1")] == wanted


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64])
def test_delimiters_across_pieces(piece, monkeypatch):
    monkeypatch.setattr(multipart, "PIECE", piece)
    body = framed(b"one\r\n--b2", b"", b"three\r\n", kind="application/dicom", head=b"--b1 no")
    found = [(part.headers, part.read(100)) for part in multipart.parts(io.BytesIO(body), b"b1")]
    assert found == [({"content-type": "application/dicom"}, data) for data in (b"one\r\n--b2", b"", b"three\r\n")]


def test_parts_may_be_passed_over():
    body = framed(b"one" * 999, b"two")
    assert [part.headers for part in multipart.parts(io.BytesIO(body), b"b1")] == [{}, {}]


@pytest.mark.parametrize(
    "body, boundary",
    [
        (framed(b"one")[:-4], b"b1"),
        (b"no boundary at all", b"b1"),
        (b"--b1\r\n" + b"X: y\r\n" * 9999, b"b1"),
        (b"--b1\r\nX: y\r\n", b"b1"),
        (framed(b"one"), b""),
        (b"", b"b1"),
    ],
)
def test_broken_framing(body, boundary):
    with pytest.raises(CorruptInstance):
        [part.read(100) for part in multipart.parts(io.BytesIO(body), boundary)]


def test_a_part_that_is_too_large():
    with pytest.raises(CorruptInstance):
        [part.read(2) for part in multipart.parts(io.BytesIO(framed(b"one")), b"b1")]


@pytest.mark.parametrize(
    "body, content_type",
    [
        (framed(SLICE, kind="application/dicom"), 'multipart/related; type="application/dicom"; boundary=b1'),
        (framed(b"<html>", SLICE), "application/octet-stream"),
        (SLICE, "text/plain"),
        (framed(SLICE[132:]), "multipart/related; boundary=b1"),
    ],
)
def test_the_one_instance_of_an_answer(body, content_type, tmp_path):
    (tmp_path / "answer").write_bytes(body)
    wado_rs.one_instance(tmp_path / "answer", content_type, tmp_path / "into")
    assert (tmp_path / "into").read_bytes() == (SLICE[132:] if SLICE not in body else SLICE)


@pytest.mark.parametrize(
    "body",
    [framed(SLICE, SLICE), framed(b"<html>"), framed(SLICE)[:-9], b"<html>sorry</html>", b"", b"PK\x03\x04 no zip"],
)
def test_answers_without_the_one_instance(body, tmp_path):
    (tmp_path / "answer").write_bytes(body)
    with pytest.raises(CorruptInstance):
        wado_rs.one_instance(
            tmp_path / "answer", "multipart/related; boundary=b1" if b"b1" in body else "", tmp_path / "into"
        )


class Pacs:
    """Answers as a server would that knows frames only; ``lists`` False: one frame a request."""

    def __init__(
        self, frames, *, lists=True, accepts=wado_rs.FRAME_ACCEPTS, kind="application/octet-stream", framing=True
    ):
        self.frames, self.lists, self.accepts, self.kind, self.framing = frames, lists, accepts, kind, framing
        self.asked = []
        self.metadata = b"[{}]"

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request.url)
        assert request.headers["Authorization"] == "Bearer t"
        if request.url.endswith("/metadata"):
            return Response(200, {}, self.metadata, request.url)
        numbers = [int(number) for number in request.url.rpartition("/")[2].split(",")]
        if request.headers["Accept"] not in self.accepts:
            raise CorruptInstance(what="HTTP 406")
        if len(numbers) > 1 and not self.lists:
            raise MissingInstances(why="HTTP 404")
        bodies = [self.frames[number - 1] for number in numbers]
        if not self.framing:
            return Response(200, {"content-type": self.kind}, bodies[0], request.url)
        return Response(
            200, {"content-type": "multipart/related; boundary=b1"}, framed(*bodies, kind=self.kind), request.url
        )


def source(count=1, **more):
    tags = {"00280010": {"vr": "US", "Value": [8]}, "00280008": {"vr": "IS", "Value": [count]}, **more}
    return WadoRs(INSTANCE, {"Authorization": "Bearer t"}, tags)


FRAMES = [bytes([number]) * 64 for number in range(1, 41)]


@pytest.mark.parametrize(
    "pacs, requests",
    [
        (Pacs(FRAMES), 3),
        (Pacs(FRAMES, accepts=wado_rs.FRAME_ACCEPTS[-1:]), 12),
        (Pacs(FRAMES, lists=False), 41),
        (Pacs(FRAMES, framing=False), 41),
    ],
    ids=["lists", "fussy", "one at a time", "no framing"],
)
async def test_frames_come_in_order(pacs, requests):
    parts = await wado_rs.from_frames(source(40), pacs, wado_rs.SeriesMetadata())
    assert list(parts.frames) == FRAMES
    assert len(pacs.asked) == requests


async def test_metadata_is_asked_for_where_it_is_not_known():
    pacs = Pacs(FRAMES)
    pacs.metadata = b'[{"00280010": {"vr": "US", "Value": [8]}}]'
    parts = await wado_rs.from_frames(WadoRs(INSTANCE, {"Authorization": "Bearer t"}), pacs, wado_rs.SeriesMetadata())
    assert (parts.tags, parts.frames) == ({"00280010": {"vr": "US", "Value": [8]}}, (FRAMES[0],))


async def test_metadata_of_a_series_is_asked_for_once():
    """A service that gives none of an instance's own."""
    uids = ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    whole = [{"00080018": {"vr": "UI", "Value": [uid]}, "00280010": {"vr": "US", "Value": [8]}} for uid in uids]
    series, asked = "https://pacs.test/studies/1.2/series/1.2.3", []

    async def pacs(request):
        asked.append(request.url)
        if request.url == f"{series}/metadata":
            return Response(200, {}, json.dumps(whole).encode(), request.url)
        if request.url.endswith("/metadata"):
            raise MissingInstances(why="HTTP 404")
        return Response(200, {}, FRAMES[0], request.url)

    cache = wado_rs.SeriesMetadata()
    parts = await asyncio.gather(
        *(wado_rs.from_frames(WadoRs(f"{series}/instances/{uid}"), pacs, cache) for uid in uids)
    )
    assert [pixel_parts.tags for pixel_parts in parts] == whole
    assert asked.count(f"{series}/metadata") == 1
    with pytest.raises(MissingInstances):
        await wado_rs.from_frames(WadoRs(f"{series}/instances/1.2.3.9"), pacs, cache)


@pytest.mark.parametrize("metadata, error", [(b"<html>", SiteChanged), (b"[]", SiteChanged), (b"[{}]", NotAnImage)])
async def test_metadata_that_helps_nobody(metadata, error):
    pacs = Pacs(FRAMES)
    pacs.metadata = metadata
    with pytest.raises(error):
        await wado_rs.from_frames(WadoRs(INSTANCE, {"Authorization": "Bearer t"}), pacs, wado_rs.SeriesMetadata())


@pytest.mark.parametrize(
    "pacs",
    [
        Pacs([b"\x89PNG\r\n\x1a\n"]),
        Pacs([b"x"], kind="image/png"),
        Pacs([b"<html>"]),
        Pacs([b"x"], kind="application/octet-stream; transfer-syntax=1.2.840.10008.1.2.2"),
        Pacs([b"x"], accepts=()),
    ],
    ids=["png by content", "png by type", "html", "big endian", "refused"],
)
async def test_frames_that_are_no_pixels(pacs):
    with pytest.raises(CorruptInstance):
        await wado_rs.from_frames(source(), pacs, wado_rs.SeriesMetadata())


async def test_an_absurd_number_of_frames():
    with pytest.raises(CorruptInstance):
        await wado_rs.from_frames(source(10**9), Pacs(FRAMES), wado_rs.SeriesMetadata())


def test_compressed_frames_stay_as_they_are():
    stream = b"\xff\xd8\xff\xf7 a JPEG-LS codestream \xff\xd9"
    assert wado_rs.frames_in(framed(stream, kind="image/jls"), "") == [stream]
