"""Lists that name no UID: a value of theirs in the request of an image that came makes all their entries expected."""

import pytest

from scraper.capture.infer import siblings
from scraper.capture.infer.list_index import KnownImage
from scraper.capture.infer.tallies import falls_short
from scraper.capture.infer.templates import Record, Rule, Template
from scraper.capture.observe.received import SENT, Manifest
from scraper.core.model import Header
from scraper.session.browser.traffic import Exchange

STUDY, SCOUT, AXIAL = "1.2.826.0.1.7", "1.2.826.0.1.7.1", "1.2.826.0.1.7.2"
IMAGE = "https://film.test/api/image?token=t0k3nt0k3n&id="


def head(uid, series=SCOUT, description=""):
    return Header(uid, "1.2.840.10008.5.1.4.1.1.2", series, STUDY, "", series_description=description)


either = pytest.mark.parametrize("is_late", [False, True], ids=["list first", "request first"])


def claimed(value, sources, heads, is_late):
    """The counts of series, and those of the entries of which nothing came."""
    lists = [Exchange("https://film.test/api/list", "xhr")]
    asked = [text.partition(SENT) for text in sources]
    requests = [Exchange(url, "fetch", "POST" if body else "GET", {}, body.encode()) for url, _, body in asked]
    found = [
        KnownImage(
            uid := head.sop_instance_uid,
            head.series_instance_uid,
            " ".join([*(asked for asked, of in sources.items() if of == uid), uid, head.series_instance_uid]),
            head.series_description,
        )
        for head in heads
    ]
    exchanges = requests + lists if is_late else lists + requests
    rows = siblings.expected([Manifest("https://film.test/api/list", value)], exchanges, found, STUDY)
    most = max((row.absent for row in rows), key=len, default=[])
    return siblings.counts_of(rows), [count for _, count in most]


ONE = head(f"{SCOUT}.1")
MANY = [f"d4e5{n:02}" for n in range(12)], [f"0718{n:02}" for n in range(8)]
KEYS = ("a1b2c3", 1), ("d4e5f6", 12), ("0718aa", 8)
LISTS = {
    "counts": [{"id": key, "n": "定位", "imageCount": count} for key, count in KEYS],
    "texts": [{"seriesKey": key, "total": str(count)} for key, count in KEYS],
    "images": [{"images": ["a1b2c3"]}, {"images": MANY[0]}, {"images": MANY[1]}],
    "nested": [
        {"seriesId": "series-1", "list": [{"key": "a1b2c3"}]},
        {"seriesId": "series-2", "list": [{"key": key} for key in MANY[0]]},
        {"seriesId": "series-3", "list": [{"key": key} for key in MANY[1]]},
    ],
}


@either
@pytest.mark.parametrize("kind", LISTS)
def test_verdicts_1_one_image_of_a_list_of_three_series(kind, is_late):
    sources = {IMAGE + "a1b2c3": ONE.sop_instance_uid}
    counts, absent = claimed({"data": {"list": LISTS[kind]}}, sources, [ONE], is_late)
    assert absent == [12, 8]
    is_proof = kind in ("counts", "texts") or not is_late  # a single entry of a late list is none
    assert counts == ({SCOUT: 1} if is_proof else {})


def test_verdicts_1_a_late_list_of_which_other_images_came_than_it_names_is_of_something_else():
    heads = [head(f"{SCOUT}.{n}") for n in range(1, 4)]
    sources = {IMAGE + "a1b2c3": heads[0].sop_instance_uid} | {
        f"https://film.test/next/{n}": instance.sop_instance_uid for n, instance in enumerate(heads[1:])
    }
    assert claimed([{"k": "a1b2c3"}, {"k": "d4e5f6"}, {"k": "0718aa"}], sources, heads, is_late=True) == ({}, [])


@either
def test_verdicts_1_one_entry_that_is_no_list_of_images_completes_nothing(is_late):
    value = {"hospitals": [{"code": "a1b2c3"}], "presets": [{"id": "a1b2c3", "windows": [{"w": 400}]}]}
    assert claimed(value, {IMAGE + "a1b2c3": ONE.sop_instance_uid}, [ONE], is_late) == ({}, [])


@either
def test_verdicts_1_series_without_counts_are_missing_all_the_same(is_late):
    value = {"series": [{"sid": "a1b2c3"}, {"sid": "d4e5f6"}, {"sid": "0718aa"}]}
    heads = [head(f"{SCOUT}.{n}") for n in (1, 2)]
    sources = {f"{IMAGE}a1b2c3&no={n}": instance.sop_instance_uid for n, instance in enumerate(heads)}
    assert claimed(value, sources, heads, is_late) == ({}, [None, None])


@either
@pytest.mark.parametrize(
    "asked",
    [
        "https://film.test/image\0{id: 'a1b2c3'}",
        'https://film.test/image\0{"d": {"id": "a1b2c3"}}',
        "https://film.test/image/a1b2c3.dcm",
        "https://film.test/image/a1b2c3",
        "https://film.test/i\0id=a1b2c3&x=1",
    ],
)
def test_verdicts_1_wherever_the_id_stands_in_the_request(asked, is_late):
    assert SENT == "\0"
    assert claimed(LISTS["counts"], {asked: ONE.sop_instance_uid}, [ONE], is_late) == ({SCOUT: 1}, [12, 8])


