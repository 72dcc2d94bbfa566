"""What an earlier run knew of a study is kept, and judged by."""

import json
from dataclasses import replace

import pytest

from scraper.core.evidence import Evidence
from scraper.core.model import Captured, Instance, Series
from scraper.store.earlier import EarlierStudy, KnownSeries, merge, read

A, B, C = "1.2.3.1", "1.2.3.2", "1.2.3.3"


def known(uid, expected, saved=0, evidence=Evidence.SERVICE):
    return KnownSeries(uid, None, "", "CT", expected, saved, evidence)


def series(uid, count, evidence=Evidence.SIGHT, expected=None):
    instances = tuple(Instance(f"{uid}.{n}", Captured(None)) for n in range(count))
    return Series("1.2.3", uid, instances, expected, evidence=evidence)


def merged(earlier, now, saved):
    found = merge(earlier, now, {item.name: item.expected for item in now}, {}, saved)
    return {
        series.name: (found.expected[series.name], series.evidence, [problem.code for problem in series.problems])
        for series in found.series
    }


FULL = EarlierStudy((known(A, 1, 1), known(B, 12), known(C, 8)))


@pytest.mark.parametrize("evidence", [Evidence.SIGHT, Evidence.NUMBERS, Evidence.VIEWER, Evidence.MANIFEST])
def test_verdicts_2_a_weaker_run_takes_nothing_back(evidence):
    expected = 1 if evidence >= Evidence.VIEWER else None
    assert merged(FULL, [series(A, 1, evidence, expected)], {A: 1}) == {
        A: (1, Evidence.SERVICE, []),
        B: (12, Evidence.SERVICE, ["missing-series"]),
        C: (8, Evidence.SERVICE, ["missing-series"]),
    }


def test_verdicts_2_what_an_earlier_run_brought_is_no_loss():
    found = merged(FULL, [series(A, 1)], {A: 1, B: 12, C: 8})
    assert found == {uid: (count, Evidence.SERVICE, []) for uid, count in ((A, 1), (B, 12), (C, 8))}


def test_verdicts_2_a_larger_count_is_kept():
    earlier = EarlierStudy((known(A, 20, 5, Evidence.VIEWER),))
    assert merged(earlier, [series(A, 5)], {A: 5}) == {A: (20, Evidence.VIEWER, [])}
    assert merged(earlier, [series(A, 12, Evidence.VIEWER, 12)], {A: 12}) == {A: (20, Evidence.VIEWER, [])}


def test_verdicts_2_stronger_evidence_overrules():
    earlier = EarlierStudy((known(A, 20, 5, Evidence.VIEWER), known(B, 3, 0, Evidence.VIEWER)))
    now = [series(A, 12, Evidence.SERVICE, 12)]
    assert merged(earlier, now, {A: 12}) == {A: (12, Evidence.SERVICE, [])}
    listed = [series(A, 12, None, 12)]
    assert merged(earlier, listed, {A: 12}) == {A: (12, None, [])}


def test_verdicts_2_more_than_was_known_overrules():
    earlier = EarlierStudy((known(A, 5, 5, Evidence.USER),))
    assert merged(earlier, [series(A, 8)], {A: 8}) == {A: (None, Evidence.SIGHT, [])}


def test_verdicts_2_a_scrolled_stack_stays_one_while_it_is_the_same():
    earlier = EarlierStudy((known(A, None, 12, Evidence.NUMBERS),))
    assert merged(earlier, [series(A, 3)], {A: 12}) == {A: (None, Evidence.NUMBERS, [])}
    assert merged(earlier, [series(A, 3)], {A: 13}) == {A: (None, Evidence.SIGHT, [])}


def test_verdicts_2_a_series_that_was_only_counted_is_missing_until_it_is_found():
    counted = [known(f"shown-{n}", count, 0, Evidence.VIEWER) for n, count in ((1, 12), (2, 8))]
    earlier = EarlierStudy((known(A, 1, 1, Evidence.VIEWER), *counted))
    assert merged(earlier, [series(A, 1)], {A: 1}) == {
        A: (1, Evidence.VIEWER, []),
        "shown-1": (12, Evidence.VIEWER, ["missing-series"]),
        "shown-2": (8, Evidence.VIEWER, ["missing-series"]),
    }
    found = merged(earlier, [series(A, 1), series(B, 12)], {A: 1, B: 12})
    assert set(found) == {A, B, "shown-2"}
    assert set(merged(earlier, [series(A, 1), series(B, 12), series(C, 8)], {A: 1, B: 12, C: 8})) == {A, B, C}


def test_verdicts_2_one_list_of_everything_counts_nothing_twice():
    """A list that does not say whose its instances are holds all three series."""
    now = [replace(series("", 21, None, 21), key="list-1")]
    found = merge(FULL, now, {A: 1, B: 12, C: 8}, {"list-1": A}, {A: 1, B: 12, C: 8})
    assert {uid: found.expected[uid] for uid in (A, B, C)} == {A: 1, B: 12, C: 8}


def test_verdicts_2_a_persons_count_is_kept():
    earlier = EarlierStudy((known(A, None, 5, Evidence.SIGHT),), stated=21)
    now = [series(A, 5)]
    assert merge(earlier, now, {A: None}, {}, {A: 5}).stated == 21
    assert merge(earlier, [series(A, 21)], {A: None}, {}, {A: 21}).stated is None
    assert merge(earlier, [series(A, 5, Evidence.MANIFEST, 5)], {A: 5}, {}, {A: 5}).stated is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"series": 1}', '{"series": [{}], "instances": {}}', "no json"])
def test_verdicts_2_a_report_that_says_nothing(text, tmp_path):
    path = tmp_path / "study.json"
    path.write_text(text)
    assert read(path) == EarlierStudy()
    assert read(tmp_path / "none.json") == EarlierStudy()


def test_verdicts_2_a_report_of_an_earlier_version_is_read(tmp_path):
    """Evidence stood in its problems alone; a provider's own count had none."""
    row = {"uid": A, "number": 1, "description": "", "modality": "CT", "expected": 12, "saved": 1, "problems": []}
    seen = row | {"uid": B, "expected": None, "problems": [{"code": "judged-by-sight"}]}
    path = tmp_path / "study.json"
    path.write_text(json.dumps({"series": [row, seen], "instances": {"expected": None}}))
    assert [series.evidence for series in read(path).series] == [Evidence.SERVICE, Evidence.SIGHT]
