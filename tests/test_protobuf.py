"""Protobuf without its definition: read where it holds UIDs, and nothing else is taken for it."""

import os
import zlib

import pytest

from fixtures.protobuf import field
from fixtures.sites.generic_wire.site import framed
from scraper.capture.observe.protobuf import MAX_FIELDS, from_protobuf
from scraper.capture.observe.recognise import Document, Recogniser

UID = "1.2.826.0.1.3680043.8.498."
IMAGES = [field(3, field(1, f"{UID}{number}") + field(2, number)) for number in range(3)]
SERIES = [
    field(2, field(1, "Thorax 5 mm") + field(4, f"{UID}77") + b"".join(IMAGES)),
    field(2, field(4, f"{UID}78") + IMAGES[0]),
]
LIST = field(1, 200) + b"".join(SERIES)
VALUE = {
    "f1": 200,
    "f2": [
        {"f1": "Thorax 5 mm", "f4": f"{UID}77", "f3": [{"f1": f"{UID}{number}", "f2": number} for number in range(3)]},
        {"f4": f"{UID}78", "f3": [{"f1": f"{UID}0", "f2": 0}]},
    ],
}


@pytest.mark.parametrize("body", [LIST, framed(LIST)], ids=["protobuf", "grpc-web"])
def test_a_list_is_read_with_arrays_where_a_field_repeats(body, tmp_path):
    assert from_protobuf(body) == VALUE
    found = list(Recogniser(lambda: tmp_path / "a").scan(body, "application/x-protobuf"))
    assert found == [Document(VALUE)]


def test_a_message_of_printable_bytes_alone_is_read(tmp_path):
    body = field(4, f"{UID}12345678901234567890") + field(5, "x" * 40)
    assert body.isascii()
    assert body.decode().isprintable()
    [found] = Recogniser(lambda: tmp_path / "a").scan(body)
    assert found == Document({"f4": f"{UID}12345678901234567890", "f5": "x" * 40})


def test_a_text_that_happens_to_be_a_message_stays_a_text():
    note = field(4, "x" * 50).decode()
    assert from_protobuf(field(1, f"{UID}1") + field(2, note)) == {"f1": f"{UID}1", "f2": note}


def test_numbers_of_fixed_size_are_passed_over_and_bytes_stay_bytes():
    body = field(1, f"{UID}1") + b"\x11" + b"12345678" + b"\x1d" + b"1234" + field(4, b"\xff\xfe\0")
    assert from_protobuf(body) == {"f1": f"{UID}1", "f4": b"\xff\xfe\0"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        LIST[:-1],
        LIST + b"\0",
        framed(LIST)[:-1] + b"\0\0",
        field(1, "no UID at all"),
        os.urandom(4096),
        zlib.compress(os.urandom(4096)),
        f"{UID}1 is a UID".encode(),
        b"\x0b" + LIST,  # a group, which no message has had since 2008
    ],
)
def test_nothing_else_is_taken_for_it(body):
    assert from_protobuf(body) is None


@pytest.mark.parametrize(
    "body",
    [UID.encode() + b"\x0a" * 200_000, field(1, f"{UID}1") + b"\x08\x00" * (MAX_FIELDS + 1)],
    ids=["deep", "long"],
)
def test_a_message_without_end_is_given_up(body):
    assert from_protobuf(body) is None
