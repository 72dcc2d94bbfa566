"""What is inferred from a viewer's own requests: places below a count, volatile parts, messages in envelopes."""

import re

import pytest

from scraper.capture.infer import counted, templates
from scraper.capture.infer.volatile import VolatileParts
from scraper.capture.observe import dicom_names
from scraper.capture.observe.notation import from_envelope
from scraper.capture.observe.received import SENT, Manifest

HOST = "https://film.viewer.test"


def counted_rules(value, asked):
    return templates.rules(
        [Manifest(f"{HOST}/list", value)], asked, lambda item: counted.places(item, asked), counted.PLACES
    )


def numbered(series: str, places, extra: str = "") -> list[str]:
    return [f"{HOST}/i?s={series}&n={place}{extra}" for place in places]


SERIES = {"series": [{"id": "a7", "imageCount": 5}, {"id": "b9", "imageCount": "3"}]}


def test_every_place_below_a_count_is_asked_for_and_none_beyond():
    (rule,) = counted_rules(SERIES, numbered("a7", (0, 1, 2)))
    given = [address for some in rule.addresses.values() for address in some]
    assert given == numbered("a7", range(5)) + numbered("b9", range(3))


def test_a_viewer_that_counts_from_one():
    (rule,) = counted_rules(SERIES, numbered("a7", (1, 2, 5)))
    assert sorted(rule.records) == sorted(numbered("a7", range(1, 6)) + numbered("b9", range(1, 4)))


def test_fields_of_one_name_on_several_levels_are_told_apart():
    value = {
        "uid": "1.2.1",
        "series": [
            {"uid": "1.2.1.1", "no": "1", "images": [{"uid": "1.2.1.1.1"}, {"uid": "1.2.1.1.2"}]},
            {"uid": "1.2.1.2", "no": "2", "images": [{"uid": "1.2.1.2.1"}]},
        ],
    }
    asked = [f"{HOST}/i?series=1.2.1.1&o=1.2.1.1.{n}" for n in (1, 2)]
    (rule, *_) = templates.rules([Manifest(f"{HOST}/list", value)], asked)
    assert set(rule.records) == {*asked, f"{HOST}/i?series=1.2.1.2&o=1.2.1.2.1"}


def test_counts_in_a_table_by_name():
    value = ["list", {"counts": {"1.2.3.4": 4, "1.2.3.5": 2}}]
    asked = [f'wss://h.test/s{SENT}42["get",{{"series":"1.2.3.4","no":{n}}}]' for n in (1, 2, 3)]
    (rule,) = counted_rules(value, asked)
    assert rule.count == 6


@pytest.mark.parametrize(
    "asked",
    [
        numbered("a7", (0, 1)),  # two requests prove nothing of a count
        numbered("a7", (0, 1, 2, 7)),  # a request beyond the count speaks against it
        numbered("zz", (0, 1, 2)),  # a series that no list names
    ],
)
def test_what_is_no_place_below_a_count(asked):
    assert counted_rules(SERIES, asked) == []


@pytest.mark.parametrize(
    "asked, blanked",
    [
        ([f'{HOST}/p{SENT}{{"n":{n},"image":"x{n}7"}}' for n in (3, 1, 2)], '"n":\1running\2'),
        ([f"{HOST}/a{n}9.dcm?_=0.{n}2345678901234" for n in (1, 2)], "?_=\1random\2"),
        (
            [f'{HOST}/p{SENT}{{"reqId":"0000000{n}-89ab-cdef-0123-456789abcdef","u":"k{n}1"}}' for n in (1, 2)],
            '"reqId":"\1uuid\2"',
        ),
    ],
)
def test_pieces_that_a_page_writes_anew_are_blanked_and_filled(asked, blanked):
    fresh = VolatileParts(asked)
    found = [fresh.blanked(item) for item in asked]
    assert fresh
    assert all(blanked in text for text in found)
    filled = fresh.filled(found[0])
    assert "\1" not in filled
    assert filled not in asked


def test_running_numbers_go_on():
    asked = [f'wss://h.test/s{SENT}{{"n":{n},"image":"x{n}7"}}' for n in (1, 2, 3)]
    fresh = VolatileParts(asked)
    again = [re.search(r'"n":(\d+)', fresh.filled(fresh.blanked(text)))[1] for text in asked]
    assert again == ["4", "5", "6"]


@pytest.mark.parametrize(
    "asked",
    [
        [f"{HOST}/image/0000000{n}-89ab-cdef-0123-456789abcdef" for n in (1, 2)],  # it may be the image's own name
        [f"{HOST}/i?n={n}" for n in (4, 9, 2)],
        [f"{HOST}/same?n=1", f"{HOST}/same?n=1"],
    ],
)
def test_what_may_be_the_sites_own_is_left_alone(asked):
    assert not VolatileParts(asked)


@pytest.mark.parametrize(
    "text, values",
    [
        ('42["list",{"a":1}]', [["list", {"a": 1}]]),
        ('451-["image",{"_placeholder":true,"num":0}]', [["image", {"_placeholder": True, "num": 0}]]),
        ('{"type":1,"target":"x"}\x1e{"type":6}\x1e', [{"type": 1, "target": "x"}, {"type": 6}]),
        ('MESSAGE\ndestination:/topic/1\n\n{"a":[1]}\0', [{"a": [1]}]),
        ('97:0{"sid":"x"}2:40', [{"sid": "x"}]),
        ("function f() { return [1]; }", []),
        ('var list = {"a": 1}', []),
        ('see {"a": 1} there', []),
        ("[" * 100_000, []),
    ],
)
def test_json_in_an_envelope(text, values):
    assert from_envelope(text) == values


@pytest.mark.parametrize(
    "attributes, tags",
    [
        ({"imagePosition": [1, 2.5, "-3"]}, {"00200032"}),
        ({"imagePosition": "1\\2\\3"}, {"00200032"}),
        ({"imagePosition": [1, 2]}, set()),
        ({"imagePosition": "HFS"}, set()),
        ({"position": [1, 2, 3], "orientation": "axial", "spacing": 0.7}, set()),
        ({"pixelSpacing": [0.7, 0.7]}, {"00280030"}),
        ({"pixelSpacing": 0.7}, set()),
        ({"imageOrientation": [1, 0, 0, 0, 1, None]}, set()),
    ],
    ids=str,
)
def test_geometry_is_what_the_site_gives_under_its_name(attributes, tags):
    assert set(dicom_names.dicom_json(attributes)) == tags
