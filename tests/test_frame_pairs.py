"""Which image a reply of bare pixels belongs to: certain, or not paired."""

import json

import numpy as np
import pytest

from scraper.capture.infer.frame_replies import FrameReplies
from scraper.capture.observe.received import Observations
from scraper.session.browser.traffic import Exchange

SIDE = 16
SERIES = {"1.2.3.1": 2, "1.2.3.2": 2}


def tags(series: str, number: int) -> dict:
    return {
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": series,
        "SeriesNumber": int(series[-1]),
        "SOPInstanceUID": f"{series}.{number}",
        "InstanceNumber": number,
        "Rows": SIDE,
        "Columns": SIDE,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "SamplesPerPixel": 1,
        "id": f"im-{series[-1]}000{number}",
    }


LIST = [tags(series, number) for series, count in SERIES.items() for number in range(1, count + 1)]


def pixels(seed: int) -> bytes:
    return b"".join(((seed * 31 + place * 7) % 4001).to_bytes(2, "little") for place in range(SIDE * SIDE))


def noise(most: int) -> bytes:
    """Of the very size that the tags say."""
    values = np.random.default_rng(5).integers(0, most, SIDE * SIDE)
    return values.astype("<u2").tobytes()


async def paired(exchanges, folder) -> set[str]:
    observations = Observations(folder)
    replies = FrameReplies(observations)
    for place in range(len(exchanges)):
        await observations.take(exchanges[: place + 1])
        replies.resolve()
    return set(observations.frames)


def reply(path: str, body: bytes, **more) -> Exchange:
    return Exchange(f"https://a.test{path}", "fetch", body=body, size=len(body), **more)


def as_list(value) -> bytes:
    return json.dumps({"images": value}).encode()


@pytest.mark.parametrize(
    ("exchanges", "uids"),
    [
        ([reply("/list", as_list(LIST)), reply("/px/im-10001", pixels(1))], {"1.2.3.1.1"}),
        ([reply("/list", as_list(LIST)), reply("/px?uid=1.2.3.2.2", pixels(1))], {"1.2.3.2.2"}),
        ([reply("/list", as_list(LIST)), reply("/px/2/1", pixels(1))], set()),
        (
            [reply("/list", as_list(LIST)), reply("/px?s=1&i=2", pixels(1)), reply("/px?s=2&i=1", pixels(2))],
            {"1.2.3.1.2", "1.2.3.2.1"},
        ),
        ([reply("/list", as_list(LIST)), reply("/px?no=1", pixels(1)), reply("/px?no=2", pixels(2))], set()),
        ([reply("/tags?image=3", as_list([LIST[2]])), reply("/px?image=3", pixels(1))], {"1.2.3.2.1"}),
        ([reply("/tags?image=3", as_list([LIST[2]])), reply("/px?series=3", pixels(1))], set()),
        ([reply("/tags?series=3", as_list(LIST[2:])), reply("/px?series=3", pixels(1))], set()),
        ([reply("/list", as_list(LIST)), reply("/px/im-10001", pixels(1)[:-40])], set()),
        ([reply("/list", as_list(LIST)), reply("/px/im-10001", noise(65536))], set()),
        ([reply("/list", as_list(LIST)), reply("/px/im-10001", noise(4096))], set()),
    ],
    ids=[
        "an id",
        "a UID",
        "numbers once",
        "numbers that a template gives",
        "one address for two images",
        "as its tags were asked for",
        "another parameter",
        "the tags of several images",
        "too short",
        "encrypted",
        "within its bits, and noise",
    ],
)
async def test_a_reply_of_pixels_is_paired_where_it_is_certain_whose_it_is(exchanges, uids, tmp_path):
    assert await paired(exchanges, tmp_path) == uids
