"""What a study should consist of, by what lists and viewers say."""

from dataclasses import replace

import pytest

from scraper.capture import completeness
from scraper.capture.infer import tallies
from scraper.capture.observe.received import Manifest, Observations
from scraper.capture.observe.recognise import DicomObject
from scraper.capture.request import dicomweb
from scraper.core.evidence import Evidence
from scraper.core.model import Captured, Header, Instance, Series


def series(uid: str, count: int, by: Evidence = Evidence.NUMBERS) -> Series:
    instances = tuple(Instance(f"{uid}.{n}", Captured(None), number=n) for n in range(1, count + 1))
    return Series("1.2", uid, instances, evidence=by)


@pytest.mark.parametrize(
    ("there", "announced", "expected"),
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
def test_counts_of_the_series_list(there, announced, expected):
    found = [series(f"s{place}", count) for place, count in enumerate(there)]
    held = completeness.with_entries("1.2", found, announced)
    assert {item.name: item.expected for item in held} == expected


def test_a_series_that_was_never_opened_beside_some_that_show_their_total():
    found = [
        replace(series("s0", 3, Evidence.VIEWER), expected=3),
        series("s1", 9),
        replace(series("s2", 2, Evidence.VIEWER), expected=4),
    ]
    held = completeness.with_entries("1.2", found, [9, 4, 3, 5])
    assert {item.name: item.expected for item in held} == {"s0": 3, "s1": 9, "s2": 4, "shown-1": 5}
    held = completeness.with_entries("1.2", found[:2], [9, 3, 1])
    assert {item.name: item.expected for item in held} == {"s0": 3, "s1": 9, "shown-1": 1}


def test_better_evidence_stays():
    found = [series("s0", 3, Evidence.MANIFEST)]
    assert completeness.with_entries("1.2", found, [9]) == found


def test_verdicts_1_series_that_were_never_opened():
    held = completeness.with_entries("1.2", [series("s0", 1)], [1, 12, 8])
    assert {item.name: item.expected for item in held} == {"s0": 1, "shown-1": 12, "shown-2": 8}


@pytest.mark.parametrize(
    ("counts", "stated", "named"),
    [([12, 5], 0, []), ([], 21, [21]), ([30], 0, [30]), ([], 20, []), ([], 0, [])],
    ids=["contradicted", "stated", "one count", "met", "none"],
)
def test_verdicts_1_a_count_of_the_page_is_never_dropped(counts, stated, named):
    found = [series("s0", 10), series("s1", 10)]
    held = completeness.unmet(found, counts, stated, 2)
    announced = [problem for row in held for problem in row.problems]
    assert [(problem.code, problem.values["stated"], problem.fatal) for problem in announced] == [
        ("count-unmet", n, True) for n in named
    ]


def test_verdicts_1_one_series_is_held_against_what_the_page_states():
    (held,) = completeness.unmet([series("s0", 10)], [], 26, 1)
    assert (held.expected, held.evidence) == (26, Evidence.VIEWER)


def test_verdicts_1_counts_of_a_list_that_came_are_named_where_nothing_else_counts():
    seen = [series("s0", 5, Evidence.SIGHT), series("s1", 4, Evidence.SIGHT)]
    held = completeness.unmet(seen, [], 0, 2, [[1, 12, 8]])
    assert [problem.values["stated"] for problem in held[0].problems] == [21]
    numbered = [series("s0", 5), series("s1", 4)]
    assert completeness.unmet(numbered, [], 0, 2, [[1, 12, 8]]) == numbered


def test_verdicts_1_numbers_prove_nothing_where_the_list_has_more_series():
    held = completeness.unmet([series("s0", 10)], [], 0, 3)
    assert [item.evidence for item in held] == [Evidence.SIGHT]


@pytest.mark.parametrize(
    ("numbers", "is_scrolled", "evidence"),
    [
        (range(1, 11), True, Evidence.NUMBERS),
        (range(1, 11), False, Evidence.SIGHT),
        (range(2, 12), True, Evidence.SIGHT),
        ((1, 2, 4), True, Evidence.SIGHT),
        ((1,), True, Evidence.SIGHT),
    ],
    ids=["whole", "not scrolled", "not from 1", "gap", "a single one"],
)
def test_verdicts_1_numbers_count_only_in_a_scrolled_stack(numbers, is_scrolled, evidence):
    instances = tuple(Instance(f"1.{n}", Captured(None), number=n) for n in numbers)
    found = completeness.judged(Series("1.2", "s0", instances), None, None, is_packed=False, is_scrolled=is_scrolled)
    assert (found.evidence, found.expected) == (evidence, None)


STUDY, OURS = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.1.7"
REPORTS = [f"{OURS}.9.1", f"{OURS}.9.2"]


def uids(series: int, count: int) -> list[str]:
    return [f"{OURS}.{series}.{n}" for n in range(1, count + 1)]


def caught(folder, *came: tuple[str, str]) -> Observations:
    """Objects, each by its own UID and its series'."""
    found = Observations(folder)
    for uid, series_uid in came:
        found.objects[uid] = DicomObject(folder / uid, Header(uid, "1.2.840.10008.5.1.4.1.1.2", series_uid, STUDY, ""))
    return found


@pytest.mark.parametrize(
    ("value", "absent"),
    [
        ({"series": [{"images": uids(1, 3)}, {"images": REPORTS}]}, {"listed-2": REPORTS}),
        ({"series": [{"images": uids(1, 3)}, {"images": uids(1, 2)}]}, {}),
        ({"series": [{"images": [*uids(1, 3), OURS, STUDY, "1.2.840.10008.5.1.4.1.1.2"]}]}, {}),
        ({"priors": [{"images": uids(1, 1)}, {"images": REPORTS}]}, {}),
        ({"studies": [{"studyUid": STUDY, "images": uids(1, 3)}, {"studyUid": f"{STUDY}.8", "images": REPORTS}]}, {}),
        ({"series": [{"images": uids(1, 3), "frameOfReference": f"{OURS}.5"}]}, {}),
        ({"series": [{"images": []}, {"images": uids(1, 3)}]}, {}),
    ],
    ids=["a whole series", "twice", "other UIDs", "priors", "another study", "frame of reference", "empty"],
)
def test_instances_that_are_listed_without_their_series(value, absent, tmp_path):
    there = caught(tmp_path, *((uid, OURS) for uid in uids(1, 3)))
    listed = completeness.lists([Manifest("https://film.test/list", value)], there, STUDY)
    found = completeness.missing(STUDY, listed, {OURS})
    assert {series.name: list(series.problems[-1].instances) for series in found} == absent
    assert [series.expected for series in found] == [len(item) for item in absent.values()]
    assert completeness.missing(STUDY, listed, {OURS, *REPORTS}) == []  # they are asked for


def test_one_list_a_series_keeps_its_instances_together(tmp_path):
    other = f"{OURS}.2"
    there = caught(tmp_path, (uids(1, 1)[0], OURS), (uids(2, 1)[0], other))
    lists = [Manifest(f"https://film.test/list?no={n}", {"images": uids(n, 3)}) for n in (1, 2)]
    listed = completeness.lists(lists, there, STUDY)
    assert {uid: item.expected for uid, item in listed.items()} == {OURS: 3, other: 3}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("StudyInstanceUIDs=1.2.840.1.7.1", ["1.2.840.1.7.1"]),
        ("StudyInstanceUIDs=1.2.840.1.7.1,1.2.840.1.7.2", ["1.2.840.1.7.1", "1.2.840.1.7.2"]),
        ("a=1&studyInstanceUID=1.2.840.1.7.1&StudyInstanceUID=1.2.840.1.7.2", ["1.2.840.1.7.1", "1.2.840.1.7.2"]),
        ("StudyInstanceUIDs=1.2.840.1.7.1%2C1.2.840.1.7.1%5C1.2.840.1.7.3", ["1.2.840.1.7.1", "1.2.840.1.7.3"]),
        ("SeriesInstanceUID=1.2.840.1.7.1&StudyInstanceUIDs=all", []),
    ],
    ids=["one", "several", "twice", "escaped", "none"],
)
def test_the_studies_that_an_address_names(query, named):
    assert dicomweb.named_studies(f"https://film.test/viewer?{query}#/x") == named


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        ([{"name": "a", "count": 2}, {"name": "b", "count": 13}], [[2, 13]]),
        ({"data": {"list": [{"n": "a", "imageNum": "2"}, {"n": "b", "imageNum": "0"}]}}, [[2]]),
        ([{"studyUid": "1", "imageCount": 2}, {"studyUid": "2", "imageCount": 13}], []),
        ([{"studyDate": "2025", "imageCount": 2}, {"studyDate": "2026", "imageCount": 13}], []),
        ([{"name": "a", "count": 2}, {"name": "b"}], []),
        ({"count": 2, "rows": [1, 2]}, []),
    ],
    ids=["series", "text", "studies", "dates", "not of each", "of pages"],
)
def test_counts_of_a_list(value, counts):
    assert list(tallies.tallies([Manifest("https://film.test/list", value)])) == counts


