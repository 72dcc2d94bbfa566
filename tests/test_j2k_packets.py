"""JPEG 2000 by its packets: whole streams of many kinds are known as such, and no damage that a decoder finds is missed."""

import random

import imagecodecs
import numpy as np
import pytest

from scraper.dicom.j2k_packets import Verdict, verdict

END = b"\xff\xd9"
BODY = b"\xff\x93"


def picture(side, components=1, seed=1):
    """Noise over a hill, 12 bits; in colour 8."""
    y, x = np.mgrid[:side, :side]
    hill = 1000 + 800 * np.exp(-((x - side / 2) ** 2 + (y - side / 2) ** 2) / (side**2 / 6))
    samples = np.clip(hill + np.random.default_rng(seed).normal(0, 20, hill.shape), 0, 4095).astype(np.uint16)
    return samples if components == 1 else np.stack([(samples >> 4).astype(np.uint8)] * components, axis=-1)


def encoded(side, components=1, **more):
    return bytes(
        imagecodecs.jpeg2k_encode(
            picture(side, components), codecformat="j2k", **{"reversible": True, "level": 0, **more}
        )
    )


def decodes(data):
    try:
        imagecodecs.jpeg2k_decode(data)
    except (RuntimeError, ValueError):
        return False
    return True


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("side", [33, 64, 100, 257])
def test_a_whole_stream(side, components):
    assert verdict(encoded(side, components)) is Verdict.WHOLE


@pytest.mark.parametrize("more", [{"resolutions": 3}, {"reversible": False, "level": 70}, {"mct": False}], ids=str)
def test_a_whole_stream_of_another_kind(more):
    assert verdict(encoded(200, 3, **more)) in {Verdict.WHOLE, Verdict.UNKNOWN}  # never damaged


def test_a_picture_of_one_value_is_left_to_the_decoder():
    samples = np.full((128, 128), 700, np.uint16)
    assert (
        verdict(bytes(imagecodecs.jpeg2k_encode(samples, codecformat="j2k", reversible=True, level=0)))
        is Verdict.UNKNOWN
    )


def flip(data, at, chance):
    data[at] ^= 1 << chance.randrange(8)


def blank(data, at, chance):
    del chance
    length = min(64, len(data) - 2 - at)
    data[at : at + length] = bytes(length)


def shorten(data, at, chance):
    del data[at : min(at + chance.randrange(1, 200), len(data) - 2)]


def cut(data, at, chance):
    del chance
    data[at:] = END


def insert(data, at, chance):
    data[at:at] = chance.randbytes(20)


@pytest.mark.parametrize("damage", [flip, blank, shorten, cut, insert])
@pytest.mark.parametrize("of", [(100, 3), (128, 1)], ids=str)
def test_no_damage_that_a_decoder_finds_is_missed(of, damage):
    whole = encoded(*of)
    begin = whole.index(BODY) + 2
    for seed in range(30):
        chance = random.Random(seed)
        data = bytearray(whole)
        damage(data, chance.randrange(begin, len(whole) - 2), chance)
        assert decodes(bytes(data)) or verdict(bytes(data)) is not Verdict.WHOLE, seed


@pytest.mark.parametrize("damage", [shorten, cut, insert])
def test_bytes_that_are_missing_or_too_many_are_seen(damage):
    whole = encoded(128)
    begin = whole.index(BODY) + 2
    for seed in range(30):
        chance = random.Random(seed)
        data = bytearray(whole)
        damage(data, chance.randrange(begin, len(whole) - 2), chance)
        assert verdict(bytes(data)) is not Verdict.WHOLE, seed


@pytest.mark.parametrize(
    ("at", "value"), [(8, 0xFFFFFFFF), (12, 0xFFFFFFFF), (24, 1), (24, 0), (16, 0xFFFFFFFE), (32, 0xFFFFFFFF)]
)
def test_a_header_that_promises_too_much_is_left_to_the_decoder(at, value):
    data = bytearray(encoded(64))
    data[at : at + 4] = value.to_bytes(4, "big")  # of SIZ: sizes, offsets, sizes of tiles
    assert verdict(bytes(data)) is not Verdict.WHOLE


def test_any_bytes_end_in_a_verdict():
    whole = encoded(64)
    for seed in range(400):
        chance = random.Random(seed)
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        assert verdict(bytes(data[: chance.randrange(1, len(data) + 1)])) in Verdict


@pytest.mark.parametrize("rest", [b"\0" * 40, b"abc"])
def test_a_little_padding_behind_the_packets_is_left_to_the_decoder(rest):
    assert verdict(resized(encoded(64)[:-2] + rest + END)) is Verdict.UNKNOWN


@pytest.mark.parametrize("back", [-400, 400])
def test_a_hole_or_an_overlap_within_a_tile_of_fitting_length_is_damage(back):
    data = encoded(128)
    assert verdict(resized(data[:3000] + data[3000 - back :])) is Verdict.DAMAGED


def resized(data):
    """The stream with the length of its one tile-part as it is (A.4.2)."""
    at = data.index(b"\xff\x90")
    return data[: at + 6] + (len(data) - 2 - at).to_bytes(4, "big") + data[at + 10 :]
