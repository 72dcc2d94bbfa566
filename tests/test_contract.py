"""What the contract does for every provider: defaults of replies, refusals, links by several patterns, dates."""

import json
import re

import pytest

from scraper.contract import (
    ACCESS_CODE,
    Call,
    CheckedReply,
    CloudfilmError,
    CredentialsRefused,
    DownloadNotPermitted,
    Field,
    ImageRow,
    LinkExpired,
    NoSuchStudy,
    Number,
    Problem,
    Provider,
    Repaired,
    Reply,
    Request,
    Response,
    Series,
    SeriesRow,
    SessionLapsed,
    ShareCancelled,
    ShareLink,
    SiteBusy,
    SiteChanged,
    Study,
    StudyGone,
    StudyRow,
    WadoUri,
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


class ListedReply(SeriesRow):
    uid: str = Field("", alias="seriesUid")


class DatedReply(CheckedReply, StudyRow):
    uid: str = Field("", alias="study.uid|study.other")
    date: str = Field("", alias="study.date|study.datetime")
    description: Repaired = ""
    series: tuple[ListedReply, ...] = ()


def test_of_several_names_the_first_that_holds_something_counts():
    reply = response({"study": {"uid": "", "other": 7, "datetime": "2026-01-12 08:30"}, "description": "æµ\x8b"})
    study = reply.read(DatedReply).study
    assert (study.uid, study.date, study.description) == ("7", "20260112", "测")


LISTS = {
    "a list": [{"seriesUid": "2", "number": 2, "images": [{"number": 2, "url": "/b"}, {"number": 1, "url": "a"}]}],
    "an object of rows": {
        "2": {"number": 2, "images": {"x": {"number": 2, "url": "/b"}, "y": {"number": 1, "url": "a"}}}
    },
    "an image listed once more": [
        {
            "seriesUid": "2",
            "number": 2,
            "images": [{"number": 1, "url": "a"}, {"number": 2, "url": "/b"}, {"number": 1, "url": "a"}],
        }
    ],
}


@pytest.mark.parametrize("series", LISTS.values(), ids=LISTS)
def test_rows_describe_themselves(series):
    study = response({"study": {"uid": "1"}, "series": series}).read(DatedReply)
    (found,) = study.described("https://store.test/film/", {"token": "t"})
    assert (found.study_instance_uid, found.name, found.number, found.expected) == ("1", "2", 2, 2)
    sources = [instance.source for instance in found.instances]
    assert sources == [WadoUri(f"https://store.test/{path}", {"token": "t"}) for path in ("film/a", "b")]


def test_an_image_without_an_address_is_named_and_counted():
    row = SeriesRow(images=(ImageRow(uid="7"), ImageRow(), ImageRow()))
    found = row.described(Study("1"), 3)
    assert (found.instances, found.expected, found.key) == ((), 3, "3")
    assert found.problems[0].instances == ("7", "3/1", "3/2")


def test_addresses_follow_a_pattern():
    class PatternReply(SeriesRow):
        address = "{study.uid}/{series.uid}/{image.uid}"

    found = PatternReply(uid="2", images=(ImageRow(uid="3"),)).described(Study("1"), 0, "https://a.test/dicom/")
    assert found.instances[0].source == WadoUri("https://a.test/dicom/1/2/3")


class CodedReply(CheckedReply):
    good = ("0",)
    means = {"E1": LinkExpired}  # noqa: RUF012  # as a provider writes it
    otherwise = DownloadNotPermitted


class AnswerReply(CheckedReply):
    success: bool = False
    checks = ACCESS_CODE


class SealedReply(CheckedReply):
    success: bool = False
    is_sealed = True


@pytest.mark.parametrize(
    ("kind", "answer", "error"),
    [
        (CodedReply, {"code": "E1", "msg": "no"}, LinkExpired),
        (CodedReply, {"code": "E2", "msg": "no"}, DownloadNotPermitted),
        (CodedReply, {"code": "E2", "msg": "查无此检查"}, NoSuchStudy),
        (AnswerReply, {"message": "安全码错误"}, CredentialsRefused),
        (AnswerReply, {"message": "链接已过期"}, LinkExpired),
        (SealedReply, {"message": "验签失败"}, SiteChanged),
        (SealedReply, {"message": "无权"}, StudyGone),
    ],
)
def test_a_refusal_means_what_its_attributes_say(kind, answer, error):
    assert type(response(answer).read(kind).refusal()) is error


@pytest.mark.parametrize(
    ("answer", "asks"),
    [
        ({"message": "请输入安全码"}, True),
        ({"message": "Wrong access code"}, True),
        ({"message": "安全码已过期"}, False),
        ({"message": "无权"}, False),
        ({"success": True, "message": "密码"}, False),
    ],
)
def test_whether_a_site_asks_for_a_code_is_read_from_its_words(answer, asks):
    assert response(answer).read(AnswerReply).asks is asks


LINK = ShareLink("https://film.aurora.test/s/Ab%2B1?Token=a%2Fb#/list?kind=ct", {"share": "Ab%2B1"})


@pytest.mark.parametrize(
    ("call", "method", "url", "body"),
    [
        (Call("/api/{share}/{none}"), "GET", "https://film.aurora.test/api/Ab%2B1/", None),
        (
            Call("https://{host}:8443/x", {"token": "{token}", "kind": "{type|kind|=mr}", "size": "{size|=9}"}),
            "GET",
            "https://film.aurora.test:8443/x?token=a%2Fb&kind=ct&size=9",
            None,
        ),
        (Call("{root}list", method="POST"), "POST", "https://api.test/v1/list", None),
        (
            Call("/in", json={"share": "{share}", "code": "{answer}", "page": 1}),
            "POST",
            "https://film.aurora.test/in",
            b'{"share":"Ab+1","code":"{x}","page":1}',
        ),
        (Call("/in", form={"uid": "{uid}"}), "POST", "https://film.aurora.test/in", b"uid=1.2"),
    ],
)
def test_a_call_is_filled_from_the_link_from_a_reply_and_from_what_is_given(call, method, url, body):
    request = call.request(LINK, RowReply(uid="1.2"), root="https://api.test/v1/", answer="{x}")
    assert (request.method, request.url, request.body) == (method, url, body)


def test_a_call_of_the_pages_own_is_found_by_its_address():
    assert re.search(Call("/api/{share}/list").pattern, "https://film.aurora.test/api/Ab1/list?x=1")
    assert not re.search(Call("/api/list").pattern, "https://film.aurora.test/api/listing")


class EntryProvider(Provider):
    name = "entry"
    entry = Call("/api/study/{code}")

    async def describe(self, link: ShareLink, session: object, response: Response) -> list[Series]:
        return [Series(key=response.text)]


async def test_a_provider_by_its_entry_sends_it_and_waits_for_the_pages_own():
    class Sent:
        async def send(self, request: Request) -> Response:
            return Response(200, {}, request.url.encode(), request.url)

    link = ShareLink("https://film.aurora.test/s?code=7")
    found = [series async for series in iterate(EntryProvider().discover(link, Sent()))]
    assert [series.key for series in found] == ["https://film.aurora.test/api/study/7"]
    assert EntryProvider.speaks_directly()
    assert EntryProvider.watches()
    assert EntryProvider.study_list_call == EntryProvider.entry.pattern
