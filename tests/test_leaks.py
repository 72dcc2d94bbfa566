"""Nothing stays open, nothing stays on the disk, however many links are opened."""

import os
from pathlib import Path

import pytest

from fixtures.sites.generic_viewer.site import HOST, GenericViewer
from fixtures.world import World
from scraper.session.browser import Browser, find_browser
from scraper.testing import settings_in

pytestmark = [
    pytest.mark.skipif(find_browser() is None, reason="no browser on this machine"),
    pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="handles are counted under /proc"),
]
LINKS = 20
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
    while fresh := {one for one, parent in parents.items() if parent in {of, *found}} - found:
        found |= fresh
    return found


async def opened(browser: Browser) -> None:
    window = await browser.window()
    await window.open(f"https://{HOST}/v/signed")
    await window.traffic.settled(0.3, 10)
    assert window.traffic.exchanges
    await window.close()


async def test_twenty_links_leave_nothing_behind(tmp_path):
    spool, before, alive = tmp_path / "spool", handles(), children(os.getpid())
    with World(GenericViewer()) as world:
        outside = handles()
        async with Browser(settings_in(world, tmp_path), spool) as browser:
            await opened(browser)
            first, processes = handles(), len(children(os.getpid()))
            for _ in range(LINKS):
                await opened(browser)
                assert not [one for one in spool.rglob("*") if one.is_file()]
            assert handles() <= first + SPARE
            assert len(children(os.getpid())) <= processes + SPARE
        assert handles() <= outside + SPARE
    assert not spool.exists()
    assert handles() <= before + SPARE
    assert children(os.getpid()) <= alive
