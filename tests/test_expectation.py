"""How many images a person says there are, held against what came."""

import pytest

from scraper.core.evidence import Evidence
from scraper.core.model import Counts, Origin, Problem, SeriesResult, Study, StudyResult
from scraper.pipeline import expectation
from scraper.pipeline.assess import judged_by
from scraper.pipeline.result import exit_code


def series(uid="1", saved=21, evidence=Evidence.SIGHT, expected=None, images=None, frames=None, more=()):
    problems = (judged_by(evidence, uid, saved),) if evidence else ()
    images = saved if images is None else images
    frames = images if frames is None else frames
    return SeriesResult(
        uid, 1, "", "CT", expected, saved, Origin.ORIGINAL, (*problems, *more), evidence, images, frames
    )


def study(*rows: SeriesResult) -> StudyResult:
    known = [series.expected for series in rows]
    total = None if None in known else sum(known)
    return StudyResult(Study("1.2"), None, rows, (), Counts(total, sum(series.saved for series in rows)))


def codes(studies) -> list[str]:
    found = [problem for study in studies for problem in study.problems]
    return [
        item.code
        for item in (*found, *(problem for study in studies for row in study.series for problem in row.problems))
    ]


@pytest.mark.parametrize(
    ("rows", "expect"),
    [
        ([series()], 21),
        ([series("1", 1), series("2", 12), series("3", 8)], 21),
        ([series(saved=22, images=21)], 21),
        ([series(saved=2, frames=120)], 120),
        ([series("1", 12, Evidence.MANIFEST, 12), series("2", 9)], 21),
        ([series(evidence=Evidence.NUMBERS)], 21),
        ([series(evidence=None)], 21),
    ],
    ids=[
        "one series",
        "three",
        "beside a report",
        "frames",
        "beside a list",
        "by numbers",
        "a provider's without a count",
    ],
)
def test_verdicts_1_expect_met_is_complete(rows, expect):
    assert expectation.is_open([study(*rows)])
    held = expectation.held([study(*rows)], expect)
    assert exit_code(held) == 0
    assert "judged-by-user" in codes(held)
    assert not {"judged-by-sight", "judged-by-numbers"} & set(codes(held))
    assert not expectation.is_open(held)


@pytest.mark.parametrize(
    ("rows", "expect", "code"),
    [
        ([series(saved=1)], 21, "expect-unmet"),
        ([series(saved=21, evidence=Evidence.NUMBERS)], 22, "expect-unmet"),
        ([series(saved=21, evidence=Evidence.MANIFEST, expected=21)], 30, "expect-unmet"),
        ([series(saved=21)], 12, "expect-differs"),
    ],
    ids=["short", "short by one", "a list that says less", "more came than was said"],
)
def test_verdicts_1_expect_not_met_is_incomplete(rows, expect, code):
    held = expectation.held([study(*rows)], expect)
    assert exit_code(held) == 7
    assert code in codes(held)
    if code == "expect-unmet":
        assert held[0].counts.expected == expect


def test_verdicts_1_a_list_that_names_more_than_a_person_says_rules():
    held = expectation.held([study(series(evidence=Evidence.MANIFEST, expected=21))], 12)
    assert exit_code(held) == 0
    assert "expect-differs" in codes(held)


def test_verdicts_1_expect_excuses_nothing_that_is_broken():
    lost = Problem("missing-series", series_instance_uid="2")
    rows = [series(), series("2", 0, Evidence.VIEWER, 4, more=(lost,))]
    assert exit_code(expectation.held([study(*rows)], 21)) == 7


def test_verdicts_1_expect_is_of_all_studies_of_a_source():
    both = [study(series("1", 12)), study(series("2", 9))]
    assert exit_code(expectation.held(both, 21)) == 0
    assert exit_code(expectation.held(both, 12)) == 7


def test_verdicts_1_only_seen_is_incomplete():
    assert exit_code([study(series(saved=1))]) == 7
    assert exit_code([study(series(saved=2, evidence=Evidence.NUMBERS))]) == 0


def test_verdicts_1_a_list_is_held_against_what_a_person_says():
    listed = StudyResult(Study("1.2"), None, (), (), Counts(21))
    assert codes(expectation.announced([listed], 21)) == []
    assert codes(expectation.announced([listed], 22)) == ["expect-announced"]
