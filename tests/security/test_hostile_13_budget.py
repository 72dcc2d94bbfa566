"""Row 13: several hostile files at once get no more memory than all processes together may take."""

import asyncio
import sys
import threading

import pytest

from scraper.isolation import process
from scraper.isolation.memory_budget import MOST_OF_ALL, MemoryBudget
from scraper.verify import Inspector
from tests.security import captured
from tests.security.memory import MB, MOST, peak_of_all_processes


@pytest.mark.skipif(sys.platform != "linux", reason="the limits are the kernel's")
@pytest.mark.parametrize("size", [500, pytest.param(60 * MB, marks=pytest.mark.thorough)])
@pytest.mark.usefixtures("started_children")
async def test_hostile_13_files_that_fill_the_memory_at_once_share_a_budget(tmp_path, monkeypatch, size):
    paths = [tmp_path / f"{number}.dcm" for number in range(4)]
    for path in paths:
        path.write_bytes(bytes(size))
    monkeypatch.setattr("scraper.verify.workers._PAYS", 0)  # a process for each
    with peak_of_all_processes() as peak:
        async with Inspector(4, timeout_s=60) as inspector:
            had = await asyncio.gather(*(inspector.apart(captured.fill_memory, path) for path in paths))
    allowed = process.memory_for([paths[0]]) // MB
    assert all(count is not None and 100 < count <= allowed for count in had)
    assert 200 * MB < peak.size < MOST


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="the limits are the kernel's")
@pytest.mark.usefixtures("started_children")
async def test_hostile_13_a_file_of_a_gigabyte_gets_no_more_than_all_may_take(tmp_path):
    """Until now a file above 200 MB got four times its size, up to 4 GB."""
    path = tmp_path / "large.dcm"
    with path.open("wb") as out:
        out.truncate(1024 * MB)
    with peak_of_all_processes() as peak:
        async with Inspector(1, timeout_s=300) as inspector:  # a busy machine takes a minute to fill a gigabyte
            had = await inspector.apart(captured.fill_memory, path)
    assert had is not None
    assert 500 < had <= process.MOST_MEMORY // MB
    assert peak.size < MOST


def test_hostile_13_four_small_files_are_looked_at_at_once(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(bytes(600_000))
    assert 4 * process.memory_for([path]) <= MOST_OF_ALL


def test_hostile_13_who_asks_for_more_than_all_works_alone():
    budget, events = MemoryBudget(100), list[str]()
    second_waits = threading.Event()

    def second() -> None:
        second_waits.set()
        with budget.share(60):
            events.append("second")

    thread = threading.Thread(target=second)
    with budget.share(1000):
        thread.start()
        second_waits.wait()
        events.append("first")
    thread.join()
    assert events == ["first", "second"]
    with budget.share(40), budget.share(60):
        pass
