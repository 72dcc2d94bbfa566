"""What lists state of images that came: a larger matrix than theirs, and more of them than are listed."""

from pathlib import Path

import pytest

from scraper.capture import stated
from scraper.capture.observe.received import Manifest
from scraper.capture.observe.recognise import DicomObject
from scraper.core.model import Captured, Header, Instance, Series

UIDS = ("1.2.3.4.5.1", "1.2.3.4.5.2")
OBJECTS = {
    uid: DicomObject(Path(uid), Header(uid, "1.2", "1.2.3.4.5", "1.2.3", "", rows=32, columns=40)) for uid in UIDS
}


def reduced(**size):
    rows = [{"sop": uid, **size} for uid in UIDS]
    return stated.reduced([Manifest("https://film.test/list", {"series": [{"images": rows}]})], None, OBJECTS)


@pytest.mark.parametrize(
    "size", [{"rows": 64, "columns": 80}, {"height": "128", "width": "160"}, {"ImageHei": 64, "ImageWid": 80}]
)
def test_verdicts_1_images_smaller_than_their_list_says_are_reduced(size):
    assert reduced(**size) == set(UIDS)


@pytest.mark.parametrize(
    "size",
    [
        {"rows": 32, "columns": 40},
        {"rows": 16, "columns": 20},  # of their previews
        {"height": 1080, "width": 1920},  # of a screen
        {"width": 80},
        {"windowWidth": 80, "rowHeight": 64},
    ],
    ids=str,
)
def test_verdicts_2_a_size_of_something_else_says_nothing(size):
    assert reduced(**size) == set()


SERIES = [{"imageCount": count, "images": [{"sop": uid}]} for count, uid in enumerate(UIDS, 3)]
STORED = {"store": [{"image": [{"text": f"series=1.2.3.4.5&object={uid}"}]} for uid in UIDS]}
EMPTY = {"imageCount": 9, "images": []}


@pytest.mark.parametrize(
    ("value", "of_series", "of_all"),
    [
        ({"data": {"imageCount": 9, "series": SERIES}}, 4, 9),
        ({"totalImages": "9", "series": [{"images": [{"sop": uid}]} for uid in UIDS]}, 0, 9),
        ({"series": [EMPTY, {"imagecount": "5", **STORED}]}, 5, 0),
        ({"series": [{"imagecount": "5", **STORED}]}, 0, 5),  # the only one: of all
        ({"total": 9, "instanceCount": 9, "frameCount": 9, "series": SERIES}, 4, 0),  # of series, of reports, of loops
        ({"series": [EMPTY, EMPTY]}, 0, 0),  # nothing of it came
    ],
    ids=str,
)
def test_what_a_list_counts_beside_the_images_that_it_names(value, of_series, of_all):
    series = Series("1.2.3", "1.2.3.4.5", tuple(Instance(uid, Captured(Path(uid))) for uid in UIDS))
    found = stated.counted([Manifest("https://film.test/list", value)], None, [series], {})
    assert (found.series.get("1.2.3.4.5", 0), found.of_all) == (of_series, of_all)
