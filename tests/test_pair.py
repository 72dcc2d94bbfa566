"""Frames on a socket: where in a message the pixels lie."""

import numpy
import pytest

from scraper.capture.observe import frames

ROWS, COLUMNS = 24, 20
TAGS = {
    tag: {"vr": "US", "Value": [value]}
    for tag, value in (("00280010", ROWS), ("00280011", COLUMNS), ("00280100", 16), ("00280002", 1))
}
HEADER = bytes.fromhex("0200 0100 2a00 0000 c003 0000")
SUM = bytes.fromhex("9f3b d2e1 77c4 1a80")


def pixels(border: int, noise: int) -> bytes:
    """A disc in front of air."""
    down, across = numpy.mgrid[:ROWS, :COLUMNS]
    disc = ((down - ROWS / 2) ** 2 + (across - COLUMNS / 2) ** 2 < 60) * 900
    random = numpy.random.default_rng(7).integers(0, noise + 1, (ROWS, COLUMNS))
    return (border + disc + random).astype("<i2").tobytes()


@pytest.mark.parametrize("border, noise", [(0, 0), (0, 6), (-1000, 12), (40, 30)])
@pytest.mark.parametrize(
    "before, behind",
    [(b"", b""), (HEADER, b""), (b"", SUM), (bytes(4), b""), (b"\4", b"")],
    ids=["bare", "header", "trailer", "header of zeros", "one byte"],
)
def test_the_pixels_of_a_message(border, noise, before, behind):
    frame = pixels(border, noise)
    assert frames._pixels(TAGS, before + frame + behind) == frame


def test_too_much_around_them():
    assert frames._pixels(TAGS, bytes(100) + pixels(0, 0)) is None
