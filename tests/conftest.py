"""Fixtures that many tests share."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from scraper.isolation.child import Child, launched
from scraper.registry import catalogue
from scraper.source.qr.worker import Worker
from scraper.testing import shared_browser
from tests.forked import CAN_FORK, SERVERS

# what Node.js compiles of the browser's driver is left there for the next start
os.environ.setdefault("NODE_COMPILE_CACHE", str(Path(__file__).parents[1] / ".cache" / "node"))

PLUGINS, NAME = Path(__file__).parent / "plugins", "cloudfilm_aurora"

gc.disable()  # until all tests are collected: hardly anything of it is garbage
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What was collected stays until the end, and the garbage collector need not look at it again and again."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)  # pytest-xdist may be left out
def pytest_xdist_setupnodes(config: pytest.Config, specs: list[object]) -> None:
    """Fork the workers, where the system can."""
    if CAN_FORK:
        from tests.workers import fork

        fork(config, len(specs))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Beside the JUnit file: seconds of the processor that all took, workers, browsers and children too (tools/figures.py)."""
    if "tests.programs" in sys.modules:
        sys.modules["tests.programs"].close()
    SERVERS.close()
    junit = config.getoption("xmlpath", None)
    if junit and not hasattr(config, "workerinput"):
        taken = os.times()
        seconds = taken.user + taken.system + taken.children_user + taken.children_system
        Path(junit).with_suffix(".cpu").write_text(f"{seconds:.1f}\n", encoding="utf-8")


@pytest.fixture
def installed_plug_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder with the plug-in ``aurora``, on the path as if it had been installed."""
    monkeypatch.syspath_prepend(str(PLUGINS))
    catalogue.known.cache_clear()
    catalogue.shapes.cache_clear()
    yield PLUGINS
    catalogue.known.cache_clear()
    catalogue.shapes.cache_clear()
    sys.modules.pop(NAME, None)


# what a row with the plug-in is given; the module's own, which have none, stay as they are
_known_with_plug_in = cache(catalogue.known.__wrapped__)
_shapes_with_plug_in = cache(catalogue.shapes.__wrapped__)
_plug_in = cache(importlib.import_module)


@pytest.fixture
def plugged_in(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder; which providers there are is found out once for all rows."""
    monkeypatch.syspath_prepend(str(PLUGINS))
    monkeypatch.setattr(catalogue, "known", _known_with_plug_in)
    monkeypatch.setitem(sys.modules, NAME, _plug_in(NAME))  # the one that has the known class
    monkeypatch.setattr(catalogue, "shapes", _shapes_with_plug_in)
    return PLUGINS


@pytest.fixture(scope="session", autouse=True)
def quick_children() -> Iterator[None]:
    """A process that checks files, or reads codes, costs half a second to start, and most tests start one."""
    Worker.spare = []
    if CAN_FORK:
        Child.launch = SERVERS.launch
    yield
    Child.launch = staticmethod(launched)
    for process in Worker.spare:
        process.communicate()  # it ends with its questions
    Worker.spare = None


@pytest.fixture
def started_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children of this test are started as the program starts them."""
    monkeypatch.setattr(Child, "launch", staticmethod(launched))


@pytest.fixture(scope="session", autouse=True)
def one_browser() -> Iterator[None]:
    """One browser process for all cases of a worker."""
    with shared_browser():
        yield
