"""AMF 3: what a second writer of it wrote, references, and everything that is none."""

import struct

import pytest

from fixtures.sites.gjwlyy.site import _amf
from scraper.core.errors import CorruptInstance
from scraper.protocols import amf3

VALUE = {"text": "胸部CT", "more": [1.5, "a", True, None, {"deep": [2.0]}], "yes": False}


@pytest.mark.parametrize("value", [VALUE, "", "abc" * 50, 3.25, [], {}, None, True])
def test_what_was_written_is_read(value):
    assert amf3.read(_amf(value)) == value
    assert amf3.read(_amf(value, "com.example.Named")) == value


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x04\x05", 5),
        (b"\x04\x81\x00", 128),
        (b"\x04\xff\xff\xff\xff", -1),
        (b"\x04\xbf\xff\xff\xff", 2**28 - 1),
        (b"\x00", None),
        (b"\x0c\x07abc", b"abc"),
        (b"\x08\x01" + struct.pack(">d", 86400000.0), 86400000.0),
        (b"\x09\x05\x01\x06\x03a\x06\x00", ["a", "a"]),  # the second text is the first one
        (b"\x09\x03\x03k\x04\x01\x01\x04\x02", {"k": 1, "0": 2}),  # a list with a name in it
        (b"\x0a\x13\x01\x03x\x04\x07", {"x": 7}),  # a class with one member
        (b"\x09\x05\x01\x0a\x13\x01\x03x\x04\x07\x0a\x01\x04\x08", [{"x": 7}, {"x": 8}]),  # its class given once
        (b"\x0a\x07\x43flex.messaging.io.ArrayCollection\x09\x03\x01\x04\x01", [1]),
    ],
)
def test_every_kind(data, value):
    assert amf3.read(data) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x06",
        b"\x06\x09ab",
        b"\x05\x00",
        b"\x0d\x01",
        b"\x11",
        b"\x09\xff\xff\xff\xff\x01",
        b"\x06\x02",
        b"\x0a\x07\x07abc\x01",
        b"\x09\x03\x01" * 200,
        b"\x06\x05\xff\xfe",
    ],
)
def test_what_is_none_is_refused(data):
    with pytest.raises(CorruptInstance):
        amf3.read(data)
