"""Nothing stays open, nothing stays on the disk, however many links are opened."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.sites.generic_viewer.site import HOST, GenericViewer
from fixtures.world import World
from scraper.core.leftovers import LOCK, RunFolder, remove_leftovers
from scraper.core.settings import Settings
from scraper.session.browser import Browser, find_browser
from scraper.testing import settings_in

pytestmark = [
    pytest.mark.skipif(find_browser() is None, reason="no browser on this machine"),
    pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="handles are counted under /proc"),
]
LINKS = 20
OF_THE_PROCESS = ("playwright_chromiumdev_profile-", "org.chromium.Chromium.", ".org.chromium.Chromium.")
SPARE = 6  # handles and processes that a browser opens and closes as it likes


def handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def children(of: int) -> set[int]:
    """The processes below one that live."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if stat[0] != "Z":
                parents[int(folder.name)] = int(stat[1])
    found: set[int] = set()
    while fresh := {number for number, parent in parents.items() if parent in {of, *found}} - found:
        found |= fresh
    return found


async def fallen(count: Callable[[], int], most: int) -> int:
    """The count once it is no more than that: on a busy machine a closed window's connections end a moment after it.

    What is left behind stays, and is given back after half a minute.
    """
    give_up = time.monotonic() + 30
    while (now := count()) > most and time.monotonic() < give_up:  # noqa: ASYNC110  # nobody tells when a handle is closed
        await asyncio.sleep(0.05)
    return now


def received(spool: Path) -> list[Path]:
    """The files of windows; the profile of a browser that lives, and its lock, lie beside them until it is closed."""
    files = (path.relative_to(spool) for path in spool.rglob("*") if path.is_file())
    return [path for path in files if not path.parts[0].startswith(OF_THE_PROCESS)]


async def opened(browser: Browser) -> None:
    window = await browser.window()
    await window.open(f"https://{HOST}/v/signed")
    await window.traffic.settled(0.3, 10)
    assert window.traffic.exchanges
    await window.close()


@pytest.mark.thorough
async def test_twenty_links_leave_nothing_behind(tmp_path):
    spool, before, alive = tmp_path / "spool", handles(), children(os.getpid())
    with World(GenericViewer(slices=8, thin=5)) as world:
        outside = handles()
        async with Browser(settings_in(world, tmp_path), spool) as browser:
            await opened(browser)
            first, processes = handles(), len(children(os.getpid()))
            for _ in range(LINKS):
                await opened(browser)
                assert received(spool) == []
            assert await fallen(handles, first + SPARE) <= first + SPARE
            most = processes + SPARE
            assert await fallen(lambda: len(children(os.getpid())), most) <= most
        assert await fallen(handles, outside + SPARE) <= outside + SPARE
    assert not spool.exists()
    assert await fallen(handles, before + SPARE) <= before + SPARE
    assert children(os.getpid()) <= alive


async def test_a_folder_that_is_still_written_to_is_removed_all_the_same(tmp_path, monkeypatch):
    """As after a kill: a process that ends a moment later makes files while the folder is removed."""
    spool, removals, remove = tmp_path / "spool", [], shutil.rmtree

    def removed_but_written_to(folder: Path, ignore_errors: bool) -> None:
        remove(folder, ignore_errors=ignore_errors)
        removals.append(folder)
        if len(removals) < 3:
            (folder / "profile").mkdir(parents=True)

    spool.mkdir()
    browser = Browser(Settings(), spool)
    monkeypatch.setattr(shutil, "rmtree", removed_but_written_to)
    await browser.close()
    assert removals == [spool] * 3
    assert not spool.exists()


def test_what_a_run_can_t_remove_the_next_one_does(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def all_but_the_profile(path: Path, ignore_errors: bool) -> None:
        for file in path.iterdir():
            if file.name != "profile":
                file.unlink()

    folder = RunFolder()
    (folder.path / "profile").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", all_but_the_profile)
        folder.remove()
    assert {path.name for path in folder.path.iterdir()} == {LOCK, "profile"}
    remove_leftovers()
    assert not folder.path.exists()
