"""Several objects in one answer: by the lengths before them, or in a tar, to the byte."""

import gzip
import io
import itertools
import struct
import tarfile

import pytest

from fixtures.dicom import chest_ct
from scraper.capture.observe.recognise import BrokenPackage, DicomObject, Recogniser

FILES = [instance.data for instance in chest_ct(slices=3, size=32, seed=12).images[:3]]


def headed(form: str, *, own: bool = False, before: bytes = b"") -> bytes:
    """The files, each behind a number 7 and its length, with or without the header's own."""
    size = struct.calcsize(form)
    return before + b"".join(struct.pack(form, 7, len(file) + own * size) + file for file in FILES)


@pytest.mark.parametrize(
    "body, there",
    [
        (headed("<II"), FILES),
        (headed(">HI"), FILES),
        (headed("<II", own=True), FILES),
        (headed("<HQ", before=b"\3\0\0\0"), FILES),
        (struct.pack("<II", 7, len(FILES[0])) + FILES[0], FILES[:1]),
        (FILES[1], FILES[1:2]),
        (b"", []),
    ],
    ids=["lengths", "big endian", "with the header", "a count before all", "one", "bare", "nothing"],
)
def test_objects_of_one_answer(body, there, tmp_path):
    number = itertools.count()
    found = list(Recogniser(lambda: tmp_path / f"{next(number)}").scan(body))
    assert all(isinstance(item, DicomObject) for item in found)
    assert [item.path.read_bytes() for item in found] == there


def test_lengths_that_lead_astray_part_nothing(tmp_path):
    number = itertools.count()
    body = struct.pack("<II", 7, len(FILES[0]) - 2) + FILES[0]
    (found,) = Recogniser(lambda: tmp_path / f"{next(number)}").scan(body)
    assert found.path.read_bytes() == FILES[0]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_tar_is_taken_apart(pack, tmp_path):
    out, number = io.BytesIO(), itertools.count()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for place, data in enumerate(FILES):
            about = tarfile.TarInfo(f"../../{place}")
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    found = list(Recogniser(lambda: tmp_path / f"{next(number)}").scan(pack(out.getvalue())))
    assert [piece.path.read_bytes() for piece in found if isinstance(piece, DicomObject)] == list(FILES)


def test_a_tar_that_is_cut_off_is_broken_and_its_sound_part_is_kept(tmp_path):
    out, number = io.BytesIO(), itertools.count()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for data in FILES[:2]:
            about = tarfile.TarInfo("x")
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    cut = out.getvalue()[: len(FILES[0]) + 2000]
    found = list(Recogniser(lambda: tmp_path / f"{next(number)}").scan(cut))
    assert [type(piece) for piece in found] == [DicomObject, BrokenPackage]
