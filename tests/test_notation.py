"""Lists in other notations than JSON; whatever is hostile ends in nothing, and soon."""

import base64
import gzip
import json

import msgpack
import pytest

from scraper.capture.observe import notation

LIST = {"series": [{"uid": "1.2.840.1.1", "images": ["/a/1.dcm", "/a/2.dcm"]}, {"uid": "1.2.840.1.2", "images": []}]}
WRITTEN = json.dumps(LIST)
PACKED = base64.b64encode(gzip.compress(WRITTEN.encode())).decode()
UNQUOTED = "{series: [{uid: '1.2.840.1.1', images: ['/a/1.dcm', '/a/2.dcm',],}, {uid: \"1.2.840.1.2\", images: []}]}"


@pytest.mark.parametrize(
    "text",
    [
        f"var study = {WRITTEN};",
        f"function f(a) {{ return a; }}\nconst s={UNQUOTED}; f(s)",
        f"window.x = /* all */ 1; load({UNQUOTED});",
        f"callback({WRITTEN})",
        f"var s = JSON.parse('{WRITTEN}');",
        f"var s = JSON.parse({json.dumps(WRITTEN)});",
        f'var s = "{base64.b64encode((WRITTEN + " " * 300).encode()).decode()}";',
    ],
    ids=["json", "literal", "argument", "jsonp", "parsed", "parsed-escaped", "base64"],
)
def test_what_a_script_assigns(text):
    assert LIST in list(notation.from_script(text))


@pytest.mark.parametrize(
    "text",
    [
        f"<script>var s = {UNQUOTED}</script>",
        f"<div data-study='{WRITTEN}'></div>",
        f"<input type=hidden value='{WRITTEN.replace(chr(34), '&quot;')}'>",
        f"<script type=application/json>{WRITTEN}</script>",
        f"<body data-x={PACKED}>",
    ],
    ids=["script", "attribute", "escaped", "json", "packed"],
)
def test_what_a_page_holds(text):
    assert LIST in list(notation.from_html(f"<!doctype html><p>x</p>{text}"))


@pytest.mark.parametrize("inner", [WRITTEN, PACKED], ids=["plain", "packed"])
def test_json_within_a_text_is_unfolded(inner):
    assert notation.unfolded({"code": 0, "data": inner, "note": "x" * 50}) == {
        "code": 0,
        "data": LIST,
        "note": "x" * 50,
    }


def test_elements_that_repeat_anywhere_are_arrays_everywhere():
    value = notation.from_xml(
        '<q xmlns="urn:x" root="/w"><S id="1"><I sop="1.1"/><I sop="1.2"/></S><S id="2"><I sop="2.1"/><n>b</n></S></q>'
    )
    series = [{"id": "1", "I[]": [{"sop": "1.1"}, {"sop": "1.2"}]}, {"id": "2", "I[]": [{"sop": "2.1"}], "n": "b"}]
    assert value == {"q": {"root": "/w", "S[]": series}}


@pytest.mark.parametrize(
    "text",
    [
        "var a = {b: c.d()};" * 2000,
        "=" + "{a:" * 5000,
        "=[" * 20_000,
        "var s = {x: 1, y: `${z}`}",
        'JSON.parse("{broken")',
        "",
    ],
)
def test_what_is_no_literal_is_passed_over(text):
    assert list(notation.from_script(text)) == []


@pytest.mark.parametrize(
    "text", ['<!DOCTYPE a [<!ENTITY b "cc">]><a>&b;</a>', "<a>", "<a>" * 3000 + "</a>" * 3000, "no"]
)
def test_xml_that_harms_or_is_broken(text):
    value = notation.from_xml(text)
    assert value is None or "b" not in json.dumps(value)


@pytest.mark.parametrize(
    ("text", "lists"),
    [
        ("IM0001.dcm\nIM0002.dcm\n", [["IM0001.dcm", "IM0002.dcm"]]),
        ("# list\nseries/1/a?x=1\nseries/1/b?x=1", [["series/1/a?x=1", "series/1/b?x=1"]]),
        ("1.2.3;a\n1.2.4;b", [[{"c0": "1.2.3", "c1": "a"}, {"c0": "1.2.4", "c1": "b"}]]),
        ("uid\tname\n1.2\tx", [[{"c0": "uid", "c1": "name"}, {"c0": "1.2", "c1": "x"}]]),
        ("The study is being read.\nPlease wait.", []),
        ("function a() {\nreturn 1\n}", []),
        ("a\na", []),
        ("one", []),
    ],
)
def test_a_plain_text_is_a_list_where_each_line_is_a_name_or_a_row(text, lists):
    assert notation.from_lines(text) == lists


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (msgpack.packb({"a": [1, "x"], 5: b"\0\1"}), {"a": [1, "x"], 5: b"\0\1"}),
        (msgpack.packb([{"uid": "1.2.3"}] * 20), [{"uid": "1.2.3"}] * 20),
        (msgpack.packb({"a": 1}) + b"\0", None),
        (msgpack.packb([]), None),
        (b"\x81\x81\x01\x02\x03", None),  # a map as a name
        (b"\x91" * 100_000, None),
        (b"\xdf\xff\xff\xff\xff", None),
        (b"\x81\xa1\xff\x01", None),
        (b"", None),
    ],
    ids=[
        "a map",
        "an array",
        "more behind it",
        "nothing in it",
        "a name",
        "nested",
        "far too long",
        "no text",
        "empty",
    ],
)
def test_message_pack_is_read_to_its_very_end_or_not_at_all(data, value):
    assert notation.from_msgpack(data) == value


def test_an_array_of_several_kinds_is_an_object_and_of_one_kind_a_list():
    value = ["1.2.3", [["1.2.3.1", 1, None], ["1.2.3.2", 2, "x"]], {"a": [1, 2.5], "b": [True, 1]}]
    images = [{"c0": "1.2.3.1", "c1": 1, "c2": None}, {"c0": "1.2.3.2", "c1": 2, "c2": "x"}]
    wanted = {"c0": "1.2.3", "c1": images, "c2": {"a": [1, 2.5], "b": {"c0": True, "c1": 1}}}
    assert notation.with_named_places(value) == wanted


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("count", "is_read"), [(notation.MAX_TOKENS // 2 - 10, True), (notation.MAX_TOKENS // 2 + 10, False)]
)
def test_a_literal_of_more_tokens_than_the_bound_is_none(count, is_read):
    """A number and a comma are two."""
    found = list(notation.from_script(f"var a = [{{x: 1}}], b = [{','.join('1' * count)}];"))
    assert any(isinstance(value, list) and len(value) == count for value in found) is is_read
