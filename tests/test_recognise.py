"""Several objects in one answer: told apart by the lengths before them, to the byte."""

import itertools
import struct

import pytest

from fixtures.dicom import chest_ct
from scraper.capture.observe.recognise import Object, Recogniser

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
    assert all(isinstance(item, Object) for item in found)
    assert [item.path.read_bytes() for item in found] == there


def test_lengths_that_lead_astray_part_nothing(tmp_path):
    number = itertools.count()
    body = struct.pack("<II", 7, len(FILES[0]) - 2) + FILES[0]
    (found,) = Recogniser(lambda: tmp_path / f"{next(number)}").scan(body)
    assert found.path.read_bytes() == FILES[0]