@either
def test_verdicts_1_a_flat_list_of_images(is_late):
    value = {"images": [{"file": f"img-{n:04}"} for n in range(26)]}
    heads = [head(f"{SCOUT}.{n}") for n in (1, 2)]
    sources = {f"{IMAGE}img-{n:04}": instance.sop_instance_uid for n, instance in enumerate(heads)}
    assert claimed(value, sources, heads, is_late) == ({SCOUT: 26}, [])


@either
def test_verdicts_1_the_name_that_the_data_give_a_series(is_late):
    value = [{"desc": "定位像", "count": 1}, {"desc": "5mm 平扫", "count": 12}]
    instance = head(f"{SCOUT}.1", description="定位像")
    assert claimed(value, {"https://film.test/next": instance.sop_instance_uid}, [instance], is_late) == (
        {SCOUT: 1},
        [12],
    )


@either
@pytest.mark.parametrize(
    "value",
    [
        [{"studyId": "a1b2c3", "imageCount": 1}, {"studyId": "d4e5f6", "imageCount": 12}],
        {"history": [{"id": "a1b2c3", "imageCount": 1}, {"id": "d4e5f6", "imageCount": 12}]},
        [{"id": "a1b2c3", "studyDate": "20260108", "n": 1}, {"id": "d4e5f6", "studyDate": "20250108", "n": 1}],
        [{"id": "q1", "imageCount": 1}, {"id": "q2", "imageCount": 12}],
        [{"id": "zzzzzz", "imageCount": 1}, {"id": "yyyyyy", "imageCount": 12}],
    ],
    ids=["studies", "history", "dates", "short ids", "ids of nothing"],
)
def test_verdicts_1_lists_of_something_else_claim_nothing(value, is_late):
    assert claimed(value, {IMAGE + "a1b2c3": ONE.sop_instance_uid}, [ONE], is_late) == ({}, [])


@either
def test_verdicts_1_what_came_of_all_entries_is_not_missing(is_late):
    heads = [ONE, head(f"{AXIAL}.1", AXIAL), head(f"{AXIAL}.2", AXIAL)]
    sources = {
        f"{IMAGE}a1b2c3": heads[0].sop_instance_uid,
        f"{IMAGE}d4e5f6&n=1": heads[1].sop_instance_uid,
        f"{IMAGE}d4e5f6&n=2": heads[2].sop_instance_uid,
    }
    value = [{"id": "a1b2c3", "imageCount": 1}, {"id": "d4e5f6", "imageCount": 2}, {"id": "empty0", "imageCount": 0}]
    assert claimed(value, sources, heads, is_late) == ({SCOUT: 1, AXIAL: 2}, [])


@either
def test_verdicts_1_a_count_below_what_came_is_another_kind_of_count(is_late):
    heads = [head(f"{SCOUT}.{n}") for n in range(1, 4)]
    sources = {f"{IMAGE}a1b2c3&n={n}": instance.sop_instance_uid for n, instance in enumerate(heads)}
    value = [{"id": "a1b2c3", "count": 1}, {"id": "d4e5f6", "count": 2}]
    assert claimed(value, sources, heads, is_late) == ({}, [None])


@either
def test_verdicts_1_a_value_that_all_entries_share_excuses_no_absent_one(is_late):
    value = {"series": [{"sid": key, "hospital": "H000021"} for key, _ in KEYS]}
    request = f"{IMAGE}a1b2c3&hospital=H000021&no="
    heads = [head(f"{SCOUT}.{n}") for n in (1, 2)]
    sources = {f"{request}{n}": instance.sop_instance_uid for n, instance in enumerate(heads)}
    assert claimed(value, sources, heads, is_late) == ({}, [None, None])


@either
def test_verdicts_1_a_count_of_thousands_of_digits_is_none(is_late):
    value = [{"id": key, "imageCount": "9" * 5000} for key, _ in KEYS]
    _, absent = claimed(value, {IMAGE + "a1b2c3": ONE.sop_instance_uid}, [ONE], is_late)
    assert absent == []


@pytest.mark.parametrize(
    ("rows", "short"),
    [
        ([{"id": "a", "imageCount": 1}, {"id": "b", "imageCount": 12}], True),
        ([{"id": "a", "total": "8"}], True),
        ([{"id": "a", "imageNum": 1}, {"id": "b", "imageNum": 2}], False),
        ([{"id": "a", "frameCount": 30}, {"id": "b", "frameCount": 30}], False),
        ([{"id": "a", "imageCount": 1}, {"id": "b", "imageCount": 1}], False),
        ([{"id": "a", "rows": 512}], False),
    ],
    ids=["counts", "texts", "places", "frames", "one each", "no counts"],
)
def test_verdicts_1_a_rule_that_gives_one_image_of_each_series_is_none(rows, short):
    records = {
        f"https://film.test/{row['id']}": Record({k: str(v) for k, v in row.items()}, frozenset(row), ("list", at))
        for at, row in enumerate(rows)
    }
    assert falls_short(Rule(Template(("", ""), (("id", 0),)), {("list",): tuple(records)}, 2, records=records)) is short


@either
def test_verdicts_1_entries_told_apart_by_a_series_name_are_series_and_no_images(is_late):
    """Fields of no known name (张数, 图片 by their initials); the scout's only image came, the list's other entry is a series."""
    value = {"data": [{"xlms": "Scout", "zs": 1, "tp": [{"id": "a1b2c3"}]}, {"xlms": "5mm", "zs": 12, "tp": []}]}
    counts, absent = claimed(
        value, {IMAGE + "a1b2c3": ONE.sop_instance_uid}, [head(f"{SCOUT}.1", description="Scout")], is_late
    )
    assert counts == {}
    assert absent == [None]