def counted(*sizes: int, evidence: Evidence = Evidence.VIEWER) -> list[Series]:
    """Series that came whole by a count."""
    return [
        Series(
            STUDY,
            f"{STUDY}.{size}",
            tuple(Instance(f"{size}.{n}", Captured(None)) for n in range(size)),
            size,
            evidence=evidence,
        )
        for size in sizes
    ]


@pytest.mark.parametrize(
    ("sizes", "entries", "received", "is_same"),
    [
        ([2, 1], 3, counted(2, 12, 1), True),
        ([None], 3, counted(2, 12, 1), True),
        ([2, 1], 4, counted(2, 12, 1), False),
        ([2, 3], 3, counted(2, 12, 1), False),
        ([2, 2], 3, counted(2, 12, 1), False),
        ([2, 1], 3, counted(2, 12, 1, evidence=Evidence.SIGHT), False),
        ([12], 1, [], False),
    ],
    ids=["the same", "no size", "more entries", "another size", "a size twice", "only seen", "nothing came"],
)
def test_entries_of_series_that_came_under_other_addresses_are_no_loss(sizes, entries, received, is_same):
    assert completeness.are_received(sizes, entries, received) is is_same


@pytest.mark.parametrize(
    ("sizes", "entries", "of_all", "stated"),
    [
        ((20,), [], [24], 24),
        ((20,), [24], [], 24),
        ((20, 10), [24, 10], [], 34),
        ((20, 10), [20, 10], [], 0),
        ((20, 10), [], [30], 0),
        ((20,), [], [326, 20], 0),  # a page that lists examinations
        ((20, 10), [20, 10, 300], [], 0),  # entries of something else
        ((20,), [18], [16], 0),
    ],
)
def test_a_page_that_counts_more_than_its_list_has(sizes, entries, of_all, stated):
    assert completeness.stated_beyond(counted(*sizes), entries, of_all) == stated
