"""Samples that a page drew: stored values where nothing else is possible, an image's where it is certain whose."""

import json

import numpy as np
import pytest

from fixtures.sites.generic_drawn import site as drawn
from fixtures.world import World
from providers.universal import Universal
from scraper.capture.infer.frame_replies import FrameReplies
from scraper.capture.observe import dicom_names, samples
from scraper.capture.observe.received import Observations
from scraper.core.errors import NotOriginalDicom
from scraper.core.model import Via
from scraper.session.browser import find_browser
from scraper.session.browser.page_memory import SAMPLES
from scraper.session.browser.traffic import DRAWN, Exchange
from scraper.testing import Case, check

needs_browser = pytest.mark.skipif(find_browser() is None, reason="no browser on this machine")

SIDE = 16
CT = {"RescaleSlope": 1, "RescaleIntercept": -1024, "BitsStored": 12, "PixelRepresentation": 0}
STORED = np.array([(place * 37) % 3900 for place in range(SIDE * SIDE)], "<u2")


def tags(**more) -> dict:
    plain = {"Rows": SIDE, "Columns": SIDE, "BitsAllocated": 16, "SamplesPerPixel": 1, **CT, **more}
    return dicom_names.dicom_json(plain)


def three_bytes(values) -> bytes:
    sizes = np.abs(values.astype(int))
    return np.stack([sizes & 255, sizes >> 8, values >= 0], axis=1).astype("u1").tobytes()


def colours(values, *others) -> bytes:
    more = [np.full(len(values), other) for other in (*others, 255)]
    return np.stack([values & 255, values >> 8, *more], axis=1).astype("u1").tobytes()


HOUNSFIELD = STORED.astype(int) - 1024
SIGNED = {"PixelRepresentation": 1, "BitsStored": 16}
READ = {
    "as stored": ("u2", STORED.tobytes(), {}),
    "the high byte first": ("u2", STORED.astype(">u2").tobytes(), {}),
    "shorts of Hounsfield units": ("i2", HOUNSFIELD.astype("<i2").tobytes(), {}),
    "floats of Hounsfield units": ("f4", HOUNSFIELD.astype("<f4").tobytes(), {}),
    "half floats as stored": ("f2", (STORED % 2000).astype("<f2").tobytes(), {}),
    "magnitude and sign": ("m3", three_bytes(HOUNSFIELD), {}),
    "two bytes of a colour": ("c4", colours(STORED, 0), {}),
    "signed, without rescale": ("i2", HOUNSFIELD.astype("<i2").tobytes(), {**SIGNED, "RescaleIntercept": 0}),
}


@pytest.mark.parametrize("name", READ)
def test_samples_become_the_stored_values(name):
    kind, data, more = READ[name]
    wanted = (
        STORED % 2000 if name.startswith("half") else HOUNSFIELD.astype("<i2") if name.startswith("signed") else STORED
    )
    assert samples.stored(kind, data, tags(**more)) == wanted.tobytes()


LEFT = {
    "signed, with a rescale: both are possible": ("i2", HOUNSFIELD.astype("<i2").tobytes(), SIGNED),
    "between two levels": ("f4", (STORED * 0.37).astype("<f4").tobytes(), {}),
    "of another size": ("u2", STORED.tobytes()[:-2], {}),
    "eight bits": ("u2", STORED.tobytes(), {"BitsAllocated": 8, "BitsStored": 8}),
    "a colour": ("c4", colours(STORED, 0)[:-4] + b"\1\2\3\xff", {}),
    "too large": ("u2", (STORED + 9000).astype("<u2").tobytes(), {"RescaleIntercept": 0}),
    "of one level": ("u2", np.full_like(STORED, 7).tobytes(), {}),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_leaves_a_doubt_is_left(name):
    kind, data, more = LEFT[name]
    assert samples.stored(kind, data, tags(**more)) is None


def uid(number: int) -> str:
    return f"1.2.3.1.{number}"


IMAGES = [
    {"SOPInstanceUID": uid(number), "SeriesInstanceUID": "1.2.3.1", "StudyInstanceUID": "1.2.3", "id": f"image-{number}",
     "Rows": SIDE, "Columns": SIDE, "BitsAllocated": 16, "SamplesPerPixel": 1, **CT}
    for number in range(1, 5)
]  # fmt: skip


def reply(number: int, when: float) -> Exchange:
    return Exchange(f"https://a.test/packed/image-{number}", "fetch", body=b"\xfe\xfd" * 200, size=400, when=when)


def sample(number: int, when: float, *words: str) -> Exchange:
    body = (STORED[::-1] if number % 2 else STORED).tobytes()
    about = json.dumps({"kind": "u2", "width": SIDE, "height": SIDE, "words": words})
    return Exchange("memory:a", DRAWN, method="", headers={SAMPLES: about}, body=body, size=len(body), when=when)


@pytest.mark.parametrize(
    ("exchanges", "numbers"),
    [
        ([reply(1, 1), sample(1, 2), reply(2, 3), sample(2, 4)], {1, 2}),
        ([reply(1, 1), sample(1, 2), sample(1, 3), reply(2, 4), sample(2, 5)], {1, 2}),
        ([reply(1, 1), reply(2, 2), sample(1, 3), sample(2, 4)], set()),
        ([reply(1, 1), reply(2, 2), sample(2, 3, "image-2"), sample(1, 4, "image-1")], {1, 2}),
        ([sample(1, 1), reply(1, 2)], set()),
    ],
    ids=[
        "one after another",
        "drawn again",
        "asked ahead",
        "asked ahead, told by name",
        "drawn before it was asked for",
    ],
)
async def test_samples_are_paired_where_it_is_certain_whose_they_are(exchanges, numbers, tmp_path):
    listed = json.dumps({"images": IMAGES}).encode()
    every = [Exchange("https://a.test/list", "fetch", body=listed, size=len(listed)), *exchanges]
    observations = Observations(tmp_path)
    replies = FrameReplies(observations)
    for place in range(len(every)):
        await observations.take(every[: place + 1])
        replies.resolve()
    assert {name for name, frames in observations.frames.items() if frames} == {uid(number) for number in numbers}


WHOLE = [kind for kind in drawn.KINDS if kind != "screen"]
ONE_SERIES = {"worker": {"slices": 5, "thin": 0, "localizers": 0}}  # what runs every time


@needs_browser
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in ONE_SERIES else [pytest.mark.thorough]) for kind in WHOLE]
)
async def test_every_way_to_draw(kind, tmp_path):
    site = drawn.GenericDrawn(**ONE_SERIES.get(kind, {}))
    series = {series.uid: len(series.instances) for series in site.study.series}
    case = Case(kind, f"{drawn.LINK}/{kind}", ways=(Via.BROWSER,), series=series, origin="rebuilt")
    with World(site) as world:
        await check(Universal, case, world, tmp_path, Via.BROWSER)
        assert world.unexpected == []


@needs_browser
@pytest.mark.thorough
async def test_a_picture_of_the_screen_is_no_original(tmp_path):
    case = Case("screen", f"{drawn.LINK}/screen", ways=(Via.BROWSER,), raises=NotOriginalDicom)
    with World(drawn.GenericDrawn()) as world:
        await check(Universal, case, world, tmp_path, Via.BROWSER)
