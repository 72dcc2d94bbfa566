"""What the tap copies of a browser's responses, and how they are kept: whole, streamed, on the disk."""

import asyncio
import errno
from pathlib import Path

import pytest

from scraper.core.disk import disk_errors
from scraper.core.errors import DiskFull, NotWritable, SiteChanged, SiteUnreachable
from scraper.core.reasons import Reason
from scraper.core.settings import Settings
from scraper.session.browser import copy_rules, tap, traffic
from scraper.session.browser.tap import Tap, TargetClosed
from scraper.session.browser.traffic import WEBSOCKET_OUT, Exchange, Traffic


def seen(url: str, status: int = 200, kind: str = "xhr") -> Exchange:
    return Exchange(url, kind, status=status)


@pytest.fixture
def empty(tmp_path):
    return Traffic(tmp_path / "spool", "film.test")


async def test_what_came_before_and_after_is_found(empty):
    empty.add(seen("http://film.test/api/study/1"))
    assert (await empty.wait_for(r"/study/\d", timeout_s=0)).url.endswith("/1")
    waiting = [asyncio.create_task(empty.wait_for(name, timeout_s=30)) for name in ("/late$", "/later$")]
    await asyncio.sleep(0)
    empty.add(seen("http://film.test/later"))
    empty.add(seen("http://film.test/late"))
    assert [item.url[-5:] for item in await asyncio.gather(*waiting)] == ["/late", "later"]


async def test_a_good_answer_is_preferred_and_a_refusal_given_in_the_end(empty):
    for status in (302, 401, 200):
        empty.add(seen("http://film.test/api", status))
    empty.add(seen("http://film.test/other", 403))
    empty.add(seen("http://film.test/asked", 101, WEBSOCKET_OUT))
    assert (await empty.wait_for("/api", timeout_s=0)).status == 200
    assert (await empty.wait_for("/other", timeout_s=0)).status == 403
    with pytest.raises(SiteChanged):
        await empty.wait_for("/asked", timeout_s=0)
    assert [item.status for item in empty.matching("/api|/asked")] == [302, 401, 200]


async def test_the_end_reaches_everyone(empty):
    waiting = [
        asyncio.create_task(empty.wait_for("never", timeout_s=30)),
        asyncio.create_task(empty.settled(quiet_s=30, up_to_s=30)),
        asyncio.create_task(empty.after(0, timeout_s=30)),
    ]
    await asyncio.sleep(0)
    empty.end(SiteUnreachable(host="film.test", why=Reason.BROWSER_ENDED))
    empty.end(SiteChanged())
    for task in waiting:
        with pytest.raises(SiteUnreachable):
            await task
    with pytest.raises(SiteUnreachable):
        await empty.wait_for("never", timeout_s=30)


@pytest.mark.parametrize("turns", range(6))
async def test_what_comes_together_with_a_cancellation_does_not_undo_it(empty, turns):
    """Else neither patience nor Ctrl-C would end a run whose page goes on answering."""
    waiting = asyncio.create_task(empty.wait_for("never", timeout_s=30))
    for _ in range(4):
        await asyncio.sleep(0)
    empty.add(seen("http://film.test/list/1"))
    for _ in range(turns):  # of the loop, in which the news reaches who waits
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_settled(empty):
    assert await empty.settled(quiet_s=0, up_to_s=30)
    empty.busy = 1
    assert not await empty.settled(quiet_s=0.01, up_to_s=0.05)


async def test_what_brings_no_exchange_is_no_end_of_the_wait(empty):
    waiting = asyncio.create_task(empty.after(0, timeout_s=30))
    await asyncio.sleep(0)
    empty.miss("http://film.test/favicon.ico", "no body")
    for _ in range(5):
        await asyncio.sleep(0)
    empty.add(seen("http://film.test/list"))
    assert [item.url for item in await waiting] == ["http://film.test/list"]


async def test_after(empty):
    empty.add(seen("http://film.test/1"))
    assert await empty.after(1, timeout_s=0) == []
    assert [item.url for item in await empty.after(0, timeout_s=0)] == ["http://film.test/1"]


def test_small_bodies_stay_in_memory_until_there_are_many(empty, monkeypatch):
    monkeypatch.setattr(traffic, "IN_MEMORY_ALL", 10)
    assert empty.keep(b"12345678") == b"12345678"
    third = empty.keep(b"abc")
    assert isinstance(third, Path)
    large = empty.keep(b"x" * (traffic.IN_MEMORY_EACH + 1))
    assert isinstance(large, Path)
    exchange = Exchange("u", "xhr", body=third, size=3)
    assert (exchange.read(), exchange.read(2)) == (b"abc", b"ab")
    assert Exchange("u", "xhr", body=b"abc").read(2) == b"ab"
    empty.clear()
    assert not third.parent.exists()


