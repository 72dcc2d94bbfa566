"""Two objects under one UID, in one run and over two: the one that holds more is on the disk in the end."""

import asyncio
import io
from pathlib import Path

import pytest
from pydicom import dcmread

from fixtures.dicom import chest_ct
from scraper.core.link import parse_url
from scraper.core.model import Captured, Instance, OnDemand, Series
from scraper.core.settings import Settings
from scraper.download.collect import Collector
from scraper.download.fetch import Fetcher
from scraper.download.watcher import SilentWatcher
from scraper.session import Session
from scraper.session.http.client import Http
from scraper.session.http.pace import Pace
from scraper.store.place import opened
from scraper.testing import nobody
from scraper.verify import Inspector

STUDY = chest_ct(slices=3, size=64, localizers=0, dose_report=False, seed=5)
FULL = STUDY.series[0].instances[0]
UID, SERIES = FULL.sop_instance_uid, STUDY.series[0].uid


def reduced() -> bytes:
    ds = dcmread(io.BytesIO(FULL.data))
    ds.PixelData = ds.pixel_array[::4, ::4].tobytes()
    ds.Rows = ds.Columns = 16
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


async def no_window() -> None:
    raise AssertionError


def asked(data: bytes, key: str, uid: str = "") -> Instance:
    async def ask() -> bytes:
        return data

    return Instance(uid, OnDemand(ask), key=key)


async def collected(folder: Path, *instances: Instance, jobs: int = 1):
    settings = Settings()
    session = Session(
        parse_url("https://film.test/"),
        settings,
        Http(settings, Pace(4, None)),
        start_window=no_window,
        ask=nobody,
        spool=folder / "spool",
    )
    fetcher = Fetcher(session, lambda _: None)
    async with opened(folder, STUDY.study_instance_uid, lambda: None) as store, Inspector() as inspector:
        collector = Collector(store, fetcher, inspector, SilentWatcher(), jobs)
        await collector.take([Series(STUDY.study_instance_uid, SERIES, instances)])
        await session.close()
        return collector.collected()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["preview first", "full first"])
async def test_verdicts_1_the_larger_of_two_in_one_run_is_kept(order, tmp_path):
    both = [asked(reduced(), "preview"), asked(FULL.data, "full")]
    result = await collected(tmp_path, *(both[place] for place in order))
    assert [saved.path.read_bytes() for saved, _ in result.saved] == [FULL.data]
    assert [(problem.code, problem.instances, problem.fatal) for problem in result.problems] == [
        ("lesser-copies", (UID,), False)
    ]
    assert result.conflicts == ()


async def test_verdicts_1_two_that_hold_equally_much_and_differ_are_a_conflict(tmp_path):
    other = dcmread(io.BytesIO(FULL.data))
    other.PixelData = bytes(len(other.PixelData))
    out = io.BytesIO()
    other.save_as(out, enforce_file_format=True)
    result = await collected(tmp_path, asked(FULL.data, "one"), asked(out.getvalue(), "two"))
    assert result.conflicts == (UID,)


async def test_verdicts_1_a_later_run_that_got_the_full_object_replaces_the_preview(tmp_path):
    result = await collected(tmp_path / "out", asked(reduced(), "preview", UID))
    assert [saved.header.rows for saved, _ in result.saved] == [16]
    caught = tmp_path / "caught"
    caught.write_bytes(FULL.data)
    result = await collected(tmp_path / "out", Instance(UID, Captured(caught)))
    assert [saved.path.read_bytes() for saved, _ in result.saved] == [FULL.data]
    caught.write_bytes(reduced())
    result = await collected(tmp_path / "out", Instance(UID, Captured(caught)))
    assert [saved.path.read_bytes() for saved, _ in result.saved] == [FULL.data]


async def test_an_image_listed_again_with_the_same_source_is_fetched_once(tmp_path):
    asked_for = []

    async def ask() -> bytes:
        asked_for.append(UID)
        return FULL.data

    source = OnDemand(ask)
    result = await collected(tmp_path, Instance(UID, source), Instance(UID, source, number=1), jobs=2)
    assert (asked_for, list(result.duplicates), dict(result.failed)) == ([UID], [UID], {})


async def test_the_same_image_from_two_places_at_once_arrives(tmp_path):
    both_asked = asyncio.Barrier(2)

    async def ask() -> bytes:
        await both_asked.wait()
        return FULL.data

    async def ask_elsewhere() -> bytes:
        return await ask()

    result = await collected(tmp_path, Instance(UID, OnDemand(ask)), Instance(UID, OnDemand(ask_elsewhere)), jobs=2)
    assert (len(result.saved), list(result.duplicates), dict(result.failed)) == (1, [UID], {})
