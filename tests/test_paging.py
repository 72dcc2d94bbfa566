"""Lists that come a page at a time: what stands on the other pages is not forgotten."""

import pytest

from scraper.capture.infer.paging import unfinished, unlisted
from scraper.capture.observe.received import Manifest

ROWS = [{"id": number, "title": f"T{number} FSE", "imageCount": 6} for number in range(1, 10)]


def page(number, **around):
    return Manifest("https://film.test/api/series/page", {"records": ROWS[3 * number - 3 : 3 * number], **around})


@pytest.mark.parametrize(
    ("answers", "left"),
    [
        ([page(1, total=9, pages=3, current=1)], 6),
        ([page(1, total=9, pages=3, current=1), page(2, total=9, pages=3, current=2)], 3),
        ([page(number, total=9, pages=3, current=number) for number in (1, 2, 3)], 0),
        ([page(1, total=9, pages=3, current=1)] * 3, 6),  # the same page again
        ([page(1, total=18)], 0),  # a total of something else
        (
            [Manifest("https://film.test/exam/list", {"total": 31, "page": 1, "rows": [{"examId": 1}, {"examId": 2}]})],
            0,
        ),
    ],
)
def test_what_stands_on_pages_that_did_not_come(answers, left):
    assert unlisted(answers) == left


@pytest.mark.parametrize(
    ("answers", "is_more"),
    [
        ([page(1, hasMore=True)], True),
        ([page(1, hasMore=True), page(2, hasMore=False)], False),
        ([page(1, done=False)], True),
        ([page(1, done=False), page(1, done=True)], False),
        ([Manifest("https://film.test/api/study", {"data": {"series": ROWS, "finished": False}})], True),
        ([Manifest("https://film.test/api/user", {"finished": False, "name": "x"})], False),  # beside no list
        ([page(1, done="no")], False),
        ([page(1, total=9)], False),
    ],
)
def test_a_list_says_itself_that_there_is_more_of_it(answers, is_more):
    assert bool(unfinished(answers)) is is_more
