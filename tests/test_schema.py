"""Numbers as sites write them."""

import pytest

from scraper.core.schema import parse_int

CASES = (
    ("60", 60),
    (" 7 ", 7),
    ("60.0", 60),
    ("-1", -1),
    ("0", 0),
    ("", None),
    (None, None),
    ("60.5", None),
    ("--5", None),
    ("5-", None),
    ("IM1", None),
    ("9" * 12, None),
)


@pytest.mark.parametrize(("text", "number"), CASES)
def test_a_whole_number(text, number):
    assert parse_int(text) == number
