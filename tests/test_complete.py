"""What a study should consist of, by what lists and viewers say."""

import pytest

from scraper.capture import complete
from scraper.capture.complete import Judged
from scraper.capture.drive import COUNTED
from scraper.model import Captured, Instance, Series


def series(uid: str, count: int, by: Judged = Judged.NUMBERS) -> Series:
    instances = tuple(Instance(f"{uid}.{n}", Captured(None), number=n) for n in range(1, count + 1))
    return Series("1.2", uid, instances, left_out=(by.said(),))


@pytest.mark.parametrize(
    ("there", "said", "expected"),
    [
        ((2, 10), [2, 10], {"s0": 2, "s1": 10}),
        ((2, 10), [2, 12], {"s0": 2, "s1": 12}),
        ((2, 10), [2, 10, 1], {"s0": 2, "s1": 10, "shown-1": 1}),
        ((2, 10), [2], {"s0": None, "s1": None}),
        ((2, 10), [2, 9], {"s0": None, "s1": None}),
        ((), [], {}),
    ],
    ids=["all", "short", "one more series", "too few counts", "another kind of count", "nothing"],
)
def test_counts_of_the_series_list(there, said, expected):
    found = [series(f"s{place}", count) for place, count in enumerate(there)]
    held = complete.with_entries("1.2", found, said)
    assert {one.name: one.expected for one in held} == expected


def test_better_evidence_stays():
    found = [series("s0", 3, Judged.MANIFEST)]
    assert complete.with_entries("1.2", found, [9]) == found


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("5mm 纵隔窗 (10)", "10"),
        ("序列数量：12", "12"),
        ("Lung 1.0 B70f 240 images", "240"),
        ("定位像 共2幅", "2"),
        ("CT 胸部平扫", None),
        ("2026-01-08", None),
    ],
)
def test_the_count_of_an_entry(text, count):
    found = COUNTED.search(text)
    assert (next(one for one in found.groups() if one) if found else None) == count
