"""What lists make expected, rules from one request, what prepares images, whose an answer is: from traffic alone."""

import json

import pytest

from scraper.capture.infer import siblings, single_request
from scraper.capture.infer.list_index import KnownImage
from scraper.capture.infer.preparation import preparations, staging
from scraper.capture.infer.volatile import VolatileParts
from scraper.capture.observe import correlate
from scraper.capture.observe.received import Manifest
from scraper.session.browser.traffic import WEBSOCKET_IN, Exchange

SITE = "https://film.test"
A, B, C = ("ser-a1b2c3", "ser-d4e5f6", "ser-071829")
SIZES = {A: 1, B: 12, C: 8}


def ids(series: str) -> list[str]:
    return [f"im{series[4:8]}{number:04d}x" for number in range(SIZES[series])]


NESTED = {
    "study": "st-99",
    "series": [{"id": text, "count": len(ids(text)), "images": [{"id": item} for item in ids(text)]} for text in SIZES],
}
PLAIN = {"series": [{"id": text, "images": ids(text)} for text in SIZES]}
FLAT = {
    "series": [{"id": text, "name": text[::-1]} for text in SIZES],
    "images": [{"id": text, "series": item} for item in SIZES for text in ids(item)],
}
NAMES = {"series": [{"id": text, "seriesName": f"序列 {text[-2:]}"} for text in SIZES]}
PRIORS = {
    "series": NESTED["series"],
    "history": [{"examId": "ex-1", "images": [{"id": f"old{n:05d}"} for n in range(9)]}],
}
COMMON = {"hospitals": [{"code": f"H0000{n}"} for n in range(5)], **NESTED}


def traffic(*lists: tuple[str, object]) -> tuple[list[Manifest], list[Exchange]]:
    manifests = [Manifest(SITE + path, value) for path, value in lists]
    exchanges = [Exchange(SITE + path, "xhr", body=json.dumps(value).encode()) for path, value in lists]
    return manifests, [Exchange(f"{SITE}/v?code=film01", "document"), *exchanges]


def expected(*given) -> siblings.ExpectedImages:
    """All counts, and the most that one list misses."""
    rows = siblings.expected(*given)
    most = max(
        rows,
        key=lambda row: (len(row.absent), sum(count or 0 for _, count in row.absent)),
        default=siblings.ExpectedImages(),
    )
    return siblings.ExpectedImages(siblings.counts_of(rows), most.absent)


def came(series: str, *numbers: int, path: str = "/i?t=9f&id={}", name: str = "") -> list[KnownImage]:
    return [KnownImage(ids(series)[n], f"1.2.{series}", SITE + path.format(ids(series)[n]), name) for n in numbers]


@pytest.mark.parametrize(
    "value", [NESTED, PLAIN, FLAT, PRIORS, COMMON], ids=["nested", "plain", "flat", "priors", "common"]
)
@pytest.mark.parametrize(
    "path", ["/i?t=9f&id={}", "/H00002/{}.dcm?sig=1", '/i\0{{"image":"{}"}}'], ids=["query", "path", "body"]
)
def test_verdicts_a1_siblings_are_expected_by_one_value(value, path):
    manifests, exchanges = traffic(("/H00002/list?hospital=H00002", value))
    image_counts = expected(manifests, exchanges, came(A, 0, path=path))
    assert image_counts.counts == {f"1.2.{A}": 1}
    assert sorted(count for _, count in image_counts.absent) == [8, 12]


def test_verdicts_a1_siblings_of_several_series_that_came_in_part():
    for value in (NESTED, PLAIN, FLAT):
        manifests, exchanges = traffic(("/list", value))
        image_counts = expected(manifests, exchanges, [*came(A, 0), *came(B, 3, 4)])
        assert image_counts.counts == {f"1.2.{A}": 1, f"1.2.{B}": 12}
        assert [count for _, count in image_counts.absent] == [8]


@pytest.mark.parametrize("value", [NESTED, PLAIN, FLAT], ids=["nested", "plain", "flat"])
def test_verdicts_a1_a_list_that_comes_again_expects_the_same(value):
    """As where a page is loaded again, after images came."""
    manifests, exchanges = traffic(("/list", value))
    asked = [Exchange(f"{SITE}/i?t=9f&id={ids(A)[0]}", "xhr", body=b"DICM")]
    image_counts = expected([*manifests, *manifests], [*exchanges, *asked, exchanges[-1]], came(A, 0))
    assert image_counts.counts == {f"1.2.{A}": 1}
    assert sorted(count for _, count in image_counts.absent) == [8, 12]


def test_verdicts_a1_siblings_by_a_list_asked_for_with_the_series():
    lists = (("/list", NAMES), (f"/images?series={B}", {"images": [{"id": text} for text in ids(B)]}))
    manifests, exchanges = traffic(*lists)
    image_counts = expected(manifests, exchanges, came(B, 0, 1))
    assert image_counts.counts == {f"1.2.{B}": 12}
    assert [(max(values, key=len), count) for values, count in image_counts.absent] == [(A, None), (C, None)]


