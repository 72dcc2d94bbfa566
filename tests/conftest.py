"""Fixtures that many tests share."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scraper.registry import catalogue
from scraper.testing import shared_browser
from scraper.verify import Inspector

gc.disable()  # until all tests are collected: hardly anything of it is garbage
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What was collected stays until the end, and the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture
def plugged_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder with the plug-in ``aurora``, on the path as if it had been installed."""
    folder = Path(__file__).parent / "plugins"
    monkeypatch.syspath_prepend(str(folder))
    catalogue.known.cache_clear()
    catalogue.shapes.cache_clear()
    yield folder
    catalogue.known.cache_clear()
    catalogue.shapes.cache_clear()
    sys.modules.pop("cloudfilm_aurora", None)


@pytest.fixture(scope="session", autouse=True)
def spare_inspectors() -> Iterator[None]:
    """A process that checks files costs a second to start, and most tests would start one."""
    Inspector.spare = []
    yield
    for worker in Inspector.spare:
        worker.child.close()
    Inspector.spare = None


@pytest.fixture(scope="session", autouse=True)
def one_browser() -> Iterator[None]:
    """One browser process for all cases of a worker."""
    with shared_browser():
        yield
