"""What the contract does for every provider: defaults of replies, refusals, links by several patterns, dates."""

import json

import pytest

from scraper.contract import (
    CheckedReply,
    CloudfilmError,
    DownloadNotPermitted,
    Field,
    LinkExpired,
    NoSuchStudy,
    Number,
    Problem,
    Provider,
    Reply,
    Response,
    Series,
    SessionLapsed,
    ShareCancelled,
    ShareLink,
    SiteBusy,
    SiteChanged,
    Study,
    StudyGone,
    iterate,
    refusal_error,
    route,
)
from scraper.session.http.encode import page_headers

URL = "https://film.aurora.test/api/study"


class RowReply(Reply):
    uid: str = ""
    count: Number = None


class StudyReply(Reply):
    name: str = "nobody"
    deep: str = Field("", alias="data.studies.0.uid")
    needed: str = Field(alias="data.code")
    rows: tuple[RowReply, ...] = Field((), alias="data.rows")
    row: RowReply = Field(default_factory=RowReply.empty)


class GoodReply(CheckedReply):
    good = ("0",)
    value: str = Field("", alias="data.value")


class EntranceReply(GoodReply):
    is_entrance = True


class WordsReply(CheckedReply):
    success: bool = False

    def refusal(self) -> CloudfilmError:
        return DownloadNotPermitted(self.message)


def response(value: object, status: int = 200, **headers: str) -> Response:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Response(status, headers, body, URL)


@pytest.mark.parametrize(
    "value",
    [
        {"data": {"code": 7}},
        {"name": None, "row": None, "data": {"code": "7", "studies": [], "rows": None}},
        {"name": None, "row": {}, "data": {"code": "7", "studies": None, "rows": []}},
        {"row": {"uid": None, "count": ""}, "data": {"code": "7", "studies": [{"uid": None}]}},
        {"row": "", "data": {"code": "7", "studies": "none"}},
    ],
)
def test_what_is_null_or_absent_becomes_the_default(value):
    reply = response(value).read(StudyReply)
    assert (reply.name, reply.deep, reply.needed, reply.rows, reply.row) == ("nobody", "", "7", (), RowReply.empty())


def test_an_alias_with_dots_leads_into_the_reply():
    value = {"data": {"code": "1", "studies": [{"uid": 1.5}], "rows": [{"uid": "a", "count": "60.0"}, {"count": "x"}]}}
    reply = response(value).read(StudyReply)
    assert (reply.deep, [(row.uid, row.count) for row in reply.rows]) == ("1.5", [("a", 60), ("", None)])


def test_a_key_that_is_missing_is_named_by_its_path():
    with pytest.raises(SiteChanged) as caught:
        response({"data": {}}).read(StudyReply)
    assert caught.value.values["what"] == "/api/study, data.code: missing"


@pytest.mark.parametrize(
    ("kind", "answer", "error"),
    [
        (GoodReply, response({"code": 1, "msg": "链接已过期"}), LinkExpired),
        (GoodReply, response({"code": 1, "message": "分享已取消"}, 403), ShareCancelled),
        (GoodReply, response({"code": 1}), StudyGone),
        (GoodReply, response(b"<html>", 403), SessionLapsed),
        (EntranceReply, response(b"", 401), StudyGone),
        (GoodReply, response(b"", 404), NoSuchStudy),
        (GoodReply, response(b"<html>"), SiteChanged),
        (GoodReply, response({"code": 0}, 503), SiteBusy),
        (WordsReply, response({"success": False, "message": "不允许"}), DownloadNotPermitted),
        (WordsReply, response({"message": "不允许"}, 500), DownloadNotPermitted),
    ],
)
def test_an_answer_raises_what_the_site_says(kind, answer, error):
    with pytest.raises(error) as caught:
        answer.checked(kind)
    assert type(caught.value) is error


def test_an_answer_that_agrees_is_given():
    assert response({"code": 0, "data": {"value": "x"}}).checked(GoodReply).value == "x"


def test_a_refusal_that_is_judged_by_the_provider_is_not_raised():
    assert not response({"code": 1}, 403).unwrap(GoodReply).ok


@pytest.mark.parametrize(
    ("words", "error"), [("二维码已失效", LinkExpired), ("查无此检查", NoSuchStudy), ("无权下载", DownloadNotPermitted)]
)
def test_words_that_say_nothing_of_the_share_mean_what_the_provider_says(words, error):
    assert type(refusal_error(words, or_else=DownloadNotPermitted)) is error


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("20260112", "20260112"),
        ("2026-01-12 08:30:00", "20260112"),
        ("2026/1/2", "20260102"),
        ("2026年1月12日", "20260112"),
        ("20260112083000.000", "20260112"),
        ("2026.01.12", "20260112"),
        ("2026", ""),
        ("", ""),
        ("unknown", ""),
    ],
)
def test_a_study_has_a_date_as_dicom_writes_it(text, date):
    assert Study(date=text).date == date


def test_what_a_site_lists_and_does_not_serve_is_named():
    series = Series("1.2", "1.2.3", expected=2)
    assert series.without([], "no address") is series
    left_out = series.without(["a", "b"], "no address").problems
    assert left_out == (Problem("left-out", ("a", "b"), {"what": "no address"}, fatal=False),)


class Doors(Provider):
    name = "doors"

    @route(r"/t/{share}", r"/u/{share}/?")
    async def by_share(self, link: ShareLink, session: object) -> list[Series]:
        return [Series(key=f"share {link['share']}")]

    @route(r"/list/(?P<kind>\w+)\?id={number}")
    async def by_list(self, link: ShareLink, session: object) -> list[Series]:
        return [Series(key=f"{link['kind']} {link['number']}")]


@pytest.mark.parametrize(
    ("path", "key"), [("/t/Ab1", "share Ab1"), ("/u/Ab1/", "share Ab1"), ("/list/study?id=7", "study 7")]
)
async def test_each_kind_of_link_has_its_method(path, key):
    matched = Doors.reads(ShareLink(f"https://film.aurora.test{path}"))
    assert matched is not None
    found = [series async for series in iterate(Doors().discover(matched, None))]
    assert [series.key for series in found] == [key]


@pytest.mark.parametrize("path", ["/t/a/b", "/t/", "/list/study?id=", "/t/a?x=1"])
def test_a_link_of_no_method_is_not_the_providers(path):
    assert Doors.reads(ShareLink(f"https://film.aurora.test{path}")) is None


def test_a_provider_by_methods_speaks_directly_and_has_no_viewer_of_its_own():
    assert Doors.speaks_directly()
    assert not Doors.has_viewer()
    assert not Doors.watches()


@pytest.mark.parametrize(
    ("url", "method", "headers"),
    [
        ("https://a.test/x", "GET", {"Referer": "https://a.test/film?code=1"}),
        ("https://a.test/x", "POST", {"Origin": "https://a.test", "Referer": "https://a.test/film?code=1"}),
        ("https://a.test:8443/x", "GET", {"Origin": "https://a.test", "Referer": "https://a.test/"}),
        ("https://b.test/x", "GET", {"Origin": "https://a.test", "Referer": "https://a.test/"}),
    ],
)
def test_a_request_names_the_links_page_as_a_browser_does(url, method, headers):
    assert page_headers("https://a.test/film?code=1#secret", url, method) == headers


def test_a_page_is_named_in_ascii():
    assert page_headers("https://a.test/?title=影", "https://a.test/x", "GET") == {
        "Referer": "https://a.test/?title=%E5%BD%B1"
    }