@pytest.mark.parametrize("number, error", [(errno.ENOSPC, DiskFull), (errno.EACCES, NotWritable)])
def test_the_disk_says_no(number, error, tmp_path):
    with pytest.raises(error), disk_errors(tmp_path):
        raise OSError(number, "no")


def paused(url="http://film.test/x", status: int | None = 200, kind="XHR", method="GET", **headers):
    return {
        "requestId": "r1",
        "resourceType": kind,
        "responseStatusCode": status,
        "request": {"url": url, "method": method, "headers": {"X-Token": "t"}},
        "responseHeaders": [{"name": name.replace("_", "-"), "value": value} for name, value in headers.items()],
    }


class DevTools:
    """The browser's side of the protocol, for answers that no browser gives at will."""

    def __init__(self, **answers):
        self.answers = answers
        self.sent = []

    async def __call__(self, method, params):
        self.sent.append(method.partition(".")[2])
        answer = self.answers.get(self.sent[-1], {})
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def tapped(empty, devtools, event, timeout_s=5.0):
    """What the tap asked of the browser for one event."""
    item = Tap(devtools, lambda: empty, Settings(timeout_s=timeout_s))
    item.paused(event)
    async with asyncio.timeout(10):
        while item.is_busy:  # noqa: ASYNC110  # one task begets another
            await asyncio.sleep(0)
    return devtools.sent


@pytest.mark.parametrize(
    "event",
    [
        paused(content_type="text/event-stream; charset=utf-8"),
        paused(content_type="video/mp4", content_length="9"),
        paused(status=None),
        paused(method="OPTIONS", content_length="0"),
        paused(kind="Script", content_type="text/javascript"),
        paused(kind="Script", content_type="text/javascript", content_length="9000000"),
        paused(kind="Document", content_type="application/zip", content_length="9"),
        paused(kind="Document", content_type="text/html", content_disposition="Attachment; filename=a.dcm"),
        paused(url="blob:http://film.test/1", content_length="9"),
    ],
)
async def test_what_cannot_matter_goes_on_at_once(event, empty):
    assert await tapped(empty, DevTools(), event) == ["continueRequest"]
    assert empty.exchanges == []


def preflight(status: int, **headers):
    event = paused(status=status, method="OPTIONS", **headers)
    event["request"]["headers"] = {"Origin": "http://film.test", "Access-Control-Request-Method": "GET"}
    return event


@pytest.mark.parametrize("status", [200, 204, 403])
async def test_a_preflight_ends_with_its_head(status, empty):
    """Where its body ends later, the browser cancels what was allowed."""
    assert await tapped(empty, DevTools(), preflight(status, content_length="2")) == ["fulfillRequest"]
    assert empty.exchanges == []


async def test_a_preflight_that_is_redirected_goes_on(empty):
    assert await tapped(empty, DevTools(), preflight(302, location="/y")) == ["continueRequest"]


@pytest.mark.parametrize(
    "event", [paused(status=302, location="/y"), paused(status=204), paused(method="HEAD", content_length="9")]
)
async def test_answers_without_a_body_are_remembered(event, empty):
    assert await tapped(empty, DevTools(), event) == ["continueRequest"]
    assert [exchange.status for exchange in empty.exchanges] == [event["responseStatusCode"]]


@pytest.mark.parametrize(
    "event",
    [
        paused(content_length="3"),
        paused(content_length="three"),
        paused(content_type="multipart/related"),
        paused(kind="Script", content_type="application/json"),
        paused(kind="Script", content_type="text/javascript", content_length="3"),
        paused(kind="Document", content_type="text/html; charset=gbk"),
        paused(kind="Image", content_type="image/jpeg", content_length="3"),
        paused(content_length="9", content_encoding="br", set_cookie="a=1", Set_Cookie="b=2", vary="x", Vary="y"),
    ],
)
async def test_bodies_are_copied_and_let_go(event, empty):
    devtools = DevTools(getResponseBody={"body": "YWJj", "base64Encoded": True})
    assert await tapped(empty, devtools, event) == ["getResponseBody", "continueRequest"]
    (item,) = empty.exchanges
    assert (item.read(), item.size, item.request_headers) == (b"abc", 3, {"x-token": "t"})
    assert item.headers.get("vary", "x, y") == "x, y"
    assert item.headers.get("set-cookie", "a=1\nb=2") == "a=1\nb=2"


