"""Numbers and keys as sites write them."""

import json

import pytest

from scraper.core.schema import CheckedReply, Field, Reply, parse_int

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


class ListedReply(Reply):
    names: tuple[SpeltReply, ...] = Field((), alias="data.names")
    numbers: tuple[int, ...] = ()


NAMED = {"data": {"names": [{"name": "a"}, {"name": "b"}]}, "numbers": [1, 2]}
TEXTS = {
    "the whole answer": json.dumps(NAMED),
    "an object": NAMED | {"data": json.dumps(NAMED["data"])},
    "lists": {"data": {"names": json.dumps(NAMED["data"]["names"])}, "numbers": "[1, 2]"},
    "entries": NAMED | {"data": {"names": [json.dumps(name) for name in NAMED["data"]["names"]]}},
    "text in text": NAMED | {"data": json.dumps({"names": json.dumps(NAMED["data"]["names"])})},
}


@pytest.mark.parametrize("value", TEXTS.values(), ids=TEXTS)
def test_json_text_is_read_where_an_object_or_a_list_is_meant(value):
    assert ListedReply.model_validate(value) == ListedReply.model_validate(NAMED)


def test_a_text_that_looks_like_json_stays_a_text():
    assert SpeltReply.model_validate({"name": "[1]"}).name == "[1]"


class CodedReply(CheckedReply):
    good = ("00", "OK")


@pytest.mark.parametrize(
    ("code", "ok"), [("00", True), (0, True), (0.0, True), ("OK", True), ("01", False), ("", False)]
)
def test_a_code_is_the_same_in_another_notation_of_its_number(code, ok):
    assert CodedReply.model_validate({"code": code}).ok is ok
