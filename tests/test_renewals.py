"""Tokens that a page renews: the newest is sent, and what ends one is found out by a single refusal."""

import asyncio
import json
from collections import Counter

import pytest

from scraper.capture.infer.page_made import made_up
from scraper.capture.request.renewals import Renewals
from scraper.core.errors import SessionLapsed
from scraper.session.browser.traffic import Exchange, Traffic

HOST = "https://film.test"


def token(value: str) -> Exchange:
    body = json.dumps({"data": {"access": value}}).encode()
    return Exchange(f"{HOST}/token", "fetch", method="POST", body=body, size=len(body))


def image(number: int, value: str, *, status: int = 200) -> Exchange:
    sent = {"authorization": f"Bearer {value}", "user-agent": "x"}
    return Exchange(f"{HOST}/image/{number:04d}", "fetch", request_headers=sent, status=status, body=b"1", size=1)


@pytest.fixture
def traffic(tmp_path):
    made = Traffic(tmp_path / "spool", "film.test")
    made.add(token("first-token"))
    made.add(image(1, "first-token"))
    return made


def renewing(traffic, *values):
    """The page that renews with each of these tokens in turn, and does no more then."""
    left = list(values)

    async def ask_page(is_enough):
        if left:
            traffic.add(token(left[0]))
            traffic.add(image(2, left.pop(0)))
            assert is_enough()

    return Renewals(traffic, traffic.exchanges[1], ask_page), left


async def test_a_token_that_the_page_has_renewed_meanwhile_is_sent(traffic):
    renewals, _ = renewing(traffic)
    assert renewals.headers()["authorization"] == "Bearer first-token"
    traffic.add(token("second-token"))
    assert renewals.headers()["authorization"] == "Bearer second-token"
    traffic.add(token("third-token"))
    assert renewals.headers()["authorization"] == "Bearer third-token"
    assert renewals.headers()["user-agent"] == "x"


class Site:
    """A site that takes each token for some requests of ours."""

    def __init__(self, renewals, uses):
        self.renewals, self.uses, self.refused = renewals, uses, 0
        self.carried = Counter()

    async def send(self):
        sent = self.renewals.headers()["authorization"].split()[1]
        await asyncio.sleep(0)
        if self.carried[sent] >= self.uses:
            self.refused += 1
            raise SessionLapsed
        self.carried[sent] += 1
        return sent


async def test_a_refused_token_is_renewed_and_the_next_one_is_not_sent_too_often(traffic):
    renewals, left = renewing(traffic, "second-token", "third-token")
    site = Site(renewals, 3)
    came = [await renewals.carried(site.send) for _ in range(9)]
    assert came == ["first-token"] * 3 + ["second-token"] * 3 + ["third-token"] * 3
    assert (site.refused, left) == (1, [])


async def test_requests_at_once_are_refused_together_and_renew_once(traffic):
    renewals, left = renewing(traffic, "second-token", "third-token")
    site = Site(renewals, 3)
    came = await asyncio.gather(*(renewals.carried(site.send) for _ in range(6)))
    assert Counter(came) == {"first-token": 3, "second-token": 3}
    assert (site.refused, left) == (3, ["third-token"])


async def test_a_refusal_that_no_renewal_ends_is_one(traffic):
    for tokens, refused in ((), 2), (("second-token", "third-token", "fourth-token"), 4):
        renewals, _ = renewing(traffic, *tokens)
        site = Site(renewals, 0)
        for _ in range(2):
            with pytest.raises(SessionLapsed):
                await renewals.carried(site.send)
        assert site.refused == refused
        assert not renewals


def test_what_names_an_image_is_no_token(traffic):
    async def never(_):
        raise AssertionError

    assert not Renewals(traffic, traffic.exchanges[1], never, {"first-token"})


@pytest.mark.parametrize(
    ("text", "is_made"),
    [
        ("/image?sign=9f3c0a77de12", True),
        ("/image?n=4f0c8f0e-7a55-4a3e-9d1c-2f2b4c7f9a10", True),
        ("/image?sign=aa11bb22cc33", False),  # a reply gave it
        ("/image?key=77aa88bb99cc", False),  # the link has it
        ("/image?_=1764521234567", False),
    ],
)
def test_a_value_that_nothing_gave_the_page_was_made_by_it(traffic, text, is_made):
    traffic.exchanges.insert(0, Exchange(f"{HOST}/list", "fetch", body=b'{"s":"aa11bb22cc33"}', size=20))
    assert made_up([text], traffic.exchanges[-1], traffic.exchanges, f"{HOST}/s/77aa88bb99cc") is is_made
