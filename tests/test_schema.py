"""Numbers and keys as sites write them."""

import pytest

from scraper.core.schema import Field, Reply, parse_int

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


class SpeltReply(Reply):
    uid: str = Field("", alias="data.studyUid")
    name: str = ""


KEYS = (
    ({"data": {"studyUid": "1.2"}, "name": "a"}, ("1.2", "a")),
    ({"Data": {"studyUID": "1.2"}, "NAME": "a"}, ("1.2", "a")),
    ({"data": {"studyuid": "1.9", "studyUid": "1.2"}, "Name": "b", "name": "a"}, ("1.2", "a")),
    ({"data": {"study_uid": "1.2"}, "names": "a"}, ("", "")),
)


@pytest.mark.parametrize(("value", "read"), KEYS)
def test_a_key_in_any_capitals_the_exact_one_first(value, read):
    reply = SpeltReply.model_validate(value)
    assert (reply.uid, reply.name) == read