def test_verdicts_a1_siblings_by_a_series_name_and_by_signed_addresses():
    manifests, exchanges = traffic(("/list", NAMES))
    image_counts = expected(manifests, exchanges, came(B, 0, path="/signed/77", name="序列 f6"))
    assert [(max(values, key=len), count) for values, count in image_counts.absent] == [(A, None), (C, None)]
    signed = {"urls": {text: f"/signed/k{n:07d}" for n, text in enumerate(ids(B))}}
    manifests, exchanges = traffic(("/list", NESTED), ("/sign", signed))
    image_counts = expected(
        manifests, exchanges, [image for n in (0, 1) for image in came(B, n, path=f"/signed/k{n:07d}")]
    )
    assert image_counts.counts == {f"1.2.{B}": 12}
    assert [count for _, count in image_counts.absent] == [1, 8]


def test_verdicts_a1_lists_of_other_things_expect_nothing():
    others = {
        "hospitals": [{"code": "H00001"}, {"code": "H00002"}],
        "exams": [{"id": A, "date": "1"}, {"id": B, "date": "2"}],
        "windows": [{"name": "肺窗", "ww": 1500}, {"name": "骨窗", "ww": 2500}],
    }
    manifests, exchanges = traffic(("/H00002/config", others))
    image_counts = expected(manifests, exchanges, came(A, 0, path=f"/H00002/{A}/{{}}.dcm"))
    assert image_counts == siblings.ExpectedImages()


@pytest.mark.parametrize("value", [NESTED, PLAIN, FLAT], ids=["nested", "plain", "flat"])
def test_verdicts_a1_one_request_gives_a_rule_and_its_trials(value):
    asked = f"{SITE}/i?token=t5&id={ids(A)[0]}"
    (rule, *_) = single_request.rules([Manifest(f"{SITE}/list", value)], [asked])
    assert rule.count == 21
    trials = single_request.trials(rule, asked)
    assert trials[0] == asked.replace(ids(A)[0], ids(B)[0])
    assert asked not in trials
    assert sum(trial.rpartition("=")[2] in ids(B) for trial in trials) > 1 or value is FLAT


def test_verdicts_a1_one_request_by_place_is_proven_at_both_ends():
    counts = {"series": [{"id": text, "images": size} for text, size in SIZES.items()]}
    asked = f"{SITE}/i?id={A}&no=1&token=t"
    (rule, *_) = single_request.rules([Manifest(f"{SITE}/list", counts)], [asked])
    assert rule.count == 21
    assert {f"{SITE}/i?id={B}&no={n}&token=t" for n in (1, 2, 11, 12)} <= set(single_request.trials(rule, asked))


def test_verdicts_a1_a_value_that_stands_twice_or_is_short_gives_none():
    repeated = {"images": [{"id": "abcdef1"}, {"id": "abcdef1"}, {"id": "abcdef2"}]}
    short = {"images": [{"id": "12"}, {"id": "13"}]}
    for value, name in ((repeated, "abcdef1"), (short, "12")):
        assert single_request.rules([Manifest(f"{SITE}/list", value)], [f"{SITE}/i?id={name}"]) == []


@pytest.mark.parametrize("each", [True, False])
def test_verdicts_b14_what_was_asked_before_each_image_is_learnt(each):
    manifests, exchanges = traffic(("/list", NESTED))
    asked = [f"{SITE}/i?id={text}" for text in ids(B)[:2]]
    for number, url in enumerate(asked):
        if each or not number:
            sent = json.dumps({"image": ids(B)[number]} if each else {"series": B}).encode()
            exchanges.append(Exchange(f"{SITE}/prepare", "fetch", "POST", {"content-type": "application/json"}, sent))
        exchanges += [
            Exchange(f"{SITE}/beat?n={number}", "fetch"),
            Exchange(url, "fetch", status=404),
            Exchange(url, "fetch"),
        ]
    (rule, *_) = single_request.rules(manifests, asked)
    replies = dict(zip(asked, "12", strict=True))
    (found,) = preparations(exchanges, rule, replies, VolatileParts(()))
    assert staging(exchanges, rule, replies, VolatileParts(())).is_late
    record = rule.records[f"{SITE}/i?id={ids(C)[5]}"]
    request = found.request(record, VolatileParts(()))
    assert (request.url, request.method) == (f"{SITE}/prepare", "POST")
    assert json.loads(request.body) == ({"image": ids(C)[5]} if each else {"series": C})


@pytest.mark.parametrize(
    "head",
    [
        '{{"no":{},"type":"dcm"}}',
        '\0\0\0\x18{{"m":{{"no":{}}},"k":7}}',
        "IMG {} OK\r\n\r\n",
        '{{"size":5310,"no":{}}}\n',
    ],
)
def test_verdicts_a1_a_digit_s_byte_is_no_number(head):
    numbers = [53, 9, 31, 48, 50]
    exchanges = [
        Exchange("wss://film.test/s", WEBSOCKET_IN, "", body=head.format(n).encode() + bytes(128) + b"DICM", status=101)
        for n in numbers
    ]
    answers = [(correlate.id_fields(exchanges, place), f"1.2.{n}") for place, n in enumerate(numbers)]
    slot = correlate.find(answers, {str(n): f"ask {n}" for n in range(1, 61)})
    assert [where[slot] for where, _ in answers] == [str(n) for n in numbers]