async def test_a_body_that_is_shorter_than_stated_is_missed(empty):
    devtools = DevTools(getResponseBody={"body": "YWJj", "base64Encoded": True})
    assert await tapped(empty, devtools, paused(content_length="4")) == ["getResponseBody", "continueRequest"]
    assert (empty.exchanges, [why for _, why in empty.missed]) == ([], ["cut short"])


PIECES = [{"data": "YWJj", "base64Encoded": True, "eof": False}, {"data": "d", "eof": True}]
PACKAGE = paused(content_type="application/zip")
HUGE = paused(content_length=str(copy_rules.WHOLE + 1))


@pytest.mark.parametrize("event", [PACKAGE, HUGE, paused(content_disposition="attachment")])
async def test_large_bodies_come_in_pieces(event, empty):
    devtools = DevTools(takeResponseBodyAsStream={"stream": "1"}, read=list(PIECES))
    sent = await tapped(empty, devtools, event)
    assert sent == ["takeResponseBodyAsStream", "read", "read", "close", "fulfillRequest"]
    assert [exchange.read() for exchange in empty.exchanges] == [b"abcd"]


@pytest.mark.parametrize(
    "first, last", [("YWJj", "fulfillRequest"), ("UEsD", "failRequest")], ids=["is asked again", "a zip is not"]
)
async def test_a_large_body_is_not_handed_back(first, last, empty, monkeypatch):
    monkeypatch.setattr(tap, "FOR_PAGE", 2)
    devtools = DevTools(
        takeResponseBodyAsStream={"stream": "1"}, read=[{"data": first, "base64Encoded": True, "eof": True}]
    )
    assert (await tapped(empty, devtools, PACKAGE))[-1] == last
    assert [exchange.size for exchange in empty.exchanges] == [3]


@pytest.mark.parametrize(
    "answers",
    [
        {"getResponseBody": TargetClosed("cancelled")},
        {"takeResponseBodyAsStream": {"stream": "1"}, "read": TargetClosed("cancelled")},
        {"takeResponseBodyAsStream": TargetClosed("cancelled")},
    ],
)
async def test_a_request_that_was_cancelled_is_noted(answers, empty):
    event = paused(content_length="3") if "getResponseBody" in answers else PACKAGE
    await tapped(empty, DevTools(**answers), event)
    assert (empty.exchanges, empty.missed) == ([], [("http://film.test/x", "cancelled")])


async def test_an_empty_body_in_pieces(empty):
    devtools = DevTools(takeResponseBodyAsStream={"stream": "1"}, read={"data": "", "eof": True})
    assert (await tapped(empty, devtools, PACKAGE))[-1] == "failRequest"
    assert [exchange.size for exchange in empty.exchanges] == [0]


async def test_a_full_disk_ends_the_waiting(empty, monkeypatch):
    def full(self, data):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(traffic, "IN_MEMORY_EACH", 1)
    await tapped(empty, DevTools(getResponseBody={"body": "abc"}), paused(content_length="3"))
    with pytest.raises(DiskFull):
        await empty.wait_for("never", timeout_s=5)


async def test_without_a_window_everything_passes():
    devtools = DevTools()
    item = Tap(devtools, lambda: None, Settings(timeout_s=5))
    item.paused(paused(content_length="3"))
    await item.forget()
    await asyncio.sleep(0)
    assert not item.is_busy


def test_request_bodies():
    event = paused(content_length="3")
    event["request"] |= {"postDataEntries": [{"bytes": "YWJj"}, {}, {"bytes": "ZA=="}]}
    assert tap._sent(event["request"]) == b"abcd"
    assert tap._sent({"postData": "übel"}) == "übel".encode()
    assert tap._sent({"postData": "x" * (tap.REQUEST_BODY + 1)}) is None


def test_another_image_under_one_address_is_news_and_the_same_again_is_none(empty):
    """Many sites tell their images apart in the query alone, and images of one kind are of one size."""
    news: list[bool] = []
    empty.on_news = news.append
    for number, content in ((1, 1), (2, 2), (3, 2)):
        body = bytes(128) + b"DICM" + bytes([content]) * 8000
        empty.add(Exchange(f"http://film.test/image?id={number}", "xhr", body=body, size=len(body)))
    assert news == [True, True]
    for number in range(3):
        body = b'{"page": %d}' % number + b" " * 4000
        empty.add(Exchange(f"http://film.test/list?page={number}", "xhr", body=body, size=len(body)))
    assert news == [True, True, False]


def test_memory_is_earned_by_images_up_to_a_bound(empty):
    body = bytes(128) + b"DICM" + bytes(9000)
    empty.add(Exchange("http://film.test/1", "xhr", body=body, size=len(body)))
    assert empty.earned_bytes == len(body)
    empty.most_earned = 5000
    assert (empty.earned_bytes, empty.image_bytes) == (5000, len(body))
