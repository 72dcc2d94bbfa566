"""What lists state of images that came: a larger matrix than theirs, and more of them than are listed."""

from pathlib import Path

import pytest

from scraper.capture import stated
from scraper.capture.observe.received import Manifest
from scraper.capture.observe.recognise import DicomObject
from scraper.core.model import Header

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


@pytest.mark.parametrize(
    ("around", "expected"),
    [
        ({"imageCount": 9}, 9),
        ({"totalImages": "9"}, 9),
        ({"total": 9, "instanceCount": 9, "frameCount": 9}, 0),  # of series, of reports too, of loops
    ],
    ids=str,
)
def test_images_that_a_list_counts_of_all_its_series(around, expected):
    series = [{"imageCount": count, "images": [{"sop": uid}]} for count, uid in enumerate(UIDS, 1)]
    manifest = Manifest("https://film.test/list", {"data": {**around, "series": series}})
    assert stated.images_of_all([manifest], None, OBJECTS) == expected
